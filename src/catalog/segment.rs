//! Segments: up to 256 chunks of a topic, as two formats. The directory has the chunk records, the zone map sums them
//! up, so that most segments are skipped without reading their directory.
//!
//! # Segment directory, format 1 (little-endian)
//!
//! | offset | bytes | field    | a reader must                                                     |
//! |-------:|------:|----------|-------------------------------------------------------------------|
//! |      0 |     4 | length   | require the whole directory's, at most `DIRECTORY_LEN_MAX`        |
//! |      4 |     2 | format   | require 1                                                         |
//! |      6 |     2 | count    | require 1 to `SEGMENT_CHUNKS_MAX`                                 |
//! |      8 |    16 | topic id | require the topic that was asked for                              |
//! |     24 |     4 | number   | require the number that was asked for                             |
//! |     28 |     4 | reserved | require zero                                                      |
//! |     32 |     n | records  | require exactly `count` records (see `record`), without a gap     |
//! | 32 + n |     8 | checksum | require XXH3-64 of all before                                     |
//!
//! # Zone map, format 1 (little-endian)
//!
//! | offset | bytes | field              | a reader must                                           |
//! |-------:|------:|--------------------|---------------------------------------------------------|
//! |      0 |     2 | format             | require 1                                               |
//! |      2 |     2 | chunks             | require 1 to `SEGMENT_CHUNKS_MAX`                       |
//! |      4 |     4 | statistics length  | require the rest's; 0 for version 0                     |
//! |      8 |     8 | first timestamp    |                                                         |
//! |     16 |     8 | last timestamp     | require first <= last                                   |
//! |     24 |     8 | rows               | require at least one per chunk                          |
//! |     32 |     8 | file bytes         |                                                         |
//! |     40 |     8 | logical bytes      |                                                         |
//! |     48 |     2 | statistics version | keep it: versions it does not know are never evaluated  |
//! |     50 |     6 | reserved           | require zero                                            |
//! |     56 |     s | statistics         |                                                         |
//! | 56 + s |     8 | checksum           | require XXH3-64 of all before                           |

use uuid::Uuid;

use super::RecordError;
use super::SegmentKey;
use super::field::CHECKSUM_LEN;
use super::field::append;
use super::field::read;
use super::field::seal;
use super::field::unseal;
use super::record::RECORD_LEN_MAX;
use super::record::decode_record;
use super::record::encode_record;
use super::record::record_len;
use crate::model::ChunkRecord;
use crate::model::Statistics;
use crate::model::TimeBounds;
use crate::model::TopicId;
use crate::model::merge_skip_indices;

const FORMAT: u16 = 1;

/// A segment is sealed with this many chunks,
pub const SEGMENT_CHUNKS_MAX: usize = 256;
/// or before its directory would become longer than this, in bytes.
pub const DIRECTORY_LEN_MAX: usize = 4 << 20;
/// Longest zone map, in bytes.
pub const ZONE_LEN_MAX: usize = 1 << 20;

mod directory {
    pub const LENGTH_AT: usize = 0;
    pub const FORMAT_AT: usize = LENGTH_AT + size_of::<u32>();
    pub const COUNT_AT: usize = FORMAT_AT + size_of::<u16>();
    pub const TOPIC_AT: usize = COUNT_AT + size_of::<u16>();
    pub const NUMBER_AT: usize = TOPIC_AT + size_of::<[u8; 16]>();
    pub const RESERVED_AT: usize = NUMBER_AT + size_of::<u32>();
    pub const RECORDS_AT: usize = RESERVED_AT + size_of::<u32>();
    const _: () = assert!(RECORDS_AT == 32, "format 1 is frozen: make a format 2 instead");
}

mod zone {
    pub const FORMAT_AT: usize = 0;
    pub const CHUNKS_AT: usize = FORMAT_AT + size_of::<u16>();
    pub const STATISTICS_LEN_AT: usize = CHUNKS_AT + size_of::<u16>();
    pub const FIRST_AT: usize = STATISTICS_LEN_AT + size_of::<u32>();
    pub const LAST_AT: usize = FIRST_AT + size_of::<i64>();
    pub const ROWS_AT: usize = LAST_AT + size_of::<i64>();
    pub const FILE_BYTES_AT: usize = ROWS_AT + size_of::<u64>();
    pub const LOGICAL_BYTES_AT: usize = FILE_BYTES_AT + size_of::<u64>();
    pub const STATISTICS_VERSION_AT: usize = LOGICAL_BYTES_AT + size_of::<u64>();
    pub const RESERVED_AT: usize = STATISTICS_VERSION_AT + size_of::<u16>();
    pub const STATISTICS_AT: usize = RESERVED_AT + size_of::<[u8; 6]>();
    const _: () = assert!(STATISTICS_AT == 56, "format 1 is frozen: make a format 2 instead");
}

const _: () = {
    assert!(SEGMENT_CHUNKS_MAX <= u16::MAX as usize);
    // A record of any length must find room in an empty segment.
    assert!(directory::RECORDS_AT + RECORD_LEN_MAX + CHECKSUM_LEN <= DIRECTORY_LEN_MAX);
};

/// Why bytes are no segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("segment part of {found} bytes: it must have {min} to {max}")]
    Length { found: usize, min: usize, max: usize },
    #[error("the segment's checksum does not match its bytes")]
    Checksum,
    #[error("segment format {found}: this program reads {FORMAT}")]
    Format { found: u16 },
    #[error("segment {number} of topic {topic} lies where segment {wanted} of topic {wanted_topic} belongs",
        number = found.number, topic = found.topic, wanted = wanted.number, wanted_topic = wanted.topic)]
    Misplaced { found: SegmentKey, wanted: SegmentKey },
    #[error("segment: {rule}")]
    Rule { rule: &'static str },
    #[error("segment, chunk {index}: {cause}")]
    Record { index: usize, cause: RecordError },
}

/// Sums over the chunks of a segment. It has at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneMap {
    pub chunks: u16,
    pub bounds: TimeBounds,
    pub rows: u64,
    pub file_bytes: u64,
    pub logical_bytes: u64,
    pub statistics: Statistics,
}

impl ZoneMap {
    /// `None` for no records, and for more than [`SEGMENT_CHUNKS_MAX`].
    pub fn of(records: &[ChunkRecord]) -> Option<Self> {
        let chunks = u16::try_from(records.len()).ok().filter(|n| usize::from(*n) <= SEGMENT_CHUNKS_MAX)?;
        let sum = |part: fn(&ChunkRecord) -> u64| records.iter().map(part).fold(0, u64::saturating_add);
        Some(Self {
            chunks,
            bounds: records.iter().map(|record| record.bounds).reduce(TimeBounds::union)?,
            rows: sum(|record| record.rows),
            file_bytes: sum(|record| record.file_bytes),
            logical_bytes: sum(|record| record.logical_bytes),
            statistics: merge_skip_indices(records.iter().map(|record| &record.statistics)),
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let statistics = &self.statistics;
        let len = u32::try_from(statistics.bytes.len()).unwrap_or(u32::MAX);
        assert!(len as usize <= ZONE_LEN_MAX - zone::STATISTICS_AT - CHECKSUM_LEN, "{len} bytes of zone statistics");
        let mut out = Vec::with_capacity(zone::STATISTICS_AT + statistics.bytes.len() + CHECKSUM_LEN);
        append(&mut out, zone::FORMAT_AT, &FORMAT.to_le_bytes());
        append(&mut out, zone::CHUNKS_AT, &self.chunks.to_le_bytes());
        append(&mut out, zone::STATISTICS_LEN_AT, &len.to_le_bytes());
        append(&mut out, zone::FIRST_AT, &self.bounds.first.to_le_bytes());
        append(&mut out, zone::LAST_AT, &self.bounds.last.to_le_bytes());
        append(&mut out, zone::ROWS_AT, &self.rows.to_le_bytes());
        append(&mut out, zone::FILE_BYTES_AT, &self.file_bytes.to_le_bytes());
        append(&mut out, zone::LOGICAL_BYTES_AT, &self.logical_bytes.to_le_bytes());
        append(&mut out, zone::STATISTICS_VERSION_AT, &statistics.version.to_le_bytes());
        append(&mut out, zone::RESERVED_AT, &[0; 6]);
        append(&mut out, zone::STATISTICS_AT, &statistics.bytes);
        seal(&mut out);
        out
    }

    /// # Errors
    /// [`SegmentError`] for anything that [`Self::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        let (found, min, max) = (bytes.len(), zone::STATISTICS_AT + CHECKSUM_LEN, ZONE_LEN_MAX);
        if !(min..=max).contains(&found) {
            return Err(SegmentError::Length { found, min, max });
        }
        let sealed = unseal(bytes).ok_or(SegmentError::Checksum)?;
        zone_fields(sealed).ok_or(SegmentError::Length { found, min, max })?
    }
}

fn zone_fields(sealed: &[u8]) -> Option<Result<ZoneMap, SegmentError>> {
    let number = |at| read(sealed, at).map(u64::from_le_bytes);
    let format = u16::from_le_bytes(read(sealed, zone::FORMAT_AT)?);
    if format != FORMAT {
        return Some(Err(SegmentError::Format { found: format }));
    }
    let statistics = sealed.get(zone::STATISTICS_AT..)?;
    let statistics_len = u32::from_le_bytes(read(sealed, zone::STATISTICS_LEN_AT)?) as usize;
    let map = ZoneMap {
        chunks: u16::from_le_bytes(read(sealed, zone::CHUNKS_AT)?),
        bounds: TimeBounds {
            first: i64::from_le_bytes(read(sealed, zone::FIRST_AT)?),
            last: i64::from_le_bytes(read(sealed, zone::LAST_AT)?),
        },
        rows: number(zone::ROWS_AT)?,
        file_bytes: number(zone::FILE_BYTES_AT)?,
        logical_bytes: number(zone::LOGICAL_BYTES_AT)?,
        statistics: Statistics {
            version: u16::from_le_bytes(read(sealed, zone::STATISTICS_VERSION_AT)?),
            bytes: statistics.to_vec(),
        },
    };
    let rules = [
        ((1..=SEGMENT_CHUNKS_MAX).contains(&map.chunks.into()), "a zone map has 1 to 256 chunks"),
        (map.bounds.first <= map.bounds.last, "its last timestamp lies before its first"),
        (map.rows >= map.chunks.into(), "it has chunks without rows"),
        (statistics.len() == statistics_len, "its parts do not add up to its length"),
        (map.statistics.version != 0 || statistics.is_empty(), "statistics version 0 has no bytes"),
        (read(sealed, zone::RESERVED_AT)? == [0; 6], "reserved bytes are not zero"),
    ];
    Some(rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(map), |(_, rule)| Err(SegmentError::Rule { rule })))
}

/// The directory of a segment with these records, at least one.
///
/// # Errors
/// [`SegmentError::Record`] for a record that has no bytes (see [`encode_record`]), [`SegmentError::Rule`] or
/// [`SegmentError::Length`] for a count or a sum of lengths that does not fit.
pub fn encode_directory(key: SegmentKey, records: &[ChunkRecord]) -> Result<Vec<u8>, SegmentError> {
    let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
    if !(1..=SEGMENT_CHUNKS_MAX).contains(&count.into()) {
        return Err(SegmentError::Rule { rule: "a directory has 1 to 256 chunks" });
    }
    let mut packed = Vec::new();
    for (index, record) in records.iter().enumerate() {
        packed.extend(encode_record(record).map_err(|cause| SegmentError::Record { index, cause })?);
    }
    let len = directory_len(packed.len());
    let said = u32::try_from(len).ok().filter(|_| len <= DIRECTORY_LEN_MAX);
    let said = said.ok_or(SegmentError::Length { found: len, min: directory_len(0), max: DIRECTORY_LEN_MAX })?;
    let mut out = Vec::with_capacity(len);
    append(&mut out, directory::LENGTH_AT, &said.to_le_bytes());
    append(&mut out, directory::FORMAT_AT, &FORMAT.to_le_bytes());
    append(&mut out, directory::COUNT_AT, &count.to_le_bytes());
    append(&mut out, directory::TOPIC_AT, key.topic.0.as_bytes());
    append(&mut out, directory::NUMBER_AT, &key.number.to_le_bytes());
    append(&mut out, directory::RESERVED_AT, &[0; 4]);
    append(&mut out, directory::RECORDS_AT, &packed);
    seal(&mut out);
    Ok(out)
}

/// Length of a directory whose records have `records_len` bytes together.
pub fn directory_len(records_len: usize) -> usize {
    directory::RECORDS_AT + records_len + CHECKSUM_LEN
}

/// The records of the segment `wanted`, in their order.
///
/// # Errors
/// [`SegmentError`] for anything that [`encode_directory`] does not write under this key.
pub fn decode_directory(wanted: SegmentKey, bytes: &[u8]) -> Result<Vec<ChunkRecord>, SegmentError> {
    let (found, min, max) = (bytes.len(), directory_len(0), DIRECTORY_LEN_MAX);
    let length = SegmentError::Length { found, min, max };
    if !(min..=max).contains(&found) || record_len(bytes).map(|said| said as usize) != Some(found) {
        return Err(length);
    }
    let sealed = unseal(bytes).ok_or(SegmentError::Checksum)?;
    directory_fields(wanted, sealed).ok_or(length)?
}

fn directory_fields(wanted: SegmentKey, sealed: &[u8]) -> Option<Result<Vec<ChunkRecord>, SegmentError>> {
    let format = u16::from_le_bytes(read(sealed, directory::FORMAT_AT)?);
    if format != FORMAT {
        return Some(Err(SegmentError::Format { found: format }));
    }
    let topic = TopicId(Uuid::from_bytes(read(sealed, directory::TOPIC_AT)?));
    let found = SegmentKey { topic, number: u32::from_le_bytes(read(sealed, directory::NUMBER_AT)?) };
    if found != wanted {
        return Some(Err(SegmentError::Misplaced { found, wanted }));
    }
    let count = usize::from(u16::from_le_bytes(read(sealed, directory::COUNT_AT)?));
    if !(1..=SEGMENT_CHUNKS_MAX).contains(&count) {
        return Some(Err(SegmentError::Rule { rule: "a directory has 1 to 256 chunks" }));
    }
    if read(sealed, directory::RESERVED_AT)? != [0; 4] {
        return Some(Err(SegmentError::Rule { rule: "reserved bytes are not zero" }));
    }
    Some(packed_records(sealed.get(directory::RECORDS_AT..)?, count))
}

fn packed_records(mut packed: &[u8], count: usize) -> Result<Vec<ChunkRecord>, SegmentError> {
    let mut records = Vec::with_capacity(count);
    for index in 0..count {
        let len = record_len(packed).map_or(0, |len| len as usize);
        let (record, rest) = packed.split_at_checked(len).unwrap_or((packed, &[]));
        records.push(decode_record(record).map_err(|cause| SegmentError::Record { index, cause })?);
        packed = rest;
    }
    match packed.is_empty() {
        true => Ok(records),
        false => Err(SegmentError::Rule { rule: "bytes behind the last record" }),
    }
}

#[cfg(test)]
mod tests;
