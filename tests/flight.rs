//! The whole server in one process: a Flight client on a real socket, handlers, sessions, shards, catalog, files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use arrow::array::ArrayRef;
use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow_flight::Action;
use arrow_flight::FlightClient;
use arrow_flight::FlightDescriptor;
use arrow_flight::FlightInfo;
use arrow_flight::Ticket;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use bytes::Bytes;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::channel::mpsc;
use futures::stream;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;
use tonic::Code;

use tessera::auth::OrderSealer;
use tessera::auth::TicketSealer;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::flight::Desk;
use tessera::flight::HandlerConfig;
use tessera::flight::transport::ListenConfig;
use tessera::flight::transport::Listener;
use tessera::flight::transport::Stop;
use tessera::flight::transport::TransportConfig;
use tessera::io::BackendChoice;
use tessera::io::probe;
use tessera::model::DeviceId;
use tessera::model::IdSource;
use tessera::retrieval::Retrieval;
use tessera::retrieval::RetrievalConfig;
use tessera::runtime::Budget;
use tessera::runtime::Executor;
use tessera::session::SessionConfig;
use tessera::session::Sessions;
use tessera::shard;
use tessera::shard::ChunkConfig;
use tessera::shard::ShardMemory;
use tessera::shard::ShardSetup;
use tessera::wire::SessionAnswer;

struct Server {
    address: String,
    stop: watch::Sender<Stop>,
    serving: tokio::task::JoinHandle<()>,
    executors: Vec<Executor>,
    catalog: EmbeddedCatalog,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        // A directory on a real disk: tmpfs hides errors of alignment.
        let directory = tempfile::TempDir::new_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
        let path = directory.path();
        let backend = probe(path, BackendChoice::Threads).unwrap();
        let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &path.join("catalog.db")).unwrap();
        let open = catalog.open_store();
        let boot = open.boot([3; 32], 0).await.unwrap();
        let ids = Arc::new(IdSource::from_seed([7; 32]));
        let device = open.device(DeviceId(uuid::Uuid::from_u128(1))).await.unwrap();
        let budget = Budget::new(256 << 20);
        let setup = ShardSetup {
            backend,
            cores: vec![None, None],
            devices: vec![(device, path.to_owned())],
            catalog: Arc::new(catalog.clone()),
            open_store: open.clone(),
            ids: Arc::clone(&ids),
            received: budget.clone().into(),
            incarnation: boot.incarnation,
            chunk: ChunkConfig::default(),
            memory: ShardMemory { blocks: 8, read_bytes: 64 << 20, read_stall_ms: 0 },
            marks: tessera::store::Marks::default(),
            faults: None,
        };
        let (shards, executors) = shard::start(&setup).await.unwrap();
        shards.recover().await.unwrap();
        let published = Arc::new(catalog.clone());
        let (orders, limits) = (OrderSealer::new(boot.ticket_key), SessionConfig::default());
        let sessions = Sessions::new(published.clone(), open, shards.clone(), ids, orders, limits, || 1_000_000);
        let retrieval = Retrieval::new(published, shards.clone(), RetrievalConfig::default());
        let transport = TransportConfig::default();
        let config = HandlerConfig {
            session_answer: SessionAnswer::UuidAndLocator,
            message_bytes_max: transport.message_bytes_max,
            target_message_bytes: 4 << 20,
            dictionary_bytes: 128 << 20,
        };
        let desk = Desk::new(sessions, retrieval, TicketSealer::new(boot.ticket_key), config, &shards);
        let listen = ListenConfig { listen: ([127, 0, 0, 1], 0).into(), ..ListenConfig::default() };
        let listener = Listener::bind(&listen).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(Stop::Run);
        let serving = tokio::spawn(listener.serve(transport, desk.routes(), budget, stopped));
        Self { address, stop, serving, executors, catalog, _directory: directory }
    }

    async fn client(&self) -> Client {
        let channel = tonic::transport::Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap();
        Client(FlightClient::new(channel))
    }

    async fn stop(self) {
        self.stop.send(Stop::Drain { until: Instant::now() + Duration::from_secs(5) }).unwrap();
        self.serving.await.unwrap();
        tokio::task::spawn_blocking(move || self.executors.into_iter().for_each(|shard| shard.join().unwrap()))
            .await
            .unwrap();
        self.catalog.close();
    }
}

struct Client(FlightClient);

impl Client {
    async fn act(&mut self, kind: &str, body: Value) -> Result<Value, FlightError> {
        let results = self.0.do_action(Action::new(kind, body.to_string())).await?;
        let bodies: Vec<Bytes> = results.try_collect().await?;
        assert_eq!(bodies.len(), 1, "one document per action");
        Ok(serde_json::from_slice::<Value>(&bodies[0]).unwrap()["response"].clone())
    }

    /// Creates a sequence and opens a session on it: its token and locator.
    async fn session(&mut self, sequence: &str) -> (Value, Value) {
        self.act("sequence_create", json!({"locator": sequence, "user_metadata": {"n": 1}})).await.unwrap();
        let session = self.act("session_create", json!({"locator": sequence})).await.unwrap();
        assert_eq!(session.as_object().unwrap().len(), 2);
        (session["uuid"].clone(), session["locator"].clone())
    }

    async fn topic(&mut self, session: &Value, locator: &str) -> FlightDescriptor {
        let request = json!({"session_uuid": session, "locator": locator, "serialization_format": "default",
            "ontology_tag": "MyOwnModel", "user_metadata": {"vendor": "x"}});
        let topic = self.act("topic_create", request).await.unwrap();
        assert_eq!(topic.as_object().unwrap().len(), 1);
        FlightDescriptor::new_cmd(json!({"resource_locator": locator, "topic_uuid": topic["uuid"]}).to_string())
    }

    /// Returns what the server says it made durable.
    async fn put(&mut self, to: FlightDescriptor, batches: Vec<RecordBatch>) -> Result<u64, FlightError> {
        let schema = batches.first().map_or_else(|| rows(&[]).schema(), RecordBatch::schema);
        let stream = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .with_flight_descriptor(Some(to))
            .build(stream::iter(batches.into_iter().map(Ok)));
        let results: Vec<_> = self.0.do_put(stream).await?.try_collect().await?;
        let receipt: Value = serde_json::from_slice(&results[0].app_metadata).unwrap();
        Ok(receipt["durable_rows"].as_u64().unwrap())
    }

    async fn info(&mut self, command: Value) -> Result<FlightInfo, FlightError> {
        self.0.get_flight_info(FlightDescriptor::new_cmd(command.to_string())).await
    }

    async fn get(&mut self, ticket: Ticket) -> Result<Vec<RecordBatch>, FlightError> {
        self.0.do_get(ticket).await?.try_collect().await
    }

    async fn finalize(&mut self, session: &Value) -> Result<Value, FlightError> {
        self.act("session_finalize", json!({"session_uuid": session})).await
    }
}

fn rows(times: &[i64]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("timestamp_ns", DataType::Int64, false),
        Field::new("data", DataType::Binary, true),
    ]);
    let blobs: BinaryArray = times.iter().map(|time| Some(vec![*time as u8; 100_000])).collect();
    let columns = vec![Arc::new(Int64Array::from(times.to_vec())) as ArrayRef, Arc::new(blobs)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// As a careless client declares it.
fn maybe_timed(times: &[Option<i64>]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("timestamp_ns", DataType::Int64, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(times.to_vec()))]).unwrap()
}

fn times(batches: &[RecordBatch]) -> Vec<i64> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn code<T: std::fmt::Debug>(result: Result<T, FlightError>) -> Code {
    match result.unwrap_err() {
        FlightError::Tonic(status) => status.code(),
        other => panic!("no status: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_put_is_listed_described_and_read_back() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let (session, _) = client.session("drive").await;
    let imu = client.topic(&session, "drive/imu").await;
    let empty = client.topic(&session, "drive/camera/front").await;
    let sent = [rows(&[30, 10, 20]), rows(&[40, 60, 50])];
    assert_eq!(client.put(imu.clone(), sent.to_vec()).await.unwrap(), 6);
    assert_eq!(client.put(empty, vec![]).await.unwrap(), 0);
    assert_eq!(code(client.put(imu, vec![]).await), Code::FailedPrecondition);
    let hidden = client.info(json!({"resource_locator": "drive/imu"})).await;
    assert_eq!(code(hidden), Code::FailedPrecondition);
    client.finalize(&session).await.unwrap();
    client.finalize(&session).await.unwrap();

    let listed: Vec<FlightInfo> = client.0.list_flights("").await.unwrap().try_collect().await.unwrap();
    let names: Vec<_> = listed.into_iter().flat_map(|info| info.flight_descriptor.unwrap().path).collect();
    assert_eq!(names, ["drive"]);

    let info = client.info(json!({"resource_locator": "drive"})).await.unwrap();
    let about: Value = serde_json::from_slice(&info.app_metadata).unwrap();
    assert_eq!(about["sessions"][0]["topics"], json!(["drive/imu", "drive/camera/front"]));
    assert_eq!(info.endpoint.len(), 2);
    let topics: Vec<Value> = info.endpoint.iter().map(|e| serde_json::from_slice(&e.app_metadata).unwrap()).collect();
    assert_eq!(topics[0]["data_info"]["interval"], json!({"start_ns": 10, "end_ns": 60}));
    assert_eq!(topics[0]["time_window_info"], Value::Null);
    assert_eq!(topics[1]["data_info"]["interval"], Value::Null);

    let read = client.get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert_eq!(times(&read), [10, 20, 30, 40, 50, 60]);
    let metadata = read[0].schema().metadata().clone();
    assert_eq!(metadata["mosaico:context"], "topic");
    assert_eq!(metadata["mosaico:user_metadata"], r#"{"vendor":"x"}"#);
    let read = client.get(info.endpoint[1].ticket.clone().unwrap()).await.unwrap();
    assert_eq!(read, []);
    let plain = client.get(Ticket::new("drive/imu")).await.unwrap();
    assert_eq!(times(&plain), [10, 20, 30, 40, 50, 60]);

    let window = json!({"resource_locator": "drive/imu", "timestamp_ns_start": 20, "timestamp_ns_end": 50});
    let info = client.info(window).await.unwrap();
    let topic: Value = serde_json::from_slice(&info.endpoint[0].app_metadata).unwrap();
    let expected = json!({"interval": {"start_ns": 20, "end_ns": 40}, "row_count": 3});
    assert_eq!(topic["time_window_info"], expected);
    let read = client.get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert_eq!(times(&read), [20, 30, 40]);

    let asked = FlightDescriptor::new_cmd(json!({"resource_locator": "drive/camera/front"}).to_string());
    assert_eq!(client.0.get_schema(asked).await.unwrap(), rows(&[]).schema().as_ref().clone());
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_has_its_code_and_changes_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let (session, _) = client.session("drive").await;
    assert_eq!(code(client.act("sequence_create", json!({"locator": "drive"})).await), Code::AlreadyExists);
    assert_eq!(code(client.act("no_such_action", json!({})).await), Code::InvalidArgument);
    assert_eq!(code(client.act("layer_list", json!({})).await), Code::Unimplemented);
    assert_eq!(code(client.act("query", json!({"sequences": {}})).await), Code::InvalidArgument);
    assert_eq!(code(client.act("session_create", json!({"locator": "nobody"})).await), Code::NotFound);
    assert_eq!(code(client.finalize(&session).await), Code::FailedPrecondition);
    assert_eq!(code(client.get(Ticket::new(vec![1; 66])).await), Code::InvalidArgument);
    assert_eq!(code(client.get(Ticket::new("drive/nothing")).await), Code::NotFound);
    assert_eq!(code(client.info(json!({"resource_locator": "a.b"})).await), Code::InvalidArgument);

    let topic = client.topic(&session, "drive/imu").await;
    let untimed = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    assert_eq!(code(client.put(topic.clone(), vec![untimed]).await), Code::InvalidArgument);
    let stranger = json!({"resource_locator": "drive/imu", "topic_uuid": uuid::Uuid::from_u128(5).to_string()});
    let stranger = FlightDescriptor::new_cmd(stranger.to_string());
    assert_eq!(code(client.put(stranger, vec![rows(&[1])]).await), Code::NotFound);
    // The topic did not move: it can still be written.
    assert_eq!(client.put(topic, vec![rows(&[1])]).await.unwrap(), 1);
    client.finalize(&session).await.unwrap();
    drop(client);
    server.stop().await;
}

/// A put that stays open: batches go in through the sender, the result comes from the task.
fn open_put(
    mut client: Client,
    to: FlightDescriptor,
    like: &RecordBatch,
) -> (mpsc::UnboundedSender<RecordBatch>, tokio::task::JoinHandle<Result<(), FlightError>>) {
    let (sender, batches) = mpsc::unbounded();
    let stream = FlightDataEncoderBuilder::new()
        .with_schema(like.schema())
        .with_flight_descriptor(Some(to))
        .build(batches.map(Ok));
    let put = tokio::spawn(async move {
        client.0.do_put(stream).await?.try_collect::<Vec<_>>().await?;
        Ok(())
    });
    (sender, put)
}

/// Finalizes until the answer is OK (`None`) or a refusal that says `wanted`.
async fn until(client: &mut Client, session: &Value, wanted: Option<&str>) {
    let asking = async {
        loop {
            let refusal = match client.finalize(session).await {
                Ok(_) => None,
                Err(FlightError::Tonic(status)) => Some(status.message().to_owned()),
                Err(other) => panic!("no status: {other}"),
            };
            match (refusal, wanted) {
                (None, None) => return,
                (Some(text), Some(wanted)) if text.contains(wanted) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("the answer never changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_whose_topic_is_deleted_ends_at_once() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let (session, locator) = client.session("drive").await;
    let topic = client.topic(&session, "drive/imu").await;
    let (sender, put) = open_put(server.client().await, topic, &rows(&[]));
    sender.unbounded_send(rows(&[1])).unwrap();
    client.act("session_delete", json!({"locator": locator})).await.unwrap();
    // The sender is still open: nothing but the deletion can end the put.
    let ended = tokio::time::timeout(Duration::from_secs(20), put).await.expect("the put goes on").unwrap();
    assert_eq!(code(ended), Code::NotFound);
    drop((sender, client));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_put_leaves_what_was_received() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let (session, _) = client.session("drive").await;
    let topic = client.topic(&session, "drive/imu").await;
    let whole = client.topic(&session, "drive/whole").await;
    client.put(whole, vec![rows(&[7])]).await.unwrap();
    let (sender, put) = open_put(server.client().await, topic, &maybe_timed(&[]));
    // A wrong batch after a good one: the good one was received.
    sender.unbounded_send(maybe_timed(&[Some(1), Some(2)])).unwrap();
    sender.unbounded_send(maybe_timed(&[Some(3), None])).unwrap();
    assert_eq!(code(put.await.unwrap()), Code::InvalidArgument);
    client.finalize(&session).await.unwrap();
    let info = client.info(json!({"resource_locator": "drive/imu"})).await.unwrap();
    assert_eq!(info.total_records, 2);
    let notes = client.act("topic_notification_list", json!({"locator": "drive/imu"})).await.unwrap();
    assert_eq!(notes["notifications"].as_array().unwrap().len(), 1, "{notes}");
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_leaves_a_topic_that_can_be_finalized() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let (session, _) = client.session("drive").await;
    let topic = client.topic(&session, "drive/imu").await;
    let (sender, put) = open_put(server.client().await, topic, &rows(&[]));
    sender.unbounded_send(rows(&[1])).unwrap();
    until(&mut client, &session, Some("still running")).await;
    put.abort();
    until(&mut client, &session, None).await;
    let notes = client.act("topic_notification_list", json!({"locator": "drive/imu"})).await.unwrap();
    assert_eq!(notes["notifications"].as_array().unwrap().len(), 1, "{notes}");
    drop((sender, client));
    server.stop().await;
}
