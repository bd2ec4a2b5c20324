//! One thread that wakes sleepers, for executors without timers of their own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Poll;
use std::task::Waker;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

/// The thread; it ends with its handle. Sleeps that are pending then never end.
pub(super) struct TimerThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By deadline; the number tells sleepers of one instant apart.
    sleepers: BTreeMap<(Instant, u64), Waker>,
    next_sleeper: u64,
    ended: bool,
}

impl TimerThread {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("timer".to_owned()).spawn(move || theirs.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ends `duration` after this call.
    pub(super) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        let deadline = Instant::now() + duration;
        let number = {
            let mut state = self.shared.lock();
            state.next_sleeper += 1;
            state.next_sleeper
        };
        let sleeper = Sleeper { shared: self.shared.clone(), key: (deadline, number) };
        poll_fn(move |cx| {
            if Instant::now() >= sleeper.key.0 {
                return Poll::Ready(());
            }
            let mut state = sleeper.shared.lock();
            let soonest = state.sleepers.first_key_value().is_none_or(|(first, _)| sleeper.key < *first);
            state.sleepers.insert(sleeper.key, cx.waker().clone());
            if soonest {
                sleeper.shared.changed.notify_one();
            }
            Poll::Pending
        })
    }
}

impl Drop for TimerThread {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It panics only if a waker does; there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.ended {
            let now = Instant::now();
            let later = state.sleepers.split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut state.sleepers, later);
            if !due.is_empty() {
                drop(state);
                due.into_values().for_each(Waker::wake);
                state = self.lock();
                continue;
            }
            state = match state.sleepers.first_key_value() {
                Some((&(deadline, _), _)) => {
                    let wait = deadline.saturating_duration_since(now);
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// Takes a sleeper that gave up off the list.
struct Sleeper {
    shared: Arc<Shared>,
    key: (Instant, u64),
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.shared.lock().sleepers.remove(&self.key);
    }
}
