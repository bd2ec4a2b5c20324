//! Wakes a glommio executor from outside at a fixed pace, because it can go to sleep with work to do.
//!
//! glommio 0.9 asks before it runs any task whether the time for tasks is over, and takes "nothing was run" for "nothing is
//! there to run". A thread that the kernel puts aside for longer than the preempt timer, between setting the timer and that
//! question, parks with runnable tasks in its queue, and sleeps until something else happens to it: on a busy machine a
//! start hung for two minutes that way. A wake from another thread ends such a sleep, and costs a few microseconds.

use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Poll;
use std::task::Waker;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest sleep with work to do.
pub(super) const PACE: Duration = Duration::from_millis(50);

/// Runs `main`, woken once per [`PACE`] besides its own wakes.
///
/// # Errors
/// When the thread that wakes cannot be started; `main` has not begun then.
pub(super) async fn pulsed<T>(main: impl Future<Output = T>) -> io::Result<T> {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let pulse = Pulse::start(waker)?;
    let result = main.await;
    drop(pulse);
    Ok(result)
}

/// The thread that wakes. Dropped, it is gone, and so is its waker: glommio's must not outlive their executor.
struct Pulse {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    fn start(waker: Waker) -> io::Result<Self> {
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let own = Arc::clone(&ended);
        let thread = thread::Builder::new().name("pulse".to_owned()).spawn(move || {
            let (ended, changed) = &*own;
            let mut guard = ended.lock().unwrap_or_else(PoisonError::into_inner);
            while !*guard {
                guard = changed.wait_timeout(guard, PACE).unwrap_or_else(PoisonError::into_inner).0;
                waker.wake_by_ref();
            }
        })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only waits and wakes: there is no panic to hand on.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::pending;

    use super::*;

    #[test]
    fn a_future_that_nobody_wakes_is_polled_again() {
        let mut polls = 0;
        let three = poll_fn(|_| {
            polls += 1;
            if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
        });
        futures::executor::block_on(pulsed(three)).unwrap();
        assert_eq!(polls, 3);
    }

    #[test]
    fn dropped_before_its_end_it_stops_at_once() {
        let mut never = Box::pin(pulsed(pending::<()>()));
        assert!(futures::FutureExt::now_or_never(never.as_mut()).is_none());
        drop(never);
    }
}
