//! A chunk's footer, parsed and proven, and rows decoded from what was read.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Field;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::arrow_reader::RowSelector;
use parquet::arrow::parquet_to_arrow_field_levels;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::exact;
use super::footer;
use super::guarded::Guarded;
use super::layout::TIME_COLUMN;
use super::lift;
use super::page::LevelsMax;
use super::parts::Parts;
use super::selection::Columns;
use super::selection::Selection;
use super::selection::merged;
use super::sparse::SparseBytes;
use crate::io::CHECKSUM_BLOCK;
use crate::io::Recycler;
use crate::io::hash_block;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::TimeBounds;
use crate::model::TimeRange;

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("chunk {chunk}: {found} bytes behind the last page, its record says {expected}")]
    Length { chunk: ChunkId, found: u64, expected: u64 },
    #[error("chunk {chunk}: the {what} does not match its digest: the file is damaged")]
    Digest { chunk: ChunkId, what: &'static str },
    #[error("chunk {chunk}: block {block} does not match its checksum: the file is damaged")]
    Block { chunk: ChunkId, block: u64 },
    #[error("chunk {chunk}: key {key:?} of the footer is {found:?}, expected {expected:?}")]
    Key { chunk: ChunkId, key: &'static str, found: String, expected: String },
    #[error("chunk {chunk}: the footer says {what}")]
    Footer { chunk: ChunkId, what: String },
    #[error("chunk {chunk}: {rows} rows decoded from row group {row_group}, {expected} selected")]
    Rows { chunk: ChunkId, row_group: usize, rows: u64, expected: u64 },
    #[error("chunk {chunk}: Parquet refused to decode")]
    Parquet {
        chunk: ChunkId,
        #[source]
        cause: ParquetError,
    },
    #[error("chunk {chunk}: the decoded columns do not fit the schema")]
    Arrow {
        chunk: ChunkId,
        #[source]
        cause: ArrowError,
    },
    #[error("chunk {chunk}: the Parquet reader gave up on what it found")]
    Panicked { chunk: ChunkId },
}

/// What the footer says of one row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroupInfo {
    pub rows: u64,
    /// Arrow bytes of its rows.
    pub logical_bytes: u64,
    pub bounds: TimeBounds,
}

/// A parsed, verified footer.
#[derive(Clone, Debug)]
pub struct ChunkLayout {
    pub(super) chunk: ChunkId,
    pub(super) body_bytes: u64,
    pub(super) checksums: Vec<u64>,
    pub(super) schema: SchemaRef,
    pub(super) time_schema: SchemaRef,
    pub(super) arrow: ArrowReaderMetadata,
    pub(super) time_leaf: usize,
    pub(super) row_groups: Vec<RowGroupInfo>,
    pub(super) zones: Option<Range<u64>>,
}

impl ChunkLayout {
    /// Parses what lies behind the last page.
    ///
    /// * `tail`: bytes `record.body_bytes..record.file_bytes` of the file, as read.
    ///
    /// # Errors
    /// [`DecodeError`] when anything in it is not what was written, or is not this chunk's.
    pub fn parse(record: &ChunkRecord, tail: &[u8]) -> Result<Self, DecodeError> {
        let (list, footer) = footer::proven(record, tail)?;
        Self::parse_proven(record, list, footer)
    }

    /// As [`Self::parse`] without looking at digests: what a reader is left with when wrong bytes match them.
    pub(super) fn parse_proven(record: &ChunkRecord, list: &[u8], footer: &[u8]) -> Result<Self, DecodeError> {
        let chunk = record.chunk;
        let parsed = contained(chunk, || footer::parse(record, footer))?;
        let cause = |cause| DecodeError::Parquet { chunk, cause };
        let arrow = contained(chunk, || {
            let options = ArrowReaderOptions::new().with_schema(parsed.schema.clone());
            ArrowReaderMetadata::try_new(Arc::new(parsed.metadata), options).map_err(cause)
        })?;
        let time_field =
            parsed.schema.field_with_name(TIME_COLUMN).map_err(|cause| DecodeError::Arrow { chunk, cause })?;
        let time_schema = Schema::new_with_metadata(vec![time_field.clone()], parsed.schema.metadata().clone());
        Ok(Self {
            chunk,
            body_bytes: record.body_bytes,
            checksums: list.chunks_exact(8).filter_map(|sum| sum.try_into().ok().map(u64::from_le_bytes)).collect(),
            time_schema: Arc::new(time_schema),
            schema: parsed.schema,
            arrow,
            time_leaf: parsed.time_leaf,
            row_groups: parsed.row_groups,
            zones: parsed.zones,
        })
    }

    /// Exactly the schema the rows came with.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn row_groups(&self) -> &[RowGroupInfo] {
        &self.row_groups
    }

    /// Compares one 64 KiB block of the file (the last one before the checksum list is shorter) with its checksum.
    ///
    /// # Errors
    /// [`DecodeError::Block`] when it differs, has another length, or there is no such block.
    pub fn verify_block(&self, block: u64, bytes: &[u8]) -> Result<(), DecodeError> {
        let damaged = DecodeError::Block { chunk: self.chunk, block };
        let Some(checksum) = usize::try_from(block).ok().and_then(|block| self.checksums.get(block)) else {
            return Err(damaged);
        };
        let len = (self.body_bytes - block * CHECKSUM_BLOCK as u64).min(CHECKSUM_BLOCK as u64);
        if bytes.len() as u64 == len && hash_block(self.chunk, block, bytes) == *checksum {
            Ok(())
        } else {
            Err(damaged)
        }
    }

    /// The selected rows that lie in the time range, in the schema they came with. May have no rows.
    ///
    /// * `bytes`: verified bytes that cover [`Self::needs`].
    /// * `memory`: where the rows are put.
    ///
    /// # Errors
    /// [`DecodeError`] when bytes are missing or make no sense.
    pub fn decode(
        &self,
        selection: &Selection,
        bytes: &SparseBytes,
        memory: &Recycler,
    ) -> Result<RecordBatch, DecodeError> {
        contained(self.chunk, || self.decode_trusting(selection, bytes, memory))
    }

    fn decode_trusting(
        &self,
        selection: &Selection,
        bytes: &SparseBytes,
        memory: &Recycler,
    ) -> Result<RecordBatch, DecodeError> {
        let chunk = self.chunk;
        let schema = match &selection.columns {
            Columns::All => &self.schema,
            Columns::TimeOnly => &self.time_schema,
            Columns::Some(projection) => projection.schema(),
        };
        let lifted: Vec<Option<ArrayRef>> =
            schema.fields().iter().map(|field| self.lifted(selection, field, bytes, memory)).collect();
        let missing = schema.fields().iter().zip(&lifted).filter(|(_, lifted)| lifted.is_none());
        let missing: Vec<&str> = missing.map(|(field, _)| field.name().as_str()).collect();
        let cause = |cause| DecodeError::Arrow { chunk, cause };
        let read = match missing.is_empty() {
            true => None,
            false => {
                let batches = self.read(selection, &missing, bytes);
                let batches = batches.map_err(|cause| DecodeError::Parquet { chunk, cause })?;
                let first = batches.first().ok_or_else(|| self.too_few(selection, 0))?;
                Some(concat_batches(&first.schema(), &batches).map_err(cause)?)
            }
        };
        let mut rest = read.iter().flat_map(RecordBatch::columns);
        let mut columns = Vec::with_capacity(lifted.len());
        for (field, lifted) in schema.fields().iter().zip(lifted) {
            columns.push(match lifted {
                Some(column) => column,
                None => exact::exact(field, rest.next().ok_or_else(|| self.too_few(selection, 0))?).map_err(cause)?,
            });
        }
        let whole = RecordBatch::try_new(schema.clone(), columns).map_err(cause)?;
        if whole.num_rows() as u64 != selection.rows.end - selection.rows.start {
            return Err(self.too_few(selection, whole.num_rows() as u64));
        }
        let inside = self.rows_inside(&whole, &selection.range)?;
        Ok(whole.slice(inside.start, inside.len()))
    }

    /// A column out of direct pages; `None` when it has others, or bytes are missing.
    pub(super) fn lifted(
        &self,
        selection: &Selection,
        field: &Field,
        bytes: &SparseBytes,
        memory: &Recycler,
    ) -> Option<ArrayRef> {
        if !lift::may_lift(field.data_type()) {
            return None;
        }
        let root = self.schema.index_of(field.name()).ok()?;
        let parquet = self.arrow.parquet_schema();
        let of_field = (0..parquet.num_columns())
            .filter(|leaf| parquet.get_column_root_idx(*leaf) == root && self.has(&selection.columns, *leaf));
        let (mut leaves, mut first) = (Vec::new(), None);
        for leaf in of_field {
            let (row, leaf) = self.leaf(selection, leaf, bytes)?;
            // All leaves are cut at the same rows.
            (*first.get_or_insert(row) == row).then_some(())?;
            leaves.push(leaf);
        }
        let info = self.row_groups.get(selection.row_group)?;
        let source = lift::Source { leaves, bytes_max: usize::try_from(info.logical_bytes).ok()?, memory };
        lift::cut(&lift::lift(field, &source)?, first?, &selection.rows)
    }

    /// The direct pages of one leaf that cover the selected rows, and the first row of theirs.
    fn leaf<'a>(&self, selection: &Selection, leaf: usize, bytes: &'a SparseBytes) -> Option<(u64, lift::Leaf<'a>)> {
        let chunk = self.metadata().row_groups().get(selection.row_group)?.columns().get(leaf)?;
        if chunk.compression() != Compression::UNCOMPRESSED || chunk.dictionary_page_offset().is_some() {
            return None;
        }
        let (mut pages, mut first) = (Vec::new(), None);
        for (page, rows) in self.pages_with(selection, leaf) {
            first.get_or_insert(rows.start);
            let span = bytes.span(page.offset as u64, page.compressed_page_size as usize)?;
            pages.push((usize::try_from(rows.end.checked_sub(rows.start)?).ok()?, span));
        }
        let column = self.arrow.parquet_schema().column(leaf);
        let max = LevelsMax {
            definition: column.max_def_level().unsigned_abs(),
            repetition: column.max_rep_level().unsigned_abs(),
        };
        Some((first?, lift::Leaf { max, pages }))
    }

    /// The top-level columns `names`, in the order of the schema, through the Parquet reader.
    fn read(
        &self,
        selection: &Selection,
        names: &[&str],
        bytes: &SparseBytes,
    ) -> Result<Vec<RecordBatch>, ParquetError> {
        let (start, end) = (selection.rows.start as usize, selection.rows.end as usize);
        let roots: Vec<usize> = names.iter().filter_map(|name| self.schema.index_of(name).ok()).collect();
        let parquet = self.arrow.parquet_schema();
        let leaves: Vec<usize> = (0..parquet.num_columns())
            .filter(|leaf| roots.contains(&parquet.get_column_root_idx(*leaf)) && self.has(&selection.columns, *leaf))
            .collect();
        let mut parts = Parts::new();
        for range in merged(leaves.iter().flat_map(|leaf| self.leaf_needs(selection, *leaf)).collect()) {
            // What is missing here is missed by the reader.
            if let Some(span) = bytes.span(range.start, (range.end - range.start) as usize) {
                parts.insert(range.start, Bytes::from(span.peek(span.len()).into_owned()));
            }
        }
        let mask = ProjectionMask::leaves(parquet, leaves);
        let levels = parquet_to_arrow_field_levels(parquet, mask, Some(self.arrow.schema().fields()))?;
        let rows = RowSelection::from(vec![RowSelector::skip(start), RowSelector::select(end - start)]);
        let metadata = Arc::clone(self.arrow.metadata());
        let pages = Guarded { parts: Arc::new(parts), metadata, row_group: selection.row_group };
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, end - start, Some(rows))?
            .map(|batch| batch.map_err(ParquetError::from))
            .collect()
    }

    /// Which rows of a batch, ascending in time, lie in `range`.
    ///
    /// # Errors
    /// [`DecodeError::Footer`] when the batch has no times.
    pub fn rows_inside(&self, batch: &RecordBatch, range: &TimeRange) -> Result<Range<usize>, DecodeError> {
        let times = batch.column_by_name(TIME_COLUMN).and_then(|times| times.as_primitive_opt::<Int64Type>());
        let Some(times) = times.map(|times| times.values()) else {
            let what = format!("that rows come without {TIME_COLUMN}");
            return Err(DecodeError::Footer { chunk: self.chunk, what });
        };
        let first = range.start().map_or(0, |start| times.partition_point(|time| *time < start));
        let last = range.end().map_or(times.len(), |end| times.partition_point(|time| *time < end));
        Ok(first..last.max(first))
    }

    fn too_few(&self, selection: &Selection, rows: u64) -> DecodeError {
        let expected = selection.rows.end - selection.rows.start;
        DecodeError::Rows { chunk: self.chunk, row_group: selection.row_group, rows, expected }
    }

    pub(super) fn metadata(&self) -> &ParquetMetaData {
        self.arrow.metadata()
    }
}

/// Runs a foreign decoder. Its input was proven, so a panic means that we wrote nonsense or it has a bug: one read fails for it,
/// not the thread with every other stream on it.
pub(super) fn contained<T>(chunk: ChunkId, decode: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(DecodeError::Panicked { chunk }))
}
