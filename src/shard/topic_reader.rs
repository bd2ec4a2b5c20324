//! Reads one topic in time order: chunks as their time comes, runs merged, batches near the size the client was told.
//!
//! Invariants
//! - Rows ascend by time; equal times keep the order of arrival.
//! - No batch is empty. An error ends the stream: never fewer rows in its place.
//! - What is held decoded is bounded by the share of this reader, one row of each overlapping run at least.

use std::collections::VecDeque;
use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::compute::interleave_record_batch;

use crate::catalog::SegmentView;
use crate::model::ChunkRecord;
use crate::runtime::Sender;
use crate::store::ChunkReader;
use crate::store::FetchError;

use super::error::ReadError;
use super::request::ReadRequest;
use super::request::Served;
use super::source;
use super::source::ReadAhead;
use super::source::Source;
use super::source::Tie;
use super::worker::ShardContext;

/// Readers of one shard up to which each may read ahead.
const READ_AHEAD_READERS_MAX: u64 = 16;

/// Slices of a batch up to which copying whole slices beats picking single rows.
const SLICES_MAX: usize = 64;

/// Serves one read until its end, an error, or the client's going away.
pub async fn read_topic(context: Rc<ShardContext>, request: ReadRequest, outbox: Sender<Served>) {
    context.readers.set(context.readers.get() + 1);
    let counted = Rc::clone(&context);
    let _leave = Leave(counted);
    let mut reader = TopicReader::new(context, request);
    loop {
        let (served, bytes, last) = match reader.next_batch().await {
            Ok(Some((batch, bytes))) => (Ok(batch), bytes, false),
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "a read failed");
                (Err(error), 0, true)
            }
        };
        if outbox.send(served, bytes).await.is_err() || last {
            return;
        }
    }
}

struct Leave(Rc<ShardContext>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.readers.set(self.0.readers.get() - 1);
    }
}

struct TopicReader {
    context: Rc<ShardContext>,
    request: ReadRequest,
    /// Segments whose directory is not read yet, by first time.
    segments: VecDeque<SegmentView>,
    /// Chunks that are not open yet, by first time, with their place in the order of arrival.
    chunks: VecDeque<(u64, ChunkRecord)>,
    sources: Vec<Source>,
}

impl TopicReader {
    fn new(context: Rc<ShardContext>, mut request: ReadRequest) -> Self {
        let mut segments = std::mem::take(&mut request.segments);
        segments.sort_by_key(|segment| segment.bounds.first);
        Self { context, request, segments: segments.into(), chunks: VecDeque::new(), sources: Vec::new() }
    }

    /// The next batch and about how many bytes it holds; `None` at the end.
    async fn next_batch(&mut self) -> Result<Option<(RecordBatch, usize)>, ReadError> {
        let mut batch = BatchBuilder::new(self.batch_bytes(), self.request.batch_rows);
        while let Some(index) = self.first_source().await? {
            let (limit, tie) = self.limit(index);
            let Some(source) = self.sources.get_mut(index) else { break };
            let Some(cursor) = source.cursor.as_mut() else { break };
            let before = limit.map_or(cursor.rows_left(), |limit| cursor.rows_until(limit, tie));
            let count = batch.room(cursor.row_bytes).min(before);
            if count == 0 {
                break;
            }
            let row_bytes = cursor.row_bytes;
            batch.push(cursor.take(count), row_bytes);
            if cursor.rows_left() == 0 {
                source.cursor = None;
            }
            if batch.is_full() {
                break;
            }
        }
        batch.build(&self.request)
    }

    /// Bytes of a batch: the target, or less when many read at once.
    fn batch_bytes(&self) -> usize {
        let share = self.context.read_bytes / self.context.readers.get().max(1) / 4;
        self.request.batch_bytes.min(usize::try_from(share).unwrap_or(usize::MAX)).max(64 << 10)
    }

    /// The source with the next row, loaded; everything that could come before it is open.
    async fn first_source(&mut self) -> Result<Option<usize>, ReadError> {
        loop {
            self.sources.retain_mut(|source| source.lower_bound().is_some());
            let bounds = self.sources.iter_mut().enumerate().filter_map(|(index, source)| {
                let order = source.order;
                source.lower_bound().map(|time| (time, order, index))
            });
            let first = bounds.min();
            let earlier = |time: i64| first.is_none_or(|(bound, ..)| time <= bound);
            if self.segments.front().is_some_and(|segment| earlier(segment.bounds.first)) {
                self.list_segment().await?;
            } else if self.chunks.front().is_some_and(|(_, chunk)| earlier(chunk.bounds.first)) {
                self.open_chunk().await?;
            } else {
                let Some((_, _, index)) = first else { return Ok(None) };
                if self.sources.get(index).is_some_and(|source| source.cursor.is_some()) {
                    return Ok(Some(index));
                }
                self.load(index).await?;
            }
        }
    }

    /// Rows of the source `index` may be taken up to this time; `None` without another source.
    fn limit(&mut self, index: usize) -> (Option<i64>, Tie) {
        let own = self.sources.get(index).map_or(0, |source| source.order);
        let others = self.sources.iter_mut().enumerate().filter(|(other, _)| *other != index);
        let next = others.filter_map(|(_, source)| source.lower_bound().map(|time| (time, source.order))).min();
        // Chunks and segments that are not open yet begin later than the first source's next row, but maybe before its last.
        // Their rows count as later arrivals: they are opened before a row of an equal time is taken.
        let unopened = [
            self.segments.front().map(|segment| (segment.bounds.first, 0)),
            self.chunks.front().map(|(order, chunk)| (chunk.bounds.first, *order)),
        ];
        let next = unopened.into_iter().flatten().chain(next).min();
        match next {
            Some((time, order)) if own < order => (Some(time), Tie::Mine),
            Some((time, _)) => (Some(time), Tie::Theirs),
            None => (None, Tie::Mine),
        }
    }

    async fn list_segment(&mut self) -> Result<(), ReadError> {
        let Some(segment) = self.segments.pop_front() else { return Ok(()) };
        let name = &self.request.name;
        let records = self.context.catalog.directory(segment.key).await;
        let records = records.map_err(|cause| ReadError::Catalog { topic: name.clone(), cause })?;
        // Runs of one chunk count up from its order: leave room for as many as a chunk can have.
        let base = u64::from(segment.key.number) << 32;
        let wanted = records.into_iter().enumerate().filter(|(_, r)| self.request.range.overlaps(&r.bounds));
        self.chunks.extend(wanted.map(|(index, record)| (base | (index as u64) << 20, record)));
        self.chunks.make_contiguous().sort_by_key(|(order, record)| (record.bounds.first, *order));
        Ok(())
    }

    async fn open_chunk(&mut self) -> Result<(), ReadError> {
        let Some((order, record)) = self.chunks.pop_front() else { return Ok(()) };
        let directory = self.context.directory(&self.request, record.device)?;
        let chunk = ChunkReader::open(&directory.device, self.request.session, &record).await;
        let chunk = Rc::new(chunk.map_err(|cause| self.fetch_error(cause))?);
        self.sources.extend(source::sources(&chunk, &record, order, &self.request.range));
        Ok(())
    }

    async fn load(&mut self, index: usize) -> Result<(), ReadError> {
        let loaded = self.sources.iter().filter(|source| source.cursor.is_some()).count() + 1;
        let bytes_max = self.batch_bytes() / loaded.max(1);
        let few = self.context.readers.get() <= READ_AHEAD_READERS_MAX && loaded == 1;
        let ahead = if few { ReadAhead::Yes } else { ReadAhead::No };
        let Some(source) = self.sources.get_mut(index) else { return Ok(()) };
        let result = source.load(bytes_max, &self.context.tasks, ahead).await;
        result.map_err(|cause| self.fetch_error(cause))
    }

    fn fetch_error(&self, cause: FetchError) -> ReadError {
        ReadError::Fetch { topic: self.request.name.clone(), cause }
    }
}

/// Collects slices until a batch has the size it should have.
struct BatchBuilder {
    bytes_max: usize,
    rows_max: usize,
    slices: Vec<RecordBatch>,
    bytes: usize,
    rows: usize,
}

impl BatchBuilder {
    fn new(bytes_max: usize, rows_max: usize) -> Self {
        Self { bytes_max, rows_max: rows_max.max(1), slices: Vec::new(), bytes: 0, rows: 0 }
    }

    /// Rows of this size that still fit; a row larger than a batch is one of its own. A quarter above the target is let
    /// through, so that what was written as one row group is not cut for a few bytes.
    fn room(&self, row_bytes: usize) -> usize {
        let bytes = (self.bytes_max + self.bytes_max / 4).saturating_sub(self.bytes) / row_bytes.max(1);
        let rows = self.rows_max - self.rows;
        if self.rows == 0 { bytes.max(1).min(rows) } else { bytes.min(rows) }
    }

    fn push(&mut self, slice: RecordBatch, row_bytes: usize) {
        self.rows += slice.num_rows();
        self.bytes += slice.num_rows() * row_bytes;
        self.slices.push(slice);
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max / 4 * 3 || self.rows >= self.rows_max
    }

    fn build(self, request: &ReadRequest) -> Result<Option<(RecordBatch, usize)>, ReadError> {
        let bytes = self.bytes;
        let batch = match self.slices.as_slice() {
            [] => return Ok(None),
            [one] => Ok(one.clone()),
            few @ [first, ..] if few.len() <= SLICES_MAX => concat_batches(first.schema_ref(), few),
            many => {
                let batches: Vec<&RecordBatch> = many.iter().collect();
                let rows: Vec<(usize, usize)> = many
                    .iter()
                    .enumerate()
                    .flat_map(|(i, slice)| (0..slice.num_rows()).map(move |row| (i, row)))
                    .collect();
                interleave_record_batch(&batches, &rows)
            }
        };
        match batch {
            Ok(batch) => Ok(Some((batch, bytes))),
            Err(error) => Err(ReadError::Assemble { topic: request.name.clone(), cause: error.to_string() }),
        }
    }
}
