//! Method: a small Flight server on a thread of its own, on a free port or a Unix socket, whose answers come from `wire`
//! or are wrong on purpose.

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use arrow::array::Int64Array;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use arrow_flight::ActionType;
use arrow_flight::Empty;
use arrow_flight::FlightData;
use arrow_flight::FlightInfo;
use arrow_flight::HandshakeRequest;
use arrow_flight::HandshakeResponse;
use arrow_flight::PollInfo;
use arrow_flight::PutResult;
use arrow_flight::SchemaResult;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::flight_service_server::FlightServiceServer;
use futures::Stream;
use futures::StreamExt;
use futures::stream;
use tonic::Code;
use tonic::Request;
use tonic::Response;
use tonic::Status;
use tonic::Streaming;
use tonic::transport::Server;

use super::*;
use crate::client::Interval;
use crate::wire::Answer;

struct Fake;

type Reply<T> = Result<Response<T>, Status>;
type Many<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn many<T: Send + 'static>(items: Vec<Result<T, Status>>) -> Reply<Many<T>> {
    Ok(Response::new(stream::iter(items).boxed()))
}

fn batch(times: &[i64]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("timestamp_ns", DataType::Int64, false)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(times.to_vec()))]).unwrap()
}

const TOPIC: &str = r#"{"created_at_ns":1,"completed_at_ns":2,"locked":true,"resource_locator":"drive/imu",
    "ontology_tag":"IMU","serialization_format":"default","user_metadata":{"n":12345678901234567890123},
    "data_info":{"interval":{"start_ns":1000,"end_ns":3000},"total_row_count":3,"total_bytes":9,"total_chunks_count":1},
    "time_window_info":null,"info":{"unknown":1}}"#;

#[tonic::async_trait]
impl FlightService for Fake {
    type HandshakeStream = Many<HandshakeResponse>;
    type ListFlightsStream = Many<FlightInfo>;
    type DoGetStream = Many<FlightData>;
    type DoPutStream = Many<PutResult>;
    type DoActionStream = Many<arrow_flight::Result>;
    type ListActionsStream = Many<ActionType>;
    type DoExchangeStream = Many<FlightData>;

    async fn list_flights(&self, _: Request<Criteria>) -> Reply<Many<FlightInfo>> {
        let info = |name: &str| FlightInfo::new().with_descriptor(FlightDescriptor::new_path(vec![name.to_owned()]));
        many(vec![Ok(info("a")), Ok(info("b"))])
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Reply<FlightInfo> {
        let command = request.into_inner().cmd;
        let value: Value = serde_json::from_slice(&command).unwrap();
        match value["resource_locator"].as_str() {
            Some("drive/imu") => {
                let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(command)).with_app_metadata(TOPIC);
                Ok(Response::new(FlightInfo::new().with_endpoint(endpoint)))
            }
            Some("drive") => {
                let text = r#"{"resource_locator":"drive","created_at_ns":1,"user_metadata":{},"sessions":[{"locator":"drive:1",
                    "uuid":"x","created_at_ns":1,"completed_at_ns":null,"locked":false,"topics":["drive/imu"]}]}"#;
                Ok(Response::new(FlightInfo::new().with_app_metadata(text)))
            }
            Some("strange") => Ok(Response::new(FlightInfo::new().with_app_metadata("{}"))),
            _ => Err(Status::not_found("there is no such sequence")),
        }
    }

    async fn do_get(&self, request: Request<Ticket>) -> Reply<Many<FlightData>> {
        let batches: Vec<Result<RecordBatch, FlightError>> = match &request.into_inner().ticket[..] {
            b"empty" => Vec::new(),
            // More than gRPC's usual limit of 4 MiB.
            b"large" => vec![Ok(batch(&vec![7; 1 << 20]))],
            b"broken" => vec![Ok(batch(&[1, 2])), Err(Status::data_loss("chunk is damaged").into())],
            _ => vec![Ok(batch(&[1, 2])), Ok(batch(&[3]))],
        };
        let encoder =
            FlightDataEncoderBuilder::new().with_schema(batch(&[]).schema()).with_max_flight_data_size(usize::MAX);
        let data = encoder.build(stream::iter(batches)).map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            other => Status::internal(other.to_string()),
        });
        Ok(Response::new(data.boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Reply<Many<arrow_flight::Result>> {
        let action = request.into_inner();
        let text = match action.r#type.as_str() {
            "info" => Answer::Version.to_json("info"),
            "sequence_delete" => Answer::Empty.to_json("sequence_delete"),
            "nothing" => return many(Vec::new()),
            "other" => Answer::Version.to_json("another"),
            "garbage" => "{".to_owned(),
            _ => return Err(Status::unimplemented("no such action")),
        };
        let (first, rest) = text.split_at(text.len() / 2);
        many([first, rest].map(|part| Ok(arrow_flight::Result::new(part.to_owned()))).into())
    }

    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Reply<Many<HandshakeResponse>> {
        Err(Status::unimplemented(""))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Reply<PollInfo> {
        Err(Status::unimplemented(""))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Reply<SchemaResult> {
        Err(Status::unimplemented(""))
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Reply<Many<PutResult>> {
        Err(Status::unimplemented(""))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Reply<Many<ActionType>> {
        Err(Status::unimplemented(""))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Reply<Many<FlightData>> {
        Err(Status::unimplemented(""))
    }
}

fn service() -> FlightServiceServer<Fake> {
    FlightServiceServer::new(Fake).max_encoding_message_size(usize::MAX)
}

/// A server that lives as long as the test process; its socket listens before this returns.
fn serve() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("grpc://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let accepted = stream::unfold(listener, |listener| async move {
                Some((listener.accept().await.map(|(stream, _)| stream), listener))
            });
            Server::builder().add_service(service()).serve_with_incoming(accepted).await.unwrap();
        });
    });
    Client::connect(&address).unwrap()
}

fn refusal(error: ClientError) -> (Code, String) {
    match error {
        ClientError::Refused { code, message, .. } => (code, message),
        other => panic!("{other}"),
    }
}

#[test]
fn sequences_and_topics_are_described() {
    let client = serve();
    assert_eq!(client.server().unwrap().version, "0.7.0");
    assert_eq!(client.list_sequences().unwrap(), ["a", "b"]);
    let drive = client.info(&Locator::parse("drive").unwrap(), TimeRange::ALL).unwrap();
    let sequence = drive.sequence.unwrap();
    assert_eq!(sequence.user_metadata.get(), "{}");
    assert_eq!((sequence.sessions[0].locked, &sequence.sessions[0].topics[0][..]), (false, "drive/imu"));

    let range = TimeRange::new(Some(-5), Some(i64::MAX)).unwrap();
    let imu = client.info(&Locator::parse("drive/imu").unwrap(), range).unwrap();
    let [endpoint] = &imu.endpoints[..] else { panic!("{imu:?}") };
    assert!(imu.sequence.is_none());
    assert_eq!(endpoint.topic.data_info.interval, Some(Interval { start_ns: 1000, end_ns: 3000 }));
    assert_eq!(endpoint.topic.user_metadata.get(), r#"{"n":12345678901234567890123}"#);
    assert_eq!(endpoint.topic.time_window_info, None);
    // The fake's ticket is the command it got.
    let command: Value = serde_json::from_slice(&endpoint.ticket).unwrap();
    let expected = json!({"resource_locator": "drive/imu", "timestamp_ns_start": -5, "timestamp_ns_end": i64::MAX});
    assert_eq!(command, expected);
}

#[test]
fn rows_come_batch_by_batch_and_streams_can_be_mixed() {
    let client = serve();
    let times = |batch: RecordBatch| batch.column(0).to_data().buffers()[0].typed_data::<i64>().to_vec();
    let (mut one, mut two) = (client.get(b"x").unwrap(), client.get(b"x").unwrap());
    assert_eq!(times(one.next().unwrap().unwrap()), [1, 2]);
    assert_eq!(times(two.next().unwrap().unwrap()), [1, 2]);
    assert_eq!(one.schema().unwrap().field(0).name(), "timestamp_ns");
    assert_eq!(times(one.next().unwrap().unwrap()), [3]);
    assert!(one.next().is_none());
    drop(two);
    assert_eq!(client.get(b"empty").unwrap().count(), 0);
    assert_eq!(client.get(b"large").unwrap().next().unwrap().unwrap().num_rows(), 1 << 20);
}

#[test]
fn a_refusal_carries_the_servers_code_and_words() {
    let client = serve();
    let error = client.info(&Locator::parse("nope").unwrap(), TimeRange::ALL).unwrap_err();
    let text = "asking about nope: the server refused (NotFound): there is no such sequence";
    assert_eq!(error.to_string(), text);
    assert_eq!(refusal(error), (Code::NotFound, "there is no such sequence".to_owned()));
    assert_eq!(refusal(client.action("explode", &json!({})).unwrap_err()).0, Code::Unimplemented);

    let mut broken = client.get(b"broken").unwrap();
    assert_eq!(broken.next().unwrap().unwrap().num_rows(), 2);
    assert_eq!(refusal(broken.next().unwrap().unwrap_err()), (Code::DataLoss, "chunk is damaged".to_owned()));
    assert!(broken.next().is_none());
}

#[test]
fn answers_without_content_are_none_and_wrong_ones_are_errors() {
    let client = serve();
    assert_eq!(client.action("sequence_delete", &json!({"locator": "a"})).unwrap(), None);
    assert_eq!(client.action("nothing", &json!({})).unwrap(), None);
    for kind in ["other", "garbage"] {
        assert!(matches!(client.action(kind, &json!({})), Err(ClientError::Answer { .. })), "{kind}");
    }
    let strange = client.info(&Locator::parse("strange").unwrap(), TimeRange::ALL);
    assert!(matches!(strange, Err(ClientError::Answer { .. })));
}

#[test]
fn a_unix_socket_works_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let accepted = stream::unfold(listener, |listener| async move {
                Some((listener.accept().await.map(|(stream, _)| stream), listener))
            });
            Server::builder().add_service(service()).serve_with_incoming(accepted).await.unwrap();
        });
    });
    let client = Client::connect(&format!("unix:{}", path.display())).unwrap();
    assert_eq!(client.list_sequences().unwrap(), ["a", "b"]);
}

#[test]
fn nobody_there_is_told_apart_from_no() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("grpc://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::connect(&address).err().unwrap();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("refused") && text.contains("tessera serve"), "{text}");

    let error = Client::connect("unix:/nowhere/tessera.sock").err().unwrap();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(matches!(Client::connect("http://x"), Err(ClientError::Address(_))));
}

/// A peer that closes the connection at once, as something else than our server might.
#[test]
fn a_peer_that_hangs_up_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("grpc://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().for_each(drop));
    let error = Client::connect(&address).err().unwrap();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
}

/// A peer that takes the connection and says nothing.
#[test]
fn a_silent_peer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("grpc://{}", listener.local_addr().unwrap());
    let error = Client::connect_within(&address, Duration::from_millis(50), Windows::of(1)).err().unwrap();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
}

/// Goal: streams that nobody reads for a while cannot keep the one that is read from its bytes.
#[test]
fn windows_of_streams_fit_into_that_of_the_connection() {
    assert_eq!(Windows::of(1), Windows { stream: STREAM_WINDOW, connection: CONNECTION_WINDOW });
    for streams in [0, 1, 3, 4, 64, 1000, 8192] {
        let Windows { stream, connection } = Windows::of(streams);
        assert!(u64::from(stream) * (streams as u64 + 1) <= u64::from(connection), "{streams} streams of {stream}");
        assert!((STREAM_WINDOW_MIN..=STREAM_WINDOW).contains(&stream) && connection < 1 << 30);
    }
    assert!(Windows::of(usize::MAX).stream == STREAM_WINDOW_MIN);
}
