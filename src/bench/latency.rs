//! How long things took: every value is kept, in buckets of 0.1 %.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Beyond it a value counts as this.
const MAX: Duration = Duration::from_secs(3600);

/// Durations from 1 µs on.
#[derive(Clone, Debug)]
pub struct Latency {
    microseconds: Histogram<u64>,
}

impl Latency {
    pub fn new() -> Self {
        // The bounds are right by construction; an unbounded one is the same histogram, resizing itself.
        let bounded = Histogram::new_with_bounds(1, MAX.as_micros() as u64, 3);
        let grown = || Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"));
        Self { microseconds: bounded.unwrap_or_else(|_| grown()) }
    }

    pub fn record(&mut self, took: Duration) {
        self.microseconds.saturating_record(took.as_micros().max(1) as u64);
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        // Fails only when the other's values lie outside our bounds, which are the same.
        let _ = self.microseconds.add(&other.microseconds);
    }

    pub fn count(&self) -> u64 {
        self.microseconds.len()
    }

    /// In milliseconds; zero when there is no value.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.microseconds.value_at_percentile(percent) as f64 / 1e3
    }

    /// In milliseconds.
    pub fn max(&self) -> f64 {
        self.microseconds.max() as f64 / 1e3
    }
}
