//! The client's side of the bulk calls, straight on h2: what is sent is never copied here.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use h2::RecvStream;
use h2::SendStream;
use h2::client::ResponseFuture;
use h2::client::SendRequest;
use http::HeaderMap;
use http::Request;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::error::BenchError;
use super::message::ticket_message;
use crate::flight::transport::Rope;

const DO_PUT: &str = "http://localhost/arrow.flight.protocol.FlightService/DoPut";
const DO_GET: &str = "http://localhost/arrow.flight.protocol.FlightService/DoGet";

/// As generous as the server's own: the client never slows a reader down.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 256 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// When there is room for a stream's next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// While the last few hundred KB of the one before are still to leave: the socket never idles.
    Early,
    /// Once its last byte has left: exact, for measuring when it did.
    Exact,
}

/// One connection, for many calls. Dropping it ends it.
pub struct Connection {
    requests: SendRequest<Rope>,
    driver: JoinHandle<()>,
}

/// A put being sent.
pub struct PutCall {
    stream: SendStream<Rope>,
    response: ResponseFuture,
}

/// A get being read.
pub struct GetCall {
    body: RecvStream,
}

impl Connection {
    /// # Errors
    /// [`BenchError::Io`], [`BenchError::Connection`].
    pub async fn open(endpoint: &Endpoint, room: Room) -> Result<Self, BenchError> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let socket = TcpStream::connect(address).await;
                let socket = socket.map_err(BenchError::io(format!("connect to {address}")))?;
                socket.set_nodelay(true).map_err(BenchError::io("set TCP_NODELAY"))?;
                Self::over(socket, room).await
            }
            Endpoint::Unix(path) => {
                let socket = UnixStream::connect(path).await;
                Self::over(socket.map_err(BenchError::io(format!("connect to {}", path.display())))?, room).await
            }
        }
    }

    async fn over(
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        room: Room,
    ) -> Result<Self, BenchError> {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES_MAX);
        if room == Room::Exact {
            // There is room while less than this waits to be sent.
            builder.max_send_buffer_size(1);
        }
        let (requests, connection) = builder.handshake::<_, Rope>(socket).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { requests, driver })
    }

    /// Begins a put with its first message.
    ///
    /// # Errors
    /// [`BenchError::Connection`].
    pub async fn put(&self, first: Rope) -> Result<PutCall, BenchError> {
        let (response, stream) = self.call(DO_PUT).await?;
        let mut call = PutCall { stream, response };
        call.send(first).await?;
        Ok(call)
    }

    /// # Errors
    /// [`BenchError::Refused`], [`BenchError::Connection`].
    pub async fn get(&self, ticket: &[u8]) -> Result<GetCall, BenchError> {
        let (response, mut stream) = self.call(DO_GET).await?;
        stream.send_data(ticket_message(ticket), true)?;
        let response = response.await?;
        let (head, body) = response.into_parts();
        if body.is_end_stream() {
            status(&head.headers)?;
        }
        Ok(GetCall { body })
    }

    async fn call(&self, uri: &str) -> Result<(ResponseFuture, SendStream<Rope>), BenchError> {
        let request = Request::post(uri).header("content-type", "application/grpc").header("te", "trailers").body(());
        let request = request.map_err(|error| BenchError::Connection(error.to_string()))?;
        let mut requests = self.requests.clone().ready().await?;
        Ok(requests.send_request(request, false)?)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PutCall {
    /// Hands one message over, once the one before has left.
    ///
    /// # Errors
    /// [`BenchError::Refused`] when the server has ended the put.
    pub async fn send(&mut self, message: Rope) -> Result<(), BenchError> {
        self.room().await?;
        Ok(self.stream.send_data(message, false)?)
    }

    /// Returns once what was sent has left for the socket, as far as [`Room`] says.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn room(&mut self) -> Result<(), BenchError> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match poll_fn(|cx| self.stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.ended(error.to_string()).await),
                None => return Err(self.ended("it closed the stream".to_owned()).await),
            }
        }
        Ok(())
    }

    /// Ends the put: returns with the server's OK.
    ///
    /// # Errors
    /// [`BenchError::Refused`] with any other status.
    pub async fn close(mut self) -> Result<(), BenchError> {
        self.stream.send_data(Rope::new(), true)?;
        finish(self.response).await
    }

    /// Why the server ended the put before its end.
    async fn ended(&mut self, cause: String) -> BenchError {
        match finish(&mut self.response).await {
            Err(error @ BenchError::Refused { .. }) => error,
            _ => BenchError::Connection(cause),
        }
    }
}

impl GetCall {
    /// The next bytes of the answer, in pieces as they come; `None` at its proper end.
    ///
    /// # Errors
    /// [`BenchError::Refused`], [`BenchError::Connection`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, BenchError> {
        match self.body.data().await {
            Some(frame) => {
                let frame = frame?;
                self.body.flow_control().release_capacity(frame.len())?;
                Ok(Some(frame))
            }
            None => {
                status(&self.body.trailers().await?.unwrap_or_default())?;
                Ok(None)
            }
        }
    }
}

/// Reads an answer to its status.
async fn finish(
    response: impl Future<Output = Result<http::Response<RecvStream>, h2::Error>>,
) -> Result<(), BenchError> {
    let (head, mut body) = response.await?.into_parts();
    if body.is_end_stream() {
        return status(&head.headers);
    }
    while let Some(frame) = body.data().await {
        body.flow_control().release_capacity(frame?.len())?;
    }
    status(&body.trailers().await?.unwrap_or_default())
}

fn status(fields: &HeaderMap) -> Result<(), BenchError> {
    let text = |name: &str| fields.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match text("grpc-status").as_deref() {
        Some("0") => Ok(()),
        code => Err(BenchError::Refused {
            code: code.unwrap_or("none").to_owned(),
            message: text("grpc-message").unwrap_or_default(),
        }),
    }
}
