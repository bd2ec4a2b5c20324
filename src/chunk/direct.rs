//! A row group as our own pages around the batch's buffers: no statistics, no dictionary, no copy of payloads.
//!
//! All columns are cut at the same rows: a large row has pages of its own, smaller ones share pages of up to 1 MiB.

use std::ops::Range;
use std::slice::IterMut;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::OffsetSizeTrait;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use parquet::basic::BoundaryOrder;
use parquet::basic::Compression;
use parquet::basic::Encoding;
use parquet::basic::Type;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::metadata::ColumnIndexBuilder;
use parquet::file::metadata::OffsetIndexBuilder;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::SchemaDescPtr;

use super::encoder::EncodeError;
use super::encoder::RowGroupPages;
use super::layout::ascending;
use super::levels::Entries;
use super::page::LevelsMax;
use super::page::PAGE_MAX;
use super::page::Page;
use super::sink::Sink;
use super::size::batch_bytes;
use super::values;

/// Rows of this size have pages of their own.
const LARGE_ROW_BYTES: u64 = 64 << 10;
/// Arrow bytes of the rows of one page, over all columns.
const PAGE_BYTES: u64 = 1 << 20;

/// Whether every column of `schema` can be written this way.
pub(super) fn supports(schema: &Schema) -> bool {
    schema.fields().iter().all(|field| supports_type(field.data_type()))
}

fn supports_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(children) => children.iter().all(|child| supports_type(child.data_type())),
        DataType::List(child) | DataType::LargeList(child) | DataType::FixedSizeList(child, _) => {
            supports_type(child.data_type())
        }
        leaf => values::is_direct(leaf),
    }
}

/// Writes `batches` (at least one row, ascending) as one row group at the sink's offset.
///
/// * `time`: field of the timestamps; `time_leaf`: their leaf column.
///
/// # Errors
/// [`EncodeError::Null`], [`EncodeError::PageTooLarge`].
pub(super) fn write(
    sink: &mut Sink,
    parquet: &SchemaDescPtr,
    (time, time_leaf): (usize, usize),
    batches: &[RecordBatch],
) -> Result<RowGroupPages, EncodeError> {
    let rows = Rows::new(batches);
    let cuts = rows.cuts();
    let mut columns = Vec::with_capacity(parquet.num_columns());
    let mut offsets = Vec::with_capacity(parquet.num_columns());
    let leaves = leaves(&rows, &cuts, parquet.num_columns())?;
    for (number, pages) in leaves.iter().enumerate() {
        let column = parquet.column(number);
        let builder = ColumnChunkMetaData::builder(column.clone());
        let max = LevelsMax {
            definition: column.max_def_level().unsigned_abs(),
            repetition: column.max_rep_level().unsigned_abs(),
        };
        let start = sink.offset();
        let mut index = OffsetIndexBuilder::new();
        let mut encodings = vec![Encoding::RLE];
        let mut entries = 0;
        for (page, cut) in pages.iter().zip(&cuts) {
            let at = sink.offset();
            let written = page.write(sink, max).map_err(|bytes| EncodeError::PageTooLarge {
                field: column.path().string(),
                bytes,
                max: PAGE_MAX,
            })?;
            index.append_offset_and_size(at as i64, written.bytes as i32);
            index.append_row_count(cut.len() as i64);
            entries += written.entries;
            if !encodings.contains(&written.encoding) {
                encodings.push(written.encoding);
            }
        }
        let bytes = (sink.offset() - start) as i64;
        let mut builder = builder
            .set_encodings(encodings)
            .set_compression(Compression::UNCOMPRESSED)
            .set_num_values(entries as i64)
            .set_total_compressed_size(bytes)
            .set_total_uncompressed_size(bytes)
            .set_data_page_offset(start as i64);
        if number == time_leaf {
            let bounds = |at| rows.time(at, time);
            builder =
                builder.set_statistics(Statistics::int64(bounds(0), bounds(rows.count - 1), None, Some(0), false));
        }
        columns.push(builder.build().map_err(EncodeError::Parquet)?);
        offsets.push(index.build());
    }
    let bytes = columns.iter().map(ColumnChunkMetaData::uncompressed_size).sum();
    let row_group = RowGroupMetaData::builder(parquet.clone())
        .set_num_rows(rows.count as i64)
        .set_total_byte_size(bytes)
        .set_column_metadata(columns)
        .set_sorting_columns(Some(ascending(time_leaf)))
        .build()
        .map_err(EncodeError::Parquet)?;
    let mut time_index = ColumnIndexBuilder::new(Type::INT64);
    time_index.set_boundary_order(BoundaryOrder::ASCENDING);
    for cut in &cuts {
        let bound = |at| rows.time(at, time).unwrap_or(0).to_le_bytes().to_vec();
        time_index.append(false, bound(cut.start), bound(cut.end - 1), 0, None);
    }
    let time_index = time_index.build().map_err(EncodeError::Parquet)?;
    Ok(RowGroupPages { row_group, offsets, time_index })
}

/// The pages of every leaf column, each cut as `cuts` say.
fn leaves(rows: &Rows, cuts: &[Range<usize>], columns: usize) -> Result<Vec<Vec<Page>>, EncodeError> {
    let mut leaves: Vec<Vec<Page>> = (0..columns).map(|_| Vec::with_capacity(cuts.len())).collect();
    for cut in cuts {
        let mut pages: Vec<Page> = (0..columns).map(|_| Page::default()).collect();
        for (batch, part) in rows.within(cut) {
            let mut open = pages.iter_mut();
            for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                walk(field, column, Entries::rows(part.clone()), &mut open)?;
            }
        }
        leaves.iter_mut().zip(pages).for_each(|(leaf, page)| leaf.push(page));
    }
    Ok(leaves)
}

/// Follows a field down to its leaves, in the order of Parquet's columns, and appends what it finds to their pages.
fn walk(field: &Field, array: &ArrayRef, entries: Entries, leaves: &mut IterMut<Page>) -> Result<(), EncodeError> {
    let entries = match field.is_nullable() {
        true => entries.nullable(array.nulls()),
        false if entries.has_null(array.nulls()) => return Err(EncodeError::Null { field: field.name().clone() }),
        false => entries,
    };
    match field.data_type() {
        DataType::Struct(fields) => {
            let children = fields.iter().zip(array.as_struct().columns());
            children.into_iter().try_for_each(|(field, child)| walk(field, child, entries.clone(), leaves))
        }
        DataType::List(child) => walk_list::<i32>(child, array, entries, leaves),
        DataType::LargeList(child) => walk_list::<i64>(child, array, entries, leaves),
        DataType::FixedSizeList(child, size) => {
            let size = size.unsigned_abs() as usize;
            let entries = entries.lists(|lists| lists.map(|list| list * size..(list + 1) * size));
            walk(child, array.as_fixed_size_list().values(), entries, leaves)
        }
        _ => {
            if let Some(page) = leaves.next() {
                page.append(array, entries.levels());
            }
            Ok(())
        }
    }
}

fn walk_list<O: OffsetSizeTrait>(
    child: &Field,
    array: &ArrayRef,
    entries: Entries,
    leaves: &mut IterMut<Page>,
) -> Result<(), EncodeError> {
    let list = array.as_list::<O>();
    let entries = entries.lists(|lists| {
        let offsets = list.value_offsets().get(lists.start..=lists.end).unwrap_or(&[]);
        offsets.iter().zip(offsets.iter().skip(1)).map(|(start, end)| start.as_usize()..end.as_usize())
    });
    walk(child, list.values(), entries, leaves)
}

/// The rows of several batches as one.
struct Rows<'a> {
    /// With the number of each one's first row.
    batches: Vec<(usize, &'a RecordBatch)>,
    count: usize,
}

impl<'a> Rows<'a> {
    fn new(batches: &'a [RecordBatch]) -> Self {
        let mut count = 0;
        let numbered = batches.iter().map(|batch| {
            count += batch.num_rows();
            (count - batch.num_rows(), batch)
        });
        let batches = numbered.collect();
        Self { batches, count }
    }

    /// Which rows of which batches `rows` are.
    fn within(&self, rows: &Range<usize>) -> impl Iterator<Item = (&'a RecordBatch, Range<usize>)> {
        let (start, end) = (rows.start, rows.end);
        let first = self.batches.partition_point(|(at, batch)| at + batch.num_rows() <= start);
        let touched = self.batches.iter().skip(first).take_while(move |(at, _)| *at < end);
        touched.map(move |&(at, batch)| (batch, start.max(at) - at..end.min(at + batch.num_rows()) - at))
    }

    fn bytes(&self, rows: &Range<usize>) -> u64 {
        self.within(rows).map(|(batch, part)| batch_bytes(batch, part.start, part.end)).sum()
    }

    fn time(&self, row: usize, time: usize) -> Option<i64> {
        let (batch, part) = self.within(&(row..row + 1)).next()?;
        batch.column(time).as_primitive::<Int64Type>().values().get(part.start).copied()
    }

    /// Rows of each page: halved until a page is small enough or a row.
    fn cuts(&self) -> Vec<Range<usize>> {
        let mut cuts = Vec::new();
        let mut open: Vec<Range<usize>> = std::iter::once(0..self.count).collect();
        while let Some(rows) = open.pop() {
            let bytes = self.bytes(&rows);
            if rows.len() <= 1 || bytes <= PAGE_BYTES && bytes / (rows.len() as u64) < LARGE_ROW_BYTES {
                cuts.push(rows);
            } else {
                let middle = rows.start + rows.len() / 2;
                open.push(middle..rows.end);
                open.push(rows.start..middle);
            }
        }
        cuts
    }
}
