//! What clients that break the rules, or leave, can cost: raw HTTP/2 and raw bytes.

use arrow_flight::FlightData;
use arrow_flight::flight_service_client::FlightServiceClient;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use h2::RecvStream;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::HeaderMap;
use http::Request;
use tessera::flight::transport::ListenConfig;
use tessera::flight::transport::TransportConfig;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

use crate::harness::MIB;
use crate::harness::Server;
use crate::harness::action;
use crate::harness::put;
use crate::harness::start;
use crate::harness::start_on;
use crate::harness::until;
use crate::harness::within;

const RESOURCE_EXHAUSTED: &str = "8";
const DEADLINE_EXCEEDED: &str = "4";
const INVALID_ARGUMENT: &str = "3";

/// An open DoPut whose bytes are made by hand.
struct RawPut {
    response: ResponseFuture,
    send: SendStream<Bytes>,
    connection: JoinHandle<()>,
}

async fn raw_put(io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static) -> RawPut {
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    let connection = tokio::spawn(async move { drop(connection.await) });
    let uri = "http://localhost/arrow.flight.protocol.FlightService/DoPut";
    let request = Request::post(uri).header("content-type", "application/grpc").body(()).unwrap();
    let (response, send) = client.ready().await.unwrap().send_request(request, false).unwrap();
    RawPut { response, send, connection }
}

async fn tcp(server: &Server) -> TcpStream {
    TcpStream::connect(&server.address).await.unwrap()
}

/// A whole first message, and the beginning of the next one.
fn begun_behind_a_schema(message_len: u32, body_len: u32) -> Bytes {
    const FIRST: &[u8] = &[0, 0, 0, 0, 3, 0x12, 1, 7];
    Bytes::from([FIRST, &begun(message_len, body_len)].concat())
}

/// gRPC prefix for `message_len` bytes, and the head of a `data_body` field of `body_len`.
fn begun(message_len: u32, body_len: u32) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message_len);
    bytes.put_slice(&[0xc2, 0x3e]);
    prost::encoding::encode_varint(u64::from(body_len), &mut bytes);
    bytes.put_slice(b"some of the body");
    bytes.freeze()
}

/// The status, whether it came in the headers or in trailers.
async fn status(response: ResponseFuture) -> (String, String) {
    let response = within("a response", response).await.unwrap();
    let (head, body) = response.into_parts();
    let headers = if head.headers.contains_key("grpc-status") { head.headers } else { trailers(body).await };
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (text("grpc-status"), text("grpc-message"))
}

async fn trailers(mut body: RecvStream) -> HeaderMap {
    while let Some(data) = within("data", body.data()).await {
        let len = data.unwrap().len();
        body.flow_control().release_capacity(len).unwrap();
    }
    body.trailers().await.unwrap().unwrap()
}

#[tokio::test]
async fn a_client_that_is_gone_gives_its_memory_back() {
    let server = start(8 * MIB, TransportConfig::default()).await;
    for way in ["reset", "connection lost"] {
        let mut put = raw_put(tcp(&server).await).await;
        put.send.send_data(begun_behind_a_schema(3 << 20, 2 << 20), false).unwrap();
        until("the body's memory is taken", || server.budget.in_use() > 0).await;
        match way {
            "reset" => put.send.send_reset(h2::Reason::CANCEL),
            _ => put.connection.abort(),
        }
        until("it is given back", || server.budget.in_use() == 0).await;
        assert!(server.logged("client gone"), "{way}");
        server.log.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_the_queue_for_memory() {
    let server = start(8 * MIB, TransportConfig::default()).await;
    let all = server.budget.try_acquire(8 * MIB).unwrap();
    let mut put = raw_put(tcp(&server).await).await;
    put.send.send_data(begun_behind_a_schema(3 << 20, 2 << 20), false).unwrap();
    until("it waits", || server.budget.waiting()).await;
    put.send.send_reset(h2::Reason::CANCEL);
    until("it waits no more", || !server.budget.waiting()).await;
    drop(all);
    assert_eq!(server.budget.in_use(), 0);
}

#[tokio::test]
async fn sizes_are_refused_before_their_bytes_come() {
    let server = start(8 * MIB, TransportConfig { message_bytes_max: 4 * MIB, ..TransportConfig::default() }).await;
    let mut put = raw_put(tcp(&server).await).await;
    put.send.send_data(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]), false).unwrap();
    let (code, message) = status(put.response).await;
    assert_eq!(code, RESOURCE_EXHAUSTED, "{message}");
    assert!(message.contains("4294967295 bytes, at most 4194304"), "{message}");

    let mut put = raw_put(tcp(&server).await).await;
    put.send.send_data(begun(100, 2 << 20), false).unwrap();
    let (code, message) = status(put.response).await;
    assert_eq!(code, INVALID_ARGUMENT, "{message}");
    assert_eq!(server.budget.in_use(), 0);

    // With nothing free it would wait, if it took any memory.
    let _all = server.budget.try_acquire(8 * MIB).unwrap();
    let mut put = raw_put(tcp(&server).await).await;
    put.send.send_data(begun(3 << 20, 2 << 20), false).unwrap();
    let (code, message) = status(put.response).await;
    assert_eq!(code, INVALID_ARGUMENT, "{message}");
    assert!(message.contains("a body of 2097152 bytes: send the schema first"), "{message}");
}

#[tokio::test]
async fn a_message_that_stands_still_loses_its_memory() {
    let server = start(8 * MIB, TransportConfig { stall_ms: 100, ..TransportConfig::default() }).await;
    let mut put = raw_put(tcp(&server).await).await;
    put.send.send_data(begun_behind_a_schema(3 << 20, 2 << 20), false).unwrap();
    let (code, message) = status(put.response).await;
    assert_eq!(code, DEADLINE_EXCEEDED, "{message}");
    until("memory is given back", || server.budget.in_use() == 0).await;
}

#[tokio::test]
async fn a_put_without_a_first_message_is_ended() {
    let server = start(8 * MIB, TransportConfig { first_message_ms: 100, ..TransportConfig::default() }).await;
    let put = raw_put(tcp(&server).await).await;
    assert_eq!(status(put.response).await.0, DEADLINE_EXCEEDED);
}

/// Goal: whoever opens puts and says nothing turns nobody else out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_puts_give_way_to_those_that_speak() {
    const SILENT: usize = 700;
    const PLACES: usize = 128; // of 16 MiB
    let config = TransportConfig { held_bytes_max: 16 * MIB, first_message_ms: 600_000, ..TransportConfig::default() };
    let server = start(64 * MIB, config).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.client().await);
    }
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let mut gone = 0;
    for at in 0..SILENT {
        let (mut client, ended) = (clients[at % 4].clone(), ended.clone());
        tokio::spawn(async move {
            let silence = futures::stream::pending::<FlightData>();
            let replies = client.do_put(silence).await;
            let _ = ended.send(replies.err()); // the test may be over
        });
        // In waves: those that have lost their place hold their windows until they have heard of it, and there is room for 256.
        while (at + 1) % 100 == 0 && gone + PLACES < at + 1 {
            let status = within("one gives way", ends.recv()).await.unwrap().unwrap();
            assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            assert!(status.message().contains("128 later DoPuts"), "{status:?}");
            gone += 1;
        }
    }
    assert_eq!(gone, SILENT - PLACES);
    for client in &clients {
        assert_eq!(within("a put", put(client.clone(), "sum", 3, 1000)).await.unwrap(), "2000");
    }
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed() {
    let config = TransportConfig { first_request_ms: 100, ..TransportConfig::default() };
    let server = start(8 * MIB, config).await;
    for opening in [&b""[..], PREFACE] {
        let mut socket = tcp(&server).await;
        socket.write_all(opening).await.unwrap();
        within("the close", socket.read_to_end(&mut Vec::new())).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_never_acknowledges_settings_is_closed() {
    let server = start(8 * MIB, TransportConfig { settings_ack_ms: 100, ..TransportConfig::default() }).await;
    let mut socket = tcp(&server).await;
    socket.write_all(PREFACE).await.unwrap();
    let mut answer = Vec::new();
    within("the close", socket.read_to_end(&mut answer)).await.unwrap();
    let goaway = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4]; // type, flags, stream, last stream, SETTINGS_TIMEOUT
    assert!(answer.windows(goaway.len()).any(|window| window == goaway), "{answer:?}");
}

#[tokio::test]
async fn a_silent_client_is_closed_and_one_that_answers_pings_is_not() {
    let config = TransportConfig { keep_alive_ms: 100, keep_alive_timeout_ms: 1000, ..TransportConfig::default() };
    let server = start(8 * MIB, config).await;
    let put = raw_put(tcp(&server).await).await; // idle, but h2 answers pings
    let mut silent = tcp(&server).await;
    silent.write_all(PREFACE).await.unwrap();
    silent.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.unwrap(); // acknowledges SETTINGS, then nothing
    within("the close", silent.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(!put.connection.is_finished(), "the client that answers was closed");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_the_others_live() {
    let server = start(8 * MIB, TransportConfig { connections_max: 1, ..TransportConfig::default() }).await;
    let first = raw_put(tcp(&server).await).await;
    let mut second = tcp(&server).await;
    assert_eq!(within("the close", second.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    assert!(!first.connection.is_finished());
}

/// Whether a new client gets an answer.
async fn is_served(server: &Server) -> bool {
    match Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await {
        Ok(channel) => action(FlightServiceClient::new(channel), "hello").await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn an_idle_connection_makes_room_and_a_working_one_stays() {
    let server = start(8 * MIB, TransportConfig { connections_max: 2, ..TransportConfig::default() }).await;
    let working = raw_put(tcp(&server).await).await;
    let idle = server.client().await;
    assert_eq!(action(idle, "hello").await.unwrap(), "hello");
    within("a place for the third client", async {
        while !is_served(&server).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!working.connection.is_finished(), "the one with a call was closed");
}

#[tokio::test]
async fn a_unix_socket_serves_and_a_stale_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tessera.sock");
    let listen =
        ListenConfig { listen: ([127, 0, 0, 1], 0).into(), unix_socket: Some(path.clone()), ..ListenConfig::default() };
    let server = start_on(listen.clone(), 8 * MIB, TransportConfig::default()).await;
    let mut put = raw_put(UnixStream::connect(&path).await.unwrap()).await;
    put.send.send_data(Bytes::new(), true).unwrap();
    assert_eq!(status(put.response).await.0, "0");
    let bind = || tessera::flight::transport::Listener::bind(&listen);
    assert!(bind().await.err().unwrap().to_string().contains("is running"));
    server.task.abort();
    let _ = server.task.await;
    assert!(bind().await.err().unwrap().to_string().contains("remove the file"));
    let exposed = ListenConfig { listen: ([0, 0, 0, 0], 0).into(), ..ListenConfig::default() };
    assert!(tessera::flight::transport::Listener::bind(&exposed).await.is_err());
}

/// HTTP/2 preface and empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
