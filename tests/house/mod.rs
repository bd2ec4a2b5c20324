//! The storage side without the network, as tests run it.

#![allow(dead_code, reason = "no test needs all of it")]

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::NewSequence;
use tessera::catalog::NewSession;
use tessera::catalog::NewTopic;
use tessera::catalog::OpenStore;
use tessera::config::Config;
use tessera::daemon::Pace;
use tessera::daemon::StartError;
use tessera::daemon::Storage;
use tessera::daemon::audit;
use tessera::daemon::open_storage;
use tessera::io::Backend;
use tessera::io::BackendChoice;
use tessera::io::DirectoryLock;
use tessera::io::FaultScript;
use tessera::io::Host;
use tessera::io::probe;
use tessera::model::ChunkRecord;
use tessera::model::DeviceId;
use tessera::model::DeviceNumber;
use tessera::model::IdSource;
use tessera::model::OntologyTag;
use tessera::model::SequenceId;
use tessera::model::SequenceName;
use tessera::model::SerializationFormat;
use tessera::model::SessionId;
use tessera::model::TimeRange;
use tessera::model::TokenDigest;
use tessera::model::TopicId;
use tessera::model::TopicName;
use tessera::model::UserMetadata;
use tessera::runtime::Budget;
use tessera::runtime::Executor;
use tessera::shard;
use tessera::shard::BatchReceiver;
use tessera::shard::ChunkConfig;
use tessera::shard::ReadRequest;
use tessera::shard::ShardError;
use tessera::shard::ShardMemory;
use tessera::shard::ShardSetup;
use tessera::shard::Shards;
use tessera::shard::TopicSpec;
use tessera::shard::Window;
use tessera::store::Marks;
use tessera::store::RecoveryReport;

/// A directory on a real disk: tmpfs hides errors of alignment.
pub fn scratch() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tempfile::TempDir::new_in(root).unwrap()
}

/// A running storage side. [`House::close`] it before another one opens on the same directory.
pub struct House {
    pub directory: PathBuf,
    pub catalog: EmbeddedCatalog,
    pub open: OpenStore,
    pub shards: Shards,
    pub executors: Vec<Executor>,
    pub ids: Arc<IdSource>,
    pub device: DeviceNumber,
    pub budget: Budget,
    locks: Vec<DirectoryLock>,
}

/// What a test wants of its storage side.
pub struct Plan {
    pub backend: BackendChoice,
    pub chunk: ChunkConfig,
    pub read_bytes: u64,
    pub marks: Marks,
    pub faults: Option<FaultScript>,
}

impl Default for Plan {
    fn default() -> Self {
        let (backend, chunk, marks) = (BackendChoice::Auto, ChunkConfig::default(), Marks::default());
        Self { backend, chunk, read_bytes: 64 << 20, marks, faults: None }
    }
}

impl House {
    pub fn open(directory: &Path, backend: BackendChoice, chunk: ChunkConfig) -> Self {
        Self::planned(directory, Plan { backend, chunk, ..Plan::default() }, |catalog| Arc::new(catalog))
    }

    /// As planned; the shards get the catalog as `wrap` gives it.
    pub fn planned(directory: &Path, plan: Plan, wrap: impl FnOnce(EmbeddedCatalog) -> Arc<dyn Catalog>) -> Self {
        let Plan { backend: wanted, chunk, read_bytes, marks, faults } = plan;
        let backend = probe(directory, wanted).unwrap();
        let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &directory.join("catalog.db")).unwrap();
        let open = catalog.open_store();
        let boot = block_on(open.boot([3; 32], 0)).unwrap();
        let mut seed = [0; 32];
        seed[0] = boot.incarnation as u8;
        let ids = Arc::new(IdSource::from_seed(seed));
        let device = block_on(open.device(DeviceId(uuid::Uuid::from_u128(1)))).unwrap();
        let budget = Budget::new(64 << 20);
        let setup = ShardSetup {
            backend: backend.clone(),
            cores: vec![None, None],
            devices: vec![(device, directory.to_owned())],
            catalog: wrap(catalog.clone()),
            open_store: open.clone(),
            ids: Arc::clone(&ids),
            received: budget.clone().into(),
            incarnation: boot.incarnation,
            chunk,
            memory: ShardMemory { blocks: 8, read_bytes, read_stall_ms: 0 },
            marks,
            faults,
        };
        let (shards, executors) = block_on(shard::start(&setup)).unwrap();
        if wanted == BackendChoice::Uring {
            assert!(matches!(backend, Backend::Uring));
        }
        let report = block_on(shards.recover()).unwrap();
        assert_eq!(report.missing, []);
        Self {
            directory: directory.to_owned(),
            catalog,
            open,
            shards,
            executors,
            ids,
            device,
            budget,
            locks: Vec::new(),
        }
    }

    /// Starts as the daemon does: everything but the network, and with the look at all files behind it. Both report as one.
    pub fn start(directories: &[&Path]) -> Result<(Self, RecoveryReport), StartError> {
        let mut config = Config::default();
        config.storage.data_dirs = directories.iter().map(|path| path.to_path_buf()).collect();
        config.shards.count = 2;
        config.memory.blocks_per_shard = 8;
        // The probe blocks on futures of its own, which two of the plain kind cannot do on one thread.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let Storage { embedded, open_store, shards, executors, ids, budget, mut report, locks, .. } =
            runtime.block_on(open_storage(&config, &Host::default()))?;
        report.add(runtime.block_on(audit(&open_store, &shards, Pace::AT_ONCE)).unwrap());
        let device = shards.place().1;
        let directory = directories[0].to_owned();
        let house =
            Self { directory, catalog: embedded, open: open_store, shards, executors, ids, device, budget, locks };
        Ok((house, report))
    }

    pub fn close(self) -> PathBuf {
        drop(self.shards);
        for executor in self.executors {
            executor.join().unwrap();
        }
        self.catalog.close();
        drop(self.locks);
        self.directory
    }

    pub fn topic(&self, path: &str, schema: &SchemaRef) -> TopicSpec {
        let sequence = SequenceName::parse(&format!("seq-{path}")).unwrap();
        let (sequence_id, session, topic) =
            (SequenceId::new(&self.ids), SessionId::new(&self.ids), TopicId::new(&self.ids));
        let metadata = UserMetadata::empty();
        let new = NewSequence { id: sequence_id, name: sequence.clone(), metadata: metadata.clone(), created_at_ns: 1 };
        block_on(self.catalog.create_sequence(new)).unwrap();
        let token = |id: uuid::Uuid| {
            let mut digest = [0; 32];
            digest[..16].copy_from_slice(id.as_bytes());
            TokenDigest(digest)
        };
        let new = NewSession { id: session, sequence: sequence.clone(), token: token(session.0), created_at_ns: 2 };
        block_on(self.catalog.create_session(new)).unwrap();
        let (shard, _) = self.shards.place();
        let new = NewTopic {
            id: topic,
            session,
            token: token(topic.0),
            name: TopicName::parse(&format!("{sequence}/{path}")).unwrap(),
            tag: OntologyTag::parse("Test").unwrap(),
            format: SerializationFormat::Default,
            metadata,
            shard,
            device: self.device,
            created_at_ns: 3,
        };
        block_on(self.catalog.create_topic(new)).unwrap();
        let head = block_on(self.open.begin_put(topic, vec![1])).unwrap();
        TopicSpec { head, sequence: sequence_id, schema: Arc::clone(schema) }
    }

    pub fn request(&self, spec: &TopicSpec, range: TimeRange) -> ReadRequest {
        let page = block_on(self.catalog.segments(spec.head.id, range, None, 1000)).unwrap();
        ReadRequest {
            topic: spec.head.id,
            session: spec.head.session,
            name: spec.head.name.clone(),
            segments: page.items,
            range,
            batch_bytes: 1 << 20,
            batch_rows: 10_000,
            filter: None,
        }
    }

    pub fn read(&self, spec: &TopicSpec, range: TimeRange) -> Vec<RecordBatch> {
        rest(&mut self.reader(self.request(spec, range)).unwrap())
    }

    pub fn reader(&self, request: ReadRequest) -> Result<BatchReceiver, ShardError> {
        block_on(self.shards.open_reader(request))
    }

    pub fn records(&self, spec: &TopicSpec) -> Vec<ChunkRecord> {
        block_on(self.open.committed_chunks(spec.head.session)).unwrap()
    }

    pub fn window(&self, spec: &TopicSpec, range: TimeRange) -> Window {
        block_on(self.shards.window(self.request(spec, range))).unwrap()
    }
}

/// What a reader has yet to give.
pub fn rest(receiver: &mut BatchReceiver) -> Vec<RecordBatch> {
    std::iter::from_fn(|| block_on(receiver.next())).map(Result::unwrap).collect()
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("timestamp_ns", DataType::Int64, false),
        Field::new("payload", DataType::Binary, true),
    ]))
}

/// Rows with the given times; the payload is a function of the time and `bytes` long.
pub fn batch(times: &[i64], bytes: usize) -> RecordBatch {
    let payload = |time: &i64| -> Vec<u8> { (0..bytes).map(|i| (*time as usize * 31 + i) as u8).collect() };
    let payloads: Vec<Vec<u8>> = times.iter().map(payload).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(times.to_vec())),
        Arc::new(BinaryArray::from_iter(payloads.iter().map(|p| Some(p.as_slice())))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub fn times(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

pub fn write(house: &House, spec: &TopicSpec, batches: Vec<RecordBatch>) {
    block_on(async {
        let mut sender = house.shards.open_writer(spec.clone()).await.unwrap();
        for batch in batches {
            let bytes = batch.get_array_memory_size();
            sender.push(batch, bytes).await.unwrap();
        }
        sender.close().await.unwrap();
    });
}
