//! Leaving out what cannot have rows in a time range. Pure; only ever skips, a reader still looks at the rows.

use super::SegmentView;
use crate::model::ChunkRecord;
use crate::model::TimeBounds;
use crate::model::TimeRange;

/// What says between which times its rows lie.
pub trait Bounded {
    fn bounds(&self) -> TimeBounds;
}

impl Bounded for ChunkRecord {
    fn bounds(&self) -> TimeBounds {
        self.bounds
    }
}

impl Bounded for SegmentView {
    fn bounds(&self) -> TimeBounds {
        self.bounds
    }
}

/// The items that may have rows in `range`, in their order. One pass.
pub fn prune<T: Bounded>(mut items: Vec<T>, range: &TimeRange) -> Vec<T> {
    items.retain(|item| range.overlaps(&item.bounds()));
    items
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Bounded for Vec<i64> {
        fn bounds(&self) -> TimeBounds {
            TimeBounds { first: *self.iter().min().unwrap(), last: *self.iter().max().unwrap() }
        }
    }

    proptest! {
        /// Goal: no row in the range is ever pruned, and nothing that lies outside altogether is kept.
        #[test]
        fn pruning_is_sound_and_tight(
            items in proptest::collection::vec(proptest::collection::vec(any::<i64>(), 1..5), 0..20),
            start in any::<Option<i64>>(),
            end in any::<Option<i64>>(),
        ) {
            let Ok(range) = TimeRange::new(start, end) else { return Ok(()) };
            let kept = prune(items.clone(), &range);
            let hit = |item: &&Vec<i64>| item.iter().any(|time| range.contains(*time));
            prop_assert!(items.iter().filter(hit).all(|item| kept.contains(item)));
            for item in &kept {
                let bounds = item.bounds();
                prop_assert!(start.is_none_or(|s| bounds.last >= s) && end.is_none_or(|e| bounds.first < e));
            }
        }
    }
}
