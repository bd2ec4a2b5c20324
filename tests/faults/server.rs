//! The whole server in this process, on a host that fails on purpose, and a Flight client on a real socket.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::Action;
use arrow_flight::FlightClient;
use arrow_flight::FlightDescriptor;
use arrow_flight::Ticket;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream;
use serde_json::Value;
use tokio::sync::watch;
use tonic::Code;

use tessera::auth::OrderSealer;
use tessera::auth::TicketSealer;
use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::OpenStore;
use tessera::config::Config;
use tessera::daemon::Pace;
use tessera::daemon::Storage;
use tessera::daemon::audit;
use tessera::daemon::gone;
use tessera::daemon::open_storage;
use tessera::flight::Desk;
use tessera::flight::HandlerConfig;
use tessera::flight::transport::ListenConfig;
use tessera::flight::transport::Listener;
use tessera::flight::transport::Stop;
use tessera::io::BackendChoice;
use tessera::io::DirectoryLock;
use tessera::io::Host;
use tessera::model::SessionId;
use tessera::retrieval::Retrieval;
use tessera::runtime::Executor;
use tessera::session::Sessions;
use tessera::shard::ShardError;
use tessera::shard::Shards;
use tessera::store::RecoveryReport;
use tessera::wire::SessionAnswer;

/// Longer than anything here takes on a busy machine: what is not over by then hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what goes on behind an answer.
const LOOK: Duration = Duration::from_millis(2);

/// Rows of a chunk.
pub const CHUNK_ROWS: u64 = 4;

pub struct Server {
    pub catalog: EmbeddedCatalog,
    pub open_store: OpenStore,
    /// What the catalog said when it gave up.
    pub poisoned: Arc<Mutex<Option<String>>>,
    sessions: Sessions,
    shards: Shards,
    executors: Vec<Executor>,
    locks: Vec<DirectoryLock>,
    address: String,
    stop: watch::Sender<Stop>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// As the daemon starts. An error is a start that was refused.
    pub async fn start(root: &Path, host: &Host) -> Result<Self, String> {
        let mut config = Config::default();
        config.storage.data_dirs = vec![root.to_owned()];
        config.storage.backend = match std::env::var("TESSERA_FAULTS_BACKEND").as_deref() {
            Ok("uring") => BackendChoice::Uring,
            _ => BackendChoice::Threads,
        };
        config.shards.count = 2;
        config.memory.blocks_per_shard = 8;
        config.chunk.rows_max = CHUNK_ROWS;
        // What it says does not matter here, but no call of it may do harm; a start follows all the same.
        let _ = tessera::daemon::check(&config, host);
        let storage = open_storage(&config, host).await.map_err(|error| error.to_string())?;
        let Storage { catalog, embedded, open_store, shards, executors, ids, budget, ticket_key, locks, .. } = storage;
        let poisoned: Arc<Mutex<Option<String>>> = Arc::default();
        let told = Arc::clone(&poisoned);
        embedded.on_poison(move |cause: &str| *told.lock().unwrap() = Some(cause.to_owned()));
        let (orders, limits) = (OrderSealer::new(ticket_key), config.sessions.clone());
        let sessions =
            Sessions::new(Arc::clone(&catalog), open_store.clone(), shards.clone(), ids, orders, limits, || 1);
        let retrieval = Retrieval::new(catalog, shards.clone(), config.reading.clone());
        let handlers = HandlerConfig {
            session_answer: SessionAnswer::UuidAndLocator,
            message_bytes_max: config.connections.message_bytes_max,
            target_message_bytes: config.reading.target_message_bytes,
            dictionary_bytes: config.memory.dictionary_bytes,
        };
        let desk = Desk::new(sessions.clone(), retrieval, TicketSealer::new(ticket_key), handlers, &shards);
        if let Err(error) = sessions.recover().await {
            drop((desk, sessions, shards));
            join(executors).await;
            embedded.close();
            return Err(error.to_string());
        }
        let listen = ListenConfig { listen: ([127, 0, 0, 1], 0).into(), ..ListenConfig::default() };
        let listener = Listener::bind(&listen).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(Stop::Run);
        let serving = tokio::spawn(listener.serve(config.connections, desk.routes(), budget, stopped));
        let sweep = tokio::spawn(sessions.clone().sweep());
        let tasks = vec![serving, sweep];
        Ok(Self { catalog: embedded, open_store, poisoned, sessions, shards, executors, locks, address, stop, tasks })
    }

    pub async fn client(&self) -> Client {
        let channel = tonic::transport::Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        Client(FlightClient::new(channel))
    }

    /// As the daemon does every second: a disk that cannot be asked is not taken to be gone.
    pub async fn audit(&self) -> Result<RecoveryReport, ShardError> {
        assert_eq!(gone(&self.locks), Vec::<usize>::new());
        audit(&self.open_store, &self.shards, Pace::AT_ONCE).await
    }

    /// As the scrub does: what a manifest says is the catalog's to judge.
    pub async fn read_manifest(&self, session: uuid::Uuid) -> Result<Vec<u8>, ShardError> {
        self.shards.read_manifest(SessionId(session)).await
    }

    /// Waits until what was deleted is purged; gives up where it never will be.
    pub async fn swept(&self, patience: Duration) -> bool {
        let purged = async {
            while !matches!(self.catalog.tombstones(0, 1).await, Ok(tombstones) if tombstones.is_empty()) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(patience, purged).await.is_ok()
    }

    pub async fn stop(mut self) {
        self.stop.send(Stop::Drain { until: Instant::now() + Duration::from_secs(5) }).unwrap();
        let sweep = self.tasks.pop().unwrap();
        tokio::time::timeout(PATIENCE, self.tasks.pop().unwrap()).await.expect("the server does not drain").unwrap();
        tokio::time::timeout(PATIENCE, self.sessions.drain()).await.expect("the puts do not end");
        sweep.abort();
        let _ = sweep.await;
        let Self { sessions, shards, executors, catalog, locks, .. } = self;
        drop((sessions, shards));
        join(executors).await;
        catalog.close();
        drop(locks);
    }
}

async fn join(executors: Vec<Executor>) {
    let joined = tokio::task::spawn_blocking(move || {
        executors.into_iter().map(Executor::join).collect::<Result<Vec<()>, _>>().map(drop)
    });
    tokio::time::timeout(PATIENCE, joined).await.expect("a shard does not end").unwrap().expect("no shard panics");
}

pub struct Client(FlightClient);

/// What a client is told when a call fails.
#[derive(Clone)]
pub struct Failed {
    pub code: Code,
    text: String,
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.text)
    }
}

impl From<FlightError> for Failed {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self { code: status.code(), text: status.message().to_owned() },
            other => panic!("a call ended without a status: {other}"),
        }
    }
}

impl Client {
    pub async fn act(&mut self, kind: &str, body: Value) -> Result<Value, Failed> {
        let call = async {
            let results = self.0.do_action(Action::new(kind, body.to_string())).await?;
            results.try_collect::<Vec<Bytes>>().await
        };
        let bodies = tokio::time::timeout(PATIENCE, call).await.expect("an action hangs")?;
        Ok(serde_json::from_slice::<Value>(&bodies[0]).unwrap()["response"].clone())
    }

    pub async fn put(
        &mut self,
        topic: &str,
        token: &str,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
    ) -> Result<(), Failed> {
        let to = serde_json::json!({"resource_locator": topic, "topic_uuid": token}).to_string();
        let stream = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(FlightDescriptor::new_cmd(to)))
            .build(stream::iter(batches.into_iter().map(Ok)));
        let call = async { self.0.do_put(stream).await?.try_collect::<Vec<_>>().await };
        tokio::time::timeout(PATIENCE, call).await.expect("a put hangs")?;
        Ok(())
    }

    pub async fn get(&mut self, topic: &str) -> Result<Vec<RecordBatch>, Failed> {
        let call = async { self.0.do_get(Ticket::new(topic.to_owned())).await?.try_collect().await };
        Ok(tokio::time::timeout(PATIENCE, call).await.expect("a read hangs")?)
    }
}
