//! Histories of concurrent calls, and whether some order of them, one after the other, explains every answer.
//!
//! Source: J. Wing, C. Gong, "Testing and verifying concurrent objects", 1993, with the memo of G. Lowe, 2017.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// A call with its answer. An answer is known only after the call, so the moments bracket when it took effect.
#[derive(Clone, Debug)]
pub struct Call<C> {
    pub what: C,
    begun: u64,
    ended: u64,
}

/// Takes down calls from any thread.
pub struct Recorder<C>(Arc<(AtomicU64, Mutex<Vec<Call<C>>>)>);

impl<C> Clone for Recorder<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Default for Recorder<C> {
    fn default() -> Self {
        Self(Arc::new((AtomicU64::new(0), Mutex::default())))
    }
}

impl<C> Recorder<C> {
    /// * `call`: ends with what was asked and answered.
    pub async fn note(&self, call: impl Future<Output = C>) {
        let begun = self.0.0.fetch_add(1, SeqCst);
        let what = call.await;
        let ended = self.0.0.fetch_add(1, SeqCst);
        self.0.1.lock().unwrap().push(Call { what, begun, ended });
    }

    pub fn take(&self) -> Vec<Call<C>> {
        std::mem::take(&mut self.0.1.lock().unwrap())
    }
}

/// What a history is held against.
pub trait Model: Clone + Eq + Hash {
    type Call: Debug;

    /// The state after the call; `None` when its answer cannot come from this state.
    fn after(&self, call: &Self::Call) -> Option<Self>;
}

/// Whether some order of the calls, in which none comes before one that had ended when it began, explains every answer.
/// At most 128 calls.
pub fn explains<M: Model>(start: M, calls: &[Call<M::Call>]) -> bool {
    assert!(calls.len() <= 128, "{} calls are too many", calls.len());
    let (mut seen, mut open) = (HashSet::new(), vec![(0u128, start)]);
    let all = if calls.len() == 128 { u128::MAX } else { (1u128 << calls.len()) - 1 };
    while let Some((done, state)) = open.pop() {
        if done == all {
            return true;
        }
        let left = || calls.iter().enumerate().filter(|(nth, _)| done & (1 << nth) == 0);
        let first_end = left().map(|(_, call)| call.ended).min().unwrap_or(u64::MAX);
        for (nth, call) in left().filter(|(_, call)| call.begun <= first_end) {
            if let Some(next) = state.after(&call.what)
                && seen.insert((done | (1 << nth), next.clone()))
            {
                open.push((done | (1 << nth), next));
            }
        }
    }
    false
}

/// Goal: the checker can say no.
#[test]
fn an_answer_that_no_order_explains_is_seen() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Register(u8);
    impl Model for Register {
        /// Written, or read.
        type Call = (bool, u8);
        fn after(&self, (write, value): &(bool, u8)) -> Option<Self> {
            (*write || self.0 == *value).then_some(Register(*value))
        }
    }
    let call = |what, begun, ended| Call { what, begun, ended };
    // Read while it is written: the old value or the new one, but not the old one after the new one.
    let fresh = [call((true, 1), 0, 9), call((false, 1), 1, 2), call((false, 1), 3, 4)];
    assert!(explains(Register(0), &fresh));
    let stale = [call((true, 1), 0, 9), call((false, 1), 1, 2), call((false, 0), 3, 4)];
    assert!(!explains(Register(0), &stale));
}
