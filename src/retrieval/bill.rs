//! What a search has cost so far.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::time::Instant;

use crate::model::SearchCost;
use crate::model::TopicId;

/// Added to from wherever the search is.
#[derive(Default)]
pub(super) struct Bill(Mutex<Sums>);

#[derive(Default)]
struct Sums {
    cost: SearchCost,
    left_out: HashSet<TopicId>,
}

impl Bill {
    pub(super) fn spend(&self, add: impl FnOnce(&mut SearchCost)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).cost);
    }

    /// Counts a topic of which no row was read, once.
    pub(super) fn left_out(&self, topic: TopicId, chunks: u64) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sums.left_out.insert(topic) {
            sums.cost.topics += 1;
            sums.cost.chunks += chunks;
            sums.cost.chunks_skipped_by_segment += chunks;
        }
    }

    pub(super) fn total(self) -> SearchCost {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).cost
    }
}

pub(super) fn nanoseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
