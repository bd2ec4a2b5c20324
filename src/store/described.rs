//! What lies in a session's directory, as the files themselves tell it: for a catalog that is made again.

use std::io;
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

use super::path;
use super::path::Suffix;
use super::reader::ChunkReader;
use super::reader::FetchError;
use super::reader::open_either;
use super::reader::read_range;

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

/// The sessions with a manifest in this data directory.
///
/// # Errors
/// Whatever the device says.
pub async fn stored_manifests(device: &dyn BlockDevice) -> io::Result<Vec<SessionId>> {
    let place = std::path::Path::new(path::MANIFESTS_DIRECTORY);
    let names = match device.names(place).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(path::failed("listing", place))?,
    };
    let mut found: Vec<SessionId> =
        names.iter().filter_map(|entry| path::parse_manifest_file(entry.name.to_str()?)).collect();
    found.sort_unstable();
    Ok(found)
}

/// Reads who a chunk is and proves what lies behind its last page; the record is as its writer made it, but for statistics
/// that the file does not hold. Reads the column of timestamps, for the longest gap.
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
