//! When the messages of a stream are due.

use std::time::Duration;

/// Evenly spaced from an offset on. It does not move when a message is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    offset: Duration,
    period: Duration,
}

impl Schedule {
    pub fn new(offset: Duration, period: Duration) -> Self {
        Self { offset, period }
    }

    /// From the start of the run.
    pub fn due(&self, message: u64) -> Duration {
        let nanoseconds = self.period.as_nanos().saturating_mul(u128::from(message));
        self.offset + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::latency::Latency;

    const TAKES: Duration = Duration::from_millis(1);
    const STALL: Duration = Duration::from_secs(1);

    /// A sender of a message each 10 ms, to a server that takes 1 ms each and once stands still for a second.
    fn run(from_due: bool) -> Latency {
        let schedule = Schedule::new(Duration::from_millis(3), Duration::from_millis(10));
        let mut latency = Latency::new();
        let mut now = Duration::ZERO;
        for n in 0..1000 {
            let begun = now.max(schedule.due(n));
            now = begun + TAKES + if n == 500 { STALL } else { Duration::ZERO };
            latency.record(now - if from_due { schedule.due(n) } else { begun });
        }
        latency
    }

    /// Goal: one second of standing still is seen by every message that was due in it, not by the one that was under way.
    #[test]
    fn a_stall_shows_in_the_percentiles() {
        let late = run(true);
        // After the stall 9 ms are made up with each message: 112 of 1000 are late.
        assert_eq!(late.count(), 1000);
        assert!((0.99..=1.01).contains(&late.percentile(50.0)), "{}", late.percentile(50.0));
        assert!((100.0..=130.0).contains(&late.percentile(90.0)), "{}", late.percentile(90.0));
        assert!(late.percentile(99.0) > 850.0, "{}", late.percentile(99.0));
        assert!(late.max() >= 1000.0);
    }

    /// Goal: the test above can fail. Measured from when each was begun, 999 of 1000 messages saw nothing.
    #[test]
    fn measured_from_its_beginning_the_same_stall_hides() {
        assert!(run(false).percentile(99.0) < 2.0);
    }
}
