//! Time as the data has it: `timestamp_ns`, signed 64-bit nanoseconds, no epoch assumed.

/// Half-open window `[start, end)` in nanoseconds; a missing bound is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    start: Option<i64>,
    end: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("time range [{start}, {end}) is empty: the start must lie before the end, which is exclusive")]
pub struct TimeRangeError {
    pub start: i64,
    pub end: i64,
}

impl TimeRange {
    pub const ALL: Self = Self { start: None, end: None };

    /// # Errors
    /// [`TimeRangeError`] when both bounds are given and `start >= end`.
    pub fn new(start: Option<i64>, end: Option<i64>) -> Result<Self, TimeRangeError> {
        match (start, end) {
            (Some(start), Some(end)) if start >= end => Err(TimeRangeError { start, end }),
            _ => Ok(Self { start, end }),
        }
    }

    pub fn start(&self) -> Option<i64> {
        self.start
    }

    pub fn end(&self) -> Option<i64> {
        self.end
    }

    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    pub fn contains(&self, time: i64) -> bool {
        self.start.is_none_or(|start| start <= time) && self.end.is_none_or(|end| time < end)
    }

    /// What lies in both; `None` when nothing does.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = [self.end, other.end].into_iter().flatten().min();
        Self::new(start, end).ok()
    }

    /// Whether a row within `bounds` could lie inside.
    pub fn overlaps(&self, bounds: &TimeBounds) -> bool {
        self.start.is_none_or(|start| start <= bounds.last) && self.end.is_none_or(|end| bounds.first < end)
    }

    /// Whether every row within `bounds` lies inside.
    pub fn covers(&self, bounds: &TimeBounds) -> bool {
        self.contains(bounds.first) && self.contains(bounds.last)
    }
}

/// First and last timestamp of some rows, both inclusive. There is no empty one: no rows is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBounds {
    pub first: i64,
    pub last: i64,
}

impl TimeBounds {
    /// The bounds of both together.
    pub fn union(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    pub fn union_option(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.union(b)),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_in_and_the_end_is_out() {
        let range = TimeRange::new(Some(10), Some(20)).unwrap();
        assert_eq!([9, 10, 19, 20].map(|t| range.contains(t)), [false, true, true, false]);
        assert!(range.overlaps(&TimeBounds { first: 19, last: 99 }));
        assert!(!range.overlaps(&TimeBounds { first: 20, last: 99 }));
        assert!(range.overlaps(&TimeBounds { first: 0, last: 10 }));
        assert!(!range.overlaps(&TimeBounds { first: 0, last: 9 }));
        assert!(range.covers(&TimeBounds { first: 10, last: 19 }));
        assert!(!range.covers(&TimeBounds { first: 10, last: 20 }));
        assert!(TimeRange::ALL.covers(&TimeBounds { first: i64::MIN, last: i64::MAX }));
    }

    #[test]
    fn an_empty_range_is_refused() {
        assert!(TimeRange::new(Some(5), Some(5)).is_err());
        assert!(TimeRange::new(Some(6), Some(5)).is_err());
        assert!(TimeRange::new(Some(i64::MAX), None).is_ok());
    }
}
