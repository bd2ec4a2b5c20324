//! A call to all topics of a shard: memory is short, let go of what only waits for company.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::task::Waker;

/// Cheap to clone; stays on its thread.
#[derive(Clone, Default)]
pub struct Relief(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    calls: u64,
    waiting: Vec<Waker>,
}

impl Relief {
    pub fn call(&self) {
        let waiting = {
            let mut state = self.0.borrow_mut();
            state.calls += 1;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Calls so far: what [`Self::after`] takes.
    pub fn calls(&self) -> u64 {
        self.0.borrow().calls
    }

    /// Returns once there were more than `calls` calls.
    pub async fn after(&self, calls: u64) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if state.calls > calls {
                return Poll::Ready(());
            }
            // One entry per waiting task: a task that polls again must not fill the list.
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}
