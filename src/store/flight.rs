//! What of one file is on its way to the device: how many operations, and the first error of any.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::task::Waker;

use super::reader::is_ours;

/// Operations of one file that have departed and not arrived.
#[derive(Default)]
pub struct Flight(RefCell<State>);

#[derive(Default)]
struct State {
    count: usize,
    lost: Option<Lost>,
    waker: Option<Waker>,
}

/// The first operation that failed.
#[derive(Clone, Debug)]
pub struct Lost {
    pub step: &'static str,
    pub kind: io::ErrorKind,
    pub cause: String,
    /// For want of something that this process has no more of.
    pub is_ours: bool,
}

/// One operation under way. Dropped without arriving (its task panicked), it counts as failed.
pub struct Departed {
    flight: Rc<Flight>,
    step: &'static str,
    arrived: bool,
}

impl Flight {
    pub fn depart(self: &Rc<Self>, step: &'static str) -> Departed {
        self.0.borrow_mut().count += 1;
        Departed { flight: Rc::clone(self), step, arrived: false }
    }

    /// Returns once at most `count_max` operations are under way, or at once with the first error of any.
    pub async fn at_most(&self, count_max: usize) -> Result<(), Lost> {
        std::future::poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if let Some(lost) = &state.lost {
                return Poll::Ready(Err(lost.clone()));
            }
            if state.count <= count_max {
                return Poll::Ready(Ok(()));
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Returns once nothing is under way, failed or not.
    pub async fn settled(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if state.count == 0 {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Departed {
    pub fn arrive(mut self, result: io::Result<()>) {
        self.land(result);
    }

    fn land(&mut self, result: io::Result<()>) {
        self.arrived = true;
        let mut state = self.flight.0.borrow_mut();
        assert!(state.count > 0, "{} arrived and never departed", self.step);
        state.count -= 1;
        if let (Err(error), None) = (result, &state.lost) {
            state.lost =
                Some(Lost { step: self.step, kind: error.kind(), cause: error.to_string(), is_ours: is_ours(&error) });
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl Drop for Departed {
    fn drop(&mut self) {
        if !self.arrived {
            self.land(Err(io::Error::other("the operation was given up before it ended")));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn an_operation_that_never_arrives_counts_as_failed() {
        let flight = Rc::new(Flight::default());
        let departed = flight.depart("writing");
        assert!(flight.at_most(0).now_or_never().is_none());
        drop(departed);
        assert_eq!(flight.at_most(0).now_or_never().unwrap().unwrap_err().step, "writing");
        assert!(flight.settled().now_or_never().is_some());
    }

    #[test]
    fn the_first_error_is_told_at_once_and_settling_waits_for_the_rest() {
        let flight = Rc::new(Flight::default());
        let (first, second) = (flight.depart("first"), flight.depart("second"));
        first.arrive(Err(io::Error::other("broken")));
        assert_eq!(flight.at_most(5).now_or_never().unwrap().unwrap_err().step, "first");
        assert!(flight.settled().now_or_never().is_none());
        second.arrive(Ok(()));
        assert!(flight.settled().now_or_never().is_some());
    }
}
