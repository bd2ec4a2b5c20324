//! Bytes of received data that may be in memory at once.
//!
//! A permit is taken before the memory is, travels with the data, and gives the bytes back when it is dropped. At the limit a
//! stream is not polled any more, and flow control makes its client wait: nothing grows with what clients send.
//!
//! A part of a budget is a budget too: what it gives out is taken from both, first from the part, so that those who wait for their
//! part stand in nobody's way.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Poll;

use super::gate::Entry;
use super::gate::Gate;

/// A number of bytes, given out in permits. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

type Listener = Arc<dyn Fn() + Send + Sync>;

struct Inner {
    total: usize,
    gate: Gate,
    listeners: Mutex<Vec<Listener>>,
    /// What this is a part of.
    whole: Option<Budget>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    #[error("{bytes} bytes asked for at once, the whole budget is {total}")]
    TooLarge { bytes: usize, total: usize },
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self::within(bytes, None)
    }

    /// A part of this one: no more than `bytes` of it can be had through it.
    pub fn part(&self, bytes: usize) -> Self {
        Self::within(bytes.min(self.total()), Some(self.clone()))
    }

    fn within(total: usize, whole: Option<Self>) -> Self {
        Self(Arc::new(Inner { total, gate: Gate::new(usize::MAX, total), listeners: Mutex::default(), whole }))
    }

    /// A permit for `bytes`; waits until they are there, first come first served, so a big request is not starved by small
    /// ones. Dropping the future leaves the line.
    ///
    /// # Errors
    /// At once when `bytes` exceed the whole budget: waiting would not help.
    pub async fn acquire(&self, bytes: usize) -> Result<Permit, BudgetError> {
        self.check(bytes)?;
        let own = self.enter(bytes).await;
        let whole = match &self.0.whole {
            Some(whole) => Some(whole.enter(bytes).await),
            None => None,
        };
        Ok(Permit { own, _whole: whole })
    }

    async fn enter(&self, bytes: usize) -> Held {
        let mut enter = std::pin::pin!(self.0.gate.enter(bytes));
        let mut told = false;
        let entered = std::future::poll_fn(|cx| {
            let result = enter.as_mut().poll(cx);
            if result.is_pending() && enter.is_waiting() && !std::mem::replace(&mut told, true) {
                // No lock is held here: a listener may release permits, even so that this request is served at once.
                self.tell_listeners();
            }
            match result {
                Poll::Ready(Ok(())) => Poll::Ready(Held { budget: self.0.clone(), bytes }),
                // Nobody closes a budget's gate.
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
            }
        });
        entered.await
    }

    /// A permit when it can be had without waiting and without overtaking; `None` otherwise.
    pub fn try_acquire(&self, bytes: usize) -> Result<Option<Permit>, BudgetError> {
        self.check(bytes)?;
        let Some(own) = self.try_enter(bytes) else { return Ok(None) };
        let whole = match &self.0.whole {
            Some(whole) => match whole.try_enter(bytes) {
                Some(held) => Some(held),
                None => return Ok(None),
            },
            None => None,
        };
        Ok(Some(Permit { own, _whole: whole }))
    }

    fn try_enter(&self, bytes: usize) -> Option<Held> {
        match self.0.gate.try_enter(bytes) {
            Entry::Admitted => Some(Held { budget: self.0.clone(), bytes }),
            Entry::Full | Entry::Closed => None,
        }
    }

    /// Bytes that permits hold.
    pub fn in_use(&self) -> usize {
        self.0.gate.bytes()
    }

    pub fn total(&self) -> usize {
        self.0.total
    }

    /// Whether any request waits, for the whole too if this is a part: whoever holds rows for company should let go of them.
    pub fn waiting(&self) -> bool {
        self.0.is_waited_for()
    }

    /// Calls `listener` each time a request has to start waiting, also for a part, on that request's thread, with no lock of the
    /// budget held. Listeners are few, added at start, and never taken away.
    pub fn on_short(&self, listener: Listener) {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    fn check(&self, bytes: usize) -> Result<(), BudgetError> {
        let total = self.0.total;
        if bytes > total { Err(BudgetError::TooLarge { bytes, total }) } else { Ok(()) }
    }

    fn tell_listeners(&self) {
        let listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        listeners.iter().for_each(|listener| listener());
        if let Some(whole) = &self.0.whole {
            whole.tell_listeners();
        }
    }
}

impl Inner {
    fn is_waited_for(&self) -> bool {
        self.gate.is_waited_for() || self.whole.as_ref().is_some_and(Budget::waiting)
    }
}

/// Bytes of a [`Budget`], held until this is dropped.
pub struct Permit {
    own: Held,
    /// Of what its budget is a part of.
    _whole: Option<Held>,
}

/// Bytes behind one gate.
struct Held {
    budget: Arc<Inner>,
    bytes: usize,
}

impl Permit {
    pub fn bytes(&self) -> usize {
        self.own.bytes
    }

    /// Whether somebody waits for bytes of its budget.
    pub fn is_waited_for(&self) -> bool {
        self.own.budget.is_waited_for()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.gate.leave(self.bytes);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} bytes)", self.bytes())
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {} bytes)", self.in_use(), self.total())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::thread;

    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;

    fn assert_shareable<T: Send + Sync>() {}

    #[test]
    fn permits_come_back_when_they_are_dropped() {
        assert_shareable::<Permit>();
        let budget = Budget::new(10);
        let permit = budget.try_acquire(7).unwrap().unwrap();
        assert_eq!((permit.bytes(), budget.in_use()), (7, 7));
        assert!(budget.try_acquire(4).unwrap().is_none());
        drop(permit);
        assert_eq!(budget.in_use(), 0);
        assert_eq!(budget.try_acquire(11).unwrap_err(), BudgetError::TooLarge { bytes: 11, total: 10 });
        assert!(budget.acquire(11).now_or_never().unwrap().is_err());
    }

    #[test]
    fn a_big_request_is_served_before_later_small_ones() {
        let budget = Budget::new(10);
        let held = [budget.try_acquire(5).unwrap().unwrap(), budget.try_acquire(4).unwrap().unwrap()];
        let mut big = Box::pin(budget.acquire(10));
        assert!((&mut big).now_or_never().is_none() && budget.waiting());
        let mut small = Box::pin(budget.acquire(1));
        assert!((&mut small).now_or_never().is_none(), "one byte is free, but it is not its turn");
        assert!(budget.try_acquire(1).unwrap().is_none());
        drop(held);
        let big = (&mut big).now_or_never().unwrap().unwrap();
        assert!((&mut small).now_or_never().is_none());
        drop(big);
        assert!((&mut small).now_or_never().is_some() && !budget.waiting());
    }

    #[test]
    fn a_big_request_that_gives_up_lets_the_small_ones_through() {
        let budget = Budget::new(10);
        let _held = budget.try_acquire(5).unwrap().unwrap();
        let mut big = Box::pin(budget.acquire(10));
        let mut small = Box::pin(budget.acquire(5));
        assert!((&mut big).now_or_never().is_none() && (&mut small).now_or_never().is_none());
        drop(big);
        assert!((&mut small).now_or_never().is_some());
    }

    #[test]
    fn who_waits_for_a_part_stands_in_nobodys_way_and_who_gives_up_leaves_nothing() {
        let whole = Budget::new(10);
        let (first, second) = (whole.part(6), whole.part(6));
        let held = first.try_acquire(6).unwrap().unwrap();
        let mut waits = Box::pin(first.acquire(1));
        assert!((&mut waits).now_or_never().is_none() && first.waiting() && held.is_waited_for());
        assert!(!second.waiting() && !whole.waiting());
        let other = second.try_acquire(4).unwrap().unwrap();
        // There is room in the second part, and none in the whole.
        let mut late = Box::pin(second.acquire(2));
        assert!((&mut late).now_or_never().is_none() && whole.waiting() && other.is_waited_for());
        assert_eq!((second.in_use(), whole.in_use()), (6, 10));
        drop(late);
        assert_eq!((second.in_use(), whole.in_use()), (4, 10));
        assert!(second.try_acquire(1).unwrap().is_none(), "the whole is full");
        assert_eq!(second.in_use(), 4);
        drop((waits, held, other));
        assert_eq!([&first, &second, &whole].map(Budget::in_use), [0; 3]);
    }

    #[test]
    fn listeners_hear_of_every_request_that_has_to_wait() {
        let budget = Budget::new(10);
        let held = Arc::new(Mutex::new(budget.try_acquire(10).unwrap()));
        let calls = Arc::new(AtomicUsize::new(0));
        let (releases, counts) = (held.clone(), calls.clone());
        // The listener lets go of what it holds while the request is starting to wait.
        budget.on_short(Arc::new(move || {
            counts.fetch_add(1, Ordering::Relaxed);
            releases.lock().unwrap().take();
        }));
        let permit = block_on(budget.acquire(10)).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        let mut waiting = Box::pin(budget.acquire(1));
        for _ in 0..3 {
            assert!((&mut waiting).now_or_never().is_none());
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2, "once per request, not per poll");
        drop(permit);
        assert!(waiting.now_or_never().is_some());
    }

    /// Goal: the limit holds and nobody sleeps for ever, with requests of all sizes from many threads.
    #[test]
    fn threads_share_it_within_the_limit() {
        let budget = Budget::new(100);
        let used = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..6)
            .map(|who| {
                let (budget, used) = (budget.clone(), used.clone());
                thread::spawn(move || {
                    for round in 0..3_000 {
                        let bytes = (round * 37 + who * 11) % 101;
                        let permit = block_on(budget.acquire(bytes)).unwrap();
                        let now = used.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(now <= 100, "{now} bytes are out");
                        used.fetch_sub(bytes, Ordering::SeqCst);
                        drop(permit);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(budget.in_use(), 0);
    }
}
