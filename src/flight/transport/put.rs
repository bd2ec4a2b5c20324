//! The two halves of a running DoPut: messages in, results and a status out.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Poll;

use arrow_flight::PutResult;
use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use prost::Message;
use tokio::time::Instant;
use tokio::time::timeout_at;

use super::answer::Answer;
use super::config::TransportConfig;
use super::config::ms;
use super::deframer::Deframer;
use super::deframer::Step;
use super::fields::PutMessage;
use super::held::HeldStream;
use super::pool::Pool;
use super::rope::Rope;
use super::silent::Place;
use super::socket::Peer;
use super::status::Gone;
use super::status::ReceiveError;
use super::status::Status;
use crate::runtime::Budget;
use crate::runtime::BudgetError;

/// What a begun message must bring per [`TransportConfig::stall_ms`]: one byte a minute is not progress.
const STALL_BYTES: usize = 64 << 10;

/// The messages of one put, in order. It and its [`PutReply`] belong in one task: they share a waker.
///
/// Dropping it before the end tells the client to stop sending, once the status is out.
pub struct PutStream {
    headers: HeaderMap,
    peer: Peer,
    receive: RecvStream,
    _held: HeldStream,
    deframer: Deframer,
    /// What is left of the frame being taken apart, and its length, which is given back to the windows when it is used up.
    frame: Bytes,
    frame_bytes: usize,
    budget: Budget,
    pool: Pool,
    config: Arc<TransportConfig>,
    deadline: Deadline,
    ended: bool,
    answer: Shared,
}

/// Results and status of one put. Dropped without [`PutReply::finish`], the put ends as INTERNAL.
pub struct PutReply {
    answer: Shared,
}

/// What [`PutStream`] is built of.
pub(super) struct PutParts {
    pub headers: HeaderMap,
    pub peer: Peer,
    pub receive: RecvStream,
    pub held: HeldStream,
    pub place: Place,
    pub deframer: Deframer,
    pub budget: Budget,
    pub pool: Pool,
    pub config: Arc<TransportConfig>,
    pub answer: Answer,
}

/// Until when the client has to send what.
enum Deadline {
    /// * `place`: lost when too many others have come that are silent too.
    FirstMessage {
        until: Instant,
        place: Place,
    },
    /// No message has begun, or the delay is ours.
    Idle,
    Message {
        until: Instant,
        bytes: usize,
    },
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Answer>>);

pub(super) fn open(parts: PutParts) -> (PutStream, PutReply) {
    let answer = Shared(Arc::new(Mutex::new(parts.answer)));
    let stream = PutStream {
        headers: parts.headers,
        peer: parts.peer,
        receive: parts.receive,
        _held: parts.held,
        deframer: parts.deframer,
        frame: Bytes::new(),
        frame_bytes: 0,
        budget: parts.budget,
        pool: parts.pool,
        deadline: Deadline::FirstMessage {
            until: Instant::now() + ms(parts.config.first_message_ms),
            place: parts.place,
        },
        config: parts.config,
        ended: false,
        answer: answer.clone(),
    };
    (stream, PutReply { answer })
}

impl PutStream {
    /// The call's metadata.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Takes the memory of all later messages from this part of the budget.
    pub fn pay_from(&mut self, part: Budget) {
        self.budget = part;
    }

    /// The next message; `None` once the client has closed its side properly, and after an error.
    ///
    /// Waits for the client, and for memory: while the budget is short, nothing is read from this stream, and the client is
    /// held by its window. May be dropped while it waits; nothing is lost but the place in the budget's queue.
    pub async fn next(&mut self) -> Option<Result<PutMessage, ReceiveError>> {
        if self.ended {
            return None;
        }
        let next = self.receive_message().await.transpose();
        if !matches!(next, Some(Ok(_))) {
            self.ended = true;
        }
        next
    }

    async fn receive_message(&mut self) -> Result<Option<PutMessage>, ReceiveError> {
        loop {
            match self.deframer.step(&mut self.frame)? {
                Step::Message(message) => {
                    self.deadline = Deadline::Idle;
                    return Ok(Some(message));
                }
                // Nobody knows yet whether it may record, so there is no part of the budget for it.
                Step::BodyWanted(bytes) if matches!(self.deadline, Deadline::FirstMessage { .. }) => {
                    return Err(ReceiveError::FirstBody { bytes });
                }
                Step::BodyWanted(len) => self.provide(len).await?,
                Step::Again => tokio::task::consume_budget().await,
                Step::Dry => {
                    if !self.read_frame().await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Memory for a body: the permit first, then the buffer.
    async fn provide(&mut self, len: usize) -> Result<(), ReceiveError> {
        let charge = Pool::charge(len);
        let too_large = |BudgetError::TooLarge { bytes, total }| ReceiveError::BudgetTooSmall { bytes, total };
        let permit = match self.budget.try_acquire(charge).map_err(too_large)? {
            Some(permit) => permit,
            None => {
                self.deadline = Deadline::Idle; // the delay is ours
                tokio::select! {
                    permit = self.budget.acquire(charge) => permit.map_err(too_large)?,
                    gone = self.answer.gone() => return Err(gone.into()),
                }
            }
        };
        self.deframer.body(self.pool.take(len, Some(permit)));
        Ok(())
    }

    /// The next frame; false at the end of the client's side.
    async fn read_frame(&mut self) -> Result<bool, ReceiveError> {
        if self.frame_bytes > 0 {
            // Given back only after use: a put that does not take its frames stops its client.
            let released = self.receive.flow_control().release_capacity(std::mem::take(&mut self.frame_bytes));
            released.map_err(|error| ReceiveError::Gone { cause: error.to_string() })?;
        }
        tokio::task::consume_budget().await;
        match self.data().await? {
            Some(Ok(frame)) => {
                self.frame_bytes = frame.len();
                self.frame = frame;
                Ok(true)
            }
            Some(Err(error)) => Err(ReceiveError::Gone { cause: error.to_string() }),
            None if self.deframer.inside() => Err(ReceiveError::Malformed { what: "the stream ends inside it" }),
            None => Ok(false),
        }
    }

    /// Waits for the client no longer than it may take.
    async fn data(&mut self) -> Result<Option<Result<Bytes, h2::Error>>, ReceiveError> {
        let stall_ms = self.config.stall_ms;
        if matches!(self.deadline, Deadline::Idle) && self.deframer.inside() {
            self.deadline = Deadline::Message { until: Instant::now() + ms(stall_ms), bytes: 0 };
        }
        let stalled = |_| ReceiveError::Stalled { bytes: STALL_BYTES, ms: stall_ms };
        let silent = |_| ReceiveError::FirstMessage { ms: self.config.first_message_ms };
        let data = match &mut self.deadline {
            Deadline::Idle => return Ok(self.receive.data().await),
            Deadline::Message { until, .. } => timeout_at(*until, self.receive.data()).await.map_err(stalled)?,
            Deadline::FirstMessage { until, place } => tokio::select! {
                biased; // what has come counts before the place is lost
                data = timeout_at(*until, self.receive.data()) => data.map_err(silent)?,
                max = place.lost() => return Err(ReceiveError::GaveWay { max }),
            },
        };
        if let Deadline::Message { bytes, .. } = &mut self.deadline
            && let Some(Ok(frame)) = &data
        {
            *bytes += frame.len();
            if *bytes >= STALL_BYTES {
                self.deadline = Deadline::Idle; // and a new one with the next wait
            }
        }
        Ok(data)
    }
}

impl PutReply {
    /// Sends a PutResult; waits while the client takes none.
    ///
    /// # Errors
    /// [`Gone`] when the client reset the stream or the connection is lost.
    pub async fn reply(&mut self, app_metadata: Bytes) -> Result<(), Gone> {
        let payload = Bytes::from(PutResult { app_metadata }.encode_to_vec());
        poll_fn(|cx| self.answer.lock().poll_room(cx)).await?;
        self.answer.lock().send(Rope::from(payload))
    }

    /// Ends the put. A client that still writes is told at once.
    pub fn finish(self, result: Result<(), Status>) {
        let status = result.err().unwrap_or_else(Status::ok);
        self.answer.lock().finish(&status);
    }
}

impl Drop for PutReply {
    /// The stream's half may live on; the client need not wait for it.
    fn drop(&mut self) {
        self.answer.lock().finish(&Status::from(&super::status::Refusal::NoStatus));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn gone(&self) -> Gone {
        poll_fn(|cx| match self.lock().poll_gone(cx) {
            Poll::Ready(gone) => Poll::Ready(gone),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}
