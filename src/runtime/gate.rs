//! A fair gate with two limits: so many at once, so many bytes at once. What a mailbox and a budget have in common.
//!
//! One lock guards everything, and whoever leaves admits the next in line *for* it, so there is no moment in which a
//! wake-up could be lost or a newcomer could overtake. The lock is held for a few instructions, never while a waker runs.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

pub(super) struct Gate {
    count_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: usize,
    bytes: usize,
    closed: bool,
    /// Who waits, in order of arrival; the tickets ascend.
    waiting: VecDeque<Waiting>,
    /// Tickets of those who were let in and do not know it yet.
    admitted: HashSet<u64>,
    next_ticket: u64,
}

struct Waiting {
    ticket: u64,
    bytes: usize,
    waker: Waker,
}

/// What entering at once can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Admitted,
    Full,
    Closed,
}

impl Gate {
    pub(super) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { count_max, bytes_max, state: Mutex::default() }
    }

    /// Enters if there is room and nobody waits. Whoever is admitted must [`Self::leave`] with the same number of bytes.
    ///
    /// Something larger than all the room there is may enter when it is alone.
    pub(super) fn try_enter(&self, bytes: usize) -> Entry {
        let mut state = self.state();
        if state.closed {
            return Entry::Closed;
        }
        if !state.waiting.is_empty() || !self.fits(&state, bytes) {
            return Entry::Full;
        }
        state.count += 1;
        state.bytes += bytes;
        Entry::Admitted
    }

    /// Enters as soon as it is this caller's turn. Dropping the future leaves the line, or the room.
    pub(super) fn enter(&self, bytes: usize) -> Enter<'_> {
        Enter { gate: self, bytes, ticket: None }
    }

    pub(super) fn leave(&self, bytes: usize) {
        let mut state = self.state();
        assert!(state.count > 0 && state.bytes >= bytes, "{bytes} bytes leave, {} are in", state.bytes);
        state.count -= 1;
        state.bytes -= bytes;
        self.admit_next(state);
    }

    /// Nobody enters from here on; everyone who waits is told.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let told = std::mem::take(&mut state.waiting);
        drop(state);
        told.into_iter().for_each(|waiting| waiting.waker.wake());
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.state().bytes
    }

    fn fits(&self, state: &State, bytes: usize) -> bool {
        let room = self.bytes_max.saturating_sub(state.bytes);
        state.count == 0 || (state.count < self.count_max && bytes <= room)
    }

    /// Lets in as many from the head of the line as fit.
    fn admit_next(&self, mut state: MutexGuard<'_, State>) {
        let mut told = Vec::new();
        while let Some(waiting) = state.waiting.front()
            && self.fits(&state, waiting.bytes)
            && let Some(waiting) = state.waiting.pop_front()
        {
            state.count += 1;
            state.bytes += waiting.bytes;
            state.admitted.insert(waiting.ticket);
            told.push(waiting.waker);
        }
        drop(state);
        told.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held but the assert above, which changes nothing before it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Gate::enter`].
pub(super) struct Enter<'a> {
    gate: &'a Gate,
    bytes: usize,
    ticket: Option<u64>,
}

/// The gate was closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GateClosed;

impl Enter<'_> {
    /// Whether it stands in the line: true from the first time it could not enter.
    pub(super) fn is_waiting(&self) -> bool {
        self.ticket.is_some()
    }

    /// Goes in from the head of the line although the bytes exceed the gate's limit, if they stay within `bytes_max`. The next
    /// poll tells that it is in.
    pub(super) fn go_beyond(&mut self, bytes_max: usize) {
        let mut state = self.gate.state();
        let fits = state.count < self.gate.count_max && self.bytes <= bytes_max.saturating_sub(state.bytes);
        if fits
            && state.waiting.front().map(|head| head.ticket) == self.ticket
            && let Some(head) = state.waiting.pop_front()
        {
            state.count += 1;
            state.bytes += head.bytes;
            state.admitted.insert(head.ticket);
        }
    }
}

impl Future for Enter<'_> {
    type Output = Result<(), GateClosed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.gate.state();
        let Some(ticket) = this.ticket else {
            if state.closed {
                return Poll::Ready(Err(GateClosed));
            }
            if state.waiting.is_empty() && this.gate.fits(&state, this.bytes) {
                state.count += 1;
                state.bytes += this.bytes;
                return Poll::Ready(Ok(()));
            }
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            state.waiting.push_back(Waiting { ticket, bytes: this.bytes, waker: cx.waker().clone() });
            this.ticket = Some(ticket);
            return Poll::Pending;
        };
        if state.admitted.remove(&ticket) {
            this.ticket = None;
            return Poll::Ready(Ok(()));
        }
        match state.waiting.binary_search_by_key(&ticket, |waiting| waiting.ticket) {
            Ok(at) => {
                if let Some(waiting) = state.waiting.get_mut(at) {
                    waiting.waker.clone_from(cx.waker());
                }
                Poll::Pending
            }
            // Neither admitted nor in the line: the gate was closed.
            Err(_) => {
                this.ticket = None;
                Poll::Ready(Err(GateClosed))
            }
        }
    }
}

impl Drop for Enter<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.gate.state();
        if state.admitted.remove(&ticket) {
            drop(state);
            self.gate.leave(self.bytes);
        } else if let Ok(at) = state.waiting.binary_search_by_key(&ticket, |waiting| waiting.ticket) {
            state.waiting.remove(at);
            // It may have been the one that did not fit, before others that do.
            self.gate.admit_next(state);
        }
    }
}
