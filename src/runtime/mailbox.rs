//! The bridge between tokio and the shards: a queue from many senders to one receiver, bounded in messages and in bytes.
//!
//! Either end may live on any thread and any executor. Messages wait in an `ArrayQueue`; a [`Gate`] in front of it lets in
//! only what has a place there, so a push cannot fail; the receiver gives the place back after its pop.
//!
//! No wake-up is lost: the receiver leaves its waker *before* it looks a second time, and a sender pushes *before* it wakes.
//! When the receiver goes, it marks the mailbox closed and then empties it; a sender pushes and then looks for that mark, and
//! empties it too. Whichever comes later finds the message, so none is kept (with the permits and answers in it) by a mailbox
//! that nobody reads.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;
use std::task::Context;
use std::task::Poll;

use crossbeam::queue::ArrayQueue;
use futures::future::Either;
use futures::future::select;
use futures::task::AtomicWaker;

use super::gate::Entry;
use super::gate::Gate;

/// Where another thread may come in between: a test lets each do so. Nothing outside tests.
#[cfg(not(test))]
#[inline(always)]
fn step() {}
#[cfg(test)]
use tests::interleave::step;

/// A new mailbox. At either limit `send` waits.
///
/// * `count_max`: messages, at least 1.
/// * `bytes_max`: the sum of what the senders say their messages weigh. A single one above it is let in when it is alone.
pub fn mailbox<T>(count_max: usize, bytes_max: usize) -> (Sender<T>, Receiver<T>) {
    assert!(count_max > 0, "a mailbox of no messages");
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(count_max),
        gate: Gate::new(count_max, bytes_max),
        reader: AtomicWaker::new(),
        senders: AtomicUsize::new(1),
        closed: AtomicBool::new(false),
    });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct Shared<T> {
    queue: ArrayQueue<(T, usize)>,
    gate: Gate,
    reader: AtomicWaker,
    senders: AtomicUsize,
    /// The receiver is gone.
    closed: AtomicBool,
}

/// The end that puts messages in. The mailbox ends when the last clone is dropped.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The receiver is gone; here is the message back.
#[derive(PartialEq, Eq)]
pub struct Closed<T>(pub T);

/// Why a message could not be put in at once; it comes back.
#[derive(PartialEq, Eq)]
pub enum TrySendError<T> {
    /// At a limit, or others wait.
    Full(T),
    Closed(T),
}

impl<T> Sender<T> {
    /// Puts `value`, which weighs `bytes`, into the mailbox; waits while that is full, first come first served. `Ok` means
    /// queued: a receiver that is dropped later drops it unread.
    ///
    /// Dropping the future before it is done drops the message.
    pub async fn send(&self, value: T, bytes: usize) -> Result<(), Closed<T>> {
        match self.shared.gate.enter(bytes).await {
            Ok(()) => {
                self.shared.push(value, bytes);
                Ok(())
            }
            Err(_) => Err(Closed(value)),
        }
    }

    /// As [`Self::send`]; once `patience` is over, a message at the head of the line goes beyond the limit of bytes, up to
    /// `bytes_max`. For a receiver that has stopped getting on: what it is given in time is still in the caches when it comes to
    /// it, so the limit is low, but a pause of its own is not to stop the sender.
    pub async fn send_beyond(
        &self,
        value: T,
        bytes: usize,
        patience: impl Future<Output = ()>,
        bytes_max: usize,
    ) -> Result<(), Closed<T>> {
        let entered = match select(self.shared.gate.enter(bytes), pin!(patience)).await {
            Either::Left((entered, _)) => entered,
            Either::Right(((), mut enter)) => {
                enter.go_beyond(bytes_max);
                enter.await
            }
        };
        match entered {
            Ok(()) => {
                self.shared.push(value, bytes);
                Ok(())
            }
            Err(_) => Err(Closed(value)),
        }
    }

    /// As [`Self::send`], without waiting.
    pub fn try_send(&self, value: T, bytes: usize) -> Result<(), TrySendError<T>> {
        match self.shared.gate.try_enter(bytes) {
            Entry::Admitted => {
                self.shared.push(value, bytes);
                Ok(())
            }
            Entry::Full => Err(TrySendError::Full(value)),
            Entry::Closed => Err(TrySendError::Closed(value)),
        }
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        step();
        // Release: the receiver that sees zero sees every message.
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            step();
            self.shared.reader.wake();
        }
    }
}

impl<T> Shared<T> {
    /// Queues an admitted message.
    fn push(&self, value: T, bytes: usize) {
        step();
        let pushed = self.queue.push((value, bytes)).is_ok();
        assert!(pushed, "the gate admitted more than the {} messages there is room for", self.queue.capacity());
        step();
        self.reader.wake();
        step();
        fence(Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            self.drain();
        }
    }

    fn pop(&self) -> Option<T> {
        step();
        let (value, bytes) = self.queue.pop()?;
        step();
        self.gate.leave(bytes);
        Some(value)
    }

    fn drain(&self) {
        while let Some(value) = self.pop() {
            drop(value);
        }
    }
}

/// The end that takes messages out. Dropping it closes the mailbox and drops what is in it.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The next message, in the order they were admitted; `None` once all senders are gone and the mailbox is empty.
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Self::recv`], for a hand-written future.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(value) = self.shared.pop() {
            return Poll::Ready(Some(value));
        }
        step();
        self.shared.reader.register(cx.waker());
        step();
        // Senders are counted before the second look: the last one may have pushed and gone in between.
        let senders = self.shared.senders.load(Ordering::Acquire);
        match self.shared.pop() {
            Some(value) => Poll::Ready(Some(value)),
            None if senders == 0 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// A message that is there already.
    pub fn try_recv(&mut self) -> Option<T> {
        self.shared.pop()
    }

    /// How many messages wait: whether there is slack.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// The weight of what is in the mailbox or about to be.
    pub fn bytes(&self) -> usize {
        self.shared.gate.bytes()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        step();
        self.shared.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        step();
        self.shared.gate.close();
        step();
        self.shared.drain();
    }
}

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

#[cfg(test)]
mod tests;
