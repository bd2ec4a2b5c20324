//! Which rows of a row group are wanted, and which bytes hold them.

use std::ops::Range;
use std::sync::Arc;

use super::projection::Projection;
use crate::model::TimeRange;

/// Which columns a reader wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    All,
    /// `timestamp_ns` alone.
    TimeOnly,
    Some(Arc<Projection>),
}

/// Rows of one row group that may lie in a time range. Made by `ChunkLayout::select`, for that layout only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub(super) row_group: usize,
    pub(super) rows: Range<u64>,
    pub(super) range: TimeRange,
    pub(super) columns: Columns,
}

impl Selection {
    pub fn row_group(&self) -> usize {
        self.row_group
    }

    /// Rows of the row group that are decoded; those outside the time range are cut off afterwards.
    pub fn rows(&self) -> Range<u64> {
        self.rows.clone()
    }

    /// All of its rows, whatever their times.
    pub fn whole(&self) -> Self {
        Self { range: TimeRange::ALL, ..self.clone() }
    }

    /// Some of its rows, whatever their times, with other columns.
    ///
    /// * `rows`: of the row group, at least one, inside [`Self::rows`].
    pub fn part(&self, rows: Range<u64>, columns: Columns) -> Self {
        assert!(rows.start < rows.end, "rows {rows:?} are none");
        let inside = self.rows.start <= rows.start && rows.end <= self.rows.end;
        assert!(inside, "rows {rows:?} outside of {:?}", self.rows);
        Self { row_group: self.row_group, rows, range: TimeRange::ALL, columns }
    }
}

/// Ranges ascending, touching and overlapping ones made one.
pub(super) fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_are_merged() {
        assert_eq!(merged(vec![30..40, 0..10, 10..20, 15..18, 39..41]), [0..20, 30..41]);
    }
}
