//! Removes the files of what was deleted. Runs after the tombstone is durable, so a crash in between only means that the
//! next start goes on.
//!
//! A chunk's rename to its final name runs behind its commit, and may run beside us. So both names of a chunk are
//! unlinked, the earlier one first: a rename in between finds nothing to rename, or is found by the second unlink.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::io::failpoint;
use crate::model::ChunkId;
use crate::model::SessionId;

use super::directory::Directory;
use super::path;
use super::path::Suffix;
use super::path::failed;
use super::touched;

/// What is not there need not be removed, or was renamed by somebody else.
pub(super) fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a session's whole directory. Files of foreign names stay, and the directory with them.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn remove_session(directory: &Directory, session: SessionId) -> io::Result<()> {
    let (device, place) = (&directory.device, path::session_directory(session));
    loop {
        let entries = match device.list(&place).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            other => other.map_err(failed("listing", &place))?,
        };
        let files = entries.iter().filter(|entry| !entry.is_directory);
        let chunks: HashSet<ChunkId> =
            files.filter_map(|entry| path::parse_chunk_file(entry.name.to_str()?)).map(|(chunk, _)| chunk).collect();
        for chunk in &chunks {
            remove_chunk(directory, session, *chunk).await?;
        }
        directory.forget_session(session);
        match device.remove_directory(&place).await {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                if chunks.is_empty() && !entries.is_empty() {
                    tracing::warn!(%session, "the directory of a deleted session holds files that are not ours: it stays");
                    device.sync_directory(&place).await.map_err(failed("syncing", &place))?;
                    break;
                }
                // Something came while we looked, or what is left is not ours: the next look tells.
            }
            other => {
                gone_is_fine(other).map_err(failed("removing", &place))?;
                failpoint("purge: directory removed");
                break;
            }
        }
    }
    // Also when the directory is gone already: an earlier attempt may have ended before this.
    let parent = Path::new(path::CHUNKS_DIRECTORY);
    device.sync_directory(parent).await.map_err(failed("syncing", parent))?;
    failpoint("purge: directory synced");
    touched::unmark(&**device, session).await
}

/// Removes single chunks of a session that lives on.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn remove_chunks(directory: &Directory, session: SessionId, chunks: &[ChunkId]) -> io::Result<()> {
    for chunk in chunks {
        remove_chunk(directory, session, *chunk).await?;
    }
    if chunks.is_empty() {
        return Ok(());
    }
    let place = path::session_directory(session);
    gone_is_fine(directory.device.sync_directory(&place).await).map_err(failed("syncing", &place))
}

async fn remove_chunk(directory: &Directory, session: SessionId, chunk: ChunkId) -> io::Result<()> {
    // In this order: see above.
    for suffix in [Suffix::Part, Suffix::Parquet] {
        let file = path::chunk_file(session, chunk, suffix);
        gone_is_fine(directory.device.unlink(&file).await).map_err(failed("removing", &file))?;
        failpoint("purge: file unlinked");
    }
    Ok(())
}
