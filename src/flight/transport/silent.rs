//! Puts whose first message has not come whole yet. Windows are promised to them, and nobody knows yet whether they may record.
//!
//! There is room for so many of them, over all connections; one more takes the place of the one that has been silent for the
//! longest. Writers send their first message at once, so who holds streams open without a word loses these, and turns nobody
//! else out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::oneshot;

/// Clones share the places.
#[derive(Clone)]
pub(super) struct Silent(Arc<Inner>);

struct Inner {
    max: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// By the order in which they came. Dropping one tells its put.
    puts: BTreeMap<u64, oneshot::Sender<()>>,
    next: u64,
}

/// One silent put's place; dropped with its first message.
pub(super) struct Place {
    silent: Silent,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Silent {
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max: max.max(1), waiting: Mutex::default() }))
    }

    pub fn enter(&self) -> Place {
        let (kept, lost) = oneshot::channel();
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        if waiting.puts.len() == self.0.max {
            waiting.puts.pop_first();
        }
        waiting.puts.insert(number, kept);
        assert!(waiting.puts.len() <= self.0.max, "{} silent puts", waiting.puts.len());
        Place { silent: self.clone(), number, lost }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until another put has taken it, and tells how many places there are.
    pub async fn lost(&mut self) -> usize {
        let _ = (&mut self.lost).await; // it is never sent to
        self.silent.0.max
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.silent.lock().puts.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_longest_silent_gives_way_and_who_has_spoken_does_not_count() {
        let silent = Silent::new(2);
        let is_lost = |place: &mut Place| place.lost().now_or_never().is_some();
        let (mut first, second) = (silent.enter(), silent.enter());
        assert!(!is_lost(&mut first));
        drop(second);
        let (mut third, mut fourth) = (silent.enter(), silent.enter());
        assert_eq!([&mut first, &mut third, &mut fourth].map(is_lost), [true, false, false]);
        drop((first, third, fourth));
        assert!(silent.lock().puts.is_empty());
    }
}
