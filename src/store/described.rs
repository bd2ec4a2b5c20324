//! What lies in a session's directory, as the files themselves tell it: for a catalog that is made again.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::rc::Rc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::datatypes::SchemaRef;

use crate::chunk::Columns;
use crate::chunk::Described;
use crate::chunk::TIME_COLUMN;
use crate::chunk::describe;
use crate::chunk::metadata_len;
use crate::io::BlockDevice;
use crate::io::Recycler;
use crate::model::ChunkId;
use crate::model::SessionId;
use crate::model::TimeRange;
use crate::model::TopicId;

use super::path;
use super::path::Suffix;
use super::reader::ChunkReader;
use super::reader::FetchError;
use super::reader::open_either;
use super::reader::read_range;
use super::retention::gone_is_fine;

/// Bytes of a file's end that are read before it is known how long its metadata is.
const END_BYTES: u64 = 64 << 10;

/// Metadata of more bytes are none of ours.
const METADATA_BYTES_MAX: u64 = 1 << 30;

/// A file under one of a chunk's two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredChunk {
    pub chunk: ChunkId,
    pub bytes: u64,
    /// Whether it has its last name.
    pub is_named: bool,
}

/// The chunk files of a session on one device, by id; of one under both names the one with the last name.
///
/// # Errors
/// Whatever the device says; a session without a directory has no files.
pub async fn stored_chunks(device: &dyn BlockDevice, session: SessionId) -> io::Result<Vec<StoredChunk>> {
    let place = path::session_directory(session);
    let entries = match device.list(&place).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(path::failed("listing", &place))?,
    };
    let mut found: Vec<StoredChunk> = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_directory) {
        let Some((chunk, suffix)) = entry.name.to_str().and_then(path::parse_chunk_file) else { continue };
        found.push(StoredChunk { chunk, bytes: entry.len, is_named: suffix == Suffix::Parquet });
    }
    found.sort_by_key(|stored| (stored.chunk.0, !stored.is_named));
    found.dedup_by_key(|stored| stored.chunk);
    Ok(found)
}

/// Gives a chunk whose metadata is whole its last name: a start then keeps the file, whatever the catalog says of it.
///
/// # Errors
/// Whatever the device says.
pub async fn keep_chunk(device: &dyn BlockDevice, session: SessionId, chunk: ChunkId) -> io::Result<()> {
    let (part, named) =
        (path::chunk_file(session, chunk, Suffix::Part), path::chunk_file(session, chunk, Suffix::Parquet));
    device.rename(&part, &named).await.map_err(path::failed("renaming", &part))?;
    device.sync_directory(&path::session_directory(session)).await
}

/// Moves the manifest of a session that does not come back to `lost/`, where its chunks go. One that is there already stays.
///
/// # Errors
/// Whatever the device says.
pub async fn lose_manifest(device: &dyn BlockDevice, session: SessionId) -> io::Result<()> {
    let (manifest, lost) = (path::manifest_file(session), path::lost_manifest(session));
    match device.rename(&manifest, &lost).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        moved => moved.map_err(path::failed("moving to lost/", &manifest))?,
    }
    for place in [path::LOST_DIRECTORY, path::MANIFESTS_DIRECTORY].map(Path::new) {
        device.sync_directory(place).await.map_err(path::failed("syncing", place))?;
    }
    Ok(())
}

/// Whether a session has a manifest in this data directory.
///
/// # Errors
/// Whatever the device says.
pub async fn has_manifest(device: &dyn BlockDevice, session: SessionId) -> io::Result<bool> {
    let manifest = path::manifest_file(session);
    match device.read_small(&manifest, 0).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() != io::ErrorKind::FileTooLarge => Err(path::failed("looking at", &manifest)(error)),
        _ => Ok(true),
    }
}

/// The sessions with a manifest in this data directory.
///
/// # Errors
/// Whatever the device says.
pub async fn stored_manifests(device: &dyn BlockDevice) -> io::Result<Vec<SessionId>> {
    let place = Path::new(path::MANIFESTS_DIRECTORY);
    let names = match device.names(place).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(path::failed("listing", place))?,
    };
    let mut found: Vec<SessionId> =
        names.iter().filter_map(|entry| path::parse_manifest_file(entry.name.to_str()?)).collect();
    found.sort_unstable();
    Ok(found)
}

/// What was deleted, and may have files still.
#[derive(Clone, Debug, Default)]
pub struct Tombstones {
    pub sessions: BTreeSet<SessionId>,
    /// Topics of sessions that live, with their sessions.
    pub topics: BTreeSet<(SessionId, TopicId)>,
}

/// The tombstones in this data directory.
///
/// # Errors
/// Whatever the device says.
pub async fn stored_tombstones(device: &dyn BlockDevice) -> io::Result<Tombstones> {
    let (place, mut found) = (Path::new(path::MANIFESTS_DIRECTORY), Tombstones::default());
    let names = match device.names(place).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(path::failed("listing", place))?,
    };
    for name in names.iter().filter_map(|entry| entry.name.to_str()) {
        found.sessions.extend(path::parse_session_tombstone(name));
        let Some(session) = path::parse_topic_tombstones(name) else { continue };
        let place = path::topic_tombstones(session);
        let topics = device.names(&place).await.map_err(path::failed("listing", &place))?;
        let topics = topics.iter().filter_map(|entry| path::parse_topic_tombstone(entry.name.to_str()?));
        found.topics.extend(topics.map(|topic| (session, topic)));
    }
    Ok(found)
}

/// Removes one chunk of a topic that was deleted, under both names. Durable after its directory is synced.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn discard_chunk(device: &dyn BlockDevice, session: SessionId, chunk: ChunkId) -> io::Result<()> {
    for suffix in [Suffix::Part, Suffix::Parquet] {
        let file = path::chunk_file(session, chunk, suffix);
        gone_is_fine(device.unlink(&file).await).map_err(path::failed("removing", &file))?;
    }
    Ok(())
}

/// Removes what is left of a session that was deleted, durably. Files of foreign names stay, and the directory with them.
///
/// # Errors
/// Whatever the device says; may be repeated.
pub async fn discard_session(device: &dyn BlockDevice, session: SessionId) -> io::Result<()> {
    let place = path::session_directory(session);
    for stored in stored_chunks(device, session).await? {
        discard_chunk(device, session, stored.chunk).await?;
    }
    match device.remove_directory(&place).await {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            device.sync_directory(&place).await.map_err(path::failed("syncing", &place))
        }
        removed => {
            gone_is_fine(removed).map_err(path::failed("removing", &place))?;
            let parent = Path::new(path::CHUNKS_DIRECTORY);
            gone_is_fine(device.sync_directory(parent).await).map_err(path::failed("syncing", parent))
        }
    }
}

/// Reads who a chunk is and proves what lies behind its last page; the record is as its writer made it, but for statistics
/// that the file does not hold. Reads the column of timestamps, for the longest gap, and all of a file without its last name.
///
/// # Errors
/// [`FetchError`].
pub async fn describe_chunk(
    device: &Rc<dyn BlockDevice>,
    session: SessionId,
    stored: StoredChunk,
) -> Result<(Described, SchemaRef), FetchError> {
    let StoredChunk { chunk, bytes, .. } = stored;
    let file = open_either(device, session, chunk).await?;
    let end = read_range(&*file, chunk, bytes.saturating_sub(END_BYTES)..bytes).await?;
    let needed = metadata_len(&end).unwrap_or(0).min(METADATA_BYTES_MAX);
    let end = match needed > end.len() as u64 {
        true => read_range(&*file, chunk, bytes.saturating_sub(needed)..bytes).await?,
        false => end,
    };
    let mut described = describe(chunk, bytes, &end)?;
    let reader = ChunkReader::open(device, session, &described.record).await?;
    if !stored.is_named {
        // Its end may be durable and its rows not: it is a writer's last step that makes both so.
        reader.verify().await?;
    }
    let gap = gap_max(&reader).await?;
    let alone = described.record.runs.len() == 1;
    if let Some(pages) = described.record.pages.as_mut() {
        pages.gap_max_ns = gap.filter(|gap| alone && *gap < u64::MAX);
    }
    Ok((described, reader.layout().schema().clone()))
}

/// Longest time between rows that follow each other in the file.
async fn gap_max(reader: &ChunkReader) -> Result<Option<u64>, FetchError> {
    let (layout, mut longest, mut previous) = (reader.layout(), None::<u64>, None::<i64>);
    for (index, group) in layout.row_groups().iter().enumerate() {
        let Some(selection) = layout.select(index, 0..group.rows, &TimeRange::ALL, Columns::TimeOnly) else { continue };
        let bytes = reader.fetch(&selection).await?;
        let batch = layout.decode(&selection, &bytes, &Recycler::new(0))?;
        let Some(column) = batch.column_by_name(TIME_COLUMN) else { continue };
        for time in column.as_primitive::<Int64Type>().values() {
            longest = longest.max(previous.map(|previous| time.abs_diff(previous)));
            previous = Some(*time);
        }
    }
    Ok(longest)
}
