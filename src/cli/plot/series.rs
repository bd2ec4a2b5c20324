//! What is kept of a column: for each stretch of time its lowest and highest value, and how it is entered and left.
//!
//! The lines that are drawn from it are those that all rows would give, at this width.

/// What lies in one stretch. All finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    pub first: f64,
    pub last: f64,
    pub low: f64,
    pub high: f64,
    /// Whether there is a value that cannot be drawn between the one before and `first`.
    pub broken: bool,
}

/// Between two times, both included.
#[derive(Clone, Debug)]
pub struct Series {
    start: i64,
    end: i64,
    bins: Vec<Option<Bin>>,
    rows: u64,
    /// A value that cannot be drawn came last.
    broken: bool,
    bounds: Option<(f64, f64)>,
}

impl Series {
    /// * `columns`: how many stretches; at least one.
    pub fn new(start: i64, end: i64, columns: usize) -> Self {
        let (start, end) = (start.min(end), start.max(end));
        Self { start, end, bins: vec![None; columns.max(1)], rows: 0, broken: true, bounds: None }
    }

    /// One value; times ascend, and those outside are left out. Null, NaN and infinities make a gap.
    pub fn push(&mut self, time: i64, value: Option<f64>) {
        if !(self.start..=self.end).contains(&time) {
            return;
        }
        self.rows += 1;
        let Some(value) = value.filter(|value| value.is_finite()) else {
            self.broken = true;
            return;
        };
        let broken = std::mem::take(&mut self.broken);
        let (low, high) = self.bounds.unwrap_or((value, value));
        self.bounds = Some((low.min(value), high.max(value)));
        let at = self.bin_of(time);
        let Some(own) = self.bins.get_mut(at) else { return };
        *own = Some(match *own {
            None => Bin { first: value, last: value, low: value, high: value, broken },
            Some(bin) => Bin { last: value, low: bin.low.min(value), high: bin.high.max(value), ..bin },
        });
    }

    /// The stretch that a time lies in; the nearest for times outside.
    pub fn bin_of(&self, time: i64) -> usize {
        let span = u128::from(self.end.abs_diff(self.start)) + 1;
        let after = u128::from(time.clamp(self.start, self.end).abs_diff(self.start));
        usize::try_from(after * self.bins.len() as u128 / span).unwrap_or(0).min(self.bins.len() - 1)
    }

    #[cfg(test)]
    fn bins(&self) -> &[Option<Bin>] {
        &self.bins
    }

    pub fn start(&self) -> i64 {
        self.start
    }

    pub fn end(&self) -> i64 {
        self.end
    }

    /// Values that came, those that cannot be drawn too.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The lowest and the highest value; `None` when none can be drawn.
    pub fn bounds(&self) -> Option<(f64, f64)> {
        self.bounds
    }

    /// Every line to draw, as columns of `columns` and values: within each stretch, and from one to the next.
    pub fn lines(&self, columns: usize) -> Vec<((usize, f64), (usize, f64))> {
        let mut lines = Vec::new();
        let mut before: Option<(usize, f64)> = None;
        for (at, bin) in self.bins.iter().enumerate() {
            let Some(bin) = bin else { continue };
            let column = at * columns / self.bins.len();
            match before.filter(|_| !bin.broken) {
                Some(before) => lines.push((before, (column, bin.first))),
                None => lines.push(((column, bin.first), (column, bin.first))),
            }
            lines.push(((column, bin.low), (column, bin.high)));
            before = Some((column, bin.last));
        }
        lines
    }

    /// For each of `columns`, whether a hit lies in it.
    pub fn marked(&self, hits: &[(i64, i64)], columns: usize) -> Vec<bool> {
        let mut marked = vec![false; columns];
        for (first, last) in hits {
            if *last < self.start || *first > self.end {
                continue;
            }
            let column = |time: i64| self.bin_of(time) * columns / self.bins.len();
            for mark in marked.iter_mut().take(column(*last) + 1).skip(column(*first)) {
                *mark = true;
            }
        }
        marked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stretch_keeps_its_extremes_and_a_gap_its_ends() {
        let mut series = Series::new(0, 99, 10);
        for (time, value) in
            [(0, Some(1.0)), (1, Some(9.0)), (2, Some(-3.0)), (9, Some(2.0)), (35, None), (50, Some(4.0))]
        {
            series.push(time, value);
        }
        series.push(60, Some(5.0));
        series.push(61, Some(f64::INFINITY));
        series.push(100, Some(1e9));
        let first = Bin { first: 1.0, last: 2.0, low: -3.0, high: 9.0, broken: true };
        assert_eq!(series.bins()[0], Some(first));
        assert_eq!(series.bounds(), Some((-3.0, 9.0)));
        assert_eq!(series.rows(), 8);
        let lines = series.lines(10);
        assert!(!lines.contains(&((0, 2.0), (5, 4.0))), "nothing is drawn over a gap: {lines:?}");
        assert!(lines.contains(&((5, 4.0), (6, 5.0))), "{lines:?}");
    }

    #[test]
    fn hits_mark_the_columns_they_lie_in() {
        let series = Series::new(0, 99, 50);
        let marked = |hits: &[(i64, i64)]| -> Vec<usize> {
            let all = series.marked(hits, 10);
            (0..10).filter(|column| all[*column]).collect()
        };
        assert_eq!(marked(&[(5, 5), (31, 55)]), [0, 3, 4, 5]);
        assert_eq!(marked(&[(-9, -1), (100, 200)]), [] as [usize; 0]);
        assert_eq!(marked(&[(-9, 200)]).len(), 10);
    }

    proptest! {
        /// Goal: no time, however extreme, falls outside, and none falls before an earlier one.
        #[test]
        fn times_fall_into_bins_in_their_order(a in any::<i64>(), b in any::<i64>(), t in any::<i64>(), u in any::<i64>(), columns in 1usize..500) {
            let series = Series::new(a, b, columns);
            let (t, u) = (t.min(u), t.max(u));
            prop_assert!(series.bin_of(t) <= series.bin_of(u));
            prop_assert!(series.bin_of(u) < columns);
            prop_assert_eq!(series.bin_of(series.start()), 0);
        }
    }
}
