//! The adapter that lets tonic's generated service answer what is not bulk: one h2 stream as its request and response.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Buf;
use bytes::Bytes;
use h2::RecvStream;
use h2::SendStream;
use h2::server::SendResponse;
use http::Response;
use http_body::Body;
use http_body::Frame;
use tokio::time::Sleep;
use tokio::time::sleep;

use super::held::Held;
use super::held::RequestStream;
use super::rope::Rope;
use super::status::Refusal;
use super::status::Status;
use crate::runtime::Budget;
use crate::runtime::Permit;

/// gRPC's flag and length before a message.
const PREFIX_BYTES: usize = 5;
/// A request or an answer of so many bytes is free: an ordinary one, no more than its stream costs anyway.
const SMALL_BYTES: usize = 4 << 10;

/// A request body with limits on size and time. Frames count as taken when tonic takes them.
///
/// The length that the request's message declares is held to the same limit, before tonic reserves memory for it, and takes
/// its part of what all requests together may hold.
pub(super) struct RequestBody {
    receive: RecvStream,
    _held: RequestStream,
    data_ended: bool,
    prefix: Vec<u8>,
    received: usize,
    permit: Option<Permit>,
    all: Budget,
    max: usize,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl RequestBody {
    /// * `held`: of the call's connection.
    /// * `max`: bytes of the whole request.
    /// * `all`: bytes of all requests under way.
    /// * `patience`: time until its end.
    pub fn new(mut receive: RecvStream, held: &Held, max: usize, all: Budget, patience: Duration) -> Self {
        let (prefix, deadline) = (Vec::with_capacity(PREFIX_BYTES), Box::pin(sleep(patience)));
        let held = held.request(receive.flow_control().clone());
        Self {
            receive,
            _held: held,
            data_ended: false,
            prefix,
            received: 0,
            permit: None,
            all,
            max,
            patience,
            deadline,
        }
    }

    fn take(&mut self, bytes: Bytes) -> Result<Frame<Bytes>, tonic::Status> {
        let released = self.receive.flow_control().release_capacity(bytes.len());
        released.map_err(|error| tonic::Status::cancelled(error.to_string()))?;
        self.received = self.received.saturating_add(bytes.len());
        let missing = PREFIX_BYTES - self.prefix.len();
        self.prefix.extend(bytes.iter().take(missing));
        let declared = self.declared().unwrap_or_default();
        if self.received.max(declared) > self.max {
            return Err(refused(&Refusal::RequestTooLarge { max: self.max }));
        }
        // What follows a message is as good as declared: tonic keeps it all until the end.
        let held = self.received.max(declared);
        if held > SMALL_BYTES && self.permit.as_ref().is_none_or(|permit| permit.bytes() < held) {
            drop(self.permit.take());
            let permit = self.all.try_acquire(held).ok().flatten();
            self.permit = Some(permit.ok_or_else(|| refused(&Refusal::Requests { total: self.all.total() }))?);
        }
        Ok(Frame::data(bytes))
    }

    /// Bytes of the request up to the end of its first message, once its prefix is there.
    fn declared(&self) -> Option<usize> {
        let mut len = self.prefix.get(1..PREFIX_BYTES)?;
        Some((len.get_u32() as usize).saturating_add(PREFIX_BYTES))
    }

    /// Whether the message that was begun, or should have been, is there.
    fn is_whole(&self) -> bool {
        self.declared().is_some_and(|len| len <= self.received)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
        let this = self.get_mut();
        let lost = |error: h2::Error| tonic::Status::cancelled(format!("client gone: {error}"));
        if !this.data_ended {
            match this.receive.poll_data(cx) {
                Poll::Ready(Some(Ok(bytes))) => return Poll::Ready(Some(this.take(bytes))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(lost(error)))),
                Poll::Ready(None) => {
                    this.data_ended = true;
                    if !this.is_whole() {
                        return Poll::Ready(Some(Err(refused(&Refusal::RequestCut { received: this.received }))));
                    }
                }
                Poll::Pending => {
                    ready!(this.deadline.as_mut().poll(cx));
                    let ms = this.patience.as_millis() as u64;
                    return Poll::Ready(Some(Err(refused(&Refusal::RequestStalled { ms }))));
                }
            }
        }
        let trailers = ready!(this.receive.poll_trailers(cx));
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers).map_err(lost)))
    }

    fn is_end_stream(&self) -> bool {
        self.receive.is_end_stream()
    }
}

/// Sends the response of tonic's service. A client that resets the stream ends it.
///
/// * `all`: bytes of all answers that wait for their clients.
pub(super) async fn respond(
    mut respond: SendResponse<Rope>,
    response: Response<tonic::body::Body>,
    all: &Budget,
) -> Result<(), h2::Error> {
    let (head, mut body) = response.into_parts();
    let ended = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), ended)?;
    if ended {
        return Ok(());
    }
    loop {
        let next = poll_fn(|cx| match stream.poll_reset(cx) {
            Poll::Ready(reset) => Poll::Ready(Err(reset)),
            Poll::Pending => Pin::new(&mut body).poll_frame(cx).map(Ok),
        });
        let frame = match next.await {
            Err(reset) => return reset.map(drop),
            Ok(None) => return stream.send_data(Rope::new(), true),
            Ok(Some(Err(status))) => return stream.send_trailers(status_trailers(&status)),
            Ok(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            Ok(bytes) if bytes.is_empty() => {}
            Ok(bytes) => {
                // Held until most of it has left: the client may take as long as it likes.
                let permit = match bytes.len() {
                    ..=SMALL_BYTES => None,
                    len => match all.try_acquire(len.min(all.total())) {
                        Ok(Some(permit)) => Some(permit),
                        _ => {
                            let status = refused(&Refusal::Answers { total: all.total() });
                            return stream.send_trailers(status_trailers(&status));
                        }
                    },
                };
                stream.send_data(Rope::from(bytes), false)?;
                room(&mut stream).await?;
                drop(permit);
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => return stream.send_trailers(trailers),
                Err(_) => return stream.send_data(Rope::new(), true),
            },
        }
    }
}

/// Waits until most of what was sent has left.
async fn room(stream: &mut SendStream<Rope>) -> Result<(), h2::Error> {
    stream.reserve_capacity(1);
    while stream.capacity() == 0 {
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(capacity) => drop(capacity?),
            None => return Err(h2::Reason::CANCEL.into()),
        }
    }
    Ok(())
}

fn status_trailers(status: &tonic::Status) -> http::HeaderMap {
    let mut trailers = http::HeaderMap::new();
    // Only a text that is no header value can fail, and tonic escapes it.
    let _ = status.add_header(&mut trailers);
    trailers
}

fn refused(refusal: &Refusal) -> tonic::Status {
    let status = Status::from(refusal);
    tonic::Status::new(tonic::Code::from(status.code), status.message)
}
