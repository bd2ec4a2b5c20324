//! The sources a read merges: one per run of a chunk. Inside a run row groups ascend in time, so a source gives its rows
//! in order; sources may overlap.

use std::ops::Range;
use std::rc::Rc;

use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::Int64Type;
use futures::channel::oneshot;

use crate::chunk::Columns;
use crate::chunk::Selection;
use crate::chunk::SparseBytes;
use crate::chunk::TIME_COLUMN;
use crate::model::ChunkRecord;
use crate::model::TimeRange;
use crate::runtime::TaskSet;
use crate::store::ChunkReader;
use crate::store::FetchError;

/// Decoded rows of a source, the next one at `at`.
pub struct Cursor {
    pub batch: RecordBatch,
    times: ScalarBuffer<i64>,
    at: usize,
    /// Mean bytes of a row.
    pub row_bytes: usize,
}

impl Cursor {
    /// `None` when the batch has no rows.
    fn new(batch: RecordBatch, row_bytes: usize) -> Option<Self> {
        let times = batch.column_by_name(TIME_COLUMN)?.as_primitive_opt::<Int64Type>()?.values().clone();
        (!times.is_empty()).then_some(Self { batch, times, at: 0, row_bytes })
    }

    pub fn next_time(&self) -> i64 {
        self.times.get(self.at).copied().unwrap_or(i64::MAX)
    }

    pub fn rows_left(&self) -> usize {
        self.times.len() - self.at
    }

    /// Rows from here on with a time before `limit`, or up to it with [`Tie::Mine`].
    pub fn rows_until(&self, limit: i64, tie: Tie) -> usize {
        let rest = self.times.get(self.at..).unwrap_or_default();
        match tie {
            Tie::Mine => rest.partition_point(|time| *time <= limit),
            Tie::Theirs => rest.partition_point(|time| *time < limit),
        }
    }

    /// Takes the next `count` rows, without a copy.
    pub fn take(&mut self, count: usize) -> RecordBatch {
        let slice = self.batch.slice(self.at, count);
        self.at += count;
        slice
    }
}

/// Whose row goes first when two have the same time.
#[derive(Clone, Copy, PartialEq)]
pub enum Tie {
    Mine,
    Theirs,
}

/// What reading ahead has brought so far.
struct Ahead {
    selection: Selection,
    next: Position,
    bytes: oneshot::Receiver<Result<SparseBytes, FetchError>>,
}

/// The next row of a source that is not decoded yet.
#[derive(Clone, Copy, PartialEq)]
struct Position {
    group: usize,
    row: u64,
}

/// One run of a chunk.
pub struct Source {
    /// Place in the order of arrival: which row goes first when times are equal.
    pub order: u64,
    chunk: Rc<ChunkReader>,
    position: Position,
    group_end: usize,
    range: TimeRange,
    pub cursor: Option<Cursor>,
    ahead: Option<Ahead>,
}

/// The sources of a chunk, in the order of their rows.
pub fn sources(chunk: &Rc<ChunkReader>, record: &ChunkRecord, order: u64, range: &TimeRange) -> Vec<Source> {
    let groups = chunk.layout().row_groups().len();
    let starts = record.runs.iter().map(|start| *start as usize);
    let ends = record.runs.iter().skip(1).map(|start| *start as usize).chain([groups]);
    let run = |(index, (start, end)): (usize, (usize, usize))| Source {
        order: order + index as u64,
        chunk: Rc::clone(chunk),
        position: Position { group: start, row: 0 },
        group_end: end,
        range: *range,
        cursor: None,
        ahead: None,
    };
    starts.zip(ends).enumerate().map(run).collect()
}

impl Source {
    /// A time that no undecoded row lies before; `None` when there are no more rows.
    pub fn lower_bound(&mut self) -> Option<i64> {
        if let Some(cursor) = &self.cursor {
            return Some(cursor.next_time());
        }
        let groups = self.chunk.layout().row_groups();
        while let Some(group) = groups.get(self.position.group).filter(|_| self.position.group < self.group_end) {
            if self.position.row < group.rows && self.range.overlaps(&group.bounds) {
                return Some(self.range.start().map_or(group.bounds.first, |start| start.max(group.bounds.first)));
            }
            self.position = Position { group: self.position.group + 1, row: 0 };
        }
        None
    }

    /// Decodes the next rows, about `bytes_max` of them, into the cursor; leaves it empty at the end of the run.
    ///
    /// # Errors
    /// [`FetchError`] of reading or of verifying.
    pub async fn load(&mut self, bytes_max: usize, tasks: &TaskSet, read_ahead: ReadAhead) -> Result<(), FetchError> {
        while self.cursor.is_none() && self.lower_bound().is_some() {
            let (selection, next, bytes) = match self.ahead.take() {
                Some(Ahead { selection, next, bytes }) => {
                    // A reader task that panicked has been logged; its bytes are read again here.
                    let bytes = match bytes.await {
                        Ok(bytes) => bytes?,
                        Err(_) => self.chunk.fetch(&selection).await?,
                    };
                    (selection, next, bytes)
                }
                None => {
                    let Some((selection, next)) = self.select(self.position, bytes_max) else {
                        self.position = self.after(self.position, bytes_max).1;
                        continue;
                    };
                    let bytes = self.chunk.fetch(&selection).await?;
                    (selection, next, bytes)
                }
            };
            let row_bytes = self.row_bytes(self.position.group);
            let batch = self.chunk.layout().decode(&selection, &bytes)?;
            drop(bytes);
            self.position = next;
            self.cursor = Cursor::new(batch, row_bytes);
            if read_ahead == ReadAhead::Yes {
                self.start_ahead(bytes_max, tasks);
            }
        }
        Ok(())
    }

    fn start_ahead(&mut self, bytes_max: usize, tasks: &TaskSet) {
        let Some((selection, next)) = self.select(self.position, bytes_max) else { return };
        let (sender, bytes) = oneshot::channel();
        let (chunk, wanted) = (Rc::clone(&self.chunk), selection.clone());
        tasks.push("read ahead", async move {
            let _ = sender.send(chunk.fetch(&wanted).await);
        });
        self.ahead = Some(Ahead { selection, next, bytes });
    }

    /// What to read at `position`, and where it goes on after that; `None` when no row there lies in the range.
    fn select(&self, position: Position, bytes_max: usize) -> Option<(Selection, Position)> {
        if position.group >= self.group_end {
            return None;
        }
        let (rows, next) = self.after(position, bytes_max);
        let selection = self.chunk.layout().select(position.group, rows, &self.range, Columns::All)?;
        Some((selection, next))
    }

    /// The rows of one step from `position`, and the position behind them.
    fn after(&self, position: Position, bytes_max: usize) -> (Range<u64>, Position) {
        let rows = self.chunk.layout().row_groups().get(position.group).map_or(0, |group| group.rows);
        let step = (bytes_max / self.row_bytes(position.group)).max(1) as u64;
        // A rest too small to be worth a read of its own goes along.
        let end = if position.row + step + step / 4 >= rows { rows } else { position.row + step };
        let next = if end >= rows {
            Position { group: position.group + 1, row: 0 }
        } else {
            Position { row: end, ..position }
        };
        (position.row..end, next)
    }

    fn row_bytes(&self, group: usize) -> usize {
        let group = self.chunk.layout().row_groups().get(group);
        group.map_or(1, |group| usize::try_from(group.logical_bytes / group.rows.max(1)).unwrap_or(usize::MAX).max(1))
    }
}

/// Whether the next rows are fetched while these are sent.
#[derive(Clone, Copy, PartialEq)]
pub enum ReadAhead {
    Yes,
    No,
}
