//! Flow control: how much a client may send ahead, so that streams that wait never stop the others.
//!
//! The connection window is credit no set of streams can use up (their windows add up to less, and bytes held are counted),
//! so a stream that waits for memory never takes the connection from those that have it. The share is only in the stream
//! windows: large for few puts (a window of one message keeps a sender busy), small for many. h2 applies a new size to all open
//! streams once the client has acknowledged it; bytes a waiting stream already holds stay, which is why the sum is only
//! bounded by counting.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use h2::FlowControl;
use h2::server::Connection;

use crate::io::now;

use super::config::MIB;
use super::rope::Rope;
use super::socket::Socket;

/// Credit, not memory.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 30;
/// Of a stream while no put is open.
pub(super) const QUIET_WINDOW: u32 = 1 << 20;
/// What the windows of all puts add up to while they drain, before the bounds of one.
const SHARED_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW_MIN: u32 = 128 << 10;
/// What a put has not taken yet lies in memory, and leaves the caches before it is copied: no more than keeps a sender busy.
const STREAM_WINDOW_MAX: u32 = 4 << 20;
/// h2's guard against floods of tiny frames would follow the connection window and be void.
pub(super) const DATA_FRAME_BUDGET: usize = 32 * MIB;

const _: () = {
    assert!(SHARED_WINDOW <= CONNECTION_WINDOW / 4);
    assert!(STREAM_WINDOW_MIN as usize * 4096 <= CONNECTION_WINDOW as usize / 2);
};

/// The window of each stream while `puts` of them are DoPuts.
pub(super) fn share(puts: usize) -> u32 {
    if puts == 0 {
        return QUIET_WINDOW;
    }
    let divisor = u32::try_from(puts.next_power_of_two()).unwrap_or(u32::MAX);
    (SHARED_WINDOW / divisor).clamp(STREAM_WINDOW_MIN, STREAM_WINDOW_MAX)
}

/// The stream window of one connection, as last announced.
pub(super) struct Windows {
    announced: u32,
    /// When the SETTINGS that may still be unacknowledged were sent.
    sent_at: Option<Instant>,
}

/// The client does not acknowledge SETTINGS: its windows cannot be controlled.
#[derive(Debug)]
pub(super) struct Unacknowledged;

impl Windows {
    /// The SETTINGS of the handshake count as sent `now`.
    pub fn new(now: Instant) -> Self {
        Self { announced: QUIET_WINDOW, sent_at: Some(now) }
    }

    /// Announces the share when it changed. True when frames are to be flushed: the connection must be polled again.
    pub fn adjust(&mut self, connection: &mut Connection<Socket, Rope>, puts: usize) -> bool {
        let wanted = share(puts);
        // An error means that the last one is not acknowledged yet; its acknowledgement wakes the connection again.
        if wanted == self.announced || connection.set_initial_window_size(wanted).is_err() {
            return false;
        }
        self.announced = wanted;
        self.sent_at = Some(now());
        true
    }

    /// Looks once, `patience` after the last SETTINGS, whether they were acknowledged: h2 tells only by taking new ones.
    pub fn check(
        &mut self,
        connection: &mut Connection<Socket, Rope>,
        patience: Duration,
    ) -> Result<(), Unacknowledged> {
        if self.sent_at.is_none_or(|sent_at| sent_at.elapsed() < patience) {
            return Ok(());
        }
        self.sent_at = None;
        connection.set_initial_window_size(self.announced).map_err(|_| Unacknowledged)
    }
}

/// Bytes one connection has received that its puts have not taken.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<u32, FlowControl>>>);

/// Counts one put's stream as long as it lives.
pub(super) struct HeldStream {
    held: Held,
    stream: u32,
}

impl Held {
    pub fn count(&self, flow: FlowControl) -> HeldStream {
        let stream = flow.stream_id().as_u32();
        self.lock().insert(stream, flow);
        HeldStream { held: self.clone(), stream }
    }

    /// Sum over the open puts. One lock of the connection per put: asked when a put opens, not per frame.
    pub fn bytes(&self) -> usize {
        self.lock().values().map(FlowControl::used_capacity).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, FlowControl>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HeldStream {
    fn drop(&mut self) {
        let flow = self.held.lock().remove(&self.stream);
        drop(flow); // after our lock: it may be the last handle, and then h2 resets the stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_shrinks_with_the_puts_and_stays_in_its_bounds() {
        let shares = [0, 1, 16, 17, 32, 300, 512, 4096, 1 << 20].map(share);
        let mib = 1 << 20;
        let least = 128 << 10;
        assert_eq!(shares, [mib, 4 * mib, 4 * mib, 2 * mib, 2 * mib, least, least, least, least]);
    }
}
