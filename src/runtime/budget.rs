//! A byte budget shared by many tasks: permits are given in the order they were asked for.
//!
//! Invariants: the sum of the live permits never exceeds the total, and a waiting request is never overtaken, so a large
//! one is not starved by small ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use futures::channel::oneshot;

/// Cheap to clone; all clones are the same budget.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

/// So many bytes of a [`Budget`]; given back by drop.
pub struct Permit {
    bytes: usize,
    budget: Arc<Shared>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BudgetError {
    #[error("{bytes} bytes asked of a memory budget of {total} bytes")]
    TooLarge { bytes: usize, total: usize },
}

struct Shared {
    total: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    queue: VecDeque<(usize, oneshot::Sender<Permit>)>,
}

impl Budget {
    /// * `total`: bytes all permits together may reach.
    pub fn new(total: usize) -> Self {
        Self(Arc::new(Shared { total, state: Mutex::new(State { free: total, queue: VecDeque::new() }) }))
    }

    /// Waits, in order of arrival, until `bytes` are free. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`BudgetError::TooLarge`] at once when it could never be granted.
    pub async fn acquire(&self, bytes: usize) -> Result<Permit, BudgetError> {
        if bytes > self.0.total {
            return Err(BudgetError::TooLarge { bytes, total: self.0.total });
        }
        if let Some(permit) = self.try_acquire(bytes) {
            return Ok(permit);
        }
        loop {
            // Before the receiver: when this future is dropped, the guard must find the request given up.
            let _leave = Leave(&self.0);
            let (sender, mut receiver) = oneshot::channel();
            self.0.lock().queue.push_back((bytes, sender));
            self.0.grant();
            if let Ok(permit) = (&mut receiver).await {
                return Ok(permit);
            }
        }
    }

    /// `None` when it is not free now, or others wait.
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let mut state = self.0.lock();
        if !state.queue.is_empty() {
            return None;
        }
        state.free = state.free.checked_sub(bytes)?;
        Some(Permit { bytes, budget: Arc::clone(&self.0) })
    }

    /// Bytes of all live permits.
    pub fn in_use(&self) -> usize {
        self.0.total - self.0.lock().free
    }

    /// Whether a request waits.
    pub fn waiting(&self) -> bool {
        self.0.lock().queue.iter().any(|(_, sender)| !sender.is_canceled())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.lock().free += self.bytes;
        self.budget.grant();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the head of the queue as long as it fits. Sends outside the lock: a permit nobody takes comes back here.
    fn grant(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            state.queue.retain(|(_, sender)| !sender.is_canceled());
            let Some(&(bytes, _)) = state.queue.front() else { return };
            let Some(free) = state.free.checked_sub(bytes) else { return };
            let Some((_, sender)) = state.queue.pop_front() else { return };
            state.free = free;
            drop(state);
            let _ = sender.send(Permit { bytes, budget: Arc::clone(self) });
        }
    }
}

/// Wakes those behind a request that gave up.
struct Leave<'a>(&'a Arc<Shared>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.grant();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn permits_are_granted_in_order_and_given_back() {
        let budget = Budget::new(10);
        let first = budget.try_acquire(8).unwrap();
        let mut large = Box::pin(budget.acquire(9));
        let mut small = Box::pin(budget.acquire(1));
        assert!((&mut large).now_or_never().is_none());
        assert!((&mut small).now_or_never().is_none(), "a small request overtook a large one");
        assert!(budget.waiting());
        drop(first);
        let nine = (&mut large).now_or_never().unwrap().unwrap();
        drop((&mut small).now_or_never().unwrap().unwrap());
        drop(nine);
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn a_request_that_gives_up_lets_the_next_one_pass() {
        let budget = Budget::new(10);
        let first = budget.try_acquire(8).unwrap();
        let mut large = Box::pin(budget.acquire(9));
        let mut small = Box::pin(budget.acquire(1));
        assert!((&mut large).now_or_never().is_none());
        assert!((&mut small).now_or_never().is_none());
        drop(large);
        assert!((&mut small).now_or_never().is_some());
        drop(first);
        drop(small);
        assert_eq!(budget.in_use(), 0);
        assert!(budget.acquire(11).now_or_never().unwrap().is_err());
    }
}
