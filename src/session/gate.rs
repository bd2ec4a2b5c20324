//! Gates: one at a time through the moves that must keep files and catalog in step.
//!
//! The catalog's transactions are atomic, but a manifest is a file beside them: between writing it and committing the
//! finalize no topic may come or go, and no delete may pass in between, or a manifest of a deleted session would stay.
//!
//! Order, so that nobody waits in a circle: first a sequence's gate, then those of its sessions, ascending by id.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::Weak;

use futures::lock::Mutex as AsyncMutex;
use futures::lock::OwnedMutexGuard;

use crate::model::SequenceName;
use crate::model::SessionId;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Gate {
    /// Sessions of the sequence come and go.
    Sequence(SequenceName),
    /// Topics of the session come and go, the session becomes final or is deleted.
    Session(SessionId),
}

/// Held while passing; the next one follows when it is dropped.
pub(super) type Passage = OwnedMutexGuard<()>;

/// The gates in use. Memory: one entry per gate that somebody holds or waits at, at most doubled by stale ones.
#[derive(Default)]
pub(super) struct Gates {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    gates: HashMap<Gate, Weak<AsyncMutex<()>>>,
    /// Above this many entries those nobody uses are thrown out.
    prune_at: usize,
}

impl Gates {
    /// Waits until nobody else is in the gate.
    pub(super) async fn pass(&self, gate: Gate) -> Passage {
        self.lock(gate).lock_owned().await
    }

    fn lock(&self, gate: Gate) -> Arc<AsyncMutex<()>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = known.gates.get(&gate).and_then(Weak::upgrade) {
            return lock;
        }
        if known.gates.len() >= known.prune_at {
            known.gates.retain(|_, lock| lock.strong_count() > 0);
            known.prune_at = (2 * known.gates.len()).max(64);
        }
        let lock = Arc::new(AsyncMutex::new(()));
        known.gates.insert(gate, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;
    use crate::model::IdSource;

    #[test]
    fn one_at_a_time_and_only_through_the_same_gate() {
        let (gates, ids) = (Gates::default(), IdSource::from_seed([1; 32]));
        let (one, other) = (SessionId::new(&ids), SessionId::new(&ids));
        let passage = block_on(gates.pass(Gate::Session(one)));
        assert!(gates.pass(Gate::Session(one)).now_or_never().is_none());
        assert!(gates.pass(Gate::Session(other)).now_or_never().is_some());
        drop(passage);
        assert!(gates.pass(Gate::Session(one)).now_or_never().is_some());
    }

    #[test]
    fn gates_that_nobody_uses_are_forgotten() {
        let (gates, ids) = (Gates::default(), IdSource::from_seed([1; 32]));
        let held = block_on(gates.pass(Gate::Session(SessionId::new(&ids))));
        for _ in 0..10_000 {
            drop(block_on(gates.pass(Gate::Session(SessionId::new(&ids)))));
        }
        assert!(gates.known.lock().unwrap().gates.len() <= 64);
        drop(held);
    }
}
