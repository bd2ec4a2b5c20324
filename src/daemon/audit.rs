//! The look at everything that a start leaves out, while the server serves: whether each recorded chunk has its file, and
//! whether anything lies there that nobody knows. Once per start.

use std::time::Duration;

use crate::catalog::OpenStore;
use crate::catalog::Standing;
use crate::io::now;
use crate::model::SessionId;
use crate::shard::ShardError;
use crate::shard::Shards;
use crate::store::RecoveryReport;

/// Sessions asked for at a time.
const PAGE: u32 = 256;

/// How long it stands back after a session, in multiples of what that session took, and at least.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub factor: u32,
    pub pause: Duration,
}

impl Pace {
    /// A tenth of one thread and of one queue of the disk, at most.
    pub const BACKGROUND: Self = Self { factor: 9, pause: Duration::from_millis(5) };
    /// Nobody else is served.
    pub const AT_ONCE: Self = Self { factor: 0, pause: Duration::ZERO };
}

/// Looks at every session of the catalog and at every directory that belongs to none. May be dropped at any time.
///
/// # Errors
/// [`ShardError`] of the first look that failed; the next start begins anew.
pub async fn audit(open_store: &OpenStore, shards: &Shards, pace: Pace) -> Result<RecoveryReport, ShardError> {
    let mut report = RecoveryReport::default();
    let mut after = 0;
    loop {
        let page = open_store.sessions_after(after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, session) in page {
            report.add(one(shards, session, pace).await?);
        }
    }
    let stored = shards.stored().await?;
    report.foreign += stored.foreign;
    for session in stored.sessions {
        if open_store.standing(session).await? == Standing::Unknown {
            report.add(one(shards, session, pace).await?);
        }
    }
    Ok(report)
}

async fn one(shards: &Shards, session: SessionId, pace: Pace) -> Result<RecoveryReport, ShardError> {
    let began = now();
    let report = shards.audit(session).await?;
    let rest = (began.elapsed() * pace.factor).max(pace.pause);
    if !rest.is_zero() {
        tokio::time::sleep(rest).await;
    }
    Ok(report)
}

/// Audits, and says what was found.
pub async fn run(open_store: OpenStore, shards: Shards) {
    let began = now();
    match audit(&open_store, &shards, Pace::BACKGROUND).await {
        Ok(report) => tracing::info!(
            seconds = began.elapsed().as_secs(),
            renamed = report.renamed,
            unlinked = report.unlinked,
            lost = report.lost,
            foreign = report.foreign,
            twice = report.twice.len(),
            missing = report.missing.len(),
            wrong_length = report.wrong_length.len(),
            longer = report.longer.len(),
            "every file was looked at"
        ),
        Err(ShardError::Stopped) => {}
        Err(error) => tracing::warn!(%error, "the look at all files ended early; `tessera verify` does it too"),
    }
}
