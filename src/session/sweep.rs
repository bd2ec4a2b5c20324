//! What goes on when no caller waits: the purge of deleted files, and moves that must not stop halfway.
//!
//! A delete is over for its caller once its tombstone is committed. The sweep then removes the files and, after them,
//! the tombstone. A crash in between leaves the tombstone: the next start purges again, which is harmless on files that
//! are gone. A tombstone whose writer has not let go yet waits for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio::time::timeout;

use super::error::SessionError;
use super::gate::Gate;
use super::registry::Puts;
use super::sessions::Desk;
use crate::catalog::Tombstone;
use crate::io::failpoint;

/// Tombstones held at a time, few because one can list a topic's chunks. A round looks at page after page: those that cannot
/// go, for as long as a disk is away, hide none of those behind them.
const PAGE: u32 = 16;

/// Waits before what failed is tried again: the first, and the longest after doublings.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Wakes the sweep. Rung while nobody waits, it is heard at the next wait.
#[derive(Default)]
pub(super) struct Alarm(Notify);

impl Alarm {
    pub(super) fn ring(&self) {
        self.0.notify_one();
    }

    async fn wait(&self) {
        self.0.notified().await;
    }
}

/// Lets a move run to its end even if its caller goes away: half of it would leave a manifest without a session, a
/// topic that nobody writes *receiving*, or a writer that nobody knows.
///
/// # Errors
/// Those of the move, or [`SessionError::Stopping`] when the runtime went down under it.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, SessionError>> + Send + 'static,
) -> Result<T, SessionError> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(SessionError::Stopping),
    }
}

/// Goes on with `work` behind a caller that cannot wait. Without a runtime it is dropped, as at a crash.
pub(super) fn behind(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}

/// Purges tombstones until it is dropped, which it may be at any time.
pub(super) async fn run(desk: Arc<Desk>) {
    let mut later = Later::default();
    let mut after = 0;
    loop {
        if let Some(last) = page(&desk, after, &mut later).await {
            after = last;
            continue;
        }
        after = 0;
        // At the timeout it looks all the same. Those that failed wait for their own time, rung or not.
        let _ = timeout(later.wait(Instant::now()), desk.alarm.wait()).await;
    }
}

/// What failed, and when it is tried again: each at its own pace, so that a device that is missing or refuses holds up
/// nothing but its own files.
#[derive(Default)]
struct Later {
    /// By the tombstone's number. Those that nobody lists any more are forgotten.
    tombstones: HashMap<i64, Retry>,
    /// Of the list of tombstones itself.
    listing: Option<Retry>,
}

#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    wait: Duration,
}

impl Retry {
    fn after(earlier: Option<Self>, now: Instant) -> Self {
        let wait = earlier.map_or(WAIT_FIRST, |earlier| (2 * earlier.wait).min(WAIT_MAX));
        Self { at: now + wait, wait }
    }
}

impl Later {
    fn is_due(&self, tombstone: i64, now: Instant) -> bool {
        self.tombstones.get(&tombstone).is_none_or(|retry| retry.at <= now)
    }

    /// Returns whether it failed for the first time.
    fn failed(&mut self, tombstone: i64, now: Instant) -> bool {
        let earlier = self.tombstones.get(&tombstone).copied();
        self.tombstones.insert(tombstone, Retry::after(earlier, now));
        earlier.is_none()
    }

    /// * `after`, `listed`: the numbers of a page, ascending, and the one before them; `more` when there may be others behind.
    fn keep(&mut self, after: i64, listed: &[i64], more: bool) {
        let last = if more { listed.last().copied().unwrap_or(i64::MAX) } else { i64::MAX };
        self.tombstones.retain(|number, _| *number <= after || *number > last || listed.binary_search(number).is_ok());
    }

    /// Until something is due, at most [`WAIT_MAX`]; never less than the first wait, for what is due and is not listed.
    fn wait(&self, now: Instant) -> Duration {
        let times = self.tombstones.values().chain(&self.listing).map(|retry| retry.at.saturating_duration_since(now));
        times.min().unwrap_or(WAIT_MAX).clamp(WAIT_FIRST, WAIT_MAX)
    }
}

/// Purges what can go of one page of tombstones. Returns the last number when there may be more behind it.
async fn page(desk: &Desk, after: i64, later: &mut Later) -> Option<i64> {
    if later.listing.is_some_and(|retry| retry.at > Instant::now()) {
        return None;
    }
    let tombstones = match desk.catalog.tombstones(after, PAGE).await {
        Ok(tombstones) => tombstones,
        Err(error) => {
            tracing::warn!(%error, "the deleted files to purge could not be listed; it is tried again");
            later.listing = Some(Retry::after(later.listing, Instant::now()));
            return None;
        }
    };
    later.listing = None;
    let more = tombstones.len() >= PAGE as usize;
    let listed: Vec<i64> = tombstones.iter().map(|tombstone| tombstone.number).collect();
    later.keep(after, &listed, more);
    for tombstone in tombstones {
        if desk.registry.runs(writers(&tombstone)) || !later.is_due(tombstone.number, Instant::now()) {
            // A writer rings when it lets go.
            continue;
        }
        match purge(desk, &tombstone).await {
            Ok(()) => drop(later.tombstones.remove(&tombstone.number)),
            Err(error) => {
                let (number, session) = (tombstone.number, tombstone.session);
                if later.failed(number, Instant::now()) {
                    // It may stay for long, and its delete may have failed at this.
                    let topic = tombstone.topic.as_ref().map(|(topic, _)| *topic);
                    if let Err(error) = desk.note_deleted(session, topic).await {
                        tracing::warn!(%session, %error, "a catalog made again from the files would bring it back");
                    }
                    tracing::warn!(%session, %error, "deleted files could not be purged; it is tried again");
                } else {
                    tracing::debug!(%session, %error, "deleted files could still not be purged");
                }
            }
        }
    }
    listed.last().copied().filter(|_| more)
}

/// The puts that may still write what the tombstone buries.
fn writers(tombstone: &Tombstone) -> Puts {
    match &tombstone.topic {
        Some((topic, _)) => Puts::Topic(*topic),
        None => Puts::Session(tombstone.session),
    }
}

async fn purge(desk: &Desk, tombstone: &Tombstone) -> Result<(), SessionError> {
    // A delete that is under way makes its tombstone beside the manifests first: behind us it would stay for ever.
    drop(desk.gates.pass(Gate::Session(tombstone.session)).await);
    if tombstone.topic.is_none() {
        // Its delete does this before it answers; here it is for the delete that failed at it.
        desk.remove_manifests(vec![tombstone.session]).await?;
    }
    desk.shards.purge(tombstone).await.map_err(|cause| {
        let what = format!("deleted files of session {}", tombstone.session);
        SessionError::Shard { what, cause: Box::new(cause) }
    })?;
    failpoint("purge: files removed");
    desk.catalog.purged(tombstone.number).await?;
    failpoint("purge: recorded");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_fails_waits_longer_each_time_and_holds_up_nothing_else() {
        let (mut later, mut now) = (Later::default(), Instant::now());
        assert_eq!(later.wait(now), WAIT_MAX);
        for wait in [1u32, 2, 4, 8, 16, 32, 60, 60] {
            assert!(later.is_due(1, now));
            assert_eq!(later.failed(1, now), wait == 1);
            assert!(!later.is_due(1, now) && later.is_due(2, now), "after {wait} s");
            assert_eq!(later.wait(now), wait * SECOND);
            now += wait * SECOND;
        }
        // The second one's time comes first, however long the first one waits.
        later.failed(1, now);
        later.failed(2, now);
        assert_eq!(later.wait(now), SECOND);
    }

    #[test]
    fn what_nobody_lists_is_forgotten() {
        let (mut later, now) = (Later::default(), Instant::now());
        for number in [1, 5, 9] {
            later.failed(number, now);
        }
        later.keep(0, &[1, 7], true);
        let mut left: Vec<_> = later.tombstones.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [1, 9], "9 lies behind the page");
        later.keep(7, &[], false);
        assert_eq!(later.tombstones.len(), 1, "1 lies before the page");
        later.keep(0, &[], false);
        assert_eq!(later.wait(now), WAIT_MAX);
    }
}
