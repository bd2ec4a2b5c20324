//! Batches in, bytes of a chunk file out. Decisions are here, loops are in the leaves.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::datatypes::Int64Type;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::schema::types::SchemaDescPtr;

use super::compact;
use super::direct;
use super::identity::ChunkIdentity;
use super::layout::MAGIC;
use super::layout::TIME_COLUMN;
use super::profile::Effort;
use super::profile::Profile;
use super::sink::Sink;
use super::size::batch_bytes;
use super::sort::sorted;
use super::statistics::Collector;
use super::support;
use super::trailer;
use super::trailer::Body;
use crate::model::ChunkRecord;
use crate::model::TimeBounds;

/// Batches below this are copied together first: pages of many small pieces cost more than the copy.
const SMALL_BATCH_BYTES: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("field {field:?} has type {found}, which cannot be stored and read back exactly: {way_out}")]
    UnsupportedType { field: String, found: Box<DataType>, way_out: &'static str },
    #[error("field {field:?} occurs twice: give each field of a schema or struct its own name")]
    DuplicateField { field: String },
    #[error("the schema needs a top-level field {TIME_COLUMN:?} of type Int64, {}", match found {
        Some(found) => format!("it is {found}"),
        None => "there is none".to_owned(),
    })]
    TimeColumn { found: Option<DataType> },
    #[error("field {field:?} would be read back with another type or other metadata: send it without")]
    Inexact { field: String },
    #[error("{rows} rows have no {TIME_COLUMN}: every row needs one")]
    NullTime { rows: usize },
    #[error("field {field:?} is declared not null and has a null")]
    Null { field: String },
    #[error("field {field:?}: one row needs {bytes} bytes in a page, at most {max}")]
    PageTooLarge { field: String, bytes: u64, max: u64 },
    #[error("a chunk without rows: nothing to finish")]
    Empty,
    #[error("rows do not fit the topic's schema")]
    Arrow(#[source] ArrowError),
    #[error("Parquet refused to encode")]
    Parquet(#[source] ParquetError),
}

/// How far a chunk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub rows: u64,
    /// Of the file so far.
    pub bytes: u64,
    /// Data pages over all columns: each costs an index entry in memory and in the footer.
    pub pages: u64,
    pub row_groups: u32,
}

/// Encodes one chunk.
pub struct ChunkEncoder {
    identity: ChunkIdentity,
    schema: SchemaRef,
    parquet: SchemaDescPtr,
    /// Of the timestamps: field of the schema, and leaf column of the file.
    time: usize,
    time_leaf: usize,
    /// Whether every column can be written so.
    direct: bool,
    sink: Sink,
    row_groups: Vec<RowGroup>,
    progress: Progress,
    statistics: Collector,
    /// Where they are, once they are written.
    zones: Option<Range<u64>>,
}

/// What the footer has to say about one row group.
pub(super) struct RowGroup {
    pub(super) pages: RowGroupPages,
    pub(super) bounds: TimeBounds,
    /// Longest time between two rows that follow each other; `None` for one row.
    pub(super) gap_max_ns: Option<u64>,
    pub(super) logical_bytes: u64,
}

/// Where the pages of one row group are.
pub(super) struct RowGroupPages {
    pub(super) row_group: RowGroupMetaData,
    /// Of each column.
    pub(super) offsets: Vec<OffsetIndexMetaData>,
    /// Bounds of each page of the timestamps.
    pub(super) time_index: ColumnIndexMetaData,
}

impl ChunkEncoder {
    /// # Errors
    /// What [`support::supports`] says of the schema.
    pub fn new(identity: ChunkIdentity, schema: &SchemaRef) -> Result<Self, EncodeError> {
        support::supports(schema)?;
        let parquet = Arc::new(support::parquet_schema(schema)?);
        let time = schema.index_of(TIME_COLUMN).map_err(EncodeError::Arrow)?;
        let mut leaves = 0..parquet.num_columns();
        let time_leaf = leaves.find(|leaf| parquet.get_column_root_idx(*leaf) == time);
        let time_leaf = time_leaf.ok_or(EncodeError::TimeColumn { found: None })?;
        let (sink, row_groups, progress) = (Sink::default(), Vec::new(), Progress::default());
        let direct = direct::supports(schema);
        let (schema, statistics, zones) = (schema.clone(), Collector::new(schema), None);
        Ok(Self { identity, schema, parquet, direct, time, time_leaf, sink, row_groups, progress, statistics, zones })
    }

    /// As [`Self::new`], but looks at no values: for benches, which tell by it what looking costs.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[doc(hidden)]
    pub fn without_statistics(identity: ChunkIdentity, schema: &SchemaRef) -> Result<Self, EncodeError> {
        Ok(Self { statistics: Collector::blind(), ..Self::new(identity, schema)? })
    }

    /// Encodes whole batches as one row group, rows sorted by time. Returns the bytes to append to the file, in order; large
    /// ones share memory with the batches. No rows give no bytes.
    ///
    /// # Errors
    /// [`EncodeError`] when a batch does not fit the schema or cannot be stored; the chunk is then of no use.
    pub fn row_group(&mut self, batches: &[RecordBatch], effort: Effort) -> Result<Vec<Buffer>, EncodeError> {
        let batches = self.checked(batches)?;
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let logical_bytes: u64 = batches.iter().map(|batch| batch_bytes(batch, 0, batch.num_rows())).sum();
        let batches = sorted(joined(batches, &self.schema)?, self.time)?;
        let Some(bounds) = bounds(&batches, self.time) else {
            return Ok(Vec::new());
        };
        if self.row_groups.is_empty() {
            self.sink.bytes(MAGIC);
        }
        let pages = match Profile::choose(self.direct, &batches, effort) {
            Profile::Direct => direct::write(&mut self.sink, &self.parquet, (self.time, self.time_leaf), &batches)?,
            profile => compact::write(&mut self.sink, &self.schema, &self.parquet, self.time_leaf, &batches, profile)?,
        };
        // Just before its values are copied into the file: they are in the cache then.
        let first_rows = pages.offsets.get(self.time_leaf).map_or(&[][..], |index| index.page_locations().as_slice());
        self.statistics.add(&batches, first_rows.iter().map(|page| page.first_row_index as usize), effort);
        self.progress.rows += rows;
        self.progress.bytes = self.sink.offset();
        self.progress.pages += pages.offsets.iter().map(|index| index.page_locations().len() as u64).sum::<u64>();
        self.progress.row_groups += 1;
        let gap_max_ns = gap_max(&batches, self.time);
        self.row_groups.push(RowGroup { pages, bounds, gap_max_ns, logical_bytes });
        Ok(self.sink.take())
    }

    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// What comes behind the last page and is covered by checksums as pages are: to be appended to the file before
    /// [`Self::finish`], once. A file without it is read whole by who looks for something.
    pub fn last(&mut self) -> Vec<Buffer> {
        let (zones, start) = (self.statistics.zones(), self.sink.offset());
        if !zones.is_empty() {
            self.sink.bytes(&zones);
            self.progress.bytes = self.sink.offset();
            self.zones = Some(start..self.sink.offset());
        }
        self.sink.take()
    }

    /// The bytes behind the last page, and the record of the whole file.
    ///
    /// * `checksums`: of all bytes given out, as `io::BlockHasher` makes them where they are copied.
    ///
    /// # Errors
    /// [`EncodeError::Empty`] without rows.
    pub fn finish(self, checksums: &[u64]) -> Result<(Vec<u8>, ChunkRecord), EncodeError> {
        let (bytes, zones) = (self.sink.offset(), self.zones);
        let body = Body { bytes, checksums, statistics: self.statistics.finish(), zones };
        trailer::write(&self.identity, &self.schema, &self.parquet, self.time_leaf, body, self.row_groups)
    }

    /// The batches with the topic's own schema, without empty ones.
    fn checked(&self, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, EncodeError> {
        let with_rows = batches.iter().filter(|batch| batch.num_rows() > 0);
        with_rows
            .map(|batch| {
                RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec()).map_err(EncodeError::Arrow)
            })
            .collect()
    }
}

/// Neighbouring small batches made one.
fn joined(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>, EncodeError> {
    let small = |batch: &RecordBatch| batch_bytes(batch, 0, batch.num_rows()) < SMALL_BATCH_BYTES;
    let mut out = Vec::with_capacity(batches.len());
    for group in batches.chunk_by(|a, b| small(a) && small(b)) {
        match group {
            [one] => out.push(one.clone()),
            several => out.push(concat_batches(schema, several).map_err(EncodeError::Arrow)?),
        }
    }
    Ok(out)
}

/// First and last timestamp of sorted batches; `None` without rows.
fn bounds(batches: &[RecordBatch], time: usize) -> Option<TimeBounds> {
    let first = batches.first()?.column(time).as_primitive::<Int64Type>().values().first()?;
    let last = batches.last()?.column(time).as_primitive::<Int64Type>().values().last()?;
    Some(TimeBounds { first: *first, last: *last })
}

/// Longest time between neighbouring rows of sorted batches, in ns; `None` for fewer than two rows. One pass over the
/// timestamps, which are column `time`.
pub fn gap_max(batches: &[RecordBatch], time: usize) -> Option<u64> {
    let mut previous = None;
    let mut longest = None;
    for batch in batches {
        let times = batch.column(time).as_primitive::<Int64Type>().values();
        let (Some(first), Some(last)) = (times.first(), times.last()) else { continue };
        longest = longest.max(previous.map(|previous| first.abs_diff(previous)));
        // They ascend, so no difference is negative, and one subtraction has it whatever its size.
        let (mut before, mut inside) = (*first, 0);
        for time in times.iter().skip(1) {
            inside = inside.max(time.wrapping_sub(before).cast_unsigned());
            before = *time;
        }
        longest = longest.max((times.len() > 1).then_some(inside));
        previous = Some(*last);
    }
    longest
}
