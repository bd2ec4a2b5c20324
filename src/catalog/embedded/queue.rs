//! A bounded queue between callers and the threads of the catalog.

use std::collections::VecDeque;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::catalog::CatalogError;

/// First in, first out, for any number of callers and threads. Bounded in calls and in bytes: at the limit a call is
/// refused, never kept waiting.
pub struct Queue<J> {
    state: Mutex<State<J>>,
    ready: Condvar,
    calls_max: usize,
    bytes_max: usize,
}

struct State<J> {
    jobs: VecDeque<(J, usize)>,
    bytes: usize,
    closed: bool,
}

impl<J> Queue<J> {
    pub fn new(calls_max: usize, bytes_max: usize) -> Self {
        let state = State { jobs: VecDeque::new(), bytes: 0, closed: false };
        Self { state: Mutex::new(state), ready: Condvar::new(), calls_max, bytes_max }
    }

    /// A single call above the limit of bytes is let in when it is alone.
    ///
    /// # Errors
    /// `Overloaded` at a limit, `Closed` after [`Self::close`].
    pub fn push(&self, job: J, bytes: usize) -> Result<(), CatalogError> {
        let mut state = self.lock();
        if state.closed {
            return Err(CatalogError::Closed);
        }
        let full_of_bytes = !state.jobs.is_empty() && state.bytes.saturating_add(bytes) > self.bytes_max;
        if state.jobs.len() >= self.calls_max || full_of_bytes {
            return Err(CatalogError::Overloaded { waiting: state.jobs.len() as u64, limit: self.calls_max as u64 });
        }
        state.jobs.push_back((job, bytes));
        state.bytes += bytes;
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for jobs and takes all there are, at most `max`. Empty once the queue is closed and drained.
    pub fn take(&self, max: usize) -> Vec<J> {
        let mut state = self.lock();
        while state.jobs.is_empty() && !state.closed {
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.jobs.len().min(max);
        let taken: Vec<_> = state.jobs.drain(..count).collect();
        state.bytes -= taken.iter().map(|(_, bytes)| bytes).sum::<usize>();
        taken.into_iter().map(|(job, _)| job).collect()
    }

    /// Takes no more jobs; those that wait are still handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    /// Takes no more jobs and drops those that wait.
    pub fn abandon(&self) {
        self.close();
        let mut state = self.lock();
        state.bytes = 0;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs); // outside the lock: their callers are woken
    }

    // A panic while the lock is held leaves plain counters behind, each valid by itself.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_refuse_and_a_lone_giant_passes() {
        let queue = Queue::new(2, 10);
        queue.push('a', 100).unwrap();
        assert_eq!(queue.push('b', 1), Err(CatalogError::Overloaded { waiting: 1, limit: 2 }));
        assert_eq!(queue.take(9), ['a']);
        queue.push('b', 5).unwrap();
        queue.push('c', 5).unwrap();
        assert!(matches!(queue.push('d', 0), Err(CatalogError::Overloaded { waiting: 2, .. })));
        assert_eq!(queue.take(1), ['b']);
        queue.close();
        assert_eq!(queue.push('e', 0), Err(CatalogError::Closed));
        assert_eq!(queue.take(9), ['c']);
        assert!(queue.take(9).is_empty());
    }
}
