//! A row group through the Arrow writer: written to memory as a file of its own, then its pages moved to where ours are.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::basic::Encoding;
use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;
use parquet::file::metadata::OffsetIndexBuilder;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::properties::EnabledStatistics;
use parquet::file::properties::WriterProperties;
use parquet::file::properties::WriterVersion;
use parquet::schema::types::ColumnPath;
use parquet::schema::types::SchemaDescPtr;

use super::encoder::EncodeError;
use super::encoder::RowGroupPages;
use super::layout::MAGIC;
use super::layout::TIME_COLUMN;
use super::layout::ascending;
use super::profile::Profile;
use super::profile::is_widened;
use super::sink::Sink;

/// Distinct values a column may have before it is written without a dictionary.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;
const PAGE_BYTES: usize = 1 << 20;
/// A page that ZSTD does not make at least this much smaller is stored as it is.
const RATIO_MAX: f64 = 0.9;

/// Writes `batches` (at least one row, ascending) as one row group at the sink's offset.
///
/// * `time`: leaf column of the timestamps.
///
/// # Errors
/// [`EncodeError::Parquet`] when the Arrow writer refuses.
pub(super) fn write(
    sink: &mut Sink,
    schema: &SchemaRef,
    parquet: &SchemaDescPtr,
    time: usize,
    batches: &[RecordBatch],
    profile: Profile,
) -> Result<RowGroupPages, EncodeError> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties(profile, parquet)?)
        .with_skip_arrow_metadata(true)
        .with_parquet_schema(parquet.as_ref().clone());
    let mut file = Vec::new();
    let mut writer =
        ArrowWriter::try_new_with_options(&mut file, schema.clone(), options).map_err(EncodeError::Parquet)?;
    for batch in batches {
        writer.write(batch).map_err(EncodeError::Parquet)?;
    }
    let metadata = writer.close().map_err(EncodeError::Parquet)?;
    let start = sink.offset();
    let pages = splice(&metadata, parquet, time, start).map_err(EncodeError::Parquet)?;
    let bytes = pages.row_group.columns().iter().map(|column| column.byte_range()).map(|(at, len)| at + len).max();
    let len = (bytes.unwrap_or(start) - start) as usize;
    sink.buffer(Buffer::from_vec(file).slice_with_length(MAGIC.len(), len));
    Ok(pages)
}

fn properties(profile: Profile, parquet: &SchemaDescPtr) -> Result<WriterProperties, EncodeError> {
    let time = ColumnPath::new(vec![TIME_COLUMN.to_owned()]);
    let mut common = WriterProperties::builder()
        .set_max_row_group_row_count(None)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled(time.clone(), EnabledStatistics::Page)
        .set_column_dictionary_enabled(time.clone(), false);
    for leaf in parquet.columns().iter().filter(|leaf| is_widened(leaf)) {
        // Looking up each of millions of small numbers costs more than it saves over what ZSTD does.
        common = common.set_column_dictionary_enabled(leaf.path().clone(), false);
    }
    Ok(match profile {
        Profile::Packed => common
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(EncodeError::Parquet)?))
            .set_data_page_v2_compression_ratio_threshold(RATIO_MAX)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
            .set_column_encoding(time, Encoding::DELTA_BINARY_PACKED)
            .build(),
        Profile::Plain | Profile::Direct => {
            common.set_compression(Compression::UNCOMPRESSED).set_dictionary_enabled(false).build()
        }
    })
}

/// The row group of `metadata`, a file whose pages begin behind its magic, as if its pages began at `start`.
fn splice(
    metadata: &ParquetMetaData,
    parquet: &SchemaDescPtr,
    time: usize,
    start: u64,
) -> Result<RowGroupPages, ParquetError> {
    let strange = |what: &str| ParquetError::General(format!("the Arrow writer made {what}"));
    let [row_group] = metadata.row_groups() else {
        return Err(strange("more or fewer than one row group"));
    };
    let index = metadata.page_index().ok_or_else(|| strange("no page index"))?;
    let shift = start as i64 - MAGIC.len() as i64;
    let mut columns = Vec::with_capacity(row_group.num_columns());
    let mut offsets = Vec::with_capacity(row_group.num_columns());
    for (number, column) in row_group.columns().iter().enumerate() {
        let moved = column
            .clone()
            .into_builder()
            .set_data_page_offset(column.data_page_offset() + shift)
            .set_dictionary_page_offset(column.dictionary_page_offset().map(|offset| offset + shift))
            .set_column_index_offset(None)
            .set_column_index_length(None)
            .set_offset_index_offset(None)
            .set_offset_index_length(None);
        columns.push(moved.build()?);
        let pages = index.offset_index(0, number).ok_or_else(|| strange("a column without an offset index"))?;
        offsets.push(moved_pages(pages, row_group.num_rows(), shift));
    }
    let time_index = match index.column_index(0, time) {
        Some(ColumnIndexMetaData::INT64(index)) => ColumnIndexMetaData::INT64(index.clone()),
        _ => return Err(strange("no column index for the timestamps")),
    };
    let row_group = RowGroupMetaData::builder(parquet.clone())
        .set_num_rows(row_group.num_rows())
        .set_total_byte_size(row_group.total_byte_size())
        .set_column_metadata(columns)
        .set_sorting_columns(Some(ascending(time)))
        .build()?;
    Ok(RowGroupPages { row_group, offsets, time_index })
}

fn moved_pages(pages: &OffsetIndexMetaData, rows: i64, shift: i64) -> OffsetIndexMetaData {
    let mut builder = OffsetIndexBuilder::new();
    let locations = pages.page_locations();
    let ends = locations.iter().skip(1).map(|page| page.first_row_index).chain([rows]);
    for (page, end) in locations.iter().zip(ends) {
        builder.append_offset_and_size(page.offset + shift, page.compressed_page_size);
        builder.append_row_count(end - page.first_row_index);
    }
    builder.build()
}
