//! The answering half of one gRPC stream: headers once, messages, trailers once.
//!
//! Invariant: a call always ends with a status, but one that is cut. One dropped without (a panic, a forgotten branch) ends as
//! INTERNAL.

use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::BufMut;
use bytes::BytesMut;
use h2::Reason;
use h2::SendStream;
use h2::server::SendResponse;
use http::HeaderMap;
use http::HeaderValue;
use http::Response;
use http::header::CONTENT_TYPE;

use super::rope::Rope;
use super::status::Gone;
use super::status::Refusal;
use super::status::Status;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

pub(super) struct Answer(State);

enum State {
    /// Nothing was sent.
    Open(SendResponse<Rope>),
    /// Headers were sent.
    Streaming(SendStream<Rope>),
    Closed,
}

impl Answer {
    pub fn new(respond: SendResponse<Rope>) -> Self {
        Self(State::Open(respond))
    }

    /// Ready when the stream takes another message: what was sent before has mostly left.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let stream = self.stream()?;
        stream.reserve_capacity(1);
        while stream.capacity() == 0 {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(gone(&error))),
                None => return Poll::Ready(Err(Gone { cause: "it reset the stream".to_owned() })),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands one message over whole; h2 cuts it into frames as the client's windows allow. After [`Self::poll_room`].
    pub fn send(&mut self, mut payload: Rope) -> Result<(), Gone> {
        let len = u32::try_from(payload.len());
        let len = len.map_err(|_| Gone { cause: format!("a message of {} bytes does not fit gRPC", payload.len()) })?;
        let mut prefix = BytesMut::with_capacity(5);
        prefix.put_u8(0); // not compressed
        prefix.put_u32(len);
        payload.push_front(prefix.freeze());
        self.stream()?.send_data(payload, false).map_err(|error| gone(&error))
    }

    /// Hands over bytes that have their prefixes already. After [`Self::poll_room`].
    pub fn pass(&mut self, framed: Rope) -> Result<(), Gone> {
        self.stream()?.send_data(framed, false).map_err(|error| gone(&error))
    }

    /// Ends the call. A status before any message goes out in one frame. Without effect when it has ended.
    pub fn finish(&mut self, status: &Status) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(status.code));
        if let Ok(text) = HeaderValue::from_str(&status.header_text())
            && !text.is_empty()
        {
            trailers.insert("grpc-message", text);
        }
        // Failing means that the client is gone: nobody is left to tell.
        if matches!(self.0, State::Open(_)) && *status == Status::ok() {
            let _ = self.stream();
        }
        match std::mem::replace(&mut self.0, State::Closed) {
            State::Open(mut respond) => {
                let mut head = Response::new(());
                *head.headers_mut() = trailers;
                head.headers_mut().insert(CONTENT_TYPE, GRPC);
                head.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
                let _ = respond.send_response(head, true);
            }
            State::Streaming(mut stream) => drop(stream.send_trailers(trailers)),
            State::Closed => {}
        }
    }

    /// Ends the call without a status, and with it all that waits to be sent: trailers would go out behind it. gRPC clients see
    /// RESOURCE_EXHAUSTED.
    pub fn cut(&mut self) {
        match std::mem::replace(&mut self.0, State::Closed) {
            State::Open(mut respond) => respond.send_reset(Reason::ENHANCE_YOUR_CALM),
            State::Streaming(mut stream) => stream.send_reset(Reason::ENHANCE_YOUR_CALM),
            State::Closed => {}
        }
    }

    /// Ready once the client reset the stream or the connection is lost.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        let reset = match &mut self.0 {
            State::Open(respond) => ready!(respond.poll_reset(cx)),
            State::Streaming(stream) => ready!(stream.poll_reset(cx)),
            State::Closed => return Poll::Ready(Gone { cause: "the call has ended".to_owned() }),
        };
        Poll::Ready(match reset {
            Ok(reason) => Gone { cause: format!("it reset the stream: {reason}") },
            Err(error) => gone(&error),
        })
    }

    /// The sending side, with its headers on the way.
    fn stream(&mut self) -> Result<&mut SendStream<Rope>, Gone> {
        if let State::Open(respond) = &mut self.0 {
            let mut head = Response::new(());
            head.headers_mut().insert(CONTENT_TYPE, GRPC);
            self.0 = match respond.send_response(head, false) {
                Ok(stream) => State::Streaming(stream),
                Err(error) => {
                    self.0 = State::Closed;
                    return Err(gone(&error));
                }
            };
        }
        match &mut self.0 {
            State::Streaming(stream) => Ok(stream),
            _ => Err(Gone { cause: "the call has ended".to_owned() }),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !matches!(self.0, State::Closed) {
            self.finish(&Status::from(&Refusal::NoStatus));
        }
    }
}

pub(super) fn gone(error: &h2::Error) -> Gone {
    Gone { cause: error.to_string() }
}
