//! Rows that come from another server and go on to a client as they are.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::AcqRel;
use std::sync::atomic::Ordering::Acquire;

use bytes::Bytes;
use h2::FlowControl;
use h2::Reason;
use h2::RecvStream;
use tokio::sync::Notify;

use super::error::FleetError;
use super::link::Ending;
use super::link::Link;
use super::link::ending;
use super::places::Place;
use crate::model::NodeId;

/// The answer of the owner to a DoGet. Dropping it cancels the read there, once what it gave has gone.
pub struct Passage {
    body: RecvStream,
    node: NodeId,
    address: String,
    place: Place,
    held: Arc<Held>,
    _link: Arc<Link>,
}

/// Some of the bytes, in their order. They begin and end anywhere in a message.
pub struct Piece {
    pub bytes: Bytes,
    /// To be kept until the bytes have left: then the owner may send as many more.
    pub paid: Arc<dyn Any + Send + Sync>,
}

struct Paid {
    window: FlowControl,
    len: usize,
    held: Arc<Held>,
}

/// Pieces that have not left yet.
#[derive(Default)]
struct Held {
    pieces: AtomicUsize,
    none: Notify,
}

impl Drop for Paid {
    fn drop(&mut self) {
        // An error means that the stream is over.
        let _ = self.window.release_capacity(self.len);
        if self.held.pieces.fetch_sub(1, AcqRel) == 1 {
            self.held.none.notify_one();
        }
    }
}

impl Passage {
    pub(super) fn new(body: RecvStream, node: NodeId, place: Place, link: Arc<Link>) -> Self {
        Self { body, node, address: link.address(), place, held: Arc::default(), _link: link }
    }

    /// The next bytes; `None` once the owner has ended the stream well.
    ///
    /// # Errors
    /// [`FleetError::Refused`] when it ended it otherwise, [`FleetError::Broken`] when it did not end it.
    pub async fn next(&mut self) -> Result<Option<Piece>, FleetError> {
        while let Some(frame) = self.body.data().await {
            let bytes = frame.map_err(|error| self.ended(&error))?;
            if !bytes.is_empty() {
                self.held.pieces.fetch_add(1, AcqRel);
                let (window, held) = (self.body.flow_control().clone(), Arc::clone(&self.held));
                let paid = Paid { window, len: bytes.len(), held };
                return Ok(Some(Piece { bytes, paid: Arc::new(paid) }));
            }
        }
        let trailers = self.body.trailers().await.map_err(|error| self.ended(&error))?;
        match ending(trailers.as_ref()) {
            Some(Ending { code: 0, .. }) => Ok(None),
            Some(Ending { code, message }) => Err(FleetError::Refused { code, message }),
            None => Err(self.broken("it sent no status".to_owned())),
        }
    }

    /// Returns once all that was given has left. Until then it counts as this stream's.
    pub async fn gone(&self) {
        while self.held.pieces.load(Acquire) > 0 {
            self.held.none.notified().await;
        }
    }

    /// Runs what waits for the client; `None` when it has taken nothing for too long and others wait.
    pub async fn client<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        self.place.client(waiting).await
    }

    fn ended(&self, error: &h2::Error) -> FleetError {
        match error.reason() {
            Some(Reason::ENHANCE_YOUR_CALM) if error.is_reset() && error.is_remote() => FleetError::Cut,
            _ => self.broken(error.to_string()),
        }
    }

    fn broken(&self, cause: String) -> FleetError {
        FleetError::Broken { node: self.node, address: self.address.clone(), cause }
    }
}
