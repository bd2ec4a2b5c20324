//! Places for streams from other servers: so many at a time. One whose client takes nothing gives way to another that waits.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::FleetError;
use crate::io::monotonic;

/// How long one waits for a place, and how often it looks who could give way.
const WAIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(250);

/// No client is waited for.
const NOBODY: u64 = u64::MAX;

pub(super) struct Places {
    free: Arc<Semaphore>,
    max: u32,
    taken: Mutex<Vec<Weak<Stall>>>,
    patience: Duration,
}

/// One stream's place, until it is dropped.
pub struct Place {
    stall: Arc<Stall>,
    _permit: OwnedSemaphorePermit,
}

/// How long a stream waits for its client.
pub(super) struct Stall {
    /// Milliseconds of the monotonic clock; [`NOBODY`] while it is the owner that is waited for.
    since_ms: AtomicU64,
    over: Notify,
    /// As `over`, for who looks once in a while.
    ended: AtomicBool,
}

impl Places {
    /// * `patience`: how long a client may take nothing while others wait; zero: for ever.
    pub fn new(max: u32, patience: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(max as usize)), max, taken: Mutex::default(), patience }
    }

    pub async fn enter(&self) -> Result<Place, FleetError> {
        let began = monotonic();
        loop {
            if let Ok(Ok(permit)) = timeout(LOOK, Arc::clone(&self.free).acquire_owned()).await {
                let stall = Arc::new(Stall {
                    since_ms: AtomicU64::new(NOBODY),
                    over: Notify::new(),
                    ended: AtomicBool::new(false),
                });
                let mut taken = self.taken();
                taken.retain(|other| other.strong_count() > 0);
                taken.push(Arc::downgrade(&stall));
                return Ok(Place { stall, _permit: permit });
            }
            if monotonic().saturating_sub(began) > WAIT {
                return Err(FleetError::Busy { max: self.max });
            }
            self.end_longest();
        }
    }

    /// Ends the stream that has waited for its client for the longest time, when that is too long.
    fn end_longest(&self) {
        let now_ms = ms(monotonic());
        let waiting = self.taken().iter().filter_map(Weak::upgrade).min_by_key(|stall| stall.since_ms.load(Relaxed));
        let Some(stall) = waiting else { return };
        let since_ms = stall.since_ms.load(Relaxed);
        if !self.patience.is_zero() && since_ms != NOBODY && now_ms.saturating_sub(since_ms) >= ms(self.patience) {
            stall.ended.store(true, Relaxed);
            stall.over.notify_one();
        }
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Weak<Stall>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The client wants more. Returns whether the place has to be given up.
    pub fn asked(&self) -> bool {
        self.stall.since_ms.store(NOBODY, Relaxed);
        self.stall.ended.load(Relaxed)
    }

    /// From here on it is the client that is waited for.
    pub fn answered(&self) {
        self.stall.since_ms.store(ms(monotonic()), Relaxed);
    }

    /// Runs what waits for the client; `None` when the place has to be given up.
    pub async fn client<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        self.stall.since_ms.store(ms(monotonic()), Relaxed);
        let done = tokio::select! {
            done = waiting => Some(done),
            () = self.stall.over.notified() => None,
        };
        self.stall.since_ms.store(NOBODY, Relaxed);
        done
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NOBODY - 1)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Goal: clients that hang do not keep others out, and those that are served are left alone.
    #[tokio::test]
    async fn who_waits_for_its_client_for_too_long_gives_way() {
        let places = Places::new(2, Duration::from_millis(1));
        let (hanging, served) = (places.enter().await.unwrap(), places.enter().await.unwrap());
        assert!(served.client(async {}).await.is_some());
        let hangs = async move { hanging.client(pending::<()>()).await.is_none() };
        let (gave_way, third) = tokio::join!(hangs, places.enter());
        assert!(gave_way && third.is_ok());
        let asked = timeout(LOOK * 3, places.enter()).await;
        assert!(asked.is_err(), "those that wait for their owner stay");
        drop(served);
        assert!(places.enter().await.is_ok());
    }
}
