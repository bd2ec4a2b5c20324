//! What a file says of itself, without a record to hold it against: so that a lost catalog can be made again.
//!
//! Nothing here is proven: the record that comes out has the digests that the footer names, and reading the chunk with it
//! checks every one of them.

use std::collections::HashMap;
use std::str::FromStr;

use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::metadata::RowGroupMetaData;
use uuid::Uuid;

use super::decoder::DecodeError;
use super::footer::keys;
use super::footer::metadata_bytes;
use super::identity::ChunkIdentity;
use super::layout::*;
use super::thrift;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::OntologyTag;
use crate::model::PageFacts;
use crate::model::SequenceId;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::Statistics;
use crate::model::TimeBounds;
use crate::model::TopicId;
use crate::model::TopicName;

/// Who a chunk is, and the record that its footer amounts to. Its longest gap is not in the footer.
#[derive(Clone, Debug)]
pub struct Described {
    pub identity: ChunkIdentity,
    pub record: ChunkRecord,
}

/// How many bytes at the end of a file hold its metadata.
///
/// * `end`: the last bytes of the file, at least 8.
/// * returns: `None` when these are no end of a Parquet file.
pub fn metadata_len(end: &[u8]) -> Option<u64> {
    let end = end.get(end.len().checked_sub(PARQUET_END_BYTES)?..)?;
    let (len, magic) = end.split_at_checked(PARQUET_END_BYTES - MAGIC.len())?;
    let len = u32::from_le_bytes(len.try_into().ok()?);
    (magic == MAGIC).then_some(u64::from(len) + PARQUET_END_BYTES as u64)
}

/// Reads what a chunk's metadata says of it.
///
/// * `chunk`: by the name of its file.
/// * `file_bytes`: of the whole file.
/// * `end`: its last bytes, at least [`metadata_len`] of them.
///
/// # Errors
/// [`DecodeError`] when these are not the metadata of a chunk of ours, or of another chunk.
pub fn describe(chunk: ChunkId, file_bytes: u64, end: &[u8]) -> Result<Described, DecodeError> {
    let wrong = |what: &str| DecodeError::Footer { chunk, what: what.to_owned() };
    let bytes = metadata_bytes(end).ok_or_else(|| wrong("its own length wrongly"))?;
    if !thrift::is_sound(bytes) {
        return Err(wrong("more than it has bytes for"));
    }
    let metadata = super::decoder::contained(chunk, || {
        ParquetMetaDataReader::decode_metadata(bytes).map_err(|cause| DecodeError::Parquet { chunk, cause })
    })?;
    let keys = keys(&metadata);
    read(chunk, file_bytes, &metadata, &keys).ok_or_else(|| wrong("too little of the chunk it belongs to"))
}

fn read(
    chunk: ChunkId,
    file_bytes: u64,
    metadata: &ParquetMetaData,
    keys: &HashMap<&str, String>,
) -> Option<Described> {
    let text = |key: &str| keys.get(key).map(String::as_str);
    if text(KEY_VERSION)? != FORMAT_VERSION || text(KEY_CHUNK)? != chunk.to_string() {
        return None;
    }
    let id = |key: &str| Uuid::try_parse(text(key)?).ok();
    let [first, last] = list::<i64>(text(KEY_BOUNDS)?)?.try_into().ok()?;
    let body_bytes: u64 = number(text(KEY_CHECKSUM_OFFSET)?)?;
    let footer_offset = body_bytes.checked_add(number(text(KEY_CHECKSUM_BYTES)?)?)?;
    let record = ChunkRecord {
        chunk,
        device: DeviceNumber(number(text(KEY_DEVICE)?)?),
        shard: ShardIndex(number(text(KEY_SHARD)?)?),
        rows: number(text(KEY_ROWS)?)?,
        file_bytes,
        logical_bytes: list::<u64>(text(KEY_LOGICAL_BYTES)?)?.into_iter().fold(0, u64::saturating_add),
        bounds: TimeBounds { first, last },
        body_bytes,
        footer_offset,
        digest: digest(text(KEY_DIGEST)?)?,
        footer_digest: digest(text(KEY_FOOTER_DIGEST)?)?,
        row_groups: u32::try_from(metadata.num_row_groups()).ok()?,
        runs: list(text(KEY_RUNS)?)?,
        pages: Some(pages(metadata)),
        statistics: text(KEY_STATISTICS).map_or(Some(Statistics::default()), statistics)?,
    };
    let in_order = first <= last && body_bytes <= footer_offset && footer_offset <= file_bytes;
    let identity = ChunkIdentity {
        chunk,
        device: record.device,
        shard: record.shard,
        number: number(text(KEY_NUMBER)?)?,
        incarnation: number(text(KEY_INCARNATION)?)?,
        sequence: SequenceId(id(KEY_SEQUENCE)?),
        session: SessionId(id(KEY_SESSION)?),
        topic: TopicId(id(KEY_TOPIC)?),
        name: TopicName::parse(text(KEY_NAME)?).ok()?,
        tag: OntologyTag::parse(text(KEY_TAG)?).ok()?,
        format: SerializationFormat::parse(text(KEY_FORMAT)?).ok()?,
    };
    (in_order && record.rows > 0 && !record.runs.is_empty()).then_some(Described { identity, record })
}

fn pages(metadata: &ParquetMetaData) -> PageFacts {
    let mut facts = PageFacts { plain_bytes: 0, zstd_bytes: 0, gap_max_ns: None };
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let bytes = match column.compression() {
            Compression::ZSTD(_) => &mut facts.zstd_bytes,
            _ => &mut facts.plain_bytes,
        };
        *bytes = bytes.saturating_add(column.compressed_size().unsigned_abs());
    }
    facts
}

/// What [`super::trailer`] wrote: `version:hex digits`.
fn statistics(text: &str) -> Option<Statistics> {
    let (version, digits) = text.split_once(':')?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    Some(Statistics { version: number(version)?, bytes })
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|number| number.parse().ok()).collect()
}

fn digest(text: &str) -> Option<[u8; 16]> {
    (text.len() == DIGEST_DIGITS).then(|| u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes))?
}
