//! What follows the last page: checksum list, page indices and footer. `layout` has the bytes.

use std::fmt::Display;
use std::io;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::arrow::encode_arrow_schema;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::file::metadata::KeyValue;
use parquet::file::metadata::ParquetMetaDataBuilder;
use parquet::file::metadata::ParquetMetaDataWriter;
use parquet::file::metadata::page_index::PageIndexBuilder;
use parquet::file::writer::TrackedWrite;
use parquet::schema::types::SchemaDescPtr;

use super::encoder::EncodeError;
use super::encoder::RowGroup;
use super::identity::ChunkIdentity;
use super::layout::*;
use super::zones;
use crate::io::CHECKSUM_BLOCK;
use crate::io::digest128;
use crate::model::ChunkRecord;
use crate::model::PageFacts;
use crate::model::Statistics;
use crate::model::TimeBounds;

/// Of the Parquet format our pages follow (version 2 pages may occur).
const PARQUET_VERSION: i32 = 2;
const CREATED_BY: &str = concat!("tessera version ", env!("CARGO_PKG_VERSION"));

/// What lies before the trailer.
pub(super) struct Body<'a> {
    pub bytes: u64,
    pub checksums: &'a [u64],
    pub statistics: Statistics,
    pub zones: Option<Range<u64>>,
}

/// The bytes behind the last page, and the record.
pub(super) fn write(
    identity: &ChunkIdentity,
    schema: &SchemaRef,
    parquet: &SchemaDescPtr,
    time_leaf: usize,
    body: Body,
    row_groups: Vec<RowGroup>,
) -> Result<(Vec<u8>, ChunkRecord), EncodeError> {
    let runs = runs(&row_groups);
    let bounds = row_groups.iter().map(|group| group.bounds).reduce(TimeBounds::union).ok_or(EncodeError::Empty)?;
    let rows: i64 = row_groups.iter().map(|group| group.pages.row_group.num_rows()).sum();
    let logical_bytes: Vec<u64> = row_groups.iter().map(|group| group.logical_bytes).collect();
    let Body { bytes: body_bytes, checksums, statistics, zones } = body;
    assert!(
        checksums.len() as u64 == body_bytes.div_ceil(CHECKSUM_BLOCK as u64),
        "{} checksums for {body_bytes} bytes",
        checksums.len()
    );
    let mut tail: Vec<u8> = checksums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
    let footer_offset = body_bytes + tail.len() as u64;

    let mut record = ChunkRecord {
        chunk: identity.chunk,
        device: identity.device,
        shard: identity.shard,
        rows: rows.unsigned_abs(),
        file_bytes: 0,
        logical_bytes: logical_bytes.iter().sum(),
        bounds,
        body_bytes,
        footer_offset,
        digest: digest128(&tail),
        footer_digest: [0; 16],
        row_groups: row_groups.len() as u32,
        pages: Some(page_facts(&row_groups, &runs)),
        runs,
        statistics,
    };
    let keys = keys(identity, schema, &record, &logical_bytes, zones);
    let footer = footer(parquet, time_leaf, rows, keys, row_groups, footer_offset).map_err(EncodeError::Parquet)?;
    let (footer, footer_digest) = seal(footer)
        .ok_or(EncodeError::Parquet(ParquetError::General("the footer has no place for its digest".to_owned())))?;
    tail.extend_from_slice(&footer);
    record.footer_digest = footer_digest;
    record.file_bytes = body_bytes + tail.len() as u64;
    Ok((tail, record))
}

/// Where the digits of the footer digest are, in bytes of the footer.
pub(super) fn digest_at(footer: &[u8]) -> Option<std::ops::Range<usize>> {
    let mark = footer.windows(FOOTER_DIGEST_MARK.len()).rposition(|window| window == FOOTER_DIGEST_MARK)?;
    let start = mark + FOOTER_DIGEST_MARK.len();
    (start + DIGEST_DIGITS <= footer.len()).then_some(start..start + DIGEST_DIGITS)
}

/// The digest of a footer, whatever digits it carries.
pub(super) fn footer_digest(footer: &[u8]) -> Option<[u8; 16]> {
    let mut blank = footer.to_vec();
    blank.get_mut(digest_at(footer)?)?.fill(b'0');
    Some(digest128(&blank))
}

fn seal(mut footer: Vec<u8>) -> Option<(Vec<u8>, [u8; 16])> {
    let digest = footer_digest(&footer)?;
    let place = digest_at(&footer)?;
    footer.get_mut(place)?.copy_from_slice(digits(&digest).as_bytes());
    Some((footer, digest))
}

/// Bytes by codec, and the longest gap. Runs overlap in time, so rows of one may lie in a gap of another: then it is unknown.
fn page_facts(row_groups: &[RowGroup], runs: &[u32]) -> PageFacts {
    let mut facts = PageFacts { plain_bytes: 0, zstd_bytes: 0, gap_max_ns: None };
    let mut end: Option<i64> = None;
    for group in row_groups {
        for column in group.pages.row_group.columns() {
            let bytes = match column.compression() {
                Compression::ZSTD(_) => &mut facts.zstd_bytes,
                _ => &mut facts.plain_bytes,
            };
            *bytes += column.compressed_size().unsigned_abs();
        }
        let between = end.map(|end| group.bounds.first.abs_diff(end));
        facts.gap_max_ns = facts.gap_max_ns.max(group.gap_max_ns).max(between);
        end = Some(group.bounds.last);
    }
    facts.gap_max_ns = facts.gap_max_ns.filter(|gap| runs.len() == 1 && *gap < u64::MAX);
    facts
}

/// Row groups that begin before their predecessor ended begin a run.
fn runs(row_groups: &[RowGroup]) -> Vec<u32> {
    let mut runs = Vec::new();
    let mut end = None;
    for (number, group) in row_groups.iter().enumerate() {
        if end.is_none_or(|end| group.bounds.first < end) {
            runs.push(number as u32);
        }
        end = Some(group.bounds.last);
    }
    runs
}

/// `version:hex digits`, as the record has them: who rebuilds a record from the file has them too.
fn statistics_text(statistics: &Statistics) -> String {
    let digits: String = statistics.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{digits}", statistics.version)
}

fn keys(
    identity: &ChunkIdentity,
    schema: &SchemaRef,
    record: &ChunkRecord,
    logical_bytes: &[u64],
    zones: Option<Range<u64>>,
) -> Vec<KeyValue> {
    let key = |key: &str, value: &dyn Display| KeyValue::new(key.to_owned(), value.to_string());
    let zones = zones.map(|at| key(KEY_ZONES, &list(&[zones::VERSION.into(), at.start, at.end - at.start])));
    let mut keys = vec![
        key(ARROW_SCHEMA_META_KEY, &encode_arrow_schema(schema)),
        key(KEY_VERSION, &FORMAT_VERSION),
        key(KEY_CHUNK, &identity.chunk),
        key(KEY_SEQUENCE, &identity.sequence),
        key(KEY_SESSION, &identity.session),
        key(KEY_TOPIC, &identity.topic),
        key(KEY_NAME, &identity.name),
        key(KEY_TAG, &identity.tag.as_str()),
        key(KEY_FORMAT, &identity.format),
        key(KEY_NUMBER, &identity.number),
        key(KEY_INCARNATION, &identity.incarnation),
        key(KEY_DEVICE, &identity.device.0),
        key(KEY_SHARD, &identity.shard.0),
        key(KEY_ROWS, &record.rows),
        key(KEY_BOUNDS, &list(&[record.bounds.first, record.bounds.last])),
        key(KEY_RUNS, &list(&record.runs)),
        key(KEY_LOGICAL_BYTES, &list(logical_bytes)),
        key(KEY_STATISTICS, &statistics_text(&record.statistics)),
    ];
    keys.extend(zones);
    // The digest's own key stays the last one.
    keys.extend([
        key(KEY_CHECKSUM_OFFSET, &record.body_bytes),
        key(KEY_CHECKSUM_BYTES, &(record.footer_offset - record.body_bytes)),
        key(KEY_DIGEST, &digits(&record.digest)),
        key(KEY_FOOTER_DIGEST, &"0".repeat(DIGEST_DIGITS)),
    ]);
    keys
}

fn list(values: &[impl Display]) -> String {
    values.iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

fn footer(
    parquet: &SchemaDescPtr,
    time_leaf: usize,
    rows: i64,
    keys: Vec<KeyValue>,
    row_groups: Vec<RowGroup>,
    offset: u64,
) -> Result<Vec<u8>, ParquetError> {
    let mut index = PageIndexBuilder::new(row_groups.len(), parquet.num_columns());
    let mut metadata = Vec::with_capacity(row_groups.len());
    for (number, group) in row_groups.into_iter().enumerate() {
        index.put_column_index(group.pages.time_index, number, time_leaf);
        for (column, offsets) in group.pages.offsets.into_iter().enumerate() {
            index.put_offset_index(offsets, number, column);
        }
        metadata.push(group.pages.row_group);
    }
    let file = FileMetaData::new(PARQUET_VERSION, rows, Some(CREATED_BY.to_owned()), Some(keys), parquet.clone(), None);
    let metadata = ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata)
        .set_page_index(Some(Arc::new(index.build())))
        .build();
    let mut behind = Behind { skip: offset, bytes: Vec::new() };
    let mut writer = TrackedWrite::new(&mut behind);
    // The writer counts what went through it to know where it is in the file, and offers no other way to tell it.
    let mut ahead = offset;
    while ahead > 0 {
        let step = SKIP.get(..ahead.min(SKIP.len() as u64) as usize).unwrap_or(SKIP);
        writer.write_all(step)?;
        ahead -= step.len() as u64;
    }
    // Dropped inside, which empties its buffer into `behind`.
    ParquetMetaDataWriter::new_with_tracked(writer, &metadata).finish()?;
    Ok(behind.bytes)
}

/// Zeros that stand for what is in the file already.
const SKIP: &[u8] = &[0; 1 << 20];

/// Keeps what is written behind the first `skip` bytes.
struct Behind {
    skip: u64,
    bytes: Vec<u8>,
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len() as u64);
        self.skip -= skipped;
        self.bytes.extend_from_slice(bytes.get(skipped as usize..).unwrap_or(&[]));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
