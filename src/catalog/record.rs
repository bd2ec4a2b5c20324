//! # Chunk record, formats 1 and 2 (little-endian)
//!
//! |      offset | bytes | field              | a reader must                                           |
//! |------------:|------:|--------------------|---------------------------------------------------------|
//! |           0 |     4 | length             | require the whole record's, at most `RECORD_LEN_MAX`    |
//! |           4 |     2 | format             | require 1 or 2                                          |
//! |           6 |     2 | device             |                                                         |
//! |           8 |     2 | shard              |                                                         |
//! |          10 |     2 | statistics version | keep it: versions it does not know are never evaluated  |
//! |          12 |     4 | statistics length  | require 0 for version 0                                 |
//! |          16 |    16 | chunk id           |                                                         |
//! |          32 |     8 | rows               | require at least 1                                      |
//! |          40 |     8 | file bytes         |                                                         |
//! |          48 |     8 | logical bytes      |                                                         |
//! |          56 |     8 | first timestamp    |                                                         |
//! |          64 |     8 | last timestamp     | require first <= last                                   |
//! |          72 |     8 | body bytes         | require body <= footer offset                           |
//! |          80 |     8 | footer offset      | require footer offset <= file bytes                     |
//! |          88 |    16 | digest             |                                                         |
//! |         104 |    16 | footer digest      |                                                         |
//! |         120 |     4 | row groups         | require at least 1                                      |
//! |         124 |     4 | run count          | require 1 to row groups                                 |
//! |         128 |    4r | runs               | require 0 first, ascending, all below row groups        |
//! |    128 + 4r |     s | statistics         |                                                         |
//! | 128 + 4r + s |    8 | checksum           | require XXH3-64 of all before                           |
//!
//! Format 2 has these fields between run count and runs, so that runs begin at 152:
//!
//! | offset | bytes | field       | a reader must                                                      |
//! |-------:|------:|-------------|--------------------------------------------------------------------|
//! |    128 |     8 | plain bytes | of pages without compression                                       |
//! |    136 |     8 | zstd bytes  | of pages with Zstandard; require plain + zstd <= body bytes        |
//! |    144 |     8 | longest gap | ns between neighbouring rows; all ones: unknown                    |
//!
//! A record that came from format 1 is written as format 1 again: what it did not hold is never made up.
//! Records lie in the journal one by one and packed in a segment's directory (`segment`), with the same bytes.

use uuid::Uuid;

use super::field::CHECKSUM_LEN;
use super::field::append;
use super::field::read;
use super::field::seal;
use super::field::unseal;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::PageFacts;
use crate::model::ShardIndex;
use crate::model::Statistics;
use crate::model::TimeBounds;

/// Without and with page facts.
const FORMAT_1: u16 = 1;
const FORMAT_2: u16 = 2;

const LENGTH_AT: usize = 0;
const FORMAT_AT: usize = LENGTH_AT + size_of::<u32>();
const DEVICE_AT: usize = FORMAT_AT + size_of::<u16>();
const SHARD_AT: usize = DEVICE_AT + size_of::<u16>();
const STATISTICS_VERSION_AT: usize = SHARD_AT + size_of::<u16>();
const STATISTICS_LEN_AT: usize = STATISTICS_VERSION_AT + size_of::<u16>();
const CHUNK_AT: usize = STATISTICS_LEN_AT + size_of::<u32>();
const ROWS_AT: usize = CHUNK_AT + size_of::<[u8; 16]>();
const FILE_BYTES_AT: usize = ROWS_AT + size_of::<u64>();
const LOGICAL_BYTES_AT: usize = FILE_BYTES_AT + size_of::<u64>();
const FIRST_AT: usize = LOGICAL_BYTES_AT + size_of::<u64>();
const LAST_AT: usize = FIRST_AT + size_of::<i64>();
const BODY_BYTES_AT: usize = LAST_AT + size_of::<i64>();
const FOOTER_OFFSET_AT: usize = BODY_BYTES_AT + size_of::<u64>();
const DIGEST_AT: usize = FOOTER_OFFSET_AT + size_of::<u64>();
const FOOTER_DIGEST_AT: usize = DIGEST_AT + size_of::<[u8; 16]>();
const ROW_GROUPS_AT: usize = FOOTER_DIGEST_AT + size_of::<[u8; 16]>();
const RUN_COUNT_AT: usize = ROW_GROUPS_AT + size_of::<u32>();
const RUNS_AT: usize = RUN_COUNT_AT + size_of::<u32>();
const _: () = assert!(RUNS_AT == 128, "format 1 is frozen: make a format 3 instead");

const PLAIN_BYTES_AT: usize = RUN_COUNT_AT + size_of::<u32>();
const ZSTD_BYTES_AT: usize = PLAIN_BYTES_AT + size_of::<u64>();
const GAP_MAX_AT: usize = ZSTD_BYTES_AT + size_of::<u64>();
const RUNS_2_AT: usize = GAP_MAX_AT + size_of::<u64>();
const _: () = assert!(RUNS_2_AT == 152, "format 2 is frozen: make a format 3 instead");

/// In the place of a longest gap that is not known.
const GAP_UNKNOWN: u64 = u64::MAX;

/// Longest record, in bytes. A chunk has at most 64 k row groups, so runs take a quarter of this.
pub const RECORD_LEN_MAX: usize = 1 << 20;
/// Shortest record: format 1 with one run and no statistics.
pub const RECORD_LEN_MIN: usize = RUNS_AT + size_of::<u32>() + CHECKSUM_LEN;

/// Why bytes are no chunk record, or a chunk cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("record of {found} bytes: it must have {RECORD_LEN_MIN} to {RECORD_LEN_MAX}")]
    Length { found: usize },
    #[error("record says it has {said} bytes, there are {found}")]
    Cut { said: u32, found: usize },
    #[error("the record's checksum does not match its bytes")]
    Checksum,
    #[error("record format {found}: this program reads {FORMAT_1} and {FORMAT_2}")]
    Format { found: u16 },
    #[error("record of chunk {chunk}: {rule}")]
    Rule { chunk: ChunkId, rule: &'static str },
}

/// The record's bytes.
///
/// # Errors
/// [`RecordError::Length`] when there are too many runs or statistics, [`RecordError::Rule`] for a record that a reader
/// would refuse.
pub fn encode_record(record: &ChunkRecord) -> Result<Vec<u8>, RecordError> {
    check(record)?;
    let statistics = &record.statistics;
    let (format, runs_at) = if record.pages.is_some() { (FORMAT_2, RUNS_2_AT) } else { (FORMAT_1, RUNS_AT) };
    let len = runs_at + size_of::<u32>() * record.runs.len() + statistics.bytes.len() + CHECKSUM_LEN;
    let too_long = RecordError::Length { found: len };
    if len > RECORD_LEN_MAX {
        return Err(too_long);
    }
    let narrow = |len: usize| u32::try_from(len).map_err(|_| too_long.clone());
    let mut out = Vec::with_capacity(len);
    append(&mut out, LENGTH_AT, &narrow(len)?.to_le_bytes());
    append(&mut out, FORMAT_AT, &format.to_le_bytes());
    append(&mut out, DEVICE_AT, &record.device.0.to_le_bytes());
    append(&mut out, SHARD_AT, &record.shard.0.to_le_bytes());
    append(&mut out, STATISTICS_VERSION_AT, &statistics.version.to_le_bytes());
    append(&mut out, STATISTICS_LEN_AT, &narrow(statistics.bytes.len())?.to_le_bytes());
    append(&mut out, CHUNK_AT, record.chunk.0.as_bytes());
    append(&mut out, ROWS_AT, &record.rows.to_le_bytes());
    append(&mut out, FILE_BYTES_AT, &record.file_bytes.to_le_bytes());
    append(&mut out, LOGICAL_BYTES_AT, &record.logical_bytes.to_le_bytes());
    append(&mut out, FIRST_AT, &record.bounds.first.to_le_bytes());
    append(&mut out, LAST_AT, &record.bounds.last.to_le_bytes());
    append(&mut out, BODY_BYTES_AT, &record.body_bytes.to_le_bytes());
    append(&mut out, FOOTER_OFFSET_AT, &record.footer_offset.to_le_bytes());
    append(&mut out, DIGEST_AT, &record.digest);
    append(&mut out, FOOTER_DIGEST_AT, &record.footer_digest);
    append(&mut out, ROW_GROUPS_AT, &record.row_groups.to_le_bytes());
    append(&mut out, RUN_COUNT_AT, &narrow(record.runs.len())?.to_le_bytes());
    if let Some(pages) = record.pages {
        append(&mut out, PLAIN_BYTES_AT, &pages.plain_bytes.to_le_bytes());
        append(&mut out, ZSTD_BYTES_AT, &pages.zstd_bytes.to_le_bytes());
        append(&mut out, GAP_MAX_AT, &pages.gap_max_ns.unwrap_or(GAP_UNKNOWN).to_le_bytes());
    }
    record.runs.iter().for_each(|run| out.extend_from_slice(&run.to_le_bytes()));
    out.extend_from_slice(&statistics.bytes);
    seal(&mut out);
    assert!(out.len() == len, "record of {} bytes, {len} computed", out.len());
    Ok(out)
}

/// Reads exactly one record.
///
/// # Errors
/// [`RecordError`] for anything that [`encode_record`] does not write.
pub fn decode_record(bytes: &[u8]) -> Result<ChunkRecord, RecordError> {
    let found = bytes.len();
    if !(RECORD_LEN_MIN..=RECORD_LEN_MAX).contains(&found) {
        return Err(RecordError::Length { found });
    }
    let short = RecordError::Length { found };
    let said = record_len(bytes).ok_or_else(|| short.clone())?;
    if said as usize != found {
        return Err(RecordError::Cut { said, found });
    }
    let sealed = unseal(bytes).ok_or(RecordError::Checksum)?;
    fields(sealed).ok_or(short)?
}

/// The length that the record at the start of `bytes` claims; `None` when not even that is there.
pub fn record_len(bytes: &[u8]) -> Option<u32> {
    read(bytes, LENGTH_AT).map(u32::from_le_bytes)
}

/// `None` when a field lies outside `sealed`.
fn fields(sealed: &[u8]) -> Option<Result<ChunkRecord, RecordError>> {
    let number = |at| read(sealed, at).map(u64::from_le_bytes);
    let format = u16::from_le_bytes(read(sealed, FORMAT_AT)?);
    let (pages, runs_at) = match format {
        FORMAT_1 => (None, RUNS_AT),
        FORMAT_2 => (Some(page_facts(sealed)?), RUNS_2_AT),
        found => return Some(Err(RecordError::Format { found })),
    };
    let chunk = ChunkId(Uuid::from_bytes(read(sealed, CHUNK_AT)?));
    let run_count = u32::from_le_bytes(read(sealed, RUN_COUNT_AT)?) as usize;
    let statistics_len = u32::from_le_bytes(read(sealed, STATISTICS_LEN_AT)?) as usize;
    let (runs, statistics) = sealed.get(runs_at..)?.split_at_checked(run_count.checked_mul(size_of::<u32>())?)?;
    if statistics.len() != statistics_len {
        return Some(Err(RecordError::Rule { chunk, rule: "its parts do not add up to its length" }));
    }
    let record = ChunkRecord {
        chunk,
        device: DeviceNumber(u16::from_le_bytes(read(sealed, DEVICE_AT)?)),
        shard: ShardIndex(u16::from_le_bytes(read(sealed, SHARD_AT)?)),
        rows: number(ROWS_AT)?,
        file_bytes: number(FILE_BYTES_AT)?,
        logical_bytes: number(LOGICAL_BYTES_AT)?,
        bounds: TimeBounds {
            first: i64::from_le_bytes(read(sealed, FIRST_AT)?),
            last: i64::from_le_bytes(read(sealed, LAST_AT)?),
        },
        body_bytes: number(BODY_BYTES_AT)?,
        footer_offset: number(FOOTER_OFFSET_AT)?,
        digest: read(sealed, DIGEST_AT)?,
        footer_digest: read(sealed, FOOTER_DIGEST_AT)?,
        row_groups: u32::from_le_bytes(read(sealed, ROW_GROUPS_AT)?),
        runs: runs.as_chunks().0.iter().map(|run| u32::from_le_bytes(*run)).collect(),
        pages,
        statistics: Statistics {
            version: u16::from_le_bytes(read(sealed, STATISTICS_VERSION_AT)?),
            bytes: statistics.to_vec(),
        },
    };
    Some(check(&record).map(|()| record))
}

fn page_facts(sealed: &[u8]) -> Option<PageFacts> {
    let number = |at| read(sealed, at).map(u64::from_le_bytes);
    let gap_max_ns = Some(number(GAP_MAX_AT)?).filter(|gap| *gap != GAP_UNKNOWN);
    Some(PageFacts { plain_bytes: number(PLAIN_BYTES_AT)?, zstd_bytes: number(ZSTD_BYTES_AT)?, gap_max_ns })
}

/// The rules of the table, on both sides of the border.
fn check(record: &ChunkRecord) -> Result<(), RecordError> {
    let runs_ascend = record.runs.first() == Some(&0)
        && record.runs.is_sorted_by(|a, b| a < b)
        && record.runs.last().is_some_and(|last| *last < record.row_groups);
    let pages_fit = record.pages.is_none_or(|pages| {
        let bytes = pages.plain_bytes.checked_add(pages.zstd_bytes);
        bytes.is_some_and(|bytes| bytes <= record.body_bytes) && pages.gap_max_ns != Some(GAP_UNKNOWN)
    });
    let rules = [
        (record.rows >= 1, "it has no rows"),
        (record.bounds.first <= record.bounds.last, "its last timestamp lies before its first"),
        (record.body_bytes <= record.footer_offset, "its footer begins inside its pages"),
        (record.footer_offset <= record.file_bytes, "its footer begins behind the end of the file"),
        (record.row_groups >= 1, "it has no row groups"),
        (runs_ascend, "its runs do not begin at 0 and ascend below its row groups"),
        (pages_fit, "its page facts do not fit its pages"),
        (record.statistics.version != 0 || record.statistics.bytes.is_empty(), "statistics version 0 has no bytes"),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(RecordError::Rule { chunk: record.chunk, rule }),
        None => Ok(()),
    }
}

#[cfg(test)]
pub mod tests;
