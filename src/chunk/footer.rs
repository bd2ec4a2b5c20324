//! Footer bytes to checked metadata: whatever a decoder relies on later is required here.

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::metadata::KeyValue;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::decoder::DecodeError;
use super::decoder::RowGroupInfo;
use super::layout::*;
use super::parts::Parts;
use super::size::least_bits;
use super::thrift;
use super::trailer;
use super::zones;
use crate::io::CHECKSUM_BLOCK;
use crate::io::digest128;
use crate::model::ChunkRecord;
use crate::model::TimeBounds;

/// A footer whose every offset lies inside the pages.
pub(super) struct Parsed {
    pub(super) metadata: ParquetMetaData,
    pub(super) schema: SchemaRef,
    pub(super) time_leaf: usize,
    pub(super) row_groups: Vec<RowGroupInfo>,
    /// Where the zones are; `None` when there are none that are known here.
    pub(super) zones: Option<Range<u64>>,
}

/// Checksum list and footer of `tail`, both matching the record's digests.
pub(super) fn proven<'a>(record: &ChunkRecord, tail: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let chunk = record.chunk;
    let expected = record.file_bytes.saturating_sub(record.body_bytes);
    let list_bytes = record.body_bytes.div_ceil(CHECKSUM_BLOCK as u64).saturating_mul(8);
    if tail.len() as u64 != expected || record.footer_offset != record.body_bytes.saturating_add(list_bytes) {
        return Err(DecodeError::Length { chunk, found: tail.len() as u64, expected });
    }
    let at = usize::try_from(list_bytes).unwrap_or(usize::MAX);
    let (list, footer) =
        tail.split_at_checked(at).ok_or(DecodeError::Length { chunk, found: tail.len() as u64, expected })?;
    if digest128(list) != record.digest {
        return Err(DecodeError::Digest { chunk, what: "checksum list" });
    }
    if trailer::footer_digest(footer) != Some(record.footer_digest) {
        return Err(DecodeError::Digest { chunk, what: "footer" });
    }
    Ok((list, footer))
}

/// Parses page indices and `FileMetaData`.
///
/// * `footer`: bytes `record.footer_offset..record.file_bytes`.
pub(super) fn parse(record: &ChunkRecord, footer: &[u8]) -> Result<Parsed, DecodeError> {
    let chunk = record.chunk;
    let wrong = |what: String| DecodeError::Footer { chunk, what };
    let cause = |cause| DecodeError::Parquet { chunk, cause };
    let bytes = metadata_bytes(footer).ok_or_else(|| wrong("its own length wrongly".to_owned()))?;
    if !thrift::is_sound(bytes) {
        return Err(wrong("more than it has bytes for".to_owned()));
    }
    let metadata = ParquetMetaDataReader::decode_metadata(bytes).map_err(cause)?;
    let keys = keys(&metadata);
    check_keys(record, &keys)?;
    let zones = zones(record, &keys);
    let logical = numbers::<u64>(&keys, KEY_LOGICAL_BYTES).unwrap_or_default();

    let entry =
        keys.get(ARROW_SCHEMA_META_KEY).map(|value| KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), value.clone()));
    let entry = vec![entry.ok_or_else(|| wrong("nothing of the Arrow schema".to_owned()))?];
    let parquet = metadata.file_metadata().schema_descr_ptr();
    let schema = parquet_to_arrow_schema(&parquet, Some(&entry)).map_err(cause)?;
    let time_leaf = time_leaf(&schema, &metadata).ok_or_else(|| wrong("nothing of timestamps".to_owned()))?;
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        check_column(record, column, footer)
            .ok_or_else(|| wrong(format!("that column {} is outside the file", column.column_path())))?;
    }

    let mut file = Parts::new();
    file.insert(record.footer_offset, Bytes::copy_from_slice(footer));
    let mut reader =
        ParquetMetaDataReader::new_with_metadata(metadata).with_page_index_policy(PageIndexPolicy::Required);
    reader.read_page_indexes(&file).map_err(cause)?;
    let metadata = reader.finish().map_err(cause)?;
    let row_groups = row_groups(&metadata, &schema, time_leaf, &logical).map_err(wrong)?;
    let rows: u64 = row_groups.iter().fold(0, |rows, group| group.rows.saturating_add(rows));
    if rows != record.rows || row_groups.len() != record.row_groups as usize {
        return Err(wrong(format!("{rows} rows in {} row groups, the record others", row_groups.len())));
    }
    Ok(Parsed { metadata, schema: Arc::new(schema), time_leaf, row_groups, zones })
}

pub(super) fn metadata_bytes(footer: &[u8]) -> Option<&[u8]> {
    let (rest, end) = footer.split_at_checked(footer.len().checked_sub(PARQUET_END_BYTES)?)?;
    let (len, magic) = end.split_at_checked(PARQUET_END_BYTES - MAGIC.len())?;
    let len = u32::from_le_bytes(len.try_into().ok()?) as usize;
    (magic == MAGIC).then(|| rest.get(rest.len().checked_sub(len)?..))?
}

pub(super) fn keys(metadata: &ParquetMetaData) -> HashMap<&str, String> {
    let entries = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    entries.filter_map(|entry| Some((entry.key.as_str(), entry.value.clone()?))).collect()
}

fn check_keys(record: &ChunkRecord, keys: &HashMap<&str, String>) -> Result<(), DecodeError> {
    let expected = [
        (KEY_VERSION, FORMAT_VERSION.to_owned()),
        (KEY_CHUNK, record.chunk.to_string()),
        (KEY_ROWS, record.rows.to_string()),
        (KEY_CHECKSUM_OFFSET, record.body_bytes.to_string()),
        (KEY_CHECKSUM_BYTES, record.footer_offset.saturating_sub(record.body_bytes).to_string()),
        (KEY_DIGEST, digits(&record.digest)),
        (KEY_FOOTER_DIGEST, digits(&record.footer_digest)),
    ];
    for (key, expected) in expected {
        let found = keys.get(key).cloned().unwrap_or_default();
        if found != expected {
            return Err(DecodeError::Key { chunk: record.chunk, key, found, expected });
        }
    }
    Ok(())
}

fn numbers<T: FromStr>(keys: &HashMap<&str, String>, key: &str) -> Option<Vec<T>> {
    keys.get(key)?.split(',').map(|number| number.parse().ok()).collect()
}

/// An index only ever spares work, so one that makes no sense is none.
fn zones(record: &ChunkRecord, keys: &HashMap<&str, String>) -> Option<Range<u64>> {
    let [version, offset, bytes] = numbers::<u64>(keys, KEY_ZONES)?.try_into().ok()?;
    let zones = offset..offset.checked_add(bytes)?;
    let known = version == u64::from(zones::VERSION) && bytes <= zones::SECTION_BYTES_MAX;
    (known && offset >= MAGIC.len() as u64 && zones.end <= record.body_bytes).then_some(zones)
}

fn time_leaf(schema: &Schema, metadata: &ParquetMetaData) -> Option<usize> {
    let (field, found) = schema.column_with_name(TIME_COLUMN)?;
    let parquet = metadata.file_metadata().schema_descr();
    let leaf = (0..parquet.num_columns()).find(|leaf| parquet.get_column_root_idx(*leaf) == field)?;
    (*found.data_type() == DataType::Int64).then_some(leaf)
}

/// Pages inside the body, indices inside the footer: the Parquet reader asserts where it should check.
fn check_column(record: &ChunkRecord, column: &ColumnChunkMetaData, footer: &[u8]) -> Option<()> {
    let offset = u64::try_from(column.dictionary_page_offset().unwrap_or(column.data_page_offset())).ok()?;
    let end = offset.checked_add(u64::try_from(column.compressed_size()).ok()?)?;
    let pages = offset >= MAGIC.len() as u64 && end <= record.body_bytes && column.data_page_offset() >= 0;
    let inside = |offset: Option<i64>, len: Option<i32>| match (offset, len) {
        (None, None) => Some(true),
        (Some(offset), Some(len)) => {
            let start = u64::try_from(offset).ok()?;
            let end = start.checked_add(u64::try_from(len).ok()?)?;
            let inside = usize::try_from(start.checked_sub(record.footer_offset)?).ok()?
                ..usize::try_from(end.checked_sub(record.footer_offset)?).ok()?;
            Some(start < end && thrift::is_sound(footer.get(inside)?))
        }
        _ => None,
    };
    let indices = inside(column.offset_index_offset(), column.offset_index_length())?
        && inside(column.column_index_offset(), column.column_index_length())?;
    (pages && indices && column.num_values() >= 0).then_some(())
}

fn row_groups(
    metadata: &ParquetMetaData,
    schema: &Schema,
    time_leaf: usize,
    logical: &[u64],
) -> Result<Vec<RowGroupInfo>, String> {
    let row_bits = schema.fields().iter().map(|field| least_bits(field.data_type())).fold(0, u128::saturating_add);
    let index = metadata.page_index().ok_or("nothing of pages")?;
    let mut out = Vec::with_capacity(metadata.num_row_groups());
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let rows =
            u64::try_from(group.num_rows()).map_err(|_| format!("row group {number} has {} rows", group.num_rows()))?;
        for (leaf, column) in group.columns().iter().enumerate() {
            let pages = index.page_locations(number, leaf).map_or(&[][..], Vec::as_slice);
            check_pages(column, pages, rows)
                .ok_or_else(|| format!("pages of {} in row group {number} that cannot be", column.column_path()))?;
        }
        let bounds = match index.column_index(number, time_leaf) {
            Some(ColumnIndexMetaData::INT64(times)) => {
                let pages = index.page_locations(number, time_leaf).map_or(0, Vec::len);
                let bounds = |page| Some(TimeBounds { first: *times.min_value(page)?, last: *times.max_value(page)? });
                let all: Option<Vec<TimeBounds>> = (0..pages).map(bounds).collect();
                all.unwrap_or_default().into_iter().reduce(TimeBounds::union)
            }
            _ => None,
        };
        let bounds = bounds.ok_or_else(|| format!("nothing of the time of row group {number}"))?;
        let logical_bytes = *logical.get(number).ok_or("too few logical sizes")?;
        // A reader makes room for this before it has seen any.
        if row_bits.saturating_mul(u128::from(rows)) / 8 > u128::from(logical_bytes) {
            return Err(format!(
                "row group {number} has {rows} rows in {logical_bytes} bytes, which its schema does not allow"
            ));
        }
        out.push(RowGroupInfo { rows, logical_bytes, bounds });
    }
    Ok(out)
}

/// Pages follow each other inside the column chunk and their first rows ascend.
fn check_pages(column: &ColumnChunkMetaData, pages: &[PageLocation], rows: u64) -> Option<()> {
    let (mut at, len) = column.byte_range();
    let end = at.checked_add(len)?;
    let mut row = 0;
    for (number, page) in pages.iter().enumerate() {
        let (offset, size) = (u64::try_from(page.offset).ok()?, u64::try_from(page.compressed_page_size).ok()?);
        let first = u64::try_from(page.first_row_index).ok()?;
        let ascends = if number == 0 { first == 0 } else { first > row };
        if offset < at || !ascends || first >= rows {
            return None;
        }
        (at, row) = (offset.checked_add(size)?, first);
    }
    (!pages.is_empty() && at <= end).then_some(())
}
