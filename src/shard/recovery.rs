//! What a shard is asked about the files of a session, on all data directories.

use crate::catalog::Standing;
use crate::model::DeviceNumber;
use crate::model::SessionId;
use crate::store;
use crate::store::LookError;
use crate::store::RecoveryReport;

use super::error::ShardError;
use super::worker::ShardContext;

pub async fn start(context: &ShardContext) -> Result<RecoveryReport, ShardError> {
    let mut report = RecoveryReport::default();
    for (number, directory) in &context.directories {
        let found = store::recover(&*directory.device, *number, &context.open_store).await;
        report.add(found.map_err(|error| told(context, *number, error))?);
    }
    Ok(report)
}

pub async fn settle(context: &ShardContext, session: SessionId) -> Result<(), ShardError> {
    for (number, directory) in &context.directories {
        let settled = store::settle(&*directory.device, *number, &context.open_store, session).await;
        settled.map_err(|error| told(context, *number, error))?;
    }
    Ok(())
}

pub async fn audit(context: &ShardContext, session: SessionId) -> Result<RecoveryReport, ShardError> {
    let mut report = RecoveryReport::default();
    if context.open_store.standing(session).await? == Standing::Unknown {
        let (number, directory) = context.manifest_directory()?;
        let has_manifest = store::has_manifest(&*directory.device, session).await;
        if has_manifest.map_err(|error| context.io_error(number, &error))? {
            // Tombstones say what was deleted, so this is a session that the catalog has not seen yet.
            tracing::error!(
                %session,
                "left alone: a final session lies here that the catalog does not know, which is older than the files, then; \
                 `tessera catalog rebuild` makes it anew with this session"
            );
            report.foreign += 1;
            return Ok(report);
        }
    }
    for (number, directory) in &context.directories {
        let found = store::audit(&*directory.device, *number, &context.open_store, session).await;
        report.add(found.map_err(|error| told(context, *number, error))?);
    }
    Ok(report)
}

/// Sessions that have a directory on one of the devices. Drafts that nobody will finish are removed on the way.
pub async fn stored(context: &ShardContext) -> Result<Stored, ShardError> {
    let mut stored = Stored::default();
    for (number, directory) in &context.directories {
        let found = store::stored(&*directory.device).await;
        let (sessions, foreign) = found.map_err(|error| context.io_error(*number, &error))?;
        stored.sessions.extend(sessions);
        stored.foreign += foreign;
    }
    let (number, directory) = context.manifest_directory()?;
    let removed = store::remove_drafts(&*directory.device, &context.open_store).await;
    removed.map_err(|error| told(context, number, error))?;
    Ok(stored)
}

/// See [`stored`].
#[derive(Debug, Default)]
pub struct Stored {
    pub sessions: Vec<SessionId>,
    /// Names in `chunks/` that are none of ours.
    pub foreign: u64,
}

fn told(context: &ShardContext, number: DeviceNumber, error: LookError) -> ShardError {
    match error {
        LookError::Io(error) => context.io_error(number, &error),
        LookError::Catalog(error) => error.into(),
    }
}
