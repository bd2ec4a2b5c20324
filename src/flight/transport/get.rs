//! A DoGet: the ticket in, messages and a status out.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arrow_flight::Ticket;
use bytes::Bytes;
use bytes::BytesMut;
use h2::RecvStream;
use http::HeaderMap;
use prost::Message;
use tokio::time::timeout;

use super::answer::Answer;
use super::deframer::Encoding;
use super::inflate::Inflater;
use super::inflate::PIECE_BYTES;
use super::rope::Rope;
use super::socket::Peer;
use super::status::Gone;
use super::status::ReceiveError;
use super::status::Status;

/// Ours are far smaller; a larger one cannot be ours.
const TICKET_BYTES_MAX: usize = 4 << 10;
const PREFIX_BYTES: usize = 5;

pub struct GetRequest {
    /// The call's metadata.
    pub headers: HeaderMap,
    pub peer: Peer,
    /// What the client got as a ticket, unchecked.
    pub ticket: Bytes,
}

/// Messages and status of one get. Dropped without [`GetReply::finish`], the get ends as INTERNAL.
pub struct GetReply {
    answer: Answer,
    taken: Arc<AtomicU64>,
}

impl GetReply {
    pub(super) fn new(answer: Answer) -> Self {
        Self { answer, taken: Arc::default() }
    }

    /// Counts what the client takes in `taken` from here on.
    pub fn count_into(&mut self, taken: Arc<AtomicU64>) {
        self.taken = taken;
    }

    /// Sends one message: the bytes of a `FlightData`, in slices. Waits until most of what was sent before has left, so a slow
    /// client holds about one message.
    ///
    /// * `paid`: for its memory; kept until all of it has left.
    ///
    /// # Errors
    /// [`Gone`] when the client reset the stream or the connection is lost.
    pub async fn send(&mut self, mut message: Rope, paid: Option<Arc<dyn Any + Send + Sync>>) -> Result<(), Gone> {
        self.room().await?;
        message.account(&self.taken, paid);
        self.answer.send(message)
    }

    /// Sends bytes that are messages already, framed, or any part of them; otherwise as [`Self::send`].
    ///
    /// # Errors
    /// [`Gone`] when the client reset the stream or the connection is lost.
    pub async fn pass(&mut self, bytes: Bytes, paid: Arc<dyn Any + Send + Sync>) -> Result<(), Gone> {
        self.room().await?;
        let mut bytes = Rope::from(bytes);
        bytes.account(&self.taken, Some(paid));
        self.answer.pass(bytes)
    }

    /// Waits until most of what was sent has left: from then on its memory is not held for this client.
    ///
    /// # Errors
    /// [`Gone`] when the client reset the stream or the connection is lost.
    pub async fn room(&mut self) -> Result<(), Gone> {
        poll_fn(|cx| self.answer.poll_room(cx)).await
    }

    /// Waits until the client is gone; for use beside whatever prepares the next message.
    pub async fn gone(&mut self) -> Gone {
        poll_fn(|cx| self.answer.poll_gone(cx)).await
    }

    /// Ends the get, and drops what its client has not taken. The client is told RESOURCE_EXHAUSTED, by the reset of its stream.
    pub fn cut(mut self) {
        self.answer.cut();
    }

    /// Ends the get.
    pub fn finish(mut self, result: Result<(), Status>) {
        self.answer.finish(&result.err().unwrap_or_else(Status::ok));
    }
}

/// The ticket of a DoGet's request, within `patience`.
pub(super) async fn read_ticket(
    receive: &mut RecvStream,
    encoding: Encoding,
    patience: Duration,
) -> Result<Bytes, ReceiveError> {
    let read = timeout(patience, read_request(receive));
    let request = read.await.map_err(|_| ReceiveError::FirstMessage { ms: patience.as_millis() as u64 })??;
    let malformed = |what| ReceiveError::Malformed { what };
    let (prefix, payload) = request.split_at_checked(PREFIX_BYTES).ok_or_else(|| malformed("no ticket"))?;
    let inflated;
    let payload = match (prefix.first(), encoding) {
        (Some(0), _) => payload,
        (Some(1), Encoding::Gzip) => {
            inflated = inflate(payload)?;
            inflated.as_ref()
        }
        _ => return Err(malformed("the ticket's gRPC flag is wrong")),
    };
    let ticket = Ticket::decode(payload).map_err(|_| malformed("the request is no ticket"))?.ticket;
    match ticket.len() > TICKET_BYTES_MAX {
        true => Err(too_large(ticket.len())),
        false => Ok(ticket),
    }
}

/// The whole request, prefix included.
async fn read_request(receive: &mut RecvStream) -> Result<Bytes, ReceiveError> {
    let gone = |error: h2::Error| ReceiveError::Gone { cause: error.to_string() };
    let mut request = BytesMut::new();
    while let Some(frame) = receive.data().await {
        let frame = frame.map_err(gone)?;
        receive.flow_control().release_capacity(frame.len()).map_err(gone)?;
        request.extend_from_slice(&frame);
        if request.len() > PREFIX_BYTES + TICKET_BYTES_MAX + 16 {
            return Err(too_large(request.len()));
        }
    }
    Ok(request.freeze())
}

fn inflate(payload: &[u8]) -> Result<Bytes, ReceiveError> {
    let mut inflater = Inflater::new(TICKET_BYTES_MAX + 16);
    let mut inflated = BytesMut::new();
    for piece in payload.chunks(PIECE_BYTES) {
        inflated.extend_from_slice(&inflater.push(piece)?);
    }
    inflated.extend_from_slice(&inflater.finish()?);
    Ok(inflated.freeze())
}

fn too_large(bytes: usize) -> ReceiveError {
    let advice = ": use the ticket as GetFlightInfo gave it";
    ReceiveError::FieldTooLarge { field: "ticket", bytes: bytes as u64, max: TICKET_BYTES_MAX, advice }
}
