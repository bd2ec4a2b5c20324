//! Effort follows slack: what packing small rows may cost a shard.
//!
//! Packed row groups (dictionaries, zstd) need some ten times the CPU of plain pages. A shard packs only while no batch waits
//! for it, and for at most one [`SHARE`]th of its time over the last [`WINDOW`]: telemetry always fits in there, and a
//! stream as fast as the machine leaves the core to receiving.

use std::time::Duration;

use crate::chunk::Effort;

/// One part in this many of the time may go into packing.
const SHARE: u32 = 10;
/// Unused time counts for this long: telemetry may come in bursts, and a fast stream is not packed for its first second.
const WINDOW: Duration = Duration::from_secs(2);

/// What one shard may still pack.
#[derive(Default)]
pub struct Slack {
    /// Up to when, on the monotonic clock, the packing so far has used its share.
    paid: Duration,
}

impl Slack {
    /// * `now`: monotonic; `backlog`: batches that wait for the shard.
    pub fn effort(&self, now: Duration, backlog: usize) -> Effort {
        if backlog == 0 && self.paid <= now { Effort::Compact } else { Effort::Direct }
    }

    /// Takes note of a row group that took from `began` to `now` to pack.
    pub fn spend(&mut self, began: Duration, now: Duration) {
        self.paid = self.paid.max(now.saturating_sub(WINDOW)) + now.saturating_sub(began) * SHARE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_tenth_of_the_time_is_packed_whatever_comes() {
        let (mut slack, mut packed, mut now) = (Slack::default(), Duration::ZERO, WINDOW);
        let began = now;
        while now < began + 100 * WINDOW {
            match slack.effort(now, 0) {
                Effort::Compact => {
                    slack.spend(now, now + 7 * MS);
                    (packed, now) = (packed + 7 * MS, now + 7 * MS);
                }
                Effort::Direct => now += MS / 2,
            }
        }
        let share = packed.as_secs_f64() / (100 * WINDOW).as_secs_f64();
        assert!((0.1..0.103).contains(&share), "{share}");
    }

    #[test]
    fn a_quiet_shard_packs_everything_and_a_waiting_batch_stops_it() {
        let mut slack = Slack::default();
        for second in 0..1000 {
            let now = Duration::from_secs(second);
            assert_eq!(slack.effort(now, 0), Effort::Compact);
            assert_eq!(slack.effort(now, 1), Effort::Direct);
            slack.spend(now, now + 90 * MS);
        }
    }
}
