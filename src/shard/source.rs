//! The sources a read merges: one per run of a chunk. Inside a run row groups ascend in time, so a source gives its rows
//! in order; sources may overlap.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use futures::channel::oneshot;

use crate::chunk::Columns;
use crate::chunk::Projection;
use crate::chunk::Selection;
use crate::chunk::SparseBytes;
use crate::io::Recycler;
use crate::model::ChunkRecord;
use crate::model::TimeRange;
use crate::runtime::TaskSet;
use crate::store::ChunkReader;
use crate::store::FetchError;

use super::filter::Filter;
use super::late::Chosen;
use super::late::Late;
use super::merge::Cursor;
use super::merge::Head;
use super::merge::NoTimes;
use super::read_budget::Hold;
use super::read_budget::ReadAccount;
use super::read_budget::ReadBudget;
use super::read_budget::SHARE_BYTES;

/// Bytes of a decoded column that no row accounts for: buffers are rounded up.
const COLUMN_SLACK: usize = 256;

/// All columns together are not asked more for than leaves a reader with its share alone room for rows.
const SLACK_MAX: usize = SHARE_BYTES / 16;

/// Portions on their way ahead of the one that is decoded: the device has the next one to read while the shard is busy.
const AHEAD_MAX: usize = 2;

/// What can go wrong with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    NoTimes(#[from] NoTimes),
    #[error(transparent)]
    Filter(#[from] ArrowError),
}

/// Rows to be decoded in one go.
pub struct Portion {
    selection: Selection,
    /// Whether the selection has the columns of the predicate alone.
    early: bool,
    /// Where the source goes on after it.
    next: Position,
    /// Room that the decoded rows need.
    pub bytes: usize,
}

/// What a portion's first read made.
enum Rows {
    Whole(RecordBatch),
    Chosen(Chosen),
}

/// What reading ahead brings.
struct Ahead {
    portion: Portion,
    room: Hold,
    /// Covers the bytes until they are decoded.
    raw: Hold,
    bytes: oneshot::Receiver<Result<SparseBytes, FetchError>>,
}

/// The next row of a source that is not decoded yet.
#[derive(Clone, Copy, PartialEq)]
struct Position {
    group: usize,
    row: u64,
}

/// What came of reading a chunk with a filter.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    #[default]
    Unread,
    /// No row passed so far.
    InVain,
    Hit,
}

/// One run of a chunk.
pub struct Source {
    /// Place in the order of arrival: which row goes first when times are equal.
    pub order: u64,
    chunk: Rc<ChunkReader>,
    position: Position,
    group_end: usize,
    range: TimeRange,
    columns: Columns,
    filter: Option<Arc<Filter>>,
    /// Where some columns decide whether others are read.
    late: Option<Late>,
    /// Of each row group, rows that may be hits; `None`: all.
    wanted: Option<Rc<Vec<Vec<Range<u64>>>>>,
    /// Of the chunk: what reading it has brought so far.
    use_of_chunk: Rc<Cell<Use>>,
    pub cursor: Option<Cursor>,
    /// In the order of their rows, one behind the other.
    ahead: VecDeque<Ahead>,
}

/// The sources of a chunk, in the order of their rows.
///
/// * `wanted`: of each row group, rows that may satisfy the filter; `None`: all.
pub fn sources(
    chunk: &Rc<ChunkReader>,
    record: &ChunkRecord,
    order: u64,
    range: &TimeRange,
    filter: Option<&Arc<Filter>>,
    wanted: Option<Vec<Vec<Range<u64>>>>,
) -> Vec<Source> {
    let wanted = wanted.map(Rc::new);
    let layout = chunk.layout();
    let groups = layout.row_groups().len();
    let columns = match filter.map(|filter| &filter.columns) {
        Some(Some(paths)) => Columns::Some(Arc::new(Projection::of(layout.schema(), paths))),
        Some(None) | None => Columns::All,
    };
    let starts = record.runs.iter().map(|start| *start as usize);
    let ends = record.runs.iter().skip(1).map(|start| *start as usize).chain([groups]);
    let use_of_chunk = Rc::new(Cell::new(Use::default()));
    let run = |(index, (start, end)): (usize, (usize, usize))| Source {
        order: order + index as u64,
        chunk: Rc::clone(chunk),
        position: Position { group: start, row: 0 },
        group_end: end,
        range: *range,
        columns: columns.clone(),
        filter: filter.cloned(),
        late: filter.and_then(|filter| Late::of(layout, filter)),
        wanted: wanted.clone(),
        use_of_chunk: Rc::clone(&use_of_chunk),
        cursor: None,
        ahead: VecDeque::new(),
    };
    starts.zip(ends).enumerate().map(run).collect()
}

impl Source {
    /// What is known of the next row; `None` when there are no more.
    pub fn head(&mut self, index: usize) -> Option<Head> {
        let (order, loaded) = (self.order, self.cursor.is_some());
        self.lower_bound().map(|time| Head { index, time, order, loaded })
    }

    /// A time that no row to come lies before; `None` when there are no more rows.
    pub fn lower_bound(&mut self) -> Option<i64> {
        if let Some(cursor) = &self.cursor {
            return Some(cursor.next_time());
        }
        let groups = self.chunk.layout().row_groups();
        while let Some((position, _)) = self.next_wanted(self.position) {
            self.position = position;
            let group = groups.get(position.group)?;
            if self.range.overlaps(&group.bounds) {
                return Some(self.range.start().map_or(group.bounds.first, |start| start.max(group.bounds.first)));
            }
            self.position = Position { group: position.group + 1, row: 0 };
        }
        self.position = Position { group: self.group_end, row: 0 };
        None
    }

    /// The first row that may be a hit, at `from` or behind it, and up to which row of its group those that follow may be.
    fn next_wanted(&self, from: Position) -> Option<(Position, u64)> {
        let groups = self.chunk.layout().row_groups();
        let mut row = from.row;
        for group in from.group..self.group_end {
            let rows = groups.get(group)?.rows;
            let next = match &self.wanted {
                None => Some(row..rows),
                Some(wanted) => wanted.get(group)?.iter().find(|wanted| wanted.end > row).cloned(),
            };
            if let Some(next) = next.map(|next| next.start.max(row)..next.end).filter(|next| !next.is_empty()) {
                return Some((Position { group, row: next.start }, next.end));
            }
            row = 0;
        }
        None
    }

    /// Gives up what was read ahead; it is read again later.
    pub fn forget_ahead(&mut self) {
        self.ahead.clear();
    }

    /// Whether the next rows are on their way, with room for them.
    pub fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Whether at most one row group is left that nobody has begun with.
    pub fn ends_soon(&self) -> bool {
        self.fetched().group + 1 >= self.group_end
    }

    /// What comes behind all that is on its way.
    fn fetched(&self) -> Position {
        self.ahead.back().map_or(self.position, |ahead| ahead.portion.next)
    }

    /// The next rows, one at least and about `bytes_max` at most; `None` at the end of the run. Skips what lies outside
    /// the range.
    pub fn portion(&mut self, bytes_max: usize) -> Option<Portion> {
        while self.cursor.is_none() && self.lower_bound().is_some() {
            if let Some(portion) = self.portion_at(self.position, bytes_max) {
                return Some(portion);
            }
            self.position = self.after(self.position, bytes_max).1;
        }
        None
    }

    fn portion_at(&self, position: Position, bytes_max: usize) -> Option<Portion> {
        let (position, _) = self.next_wanted(position)?;
        let (rows, next) = self.after(position, bytes_max);
        let layout = self.chunk.layout();
        let early = self.late.as_ref().and_then(Late::early);
        let columns = early.unwrap_or(&self.columns).clone();
        let selection = layout.select(position.group, rows, &self.range, columns)?;
        let rows = selection.rows();
        let bytes = usize::try_from(layout.logical_bytes(position.group, &rows, &self.columns)).unwrap_or(usize::MAX);
        // Buffers of values whose lengths differ grow by doubling while they are decoded; a single one fits at once.
        let growth = if rows.end - rows.start > 1 { bytes } else { 0 };
        let slack = layout.schema().flattened_fields().len().saturating_mul(COLUMN_SLACK).min(SLACK_MAX);
        Some(Portion {
            selection,
            next,
            early: early.is_some(),
            bytes: bytes.saturating_add(growth).saturating_add(slack),
        })
    }

    /// The rows of one step from `position`, and the position behind them.
    fn after(&self, position: Position, bytes_max: usize) -> (Range<u64>, Position) {
        let layout = self.chunk.layout();
        let all = layout.row_groups().get(position.group).map_or(0, |group| group.rows);
        // Behind rows that may be hits, others may follow that cannot.
        let rows = self.next_wanted(position).filter(|(next, _)| *next == position).map_or(all, |(_, end)| end);
        let behind = match rows == all {
            true => Position { group: position.group + 1, row: 0 },
            false => Position { row: rows, ..position },
        };
        let fits = |end: u64, bytes_max: u64| {
            layout.logical_bytes(position.group, &(position.row..end), &self.columns) <= bytes_max
        };
        let bytes_max = bytes_max as u64;
        // A rest too small to be worth a read of its own goes along.
        if fits(rows, bytes_max.saturating_add(bytes_max / 4)) {
            return (position.row..rows, behind);
        }
        let (mut end, mut exceeds) = (position.row + 1, rows);
        while exceeds.saturating_sub(end) > 1 {
            let middle = end + (exceeds - end) / 2;
            if fits(middle, bytes_max) { end = middle } else { exceeds = middle }
        }
        // What is left of a page would be read and taken apart twice.
        end = layout.page_start(position.group, end).filter(|start| *start > position.row).unwrap_or(end);
        let next = if end >= rows { behind } else { Position { row: end, ..position } };
        (position.row..end.min(rows), next)
    }

    /// Decodes a portion into the cursor, which stays empty when no row of it lies in the range.
    ///
    /// # Errors
    /// [`SourceError`] of reading or of verifying.
    pub async fn load(
        &mut self,
        portion: Portion,
        room: Hold,
        budget: &ReadBudget,
        memory: &Recycler,
    ) -> Result<(), SourceError> {
        let raw = self.chunk.fetch_bytes(&portion.selection);
        let permit = budget.fetch(usize::try_from(raw).unwrap_or(usize::MAX)).await;
        let bytes = self.chunk.fetch(&portion.selection).await?;
        let rows = self.decode(&portion, &bytes, memory).await?;
        drop((bytes, permit));
        self.take(portion, room, rows, budget, memory).await
    }

    /// The same for what was read ahead, if anything was.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn load_ahead(&mut self, budget: &ReadBudget, memory: &Recycler) -> Result<(), SourceError> {
        let Some(Ahead { portion, room, raw, bytes }) = self.ahead.pop_front() else { return Ok(()) };
        let bytes = match bytes.await {
            Ok(bytes) => bytes?,
            // A task that panicked has been logged; its bytes are read again here.
            Err(_) => self.chunk.fetch(&portion.selection).await?,
        };
        let rows = self.decode(&portion, &bytes, memory).await?;
        drop((bytes, raw));
        self.take(portion, room, rows, budget, memory).await
    }

    async fn decode(&mut self, portion: &Portion, bytes: &SparseBytes, memory: &Recycler) -> Result<Rows, SourceError> {
        let layout = self.chunk.layout();
        let decode = |selection: &Selection| layout.decode(selection, bytes, memory).map_err(FetchError::from);
        let selection = &portion.selection;
        Ok(match (&self.filter, &mut self.late) {
            (None, _) => Rows::Whole(decode(selection)?),
            (Some(filter), Some(late)) if portion.early => {
                let batch = decode(&selection.whole())?;
                Rows::Chosen(late.choose(layout, selection, &self.range, filter, &batch).await?)
            }
            (Some(filter), late) => {
                let batch = decode(selection)?;
                let rows = batch.num_rows();
                let batch = filter.apply(batch).await?;
                late.iter_mut().for_each(|late| late.read_at_once(rows, batch.num_rows()));
                Rows::Whole(batch)
            }
        })
    }

    /// Reads what is missing, and goes on behind the portion.
    async fn take(
        &mut self,
        portion: Portion,
        mut room: Hold,
        rows: Rows,
        budget: &ReadBudget,
        memory: &Recycler,
    ) -> Result<(), SourceError> {
        let batch = match (rows, &self.late) {
            (Rows::Whole(batch), _) => batch,
            (Rows::Chosen(chosen), Some(late)) => {
                late.complete(&self.chunk, &portion.selection, chosen, budget, memory).await?
            }
            (Rows::Chosen(_), None) => unreachable!("rows are chosen by `late` alone"),
        };
        if let Some(filter) = &self.filter {
            let before = self.use_of_chunk.get();
            let after = if batch.num_rows() > 0 { Use::Hit } else { before.max(Use::InVain) };
            filter.tally.chunk(before == Use::Unread, before != Use::Hit && after == Use::Hit);
            self.use_of_chunk.set(after);
        }
        room.settle(batch.get_array_memory_size());
        self.position = portion.next;
        self.cursor = Cursor::new(batch, room)?;
        Ok(())
    }

    /// Fetches the next rows while those before are sent, when there is memory to spare.
    pub fn read_ahead(&mut self, bytes_max: usize, tasks: &TaskSet, account: &ReadAccount) {
        while self.ahead.len() < AHEAD_MAX
            && let Some(portion) = self.portion_at(self.fetched(), bytes_max)
        {
            let raw = usize::try_from(self.chunk.fetch_bytes(&portion.selection)).unwrap_or(usize::MAX);
            let Some(room) = account.try_hold_extra(portion.bytes) else { return };
            let Some(raw) = account.try_hold_extra(raw) else { return };
            let (sender, bytes) = oneshot::channel();
            let (chunk, wanted) = (Rc::clone(&self.chunk), portion.selection.clone());
            tasks.push("read ahead", async move {
                let _ = sender.send(chunk.fetch(&wanted).await);
            });
            self.ahead.push_back(Ahead { portion, room, raw, bytes });
        }
    }
}
