//! A house without doors: everything below the wire.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::DictionaryTracker;
use arrow::ipc::writer::IpcDataGenerator;
use arrow::ipc::writer::IpcWriteOptions;
use tempfile::TempDir;
use tessera::auth::OrderSealer;
use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::io::Backend;
use tessera::model::DeviceId;
use tessera::model::IdSource;
use tessera::model::OntologyTag;
use tessera::model::SequenceName;
use tessera::model::SerializationFormat;
use tessera::model::SessionHead;
use tessera::model::SessionId;
use tessera::model::Token;
use tessera::model::TopicHead;
use tessera::model::TopicName;
use tessera::model::UserMetadata;
use tessera::query::Selection;
use tessera::retrieval::Retrieval;
use tessera::retrieval::RetrievalConfig;
use tessera::runtime::Budget;
use tessera::runtime::Executor;
use tessera::session::Put;
use tessera::session::SessionConfig;
use tessera::session::SessionError;
use tessera::session::Sessions;
use tessera::session::StreamSchema;
use tessera::session::TopicRequest;
use tessera::shard;
use tessera::shard::ChunkConfig;
use tessera::shard::ShardMemory;
use tessera::shard::ShardSetup;

/// What seals the orders of this house.
pub const ORDER_KEY: [u8; 32] = [9; 32];
/// What its clock always shows, in ns.
pub const NOW: i64 = 1_700_000_000;

/// A running house. [`House::stop`] it before another one opens on the same directory.
pub struct House {
    pub catalog: Arc<EmbeddedCatalog>,
    pub sessions: Sessions,
    pub retrieval: Retrieval,
    pub shards: shard::Shards,
    executors: Vec<Executor>,
    root: PathBuf,
}

pub fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

impl House {
    pub async fn open(root: &Path) -> Self {
        Self::with(root, SessionConfig::default(), ChunkConfig::default()).await
    }

    pub async fn with(root: &Path, config: SessionConfig, chunk: ChunkConfig) -> Self {
        let catalog = Arc::new(EmbeddedCatalog::open(&EmbeddedConfig::default(), &root.join("catalog.db")).unwrap());
        let open_store = catalog.open_store();
        let boot = open_store.boot([7; 32], 1).await.unwrap();
        // Another stream of ids at every start, as the daemon draws another seed.
        let mut seed = [9; 32];
        seed[0] = u8::try_from(boot.incarnation).unwrap();
        let ids = Arc::new(IdSource::from_seed(seed));
        let device = open_store.device(DeviceId(uuid::Uuid::from_u128(1))).await.unwrap();
        let setup = ShardSetup {
            backend: Backend::Threads { reason: "a test".to_owned() },
            cores: vec![None, None],
            devices: vec![(device, root.to_owned())],
            catalog: catalog.clone(),
            open_store: open_store.clone(),
            ids: ids.clone(),
            received: Budget::new(64 << 20).into(),
            incarnation: boot.incarnation,
            chunk,
            memory: ShardMemory { blocks: 16, read_bytes: 64 << 20, read_stall_ms: 0 },
            marks: tessera::store::Marks::default(),
            faults: None,
        };
        let (shards, executors) = shard::start(&setup).await.unwrap();
        drop(setup);
        shards.recover().await.unwrap();
        let orders = OrderSealer::new(ORDER_KEY);
        let sessions = Sessions::new(catalog.clone(), open_store, shards.clone(), ids, orders, config, || NOW);
        sessions.recover().await.unwrap();
        let config =
            RetrievalConfig { target_message_bytes: 64 << 10, batch_rows_max: 1000, ..RetrievalConfig::default() };
        let retrieval = Retrieval::new(catalog.clone(), shards.clone(), config);
        Self { catalog, sessions, retrieval, shards, executors, root: root.to_owned() }
    }

    /// Ends as a process that is killed would, but waits until its threads are gone.
    pub fn stop(self) {
        let Self { catalog, sessions, retrieval, shards, executors, root: _ } = self;
        drop((sessions, retrieval, shards));
        for executor in executors {
            executor.join().unwrap();
        }
        catalog.close();
    }

    pub async fn sequence(&self, name: &str) -> SequenceName {
        let name = SequenceName::parse(name).unwrap();
        self.sessions.create_sequence(name.clone(), UserMetadata::empty()).await.unwrap();
        name
    }

    /// A sequence with one open session.
    pub async fn session(&self, name: &str) -> (SessionHead, Token) {
        let name = self.sequence(name).await;
        self.sessions.create_session(&name).await.unwrap()
    }

    pub async fn topic(&self, session: Token, name: &str) -> (TopicHead, Token) {
        self.sessions.create_topic(topic(session, name)).await.unwrap()
    }

    pub async fn begin(&self, topic: &(TopicHead, Token)) -> Result<Put, SessionError> {
        self.sessions.begin_put(topic.1, &topic.0.name, stream(schema())).await
    }

    /// A written topic with one row per timestamp.
    pub async fn write(&self, session: Token, name: &str, times: &[i64]) -> TopicHead {
        let topic = self.topic(session, name).await;
        let mut put = self.begin(&topic).await.unwrap();
        if !times.is_empty() {
            push(&mut put, times).await.unwrap();
        }
        assert_eq!(put.close().await.unwrap().rows, times.len() as u64);
        topic.0
    }

    pub fn manifest(&self, session: SessionId) -> PathBuf {
        self.root.join("manifests").join(format!("{session}.json"))
    }

    pub fn chunk_files(&self, session: SessionId) -> usize {
        std::fs::read_dir(self.root.join("chunks").join(session.to_string())).map_or(0, |entries| entries.count())
    }

    /// Lets the sweep run until nothing is left to purge.
    pub async fn swept(&self) {
        let sweep = tokio::spawn(self.sessions.clone().sweep());
        until(async || self.catalog.tombstones(0, 1).await.unwrap().is_empty()).await;
        sweep.abort();
        let _ = sweep.await;
    }

    /// The timestamps of a topic, as they are read back.
    pub async fn times(&self, topic: &TopicHead, range: tessera::model::TimeRange) -> Vec<i64> {
        let mut reading = self.retrieval.read(topic.id, range, Selection::default()).await.unwrap();
        assert_eq!(reading.schema, schema());
        let mut times = Vec::new();
        while let Some(batch) = reading.batches.next().await {
            let batch = batch.unwrap();
            assert_eq!(batch.schema(), schema());
            assert!(batch.num_rows() > 0, "no batch is empty");
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            times.extend_from_slice(column.values());
        }
        times
    }
}

pub fn topic(session: Token, name: &str) -> TopicRequest {
    TopicRequest {
        session,
        name: TopicName::parse(name).unwrap(),
        tag: OntologyTag::parse("Custom").unwrap(),
        format: SerializationFormat::Default,
        metadata: UserMetadata::parse(r#"{"n": 1.50}"#).unwrap(),
    }
}

pub fn schema() -> SchemaRef {
    let time = Field::new("timestamp_ns", DataType::Int64, false);
    Arc::new(Schema::new(vec![time, Field::new("value", DataType::Float64, true)]))
}

pub fn schema_message(schema: &Schema) -> Vec<u8> {
    let mut tracker = DictionaryTracker::new(true);
    let options = IpcWriteOptions::default();
    IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options).ipc_message
}

/// A schema without dictionaries, as a client's first message.
pub fn stream(schema: SchemaRef) -> StreamSchema {
    StreamSchema { message: schema_message(&schema), wire: Arc::clone(&schema), stored: schema }
}

pub async fn push(put: &mut Put, times: &[i64]) -> Result<(), SessionError> {
    let values = times.iter().map(|time| *time as f64).collect::<Vec<_>>();
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from(times.to_vec())), Arc::new(Float64Array::from(values))];
    put.push(RecordBatch::try_new(schema(), columns).unwrap(), 16 * times.len(), None).await
}

/// Waits for what goes on behind an answer.
pub async fn until(mut done: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it comes about");
}

/// The outcomes of many tasks that begin together.
pub async fn race<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> F,
) -> Vec<T> {
    let start = Arc::new(tokio::sync::Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|index| {
            let (start, work) = (start.clone(), task(index));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(count);
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}
