//! Which rows and columns of a topic are wanted, and what it took to find them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::BooleanArray;
use arrow::array::BooleanBufferBuilder;
use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::chunk::project;
use crate::io::BlockingPool;
use crate::model::ChunkRecord;
use crate::model::Predicate;
use crate::model::Test;
use crate::model::may_match;
use crate::query;
use crate::store::ChunkReader;
use crate::store::FetchError;

/// Applied to rows as they are decoded, before they are merged.
#[derive(Debug, Default)]
pub struct Filter {
    /// `None`: every row.
    pub predicate: Option<Arc<Predicate>>,
    /// Threads for what may take long to decide, so that a shard's other work does not wait for it; `None`: there are none.
    pub judges: Option<BlockingPool>,
    /// Paths of the columns that are read; `None`: all.
    pub columns: Option<Vec<Vec<String>>>,
    /// What is left of them once rows are chosen; `None`: all that is read.
    pub output: Option<SchemaRef>,
    /// The shard that owns the topic.
    pub shard: usize,
    pub tally: Tally,
    /// Nobody waits for the rows any more.
    pub given_up: Arc<AtomicBool>,
}

/// Rows up to this size are decided on the shard, patterns or not, unless there are more conditions than so many.
const SMALL_BYTES: usize = 16 << 10;
const FEW: usize = 8;

/// Bytes of rows, times patterns, that one query has decided before another.
const TURN_BYTES: usize = 256 << 10;

/// Patterns over long texts take a thousand times as long as numbers.
fn may_take_long(predicate: &Predicate, batch: &RecordBatch) -> bool {
    let mut leaves = predicate.leaves();
    let few = predicate.leaves().nth(FEW).is_none();
    let has_pattern = leaves.any(|leaf| matches!(leaf.test, Test::Match(_)));
    !few || (has_pattern && batch.get_array_memory_size() > SMALL_BYTES)
}

/// How many rows are decided before others get their turn: patterns over so many bytes take long enough.
fn rows_at_once(predicate: &Predicate, batch: &RecordBatch) -> usize {
    let patterns = predicate.leaves().filter(|leaf| matches!(leaf.test, Test::Match(_))).count();
    let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
    match patterns.saturating_mul(row_bytes) {
        0 => batch.num_rows().max(1),
        bytes => (TURN_BYTES / bytes).max(1),
    }
}

/// Says so to whoever decides once nobody waits for it: dropped with the receiving end.
#[derive(Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(super) fn of(filter: Option<&Filter>) -> Self {
        filter.map_or_else(Self::default, |filter| Self(Arc::clone(&filter.given_up)))
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Counts over one read.
#[derive(Debug, Default)]
pub struct Tally {
    pub chunks: AtomicU64,
    pub chunks_skipped: AtomicU64,
    /// Rows of chunks that were opened, of pages that cannot have a hit.
    pub rows_skipped: AtomicU64,
    /// Of which rows were read, and of which some passed.
    pub chunks_read: AtomicU64,
    pub chunks_hit: AtomicU64,
    /// Rows that were looked at.
    pub rows: AtomicU64,
    pub hits: AtomicU64,
}

impl Tally {
    /// Rows of a chunk were read: its first ones, the first that passed.
    pub(super) fn chunk(&self, first: bool, first_hit: bool) {
        self.chunks_read.fetch_add(first.into(), Relaxed);
        self.chunks_hit.fetch_add(first_hit.into(), Relaxed);
    }
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

    /// One bit per row; `None` when every row is wanted.
    ///
    /// # Errors
    /// [`ArrowError::ExternalError`] when the threads that judge are gone.
    async fn judge(&self, batch: &RecordBatch) -> Result<Option<BooleanBuffer>, ArrowError> {
        let Some(predicate) = &self.predicate else { return Ok(None) };
        let Some(judges) = self.judges.as_ref().filter(|_| may_take_long(predicate, batch)) else {
            return Ok(Some(query::hits(predicate, batch)));
        };
        let (rows, at_once) = (batch.num_rows(), rows_at_once(predicate, batch));
        let mut hits = BooleanBufferBuilder::new(rows);
        for start in (0..rows).step_by(at_once) {
            let part = batch.slice(start, at_once.min(rows - start));
            let (predicate, given_up) = (Arc::clone(predicate), Arc::clone(&self.given_up));
            let own = judges.run(move || Ok(query::hits_unless(&predicate, &part, &given_up))).await;
            hits.append_buffer(&own.map_err(|gone| ArrowError::ExternalError(Box::new(gone)))?);
        }
        Ok(Some(hits.finish()))
    }

    /// Which rows satisfy it, as a part of more: `start` rows before them, and up to `rows` behind, are none.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub(super) async fn hits(
        &self,
        batch: &RecordBatch,
        start: usize,
        rows: usize,
    ) -> Result<BooleanArray, ArrowError> {
        self.tally.rows.fetch_add(batch.num_rows() as u64, Relaxed);
        let mut hits = BooleanBufferBuilder::new(rows);
        hits.append_n(start, false);
        match self.judge(batch).await? {
            Some(own) => hits.append_buffer(&own),
            None => hits.append_n(batch.num_rows(), true),
        }
        hits.append_n(rows - hits.len(), false);
        let hits = BooleanArray::new(hits.finish(), None);
        self.tally.hits.fetch_add(hits.true_count() as u64, Relaxed);
        Ok(hits)
    }

    /// The rows that satisfy it.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub(super) async fn apply(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        self.tally.rows.fetch_add(batch.num_rows() as u64, Relaxed);
        let mut batch = batch;
        let hits = self.judge(&batch).await?.map(|hits| BooleanArray::new(hits, None));
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
