//! Windows that become smaller: raw HTTP/2, so that it is known what was sent before and what behind that.

use std::sync::atomic::Ordering::Relaxed;

use arrow_flight::Action;
use arrow_flight::FlightData;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use h2::SendStream;
use h2::client::ResponseFuture;
use h2::client::SendRequest;
use prost::Message;
use tessera::flight::transport::TransportConfig;

use crate::harness::MIB;
use crate::harness::Server;
use crate::harness::start;
use crate::harness::until;
use crate::harness::within;

/// No window of a connection without puts, and not too much for the client's buffer.
const LARGER: usize = 200_000;

/// A whole message with a body of so many bytes.
fn message(body: usize) -> Bytes {
    let data = FlightData {
        data_header: Bytes::from_static(b"header"),
        data_body: vec![42; body].into(),
        ..FlightData::default()
    };
    framed(&data)
}

fn framed(message: &impl Message) -> Bytes {
    let payload = message.encode_to_vec();
    let mut bytes = BytesMut::with_capacity(payload.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(payload.len() as u32);
    bytes.put_slice(&payload);
    bytes.freeze()
}

/// A call on a connection of which frames can be sent one by one.
async fn begin(client: &SendRequest<Bytes>, method: &str) -> (ResponseFuture, SendStream<Bytes>) {
    let uri = format!("http://localhost/arrow.flight.protocol.FlightService/{method}");
    let request = http::Request::post(uri).header("content-type", "application/grpc").body(()).unwrap();
    client.clone().ready().await.unwrap().send_request(request, false).unwrap()
}

/// Everything that was sent before it has arrived when this ends.
async fn round_trip(client: &SendRequest<Bytes>) {
    let (response, mut send) = begin(client, "DoAction").await;
    let action = Action { r#type: "echo".to_owned(), body: Bytes::from_static(b"there?") };
    send.send_data(framed(&action), true).unwrap();
    let mut body = within("an echo", response).await.unwrap().into_body();
    while let Some(data) = within("the echo's end", body.data()).await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
}

/// The status in the trailers.
async fn ended(response: ResponseFuture) -> String {
    let mut body = within("a response", response).await.unwrap().into_body();
    while let Some(data) = within("data", body.data()).await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    let trailers = within("trailers", body.trailers()).await.unwrap().unwrap();
    trailers["grpc-status"].to_str().unwrap().to_owned()
}

async fn connected(server: &Server) -> SendRequest<Bytes> {
    let io = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(io).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// Waits until so many bytes may be sent.
async fn room(send: &mut SendStream<Bytes>, bytes: usize) {
    send.reserve_capacity(bytes);
    within("a larger window", async {
        while send.capacity() < bytes {
            std::future::poll_fn(|cx| send.poll_capacity(cx)).await.unwrap().unwrap();
        }
    })
    .await;
}

/// Goal: whoever has sent within a large window goes on when it becomes smaller than that.
#[tokio::test]
async fn a_put_goes_on_when_its_window_becomes_smaller_than_what_it_has_sent() {
    let config = TransportConfig { first_message_ms: 600_000, ..TransportConfig::default() };
    let server = start(64 * MIB, config).await;
    let client = connected(&server).await;
    let (response, mut send) = begin(&client, "DoPut").await;
    send.send_data(message(0), false).unwrap();
    room(&mut send, LARGER).await;
    send.send_data(message(MIB), false).unwrap();
    until("it is taken", || server.taken.load(Relaxed) == MIB).await;
    // Half a MiB each from here on.
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(begin(&client, "DoPut").await);
    }
    for _ in 0..20 {
        round_trip(&client).await;
    }
    send.send_data(message(MIB), true).unwrap();
    assert_eq!(ended(response).await, "0");
}

/// The same of a request, beside a put that ends: its window was as large as the put's.
#[tokio::test]
async fn a_request_goes_on_when_its_window_becomes_smaller_than_what_it_has_sent() {
    let server = start(64 * MIB, TransportConfig::default()).await;
    let client = connected(&server).await;
    let (put, mut send) = begin(&client, "DoPut").await;
    send.send_data(message(0), false).unwrap();
    room(&mut send, LARGER).await;
    let action = framed(&Action { r#type: "echo".to_owned(), body: vec![1; 300_000].into() });
    let (response, mut request) = begin(&client, "DoAction").await;
    request.send_data(action.slice(..200_000), false).unwrap();
    round_trip(&client).await;
    send.send_data(Bytes::new(), true).unwrap();
    assert_eq!(ended(put).await, "0");
    for _ in 0..20 {
        round_trip(&client).await;
    }
    request.send_data(action.slice(200_000..), true).unwrap();
    assert_eq!(ended(response).await, "0");
}
