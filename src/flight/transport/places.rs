//! Places for connections: when all are taken, a client that uses none of its own makes room for one that comes.
//!
//! Without this, clients that connect and then only answer pings could keep all others out for as long as they like.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;

/// A connection keeps its place for so long after its last call, whoever else comes.
const GRACE: Duration = Duration::from_secs(2);

/// All places of a server. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<Mutex<Vec<Arc<Seat>>>>);

/// The place of one connection, given back when it is dropped.
pub(super) struct Place {
    places: Places,
    seat: Arc<Seat>,
}

struct Seat {
    /// Since when no call runs; `None` while one does, and once the connection was told to leave.
    idle_since: Mutex<Option<Instant>>,
    leave: Notify,
}

impl Places {
    /// Takes a place. The connection counts as idle: it has made no call.
    pub fn take(&self, now: Instant) -> Place {
        let seat = Arc::new(Seat { idle_since: Mutex::new(Some(now)), leave: Notify::new() });
        lock(&self.0).push(Arc::clone(&seat));
        Place { places: self.clone(), seat }
    }

    /// Tells the connection to leave that has been idle for the longest time. False when all are in use.
    pub fn free(&self, now: Instant) -> bool {
        let seats = lock(&self.0);
        let idle = seats.iter().filter_map(|seat| Some(((*lock(&seat.idle_since))?, seat)));
        let Some((since, seat)) = idle.min_by_key(|(since, _)| *since) else { return false };
        if now.duration_since(since) < GRACE {
            return false;
        }
        *lock(&seat.idle_since) = None;
        seat.leave.notify_one();
        true
    }
}

impl Place {
    pub fn busy(&self) {
        *lock(&self.seat.idle_since) = None;
    }

    pub fn idle(&self, now: Instant) {
        *lock(&self.seat.idle_since) = Some(now);
    }

    /// Resolves when another client needs the place.
    pub async fn wanted(&self) {
        self.seat.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places.0).retain(|seat| !Arc::ptr_eq(seat, &self.seat));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_one_that_was_idle_longest_leaves_and_none_that_works() {
        let (places, begun) = (Places::default(), Instant::now());
        let [busy, second, first] = [begun, begun + GRACE, begun].map(|at| places.take(at));
        busy.busy();
        assert!(!places.free(begun), "all have just come");
        assert!(places.free(begun + GRACE));
        let left = [&busy, &second, &first].map(|place| place.wanted().now_or_never().is_some());
        assert_eq!(left, [false, false, true]);
        assert!(!places.free(begun + GRACE), "the other one has just come");
        assert!(places.free(begun + GRACE * 2));
        assert!(!places.free(begun + GRACE * 9), "one works, and two were told already");
        busy.idle(begun + GRACE * 9);
        drop(busy);
        assert!(!places.free(begun + GRACE * 99), "it is gone");
    }
}
