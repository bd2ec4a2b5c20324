//! Merging runs in the order of time, without I/O: what to do next, and how a batch is put together.
//!
//! Invariants
//! - Rows ascend by time; equal times keep the order of arrival.
//! - Nothing is listed, opened or decoded before a row of it could be the next one.
//! - A batch has a row, at most as many rows as asked for, and at most a quarter more bytes, unless one row is larger.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;

use crate::chunk;
use crate::chunk::TIME_COLUMN;

use super::read_budget::Hold;
use super::read_budget::ReadAccount;

/// Pieces of a batch up to which copying whole pieces beats picking single rows.
const SLICES_MAX: usize = 64;

/// What is known of the next row of an open source.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub index: usize,
    /// Of the next row when it is loaded; otherwise a time that no row lies before.
    pub time: i64,
    /// Place in the order of arrival, different for every source.
    pub order: u64,
    pub loaded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the directory of the first segment.
    List,
    /// Open the first chunk.
    Open,
    Load(usize),
    /// Take rows of this source while they are within the limit, if there is one.
    Take(usize, Option<Limit>),
    End,
}

/// Up to where a source's rows come before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    time: i64,
    tie: Tie,
}

/// Whose row goes first when two have the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    Mine,
    Theirs,
}

/// What brings the next row nearer.
///
/// * `chunk`: first time and order of the first chunk that is not open.
/// * `segment`: first time of the first segment that is not listed.
pub fn next(heads: impl Iterator<Item = Head>, chunk: Option<(i64, u64)>, segment: Option<i64>) -> Step {
    let key = |head: &Head| (head.time, head.order);
    let (mut first, mut second): (Option<Head>, Option<(i64, u64)>) = (None, None);
    for head in heads {
        match &first {
            Some(least) if key(least) < key(&head) => second = [second, Some(key(&head))].into_iter().flatten().min(),
            _ => second = first.replace(head).as_ref().map(key),
        }
    }
    let bound = [first.map(|head| head.time), chunk.map(|(time, _)| time)].into_iter().flatten().min();
    if segment.is_some_and(|time| bound.is_none_or(|bound| time <= bound)) {
        return Step::List;
    }
    if chunk.is_some_and(|(time, _)| first.is_none_or(|first| time <= first.time)) {
        return Step::Open;
    }
    let Some(first) = first else { return Step::End };
    if !first.loaded {
        return Step::Load(first.index);
    }
    // Rows of a segment that is not listed count as earlier arrivals: it is listed before a row of an equal time is taken.
    let others = [segment.map(|time| (time, 0)), chunk, second];
    let limit = others.into_iter().flatten().min().map(|(time, order)| {
        let tie = if first.order < order { Tie::Mine } else { Tie::Theirs };
        Limit { time, tie }
    });
    Step::Take(first.index, limit)
}

/// Decoded rows, and the memory they are in.
struct Decoded {
    batch: RecordBatch,
    hold: Arc<Hold>,
}

/// Decoded rows of a source, the next one at `at`.
pub struct Cursor {
    decoded: Rc<Decoded>,
    times: ScalarBuffer<i64>,
    at: usize,
    /// Bytes of a row when all have the same.
    row_bytes: Option<usize>,
}

/// Rows that cannot be put in order. Never taken for no rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no column {TIME_COLUMN} of 64-bit integers without nulls")]
pub struct NoTimes;

/// The times of rows.
///
/// # Errors
/// [`NoTimes`].
pub fn times(batch: &RecordBatch) -> Result<&ScalarBuffer<i64>, NoTimes> {
    let column = batch.column_by_name(TIME_COLUMN).ok_or(NoTimes)?;
    let column = column.as_primitive_opt::<Int64Type>().filter(|column| column.null_count() == 0);
    Ok(column.ok_or(NoTimes)?.values())
}

impl Cursor {
    /// `None` when the batch has no rows.
    ///
    /// # Errors
    /// [`NoTimes`].
    pub fn new(batch: RecordBatch, hold: Hold) -> Result<Option<Self>, NoTimes> {
        let times = times(&batch)?.clone();
        let row_bytes = chunk::row_bytes(&batch).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let decoded = Rc::new(Decoded { batch, hold: Arc::new(hold) });
        Ok((!times.is_empty()).then_some(Self { decoded, times, at: 0, row_bytes }))
    }

    pub fn next_time(&self) -> i64 {
        self.times.get(self.at).copied().unwrap_or(i64::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.at == self.times.len()
    }

    fn rows_until(&self, limit: Option<Limit>) -> usize {
        let rest = self.times.get(self.at..).unwrap_or_default();
        match limit {
            Some(Limit { time: limit, tie: Tie::Mine }) => rest.partition_point(|time| *time <= limit),
            Some(Limit { time: limit, tie: Tie::Theirs }) => rest.partition_point(|time| *time < limit),
            None => rest.len(),
        }
    }

    /// Bytes of the next `count` rows.
    fn bytes(&self, count: usize) -> usize {
        match self.row_bytes {
            Some(each) => each.saturating_mul(count),
            None => {
                let bytes = chunk::batch_bytes(&self.decoded.batch, self.at, self.at + count);
                usize::try_from(bytes).unwrap_or(usize::MAX)
            }
        }
    }

    /// How many of the next `rows` fit into `room` bytes, and their bytes.
    fn fit(&self, rows: usize, room: usize) -> (usize, usize) {
        let bytes = self.bytes(rows);
        if bytes <= room {
            return (rows, bytes);
        }
        let (mut fits, mut exceeds) = (0, rows);
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits) / 2;
            if self.bytes(middle) <= room { fits = middle } else { exceeds = middle }
        }
        (fits, self.bytes(fits))
    }
}

struct Piece {
    /// Index of the decoded rows it is of.
    decoded: usize,
    rows: Range<usize>,
}

/// Collects pieces of decoded rows until a batch has the size it should have.
pub struct BatchBuilder {
    bytes_max: usize,
    rows_max: usize,
    /// What the pieces are of, each once.
    decoded: Vec<Rc<Decoded>>,
    /// In the order of their rows; at most `rows_max`, since each has one.
    pieces: Vec<Piece>,
    bytes: usize,
    rows: usize,
    /// Room for the copy that several pieces become.
    copy: Option<Hold>,
}

/// A batch, and the memory it is in.
pub struct Built {
    pub batch: RecordBatch,
    pub bytes: usize,
    pub holds: Vec<Arc<Hold>>,
}

/// Bytes of a batch whose target is `target`: a quarter above it is let through, so that what was written as one row group is not
/// cut for a few bytes. A single row may be larger.
pub fn bytes_max(target: usize) -> usize {
    target.saturating_add(target / 4)
}

impl BatchBuilder {
    pub fn new(bytes_max: usize, rows_max: usize) -> Self {
        let rows_max = rows_max.max(1);
        Self { bytes_max, rows_max, decoded: Vec::new(), pieces: Vec::new(), bytes: 0, rows: 0, copy: None }
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max / 4 * 3 || self.rows >= self.rows_max
    }

    /// Takes the next rows of `cursor`, as many as fit; returns how many. The first row always does.
    pub fn take(&mut self, cursor: &mut Cursor, limit: Option<Limit>, account: &ReadAccount) -> usize {
        let rows = cursor.rows_until(limit).min(self.rows_max - self.rows);
        let goes_on = self.last_of(cursor).is_some_and(|piece| piece.rows.end == cursor.at);
        let mut room = bytes_max(self.bytes_max);
        if self.pieces.len() > usize::from(goes_on) {
            if self.copy.is_none() {
                self.copy = account.try_hold(room).or_else(|| account.try_hold(account.free() / 2));
            }
            room = room.min(self.copy.as_ref().map_or(0, Hold::bytes));
        }
        let (mut count, mut bytes) = cursor.fit(rows, room.saturating_sub(self.bytes));
        if count == 0 && self.rows == 0 {
            (count, bytes) = (1, cursor.bytes(1));
        }
        if count == 0 {
            return 0;
        }
        let taken = cursor.at..cursor.at + count;
        match self.last_of(cursor) {
            Some(last) if goes_on => last.rows.end = taken.end,
            _ => {
                let known = self.decoded.iter().rposition(|decoded| Rc::ptr_eq(decoded, &cursor.decoded));
                let decoded = known.unwrap_or(self.decoded.len());
                if known.is_none() {
                    self.decoded.push(Rc::clone(&cursor.decoded));
                }
                self.pieces.push(Piece { decoded, rows: taken });
            }
        }
        cursor.at += count;
        self.bytes += bytes;
        self.rows += count;
        count
    }

    /// The last piece, if it is of this cursor's rows.
    fn last_of(&mut self, cursor: &Cursor) -> Option<&mut Piece> {
        let decoded = &self.decoded;
        let same =
            |piece: &&mut Piece| decoded.get(piece.decoded).is_some_and(|decoded| Rc::ptr_eq(decoded, &cursor.decoded));
        self.pieces.last_mut().filter(same)
    }

    /// The batch; `None` without a row. One piece is not copied.
    ///
    /// # Errors
    /// When the pieces do not fit together.
    pub fn build(self) -> Result<Option<Built>, ArrowError> {
        let Self { decoded, pieces, bytes, copy, .. } = self;
        let of = |piece: &Piece| decoded.get(piece.decoded).map(|decoded| (decoded, piece.rows.clone()));
        let slice = |(decoded, rows): (&Rc<Decoded>, Range<usize>)| decoded.batch.slice(rows.start, rows.len());
        if let [piece] = pieces.as_slice() {
            let built = of(piece).map(|(decoded, rows)| Built {
                batch: slice((decoded, rows)),
                bytes,
                holds: vec![Arc::clone(&decoded.hold)],
            });
            return Ok(built);
        }
        let Some(schema) = decoded.first().map(|decoded| decoded.batch.schema()) else { return Ok(None) };
        let batch = if pieces.len() <= SLICES_MAX {
            let slices: Vec<RecordBatch> = pieces.iter().filter_map(of).map(slice).collect();
            concat_batches(&schema, &slices)?
        } else {
            let batches: Vec<&RecordBatch> = decoded.iter().map(|decoded| &decoded.batch).collect();
            let rows = |piece: &Piece| {
                let decoded = piece.decoded;
                piece.rows.clone().map(move |row| (decoded, row))
            };
            let rows: Vec<(usize, usize)> = pieces.iter().flat_map(rows).collect();
            interleave_record_batch(&batches, &rows)?
        };
        let mut copy = copy;
        if let Some(hold) = &mut copy {
            hold.settle(batch.get_array_memory_size());
        }
        Ok(Some(Built { batch, bytes, holds: copy.into_iter().map(Arc::new).collect() }))
    }
}

#[cfg(test)]
mod tests;
