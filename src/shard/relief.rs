//! A call to all topics of a shard: something is short, let go of what you only hold for later.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

/// Cheap to clone; stays on its thread. Calls are counted, so that whoever is busy when one comes hears it later.
#[derive(Clone, Default)]
pub struct Relief(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    calls: u64,
    waiting: BTreeMap<u64, Waker>,
    next_waiter: u64,
}

impl Relief {
    pub fn call(&self) {
        let waiting = {
            let mut state = self.0.borrow_mut();
            state.calls += 1;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_values().for_each(Waker::wake);
    }

    /// Calls so far: what [`Self::after`] takes.
    pub fn calls(&self) -> u64 {
        self.0.borrow().calls
    }

    /// Ready once there were more than `calls` calls.
    pub fn after(&self, calls: u64) -> After {
        let mut state = self.0.borrow_mut();
        state.next_waiter += 1;
        After { relief: self.clone(), calls, waiter: state.next_waiter }
    }
}

/// See [`Relief::after`]. Leaves nothing behind when dropped.
pub struct After {
    relief: Relief,
    calls: u64,
    waiter: u64,
}

impl Future for After {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.relief.0.borrow_mut();
        if state.calls > self.calls {
            return Poll::Ready(());
        }
        state.waiting.insert(self.waiter, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for After {
    fn drop(&mut self) {
        self.relief.0.borrow_mut().waiting.remove(&self.waiter);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_call_is_heard_by_who_waits_and_by_who_comes_late() {
        let relief = Relief::default();
        let before = relief.calls();
        let mut waits = Box::pin(relief.after(before));
        assert_eq!((&mut waits).now_or_never(), None);
        relief.call();
        assert_eq!(waits.now_or_never(), Some(()));
        assert_eq!(relief.after(before).now_or_never(), Some(()));
        assert_eq!(relief.after(relief.calls()).now_or_never(), None);
    }

    #[test]
    fn who_stops_waiting_leaves_nothing_behind() {
        let relief = Relief::default();
        for _ in 0..100 {
            assert_eq!(relief.after(0).now_or_never(), None);
        }
        assert_eq!(relief.0.borrow().waiting.len(), 0);
    }
}
