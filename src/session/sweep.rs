//! What goes on when no caller waits: the purge of deleted files, and moves that must not stop halfway.
//!
//! A delete is over for its caller once its tombstone is committed. The sweep then removes the files and, after them,
//! the tombstone. A crash in between leaves the tombstone: the next start purges again, which is harmless on files that
//! are gone. A tombstone whose writer has not let go yet waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::error::SessionError;
use super::registry::Puts;
use super::sessions::Desk;
use crate::catalog::Tombstone;

/// Tombstones looked at in one round, few because one can list a topic's chunks. When none of them can be purged, the
/// next round looks at twice as many, up to `PAGE_MAX`.
const PAGE: u32 = 16;
const PAGE_MAX: u32 = 4096;

/// Waits between rounds that leave something behind.
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
    let mut wait = WAIT_FIRST;
    let mut page = PAGE;
    loop {
        let round = round(&desk, page).await;
        if round.purged > 0 {
            wait = WAIT_FIRST;
        }
        if round.more && round.purged > 0 {
            continue;
        }
        if round.more && page < PAGE_MAX {
            // A full page of tombstones that cannot go must not hide those behind it.
            page *= 2;
            continue;
        }
        page = PAGE;
        if round.failed {
            // Rung or not: a disk that refuses does so again at once.
            tokio::time::sleep(wait).await;
            wait = (2 * wait).min(WAIT_MAX);
        } else {
            // At the timeout it looks all the same.
            let _ = timeout(WAIT_MAX, desk.alarm.wait()).await;
        }
    }
}

/// What one look at the tombstones did.
#[derive(Default)]
struct Round {
    purged: usize,
    /// Something failed and is to be tried again.
    failed: bool,
    /// The page was full: there may be more.
    more: bool,
}

async fn round(desk: &Desk, page: u32) -> Round {
    let mut round = Round::default();
    let tombstones = match desk.catalog.tombstones(page).await {
        Ok(tombstones) => tombstones,
        Err(error) => {
            tracing::warn!(%error, "the deleted files to purge could not be listed; it is tried again");
            return Round { failed: true, ..round };
        }
    };
    round.more = tombstones.len() >= page as usize;
    for tombstone in tombstones {
        if desk.registry.runs(writers(&tombstone)) {
            // It rings when it lets go.
            continue;
        }
        match purge(desk, &tombstone).await {
            Ok(()) => round.purged += 1,
            Err(error) => {
                round.failed = true;
                tracing::warn!(session = %tombstone.session, %error, "deleted files could not be purged; it is tried again");
            }
        }
    }
    round
}

/// The puts that may still write what the tombstone buries.
fn writers(tombstone: &Tombstone) -> Puts {
    match &tombstone.topic {
        Some((topic, _)) => Puts::Topic(*topic),
        None => Puts::Session(tombstone.session),
    }
}

async fn purge(desk: &Desk, tombstone: &Tombstone) -> Result<(), SessionError> {
    if tombstone.topic.is_none() {
        // Its delete does this before it answers; here it is for the delete that failed at it.
        desk.remove_manifest(tombstone.session).await?;
    }
    desk.shards.purge(tombstone).await.map_err(|cause| {
        let what = format!("deleted files of session {}", tombstone.session);
        SessionError::Shard { what, cause: Box::new(cause) }
    })?;
    desk.catalog.purged(tombstone.number).await?;
    Ok(())
}
