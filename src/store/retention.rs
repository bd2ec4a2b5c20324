//! Removes the files of what was deleted. Runs after the tombstone is durable, so a crash in between only means that the
//! next start goes on.

use std::io;
use std::path::Path;

use crate::model::ChunkId;
use crate::model::SessionId;

use super::path;
use super::path::Suffix;
use super::writer::Directory;

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
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
    let place = path::session_directory(session);
    let entries = match directory.device.list(&place).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        if let Some((chunk, suffix)) = entry.name.to_str().and_then(path::parse_chunk_file) {
            gone_is_fine(directory.device.unlink(&path::chunk_file(session, chunk, suffix)).await)?;
        }
    }
    directory.forget_session(session);
    match directory.device.remove_directory(&place).await {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            tracing::warn!(%session, "the directory of a deleted session holds files that are not ours: it stays");
        }
        other => gone_is_fine(other)?,
    }
    directory.device.sync_directory(Path::new(path::CHUNKS_DIRECTORY)).await
}

/// Removes single chunks of a session that lives on.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn remove_chunks(directory: &Directory, session: SessionId, chunks: &[ChunkId]) -> io::Result<()> {
    for chunk in chunks {
        for suffix in [Suffix::Part, Suffix::Parquet] {
            gone_is_fine(directory.device.unlink(&path::chunk_file(session, *chunk, suffix)).await)?;
        }
    }
    if chunks.is_empty() {
        return Ok(());
    }
    gone_is_fine(directory.device.sync_directory(&path::session_directory(session)).await)
}
