//! Which rows and columns of a topic are wanted, and what it took to find them.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::BooleanArray;
use arrow::array::BooleanBufferBuilder;
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::chunk::project;
use crate::model::ChunkRecord;
use crate::model::Predicate;
use crate::model::may_match;
use crate::query;
use crate::store::ChunkReader;
use crate::store::FetchError;

/// Applied to rows as they are decoded, before they are merged.
#[derive(Debug, Default)]
pub struct Filter {
    /// `None`: every row.
    pub predicate: Option<Predicate>,
    /// Paths of the columns that are read; `None`: all.
    pub columns: Option<Vec<Vec<String>>>,
    /// What is left of them once rows are chosen; `None`: all that is read.
    pub output: Option<SchemaRef>,
    /// The shard that owns the topic.
    pub shard: usize,
    pub tally: Tally,
}

/// Counts over one read.
#[derive(Debug, Default)]
pub struct Tally {
    pub chunks: AtomicU64,
    pub chunks_skipped: AtomicU64,
    /// Rows of chunks that were opened, of pages that cannot have a hit.
    pub rows_skipped: AtomicU64,
    /// Rows that were looked at.
    pub rows: AtomicU64,
    pub hits: AtomicU64,
}

impl Filter {
    /// Whether a chunk could have rows that satisfy it, as its statistics tell.
    pub(super) fn may_match(&self, record: &ChunkRecord) -> bool {
        let may = self.predicate.as_ref().is_none_or(|predicate| may_match(&record.statistics, predicate));
        let counter = if may { &self.tally.chunks } else { &self.tally.chunks_skipped };
        counter.fetch_add(1, Relaxed);
        may
    }

    /// Of each row group of a chunk those rows that may satisfy it, as its zones tell; `None` when they tell nothing.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(super) async fn wanted(&self, chunk: &ChunkReader) -> Result<Option<Vec<Vec<Range<u64>>>>, FetchError> {
        let Some(predicate) = &self.predicate else { return Ok(None) };
        let Some(wanted) = chunk.rows_that_may_hold(predicate).await? else { return Ok(None) };
        let all: u64 = chunk.layout().row_groups().iter().map(|group| group.rows).sum();
        let read: u64 = wanted.iter().flatten().map(|rows| rows.end - rows.start).sum();
        self.tally.rows_skipped.fetch_add(all - read, Relaxed);
        Ok(Some(wanted))
    }

    /// Which rows satisfy it, as a part of more: `start` rows before them, and up to `rows` behind, are none.
    pub(super) fn hits(&self, batch: &RecordBatch, start: usize, rows: usize) -> BooleanArray {
        self.tally.rows.fetch_add(batch.num_rows() as u64, Relaxed);
        let mut hits = BooleanBufferBuilder::new(rows);
        hits.append_n(start, false);
        match &self.predicate {
            Some(predicate) => hits.append_buffer(&query::hits(predicate, batch)),
            None => hits.append_n(batch.num_rows(), true),
        }
        hits.append_n(rows - hits.len(), false);
        let hits = BooleanArray::new(hits.finish(), None);
        self.tally.hits.fetch_add(hits.true_count() as u64, Relaxed);
        hits
    }

    /// The rows that satisfy it.
    pub(super) fn apply(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        self.tally.rows.fetch_add(batch.num_rows() as u64, Relaxed);
        let mut batch = batch;
        let hits = self.predicate.as_ref().map(|predicate| BooleanArray::new(query::hits(predicate, &batch), None));
        if let Some(output) = &self.output {
            batch = project(&batch, output)?;
        }
        if let Some(hits) = hits
            && hits.true_count() < batch.num_rows()
        {
            batch = filter_record_batch(&batch, &hits)?;
        }
        self.tally.hits.fetch_add(batch.num_rows() as u64, Relaxed);
        Ok(batch)
    }
}

#[cfg(test)]
mod tests;
