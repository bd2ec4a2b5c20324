//! Windows of time: matching rows that lie close together, and what windows of several topics have in common.
//!
//! Both bounds of a window are inclusive: the first and the last matching time.

use crate::model::TimeBounds;

/// Makes windows out of ascending times.
#[derive(Clone, Copy, Debug)]
pub struct Clusterer {
    gap_ns: u64,
    open: Option<TimeBounds>,
}

impl Clusterer {
    /// * `gap_ns`: largest gap inside a window; 0: everything is one window.
    pub fn new(gap_ns: u64) -> Self {
        Self { gap_ns, open: None }
    }

    /// Takes one more time; the window before it, when it ends there.
    pub fn push(&mut self, time: i64) -> Option<TimeBounds> {
        match &mut self.open {
            Some(open) if self.gap_ns == 0 || open.last.abs_diff(time) <= self.gap_ns => {
                open.last = time;
                None
            }
            open => open.replace(TimeBounds { first: time, last: time }),
        }
    }

    /// The last window.
    pub fn finish(self) -> Option<TimeBounds> {
        self.open
    }
}

/// What the current windows of all topics have in common, with a tolerance that is shared out to both sides.
pub fn common(windows: &[TimeBounds], tolerance_ns: u64) -> Option<TimeBounds> {
    let start = windows.iter().map(|window| window.first).max()?;
    let end = windows.iter().map(|window| window.last).min()?;
    if start <= end {
        return Some(TimeBounds { first: start, last: end });
    }
    let before = tolerance_ns / 2;
    (start.abs_diff(end) <= tolerance_ns).then(|| TimeBounds {
        first: start.saturating_sub_unsigned(before),
        last: end.saturating_add_unsigned(tolerance_ns - before),
    })
}

/// Which window to go on from: the one that ends first.
pub fn first_to_end(windows: &[TimeBounds]) -> Option<usize> {
    windows.iter().enumerate().min_by_key(|(_, window)| window.last).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(times: &[i64], gap_ns: u64) -> Vec<(i64, i64)> {
        let mut clusterer = Clusterer::new(gap_ns);
        let ended: Vec<_> = times.iter().filter_map(|time| clusterer.push(*time)).collect();
        ended.into_iter().chain(clusterer.finish()).map(|window| (window.first, window.last)).collect()
    }

    #[test]
    fn a_gap_equal_to_the_distance_stays_inside() {
        assert_eq!(windows(&[0, 5, 10, 16, 16, 30], 5), [(0, 10), (16, 16), (30, 30)]);
        assert_eq!(windows(&[0, 5, 1000], 0), [(0, 1000)]);
        assert_eq!(windows(&[], 5), []);
        assert_eq!(windows(&[i64::MIN, i64::MAX], 5), [(i64::MIN, i64::MIN), (i64::MAX, i64::MAX)]);
        assert_eq!(windows(&[i64::MIN, i64::MAX], u64::MAX), [(i64::MIN, i64::MAX)]);
    }

    #[test]
    fn the_tolerance_is_halved_with_the_odd_one_at_the_end() {
        let window = |first, last| TimeBounds { first, last };
        assert_eq!(common(&[window(0, 10), window(5, 20)], 0), Some(window(5, 10)));
        assert_eq!(common(&[window(0, 10), window(10, 20)], 0), Some(window(10, 10)));
        assert_eq!(common(&[window(0, 10), window(13, 20)], 2), None);
        assert_eq!(common(&[window(0, 10), window(13, 20)], 3), Some(window(12, 12)));
        let far = [window(i64::MIN, i64::MIN), window(i64::MAX, i64::MAX)];
        assert_eq!(common(&far, u64::MAX), Some(window(0, 0)));
        assert_eq!(first_to_end(&[window(0, 9), window(3, 4), window(0, 4)]), Some(1));
    }
}
