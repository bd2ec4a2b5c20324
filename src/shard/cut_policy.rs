//! When a chunk is cut. Pure.

use std::time::Duration;

use crate::chunk::Progress;

use super::config::CHUNK_BYTES_BOUND;
use super::config::CHUNK_PAGES_MAX;
use super::config::ChunkConfig;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Continue,
    Seal(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Bytes,
    Rows,
    Age,
    Idle,
    /// The hard bounds that hold even without automatic cuts.
    Bound,
}

/// Decides on the chunk after a row group was added, or when a deadline came.
///
/// * `age`: since its first row, `idle`: since its last one.
pub fn decide(config: &ChunkConfig, progress: &Progress, age: Duration, idle: Duration) -> Cut {
    if progress.pages >= CHUNK_PAGES_MAX || progress.bytes >= CHUNK_BYTES_BOUND {
        return Cut::Seal(Reason::Bound);
    }
    if config.bytes_max == 0 {
        return Cut::Continue;
    }
    if progress.bytes >= config.bytes_max {
        return Cut::Seal(Reason::Bytes);
    }
    if config.rows_max > 0 && progress.rows >= config.rows_max {
        return Cut::Seal(Reason::Rows);
    }
    if config.age().is_some_and(|limit| age >= limit) {
        return Cut::Seal(Reason::Age);
    }
    if config.idle().is_some_and(|limit| idle >= limit) {
        return Cut::Seal(Reason::Idle);
    }
    Cut::Continue
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn progress(rows: u64, bytes: u64, pages: u64) -> Progress {
        Progress { rows, bytes, pages, row_groups: 1 }
    }

    #[test]
    fn the_first_limit_reached_cuts() {
        let config = ChunkConfig { bytes_max: 1000, rows_max: 50, age_s: 60, idle_s: 5 };
        let at = |p: Progress, age: u32, idle: u32| decide(&config, &p, SECOND * age, SECOND * idle);
        assert_eq!(at(progress(49, 999, 1), 59, 4), Cut::Continue);
        assert_eq!(at(progress(49, 1000, 1), 0, 0), Cut::Seal(Reason::Bytes));
        assert_eq!(at(progress(50, 0, 1), 0, 0), Cut::Seal(Reason::Rows));
        assert_eq!(at(progress(1, 0, 1), 60, 0), Cut::Seal(Reason::Age));
        assert_eq!(at(progress(1, 0, 1), 5, 5), Cut::Seal(Reason::Idle));
    }

    #[test]
    fn zero_bytes_turns_age_and_idleness_off_but_not_the_hard_bounds() {
        let config = ChunkConfig { bytes_max: 0, rows_max: 1, age_s: 1, idle_s: 1 };
        let at = |p: Progress| decide(&config, &p, SECOND * 9999, SECOND * 9999);
        assert_eq!(at(progress(u64::MAX, CHUNK_BYTES_BOUND - 1, 1)), Cut::Continue);
        assert_eq!(at(progress(1, CHUNK_BYTES_BOUND, 1)), Cut::Seal(Reason::Bound));
        assert_eq!(at(progress(1, 1, CHUNK_PAGES_MAX)), Cut::Seal(Reason::Bound));
    }
}
