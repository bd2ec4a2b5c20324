//! One connection to another server, for all calls. It is looked after: one that answers no ping is closed, and its calls end.

use std::time::Duration;

use arrow_flight::Action;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use h2::Ping;
use h2::PingPong;
use h2::RecvStream;
use h2::client::SendRequest;
use http::HeaderMap;
use http::Request;
use http::StatusCode;
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio::time::timeout;
use uuid::Uuid;

use super::PASS_HEADER;
use super::config::STREAM_BYTES;
use crate::auth::Greeting;
use crate::io::monotonic;
use crate::model::NodeId;
use crate::model::StartId;

/// For the connection, and then for the greeting.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How often a server is pinged, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_LIMIT: Duration = Duration::from_secs(5);

const FRAME_BYTES_MAX: u32 = 64 << 10;
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Streams that were given up, and whose bytes may still be on their way.
const RESETS_REMEMBERED: usize = 4096;
/// Of the connection's window, beyond what all streams may hold: for the short answers.
const ROOM: u32 = 1 << 20;
/// Bytes of a short answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const PREFIX_BYTES: usize = 5;

pub(super) struct Link {
    requests: SendRequest<Bytes>,
    authority: String,
    /// What the server said of itself, and when.
    greeting: Greeting,
    greeted_at: Duration,
    driver: JoinHandle<()>,
}

/// Why a call got no answer.
pub(super) enum CallError {
    /// Nothing is known of the call.
    Lost(String),
    /// The server's own word.
    Refused { code: i32, message: String },
}

/// How a call ended, as gRPC puts it.
pub(super) struct Ending {
    pub code: i32,
    pub message: String,
}

impl Link {
    /// Connects, without asking who is there.
    ///
    /// * `authority`: host and port.
    /// * `streams`: that may wait for their clients at a time.
    ///
    /// # Errors
    /// What happened, for people.
    pub async fn open(authority: &str, streams: u32) -> Result<Self, String> {
        let late = |_| format!("no connection within {} s", CONNECT_LIMIT.as_secs());
        let opening = async {
            let socket = TcpStream::connect(authority).await.map_err(|error| error.to_string())?;
            socket.set_nodelay(true).map_err(|error| error.to_string())?;
            let window = streams.saturating_mul(STREAM_BYTES).saturating_add(ROOM).min(i32::MAX as u32);
            let handshake = h2::client::Builder::new()
                .initial_window_size(STREAM_BYTES)
                .initial_connection_window_size(window)
                .max_frame_size(FRAME_BYTES_MAX)
                .max_header_list_size(HEADER_BYTES_MAX)
                .max_concurrent_reset_streams(RESETS_REMEMBERED)
                // What was on its way for a stream that is long forgotten is no offence: clients of ours come and go.
                .max_local_error_reset_streams(None)
                .enable_push(false)
                .handshake::<_, Bytes>(socket);
            handshake.await.map_err(|error| error.to_string())
        };
        let (requests, mut connection) = timeout(CONNECT_LIMIT, opening).await.map_err(late)??;
        let pings = connection.ping_pong();
        let driver = tokio::spawn(async move {
            // Dropping the connection ends every stream on it.
            tokio::select! {
                _ = connection => {}
                () = unanswered(pings) => {}
            }
        });
        let nobody = Greeting { node: NodeId(Uuid::nil()), start: StartId(Uuid::nil()), now_ns: 0 };
        Ok(Self { requests, authority: authority.to_owned(), greeting: nobody, greeted_at: monotonic(), driver })
    }

    /// Asks the server something before it is known who it is.
    ///
    /// # Errors
    /// [`CallError`]; within [`CONNECT_LIMIT`].
    pub async fn ask_unknown(&self, kind: &str, body: Vec<u8>) -> Result<Bytes, CallError> {
        let late = |_| CallError::Lost(format!("no answer within {} s", CONNECT_LIMIT.as_secs()));
        timeout(CONNECT_LIMIT, self.act(kind, body, None)).await.map_err(late)?
    }

    /// Remembers who answered.
    pub fn greeted(&mut self, greeting: Greeting) {
        (self.greeting, self.greeted_at) = (greeting, monotonic());
    }

    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// What its clock says by now, as far as ours knows.
    pub fn its_now_ns(&self) -> u64 {
        let since = u64::try_from(monotonic().saturating_sub(self.greeted_at).as_nanos()).unwrap_or(u64::MAX);
        self.greeting.now_ns.saturating_add(since)
    }

    pub fn address(&self) -> String {
        format!("grpc://{}", self.authority)
    }

    pub fn is_alive(&self) -> bool {
        !self.driver.is_finished()
    }

    /// Runs an action with a single short answer.
    ///
    /// # Errors
    /// [`CallError`]
    pub async fn act(&self, kind: &str, body: Vec<u8>, pass: Option<String>) -> Result<Bytes, CallError> {
        let action = Action { r#type: kind.to_owned(), body: body.into() };
        let mut stream = self.call("DoAction", action.encode_to_vec(), pass).await?;
        let mut answer = BytesMut::new();
        while let Some(frame) = stream.data().await {
            let frame = frame.map_err(lost)?;
            stream.flow_control().release_capacity(frame.len()).map_err(lost)?;
            answer.extend_from_slice(&frame);
            if answer.len() > ANSWER_BYTES_MAX {
                return Err(CallError::Lost(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        match ending(stream.trailers().await.map_err(lost)?.as_ref()) {
            Some(Ending { code: 0, .. }) => {}
            Some(Ending { code, message }) => return Err(CallError::Refused { code, message }),
            None => return Err(CallError::Lost("an answer without a status".to_owned())),
        }
        let answer = answer.freeze();
        let message = answer.get(PREFIX_BYTES..).unwrap_or_default();
        let result = arrow_flight::Result::decode(message).map_err(|error| CallError::Lost(error.to_string()))?;
        Ok(result.body)
    }

    /// Begins a call with one message. The stream is its answer, from the first byte on.
    ///
    /// # Errors
    /// [`CallError`], also when the answer is a status and nothing else.
    pub async fn call(&self, method: &str, message: Vec<u8>, pass: Option<String>) -> Result<RecvStream, CallError> {
        let uri = format!("http://{}/arrow.flight.protocol.FlightService/{method}", self.authority);
        let mut request = Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
        if let Some(pass) = pass {
            request = request.header(PASS_HEADER, pass);
        }
        let request = request.body(()).map_err(|error| CallError::Lost(error.to_string()))?;
        let len = u32::try_from(message.len()).map_err(|error| CallError::Lost(error.to_string()))?;
        let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
        framed.put_u8(0); // not compressed
        framed.put_u32(len);
        framed.put_slice(&message);
        let mut requests = self.requests.clone().ready().await.map_err(lost)?;
        let (response, mut stream) = requests.send_request(request, false).map_err(lost)?;
        stream.send_data(framed.freeze(), true).map_err(lost)?;
        let (head, body) = response.await.map_err(lost)?.into_parts();
        if head.status != StatusCode::OK {
            return Err(CallError::Lost(format!("it answers {}", head.status)));
        }
        match ending(Some(&head.headers)) {
            Some(Ending { code, message }) if code != 0 => Err(CallError::Refused { code, message }),
            _ => Ok(body),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Returns once the server has not answered a ping.
async fn unanswered(pings: Option<PingPong>) {
    let Some(mut pings) = pings else { return };
    loop {
        sleep(PING_EVERY).await;
        match timeout(PING_LIMIT, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// The status in a call's last headers; `None` where there is none.
pub(super) fn ending(trailers: Option<&HeaderMap>) -> Option<Ending> {
    let trailers = trailers?;
    let code = trailers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let message = trailers.get("grpc-message").map(|message| unescape(message.as_bytes())).unwrap_or_default();
    Some(Ending { code, message })
}

/// Text as gRPC puts it into a header.
fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let escaped = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match escaped.filter(|_| *byte == b'%') {
            Some(own) => {
                bytes.push(own);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lost(error: h2::Error) -> CallError {
    CallError::Lost(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_written() {
        let mut trailers = HeaderMap::new();
        assert!(ending(Some(&trailers)).is_none() && ending(None).is_none());
        trailers.insert("grpc-status", "14".parse().unwrap());
        trailers.insert("grpc-message", "m/s%C2%B2 is 100%25 %zz%4".parse().unwrap());
        let Some(Ending { code, message }) = ending(Some(&trailers)) else { panic!("no ending") };
        assert_eq!((code, message.as_str()), (14, "m/s² is 100% %zz%4"));
    }
}
