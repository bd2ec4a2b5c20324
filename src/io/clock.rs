//! Time, as an argument: the shard reads it here and nowhere else, so that a test can turn the hands.

use std::collections::BTreeMap;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use super::timer::TimerThread;

/// A future that ends after a while; dropping it cancels it.
pub type Sleep = Pin<Box<dyn Future<Output = ()>>>;

/// The time, and waiting for it. Timeouts and ages use `monotonic`; `wall_ns` is only a label.
pub trait Clock {
    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;

    /// Nanoseconds since 1970-01-01 UTC, as the machine believes. May jump, also backwards.
    fn wall_ns(&self) -> i64;

    /// Ends when `monotonic` has advanced by `duration`, not before.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's clock.
pub struct SystemClock(Sleeper);

enum Sleeper {
    Glommio,
    Thread(TimerThread),
}

impl SystemClock {
    /// Sleeps on the timers of the glommio executor that runs on this thread; `sleep` panics on any other thread.
    pub fn glommio() -> Self {
        Self(Sleeper::Glommio)
    }

    /// Sleeps on a thread of its own; for any executor.
    pub fn threads() -> io::Result<Self> {
        Ok(Self(Sleeper::Thread(TimerThread::start()?)))
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        monotonic()
    }

    fn wall_ns(&self) -> i64 {
        wall_ns()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        match &self.0 {
            Sleeper::Glommio => Box::pin(async move {
                glommio::timer::sleep(duration).await;
            }),
            Sleeper::Thread(timer) => Box::pin(timer.sleep(duration)),
        }
    }
}

/// The machine's monotonic time, for deadlines and ages outside the shards.
pub fn now() -> Instant {
    Instant::now()
}

/// The same time as [`Clock::monotonic`] of the machine's clock, where both planes look at it.
pub fn monotonic() -> Duration {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed()
}

/// Unix time in nanoseconds: what labels are stamped with. Nothing is decided by it.
pub fn wall_ns() -> i64 {
    // A clock before 1970 is a label as good as any.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A clock that stands still until a test moves it. Clones, on any thread, are the same clock.
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Default)]
struct Hands {
    monotonic: Duration,
    wall_ns: i64,
    /// Who sleeps until when; the number tells sleepers of one moment apart.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next_sleeper: u64,
}

impl ManualClock {
    /// Starts at zero, with `wall_ns` on the label.
    pub fn new(wall_ns: i64) -> Self {
        Self(Arc::new(Mutex::new(Hands { wall_ns, ..Hands::default() })))
    }

    /// Moves both hands forward and wakes whom that is due.
    pub fn advance(&self, duration: Duration) {
        let due = {
            let mut hands = self.hands();
            hands.monotonic += duration;
            hands.wall_ns = hands.wall_ns.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX));
            let now = hands.monotonic;
            let later = hands.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut hands.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Sets the label alone: the wall clock jumped.
    pub fn set_wall_ns(&self, wall_ns: i64) {
        self.hands().wall_ns = wall_ns;
    }

    /// How many sleep right now: lets a test wait until there is somebody to wake.
    pub fn sleepers(&self) -> usize {
        self.hands().sleepers.len()
    }

    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.hands().monotonic
    }

    fn wall_ns(&self) -> i64 {
        self.hands().wall_ns
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let key = {
            let mut hands = self.hands();
            hands.next_sleeper += 1;
            (hands.monotonic + duration, hands.next_sleeper)
        };
        let sleeper = Sleeping { clock: self.clone(), key };
        Box::pin(poll_fn(move |cx| {
            let mut hands = sleeper.clock.hands();
            if hands.monotonic >= sleeper.key.0 {
                return Poll::Ready(());
            }
            hands.sleepers.insert(sleeper.key, cx.waker().clone());
            Poll::Pending
        }))
    }
}

/// Takes a sleeper that gave up off the list.
struct Sleeping {
    clock: ManualClock,
    key: (Duration, u64),
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.clock.hands().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_manual_clock_wakes_sleepers_when_their_time_comes() {
        let clock = ManualClock::new(1_000);
        let mut short = clock.sleep(Duration::from_secs(1));
        let mut long = clock.sleep(Duration::from_secs(2));
        assert!((&mut short).now_or_never().is_none() && (&mut long).now_or_never().is_none());
        assert_eq!(clock.sleepers(), 2);
        clock.advance(Duration::from_secs(1));
        assert!((&mut short).now_or_never().is_some() && (&mut long).now_or_never().is_none());
        assert_eq!((clock.monotonic(), clock.wall_ns()), (Duration::from_secs(1), 1_000_001_000));
        drop(long);
        assert_eq!(clock.sleepers(), 0);
    }

    #[test]
    fn a_sleep_is_woken_from_another_thread() {
        let clock = ManualClock::default();
        let hand = clock.clone();
        let turner = std::thread::spawn(move || {
            while hand.sleepers() == 0 {
                std::thread::yield_now();
            }
            hand.advance(Duration::from_secs(5));
        });
        block_on(clock.sleep(Duration::from_secs(5)));
        turner.join().unwrap();
    }

    #[test]
    fn the_system_clock_never_wakes_early() {
        let clock = SystemClock::threads().unwrap();
        let start = clock.monotonic();
        let sleep = |ms| clock.sleep(Duration::from_millis(ms));
        block_on(futures::future::join3(sleep(15), sleep(5), sleep(10)));
        assert!(clock.monotonic() - start >= Duration::from_millis(15));
        assert!(clock.wall_ns() > 1_700_000_000_000_000_000);
    }
}
