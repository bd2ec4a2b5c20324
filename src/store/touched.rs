//! Which sessions' directories may hold what a crash left: those with an empty directory of their name in `touched/`.
//!
//! A start has to look at these and no others, so it costs what was being written and not what was ever recorded.
//!
//! | step | what                                                            | a crash after it leaves                  |
//! |------|-----------------------------------------------------------------|------------------------------------------|
//! | 1    | the mark is made and its parent synced, before the first file of | a mark too many: one look finds nothing  |
//! |      | this start in `chunks/<session>/`                               |                                          |
//! | 2    | files come                                                      | a mark, and files to look at             |
//! | 3    | the session is final, or a start has looked: names are settled, | a mark too many                          |
//! |      | and durable                                                     |                                          |
//! | 4    | the mark is removed, unsynced                                   | a mark too many, or none                 |
//!
//! A session that is purged loses its mark after its directory. A data directory without `touched/` was written before there
//! were marks: all of its sessions are looked at once, and then `touched/` is made.

use std::io;
use std::path::Path;

use crate::io::BlockDevice;
use crate::model::SessionId;

use super::path;
use super::path::failed;

/// Sessions with a mark; `None` when the data directory has no marks yet.
///
/// # Errors
/// Whatever the device says.
pub async fn touched(device: &dyn BlockDevice) -> io::Result<Option<Vec<SessionId>>> {
    match sessions_in(device, Path::new(path::TOUCHED_DIRECTORY)).await {
        Ok((sessions, _)) => Ok(Some(sessions)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// From now on marks are made: every directory was looked at.
///
/// # Errors
/// Whatever the device says.
pub async fn begin_marks(device: &dyn BlockDevice) -> io::Result<()> {
    let place = Path::new(path::TOUCHED_DIRECTORY);
    device.make_directory(place).await.map_err(failed("making", place))?;
    let root = Path::new("");
    device.sync_directory(root).await.map_err(failed("syncing", root))
}

/// Sessions that have a directory in `chunks/`, and how many names there are none of ours.
///
/// # Errors
/// Whatever the device says.
pub async fn stored(device: &dyn BlockDevice) -> io::Result<(Vec<SessionId>, u64)> {
    sessions_in(device, Path::new(path::CHUNKS_DIRECTORY)).await
}

async fn sessions_in(device: &dyn BlockDevice, place: &Path) -> io::Result<(Vec<SessionId>, u64)> {
    let (mut sessions, mut foreign) = (Vec::new(), 0);
    for entry in device.names(place).await.map_err(failed("listing", place))? {
        match entry.name.to_str().and_then(path::parse_session_directory).filter(|_| entry.is_directory) {
            Some(session) => sessions.push(session),
            None => {
                foreign += 1;
                tracing::warn!(name = ?entry.name, place = %place.display(), "left alone: no session has such a name");
            }
        }
    }
    Ok((sessions, foreign))
}

/// Marks a session, durably. Before the first file is made in its directory.
///
/// # Errors
/// Whatever the device says.
pub(super) async fn mark(device: &dyn BlockDevice, session: SessionId) -> io::Result<()> {
    device.make_directory(&path::mark(session)).await?;
    device.sync_directory(Path::new(path::TOUCHED_DIRECTORY)).await
}

/// Removes a session's mark; one that is not there is removed already. Not synced: a mark that comes back costs one look.
///
/// # Errors
/// Whatever the device says.
pub async fn unmark(device: &dyn BlockDevice, session: SessionId) -> io::Result<()> {
    let mark = path::mark(session);
    match device.remove_directory(&mark).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("removing", &mark)),
    }
}
