//! Flow control: how much a client may send ahead, so that streams that wait never stop the others.
//!
//! The connection window is credit no set of streams can use up (their windows add up to less, and bytes held are counted),
//! so a stream that waits for memory never takes the connection from those that have it. The share is only in the stream
//! windows: large for few puts (a window of one message keeps a sender busy), small for many, whatever connections they are on.
//! h2 applies a new size to all open streams once the client has acknowledged it; bytes a waiting stream already holds stay,
//! which is why the sum is bounded by counting: `held`.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use h2::server::Connection;

use crate::io::now;

use super::config::MIB;
use super::held::Held;
use super::rope::Rope;
use super::socket::Socket;
use super::socket::Traffic;

/// Credit, not memory.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 30;
/// Of a stream while no put is open on its connection: as many may come at once as there may be streams.
pub(super) const QUIET_WINDOW: u32 = 64 << 10;
const STREAM_WINDOW_MIN: u32 = 32 << 10;
/// What a put has not taken yet lies in memory, and leaves the caches before it is copied: no more than keeps a sender busy.
const STREAM_WINDOW_MAX: u32 = 4 << 20;
/// Of what may be held in all, what the windows of all puts add up to while they drain. The rest is for those that came when
/// windows were larger and hold as much: each time the puts double, half of this more.
const DRAINING_PART: usize = 4;
/// h2's guard against floods of tiny frames would follow the connection window and be void.
pub(super) const DATA_FRAME_BUDGET: usize = 32 * MIB;

/// The window of each put's stream while `puts` of them are open, over all connections.
///
/// * `max`: bytes that all may hold.
pub(super) fn share(puts: usize, max: usize) -> u32 {
    let each = max / DRAINING_PART / puts.max(1).next_power_of_two();
    u32::try_from(each).unwrap_or(u32::MAX).clamp(STREAM_WINDOW_MIN, STREAM_WINDOW_MAX)
}

/// How many puts may be silent: the windows of so many add up to no more than a part of `max`, so there is room for others.
pub(super) fn silent_max(max: usize) -> usize {
    max / DRAINING_PART / STREAM_WINDOW_MIN as usize
}

/// The stream window of one connection, as last announced.
pub(super) struct Windows {
    announced: u32,
    /// When the SETTINGS that may still be unacknowledged were sent.
    sent_at: Option<Instant>,
    /// They made windows smaller, and are not known to be acknowledged.
    smaller: bool,
    /// Larger windows are asked for now and then only: whether there is room for them takes a look at every stream.
    growing: bool,
    traffic: Arc<Traffic>,
    /// Bytes received when what the connection holds was last counted.
    counted_at: u64,
}

/// Why a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client does not acknowledge SETTINGS: its windows cannot be controlled.
    Unacknowledged,
    /// It goes on sending into windows that were made smaller, and all connections hold more than they may.
    Over,
}

impl Windows {
    /// The SETTINGS of the handshake count as sent `now`.
    pub fn new(now: Instant, traffic: Arc<Traffic>) -> Self {
        Self { announced: QUIET_WINDOW, sent_at: Some(now), smaller: false, growing: false, traffic, counted_at: 0 }
    }

    /// Puts came or went, or time passed: larger windows may be due.
    pub fn look_again(&mut self) {
        self.growing = true;
    }

    /// Announces the share when it changed. True when frames are to be flushed: the connection must be polled again.
    ///
    /// * `puts`: of this connection.
    pub fn adjust(&mut self, connection: &mut Connection<Socket, Rope>, puts: usize, held: &Held) -> bool {
        let share = held.total().share();
        let wanted = if puts == 0 { QUIET_WINDOW.min(share) } else { share };
        if wanted == self.announced || (wanted > self.announced && !std::mem::take(&mut self.growing)) {
            return self.settle(connection, held);
        }
        if wanted > self.announced && !held.grow(self.announced, wanted) {
            return self.settle(connection, held);
        }
        if !self.announce(connection, wanted, held) {
            self.growing = true;
            return false;
        }
        held.count(wanted);
        true
    }

    /// Sees whether smaller windows are acknowledged by announcing them again.
    fn settle(&mut self, connection: &mut Connection<Socket, Rope>, held: &Held) -> bool {
        self.smaller && self.announce(connection, self.announced, held)
    }

    /// False when the last ones are not acknowledged yet; their acknowledgement wakes the connection again. h2 tells only by
    /// taking new ones.
    fn announce(&mut self, connection: &mut Connection<Socket, Rope>, wanted: u32, held: &Held) -> bool {
        if connection.set_initial_window_size(wanted).is_err() {
            return false;
        }
        if self.smaller {
            held.reclaim();
        }
        self.smaller = wanted < self.announced;
        self.announced = wanted;
        self.sent_at = Some(now());
        true
    }

    /// Counts what the connection holds, once it has received enough for that to matter.
    pub fn count(&mut self, held: &Held) -> Result<(), Broken> {
        let received = self.traffic.received();
        if received - self.counted_at < held.total().step() {
            return Ok(());
        }
        self.recount(held)
    }

    fn recount(&mut self, held: &Held) -> Result<(), Broken> {
        self.counted_at = self.traffic.received();
        // What is not announced yet, for an earlier one is not acknowledged, will be.
        let late = held.count(self.announced.min(held.total().share()));
        if late && held.total().is_over() { Err(Broken::Over) } else { Ok(()) }
    }

    /// Looks once, `patience` after the last SETTINGS, whether they were acknowledged.
    pub fn check(
        &mut self,
        connection: &mut Connection<Socket, Rope>,
        patience: Duration,
        held: &Held,
    ) -> Result<(), Broken> {
        self.growing = true;
        self.recount(held)?;
        if self.sent_at.is_none_or(|sent_at| sent_at.elapsed() < patience) {
            return Ok(());
        }
        let acknowledged = self.announce(connection, self.announced, held);
        self.sent_at = None;
        if acknowledged { Ok(()) } else { Err(Broken::Unacknowledged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_shrinks_with_the_puts_and_stays_in_its_bounds() {
        let (kib, mib) = (1 << 10, 1 << 20);
        let shares = [0, 1, 16, 17, 32, 300, 512, 4096, 1 << 20].map(|puts| share(puts, 256 * MIB));
        assert_eq!(shares, [4 * mib, 4 * mib, 4 * mib, 2 * mib, 2 * mib, 128 * kib, 128 * kib, 32 * kib, 32 * kib]);
        assert_eq!([1, 2, 128, 129].map(|puts| share(puts, 16 * MIB)), [4 * mib, 2 * mib, 32 * kib, 32 * kib]);
    }

    /// Puts that come one by one and fill their windows at once, as on a disk that hangs: a thousand of them have room.
    #[test]
    fn puts_that_never_drain_have_room_for_a_thousand() {
        let held: usize = (1..=1000).map(|puts| share(puts, 256 * MIB) as usize).sum();
        assert!(held <= 256 * MIB, "{held}");
    }
}
