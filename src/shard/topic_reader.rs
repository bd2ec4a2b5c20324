//! Reads one topic in time order: chunks as their time comes, runs merged, batches near the size the client was told.
//!
//! Invariants
//! - An error ends the stream: never fewer rows in its place.
//! - What is held is covered by the reader's account: `read_budget` says why no reader waits for another's client.

use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::Either;
use futures::future::select;

use crate::catalog::CatalogError;
use crate::catalog::SegmentView;
use crate::catalog::Visibility;
use crate::io::Clock;
use crate::model::ChunkRecord;
use crate::runtime::Sender;
use crate::store::FetchError;

use super::error::ReadError;
use super::merge;
use super::merge::BatchBuilder;
use super::merge::Built;
use super::merge::Step;
use super::read_budget::Hold;
use super::read_budget::ReadAccount;
use super::read_budget::ReadBudget;
use super::request::Delivery;
use super::request::ReadRequest;
use super::request::Served;
use super::source::Portion;
use super::source::Source;
use super::source::SourceError;
use super::upcoming::Upcoming;
use super::upcoming::Wanted;
use super::worker::ShardContext;

/// Readers up to which each may read ahead.
const READ_AHEAD_READERS_MAX: usize = 16;

/// Batches smaller than this cost more than they carry; less memory than that gives smaller ones all the same.
const BATCH_BYTES_MIN: usize = 64 << 10;

/// Bytes of the first batch; each one after it may have four times as many. A client gets its first rows before megabytes are read.
const FIRST_BATCH_BYTES: usize = 256 << 10;

/// A reader with its share alone makes portions of one in so many parts of it at the least, and waits for its client first.
const PORTIONS_MAX: usize = 16;

/// Seconds a row waits for memory when nothing but other readers' clients could give it.
const MEMORY_WAIT_S: u32 = 30;

/// Serves one read until its end, an error, or the client's going away.
pub async fn read_topic(context: Rc<ShardContext>, request: ReadRequest, account: ReadAccount, outbox: Sender<Served>) {
    let mut reader = TopicReader::new(context, request, account, outbox);
    while !reader.outbox.is_closed() {
        let (served, bytes, last) = match reader.next_batch().await {
            Ok(Some(Built { batch, bytes, holds })) => {
                (Ok(Delivery { batch, loan: reader.account.lend(holds) }), bytes, false)
            }
            Ok(None) => return,
            Err(error) => (Err(error), 0, true),
        };
        if reader.outbox.send(served, bytes).await.is_err() || last {
            return;
        }
    }
}

struct TopicReader {
    context: Rc<ShardContext>,
    request: ReadRequest,
    account: ReadAccount,
    outbox: Sender<Served>,
    /// Segments whose directory is not read yet, by first time.
    segments: VecDeque<SegmentView>,
    /// Chunks that are not open yet, by first time, with their place in the order of arrival.
    chunks: VecDeque<(u64, ChunkRecord)>,
    sources: Vec<Source>,
    /// The first of the chunks, once the end of the one before is near.
    upcoming: Option<Upcoming>,
    /// What the next batch may have at the most.
    bytes_max: usize,
}

/// Whether rows could be loaded.
#[derive(Clone, Copy, PartialEq)]
enum Loaded {
    Yes,
    /// Not before what the batch being built holds is let go.
    Short,
}

impl TopicReader {
    fn new(context: Rc<ShardContext>, mut request: ReadRequest, account: ReadAccount, outbox: Sender<Served>) -> Self {
        let mut segments = std::mem::take(&mut request.segments);
        segments.sort_by_key(|segment| segment.bounds.first);
        // Batches are cut before the filter, so the first one with rows may come late.
        let bytes_max = if request.filter.is_some() { usize::MAX } else { FIRST_BATCH_BYTES };
        Self {
            context,
            request,
            account,
            outbox,
            segments: segments.into(),
            chunks: VecDeque::new(),
            sources: Vec::new(),
            upcoming: None,
            bytes_max,
        }
    }

    /// The next batch; `None` at the end.
    async fn next_batch(&mut self) -> Result<Option<Built>, ReadError> {
        let mut batch = BatchBuilder::new(self.batch_bytes(), self.request.batch_rows);
        self.bytes_max = self.bytes_max.saturating_mul(4);
        loop {
            // With a filter that few rows pass it may be long to the next batch.
            if self.request.filter.is_some() && self.outbox.is_closed() {
                return Ok(None);
            }
            match self.next_step() {
                Step::List => self.list_segment().await?,
                Step::Open => self.open_chunk().await?,
                Step::Load(index) => {
                    if self.load(index, batch.is_empty()).await? == Loaded::Short {
                        break;
                    }
                }
                Step::Take(index, limit) => {
                    let Some(source) = self.sources.get_mut(index) else { break };
                    let Some(cursor) = source.cursor.as_mut() else { break };
                    let taken = batch.take(cursor, limit, &self.account);
                    if cursor.is_empty() {
                        source.cursor = None;
                    }
                    if taken == 0 || batch.is_full() {
                        break;
                    }
                }
                Step::End => break,
            }
        }
        let assemble = |cause| ReadError::Assemble { topic: self.request.name.clone(), cause };
        batch.build().map_err(|error| assemble(error.to_string()))
    }

    /// Bytes of a batch: the target, or less at the beginning and when many read at once.
    fn batch_bytes(&self) -> usize {
        let share = self.context.read_budget.fair_bytes() / 4;
        self.request.batch_bytes.min(share.max(BATCH_BYTES_MIN)).min(self.bytes_max)
    }

    fn next_step(&mut self) -> Step {
        self.sources.retain_mut(|source| source.lower_bound().is_some());
        let heads = self.sources.iter_mut().enumerate().filter_map(|(index, source)| source.head(index));
        let chunk = self.chunks.front().map(|(order, chunk)| (chunk.bounds.first, *order));
        let segment = self.segments.front().map(|segment| segment.bounds.first);
        merge::next(heads, chunk, segment)
    }

    async fn list_segment(&mut self) -> Result<(), ReadError> {
        let Some(segment) = self.segments.pop_front() else { return Ok(()) };
        let records = self.context.catalog.directory(segment.key).await;
        let records = records.map_err(|cause| catalog_error(&self.request, cause))?;
        // Runs of one chunk count up from its order: leave room for as many as a chunk can have.
        let base = u64::from(segment.key.number) << 32;
        let filter = self.request.filter.as_deref();
        let may = |record: &ChunkRecord| {
            self.request.range.overlaps(&record.bounds) && filter.is_none_or(|filter| filter.may_match(record))
        };
        let wanted = records.into_iter().enumerate().filter(|(_, record)| may(record));
        self.chunks.extend(wanted.map(|(index, record)| (base | (index as u64) << 20, record)));
        self.chunks.make_contiguous().sort_by_key(|(order, record)| (record.bounds.first, *order));
        Ok(())
    }

    async fn open_chunk(&mut self) -> Result<(), ReadError> {
        let Some((order, record)) = self.chunks.pop_front() else { return Ok(()) };
        let ahead = match self.upcoming.take_if(|upcoming| upcoming.order == order) {
            Some(upcoming) => upcoming.sources().await,
            None => None,
        };
        let opened = match ahead {
            Some(opened) => opened,
            None => self.wanted(order, record)?.open().await,
        };
        match opened {
            Ok(sources) => self.sources.extend(sources),
            Err(cause) => return Err(self.context.fetch_error(&self.request, cause).await),
        }
        Ok(())
    }

    fn wanted(&self, order: u64, record: ChunkRecord) -> Result<Wanted, ReadError> {
        let device = Rc::clone(&self.context.directory(&self.request, record.device)?.device);
        let (session, range, filter) = (self.request.session, self.request.range, self.request.filter.clone());
        Ok(Wanted { device, session, record, order, range, filter })
    }

    /// Begins with the next chunk while the rest of the one before is read.
    fn open_ahead(&mut self, bytes_max: usize) {
        if self.upcoming.is_none()
            && let Some((order, record)) = self.chunks.front()
            && let Ok(wanted) = self.wanted(*order, record.clone())
        {
            self.upcoming = Some(Upcoming::begin(wanted, bytes_max, &self.context.tasks, &self.account));
        }
    }

    /// Loads the next rows of a source.
    ///
    /// * `alone`: whether nothing of the reader waits to be sent. Otherwise it does not wait.
    async fn load(&mut self, index: usize, alone: bool) -> Result<Loaded, ReadError> {
        let loaded = self.sources.iter().filter(|source| source.cursor.is_some()).count() + 1;
        let bytes_max = self.batch_bytes() / loaded;
        let single = self.sources.len() == 1;
        let Some(source) = self.sources.get_mut(index) else { return Ok(Loaded::Yes) };
        let result = if source.has_ahead() {
            source.load_ahead(&self.context.read_budget, &self.context.recycler).await
        } else {
            match self.room(index, bytes_max, alone).await? {
                Room::Found(portion, room) => match self.sources.get_mut(index) {
                    Some(source) => {
                        let context = &self.context;
                        source.load(portion, room, &context.read_budget, &context.recycler).await
                    }
                    None => return Ok(Loaded::Yes),
                },
                Room::Short => return Ok(Loaded::Short),
                Room::NotNeeded => return Ok(Loaded::Yes),
            }
        };
        if let Err(error) = result {
            return Err(self.source_error(error).await);
        }
        if single
            && self.context.read_budget.readers() <= READ_AHEAD_READERS_MAX
            && let Some(source) = self.sources.get_mut(index)
        {
            source.read_ahead(self.request.batch_bytes.min(bytes_max * 4), &self.context.tasks, &self.account);
            if source.ends_soon() {
                self.open_ahead(bytes_max);
            }
        }
        Ok(Loaded::Yes)
    }

    /// Room for the next rows of a source: as many as wanted, fewer when memory is short, one at the least.
    async fn room(&mut self, index: usize, bytes_max: usize, alone: bool) -> Result<Room, ReadError> {
        loop {
            let lent = self.account.lent();
            let parts = if self.sources.len() > 1 { 5 } else { 2 };
            let Some(source) = self.sources.get_mut(index) else { return Ok(Room::NotNeeded) };
            let Some(portion) = source.portion(bytes_max) else { return Ok(Room::NotNeeded) };
            if let Some(hold) = self.account.try_hold(portion.bytes) {
                return Ok(Room::Found(portion, hold));
            }
            // Rows may double while they are decoded, and other sources need room too.
            let free = self.account.free() / parts * 4 / 5;
            let Some(portion) = source.portion(free.min(bytes_max)) else { return Ok(Room::NotNeeded) };
            let worth_it = lent == 0 || free >= self.account.share() / PORTIONS_MAX;
            if worth_it && let Some(hold) = self.account.try_hold(portion.bytes) {
                return Ok(Room::Found(portion, hold));
            }
            if !alone || self.outbox.is_closed() {
                return Ok(Room::Short);
            }
            if lent == 0 {
                return self.wait_in_line(portion).await;
            }
            self.account.returned(lent).await;
        }
    }

    /// Waits for memory that only others can give back.
    async fn wait_in_line(&mut self, portion: Portion) -> Result<Room, ReadError> {
        self.sources.iter_mut().for_each(Source::forget_ahead);
        self.upcoming = None;
        let gone = || self.outbox.is_closed();
        let ShardContext { clock, read_budget, .. } = &*self.context;
        match hold_in_line(&self.account, read_budget, &**clock, portion.bytes, gone).await {
            Waited::Found(hold) => Ok(Room::Found(portion, hold)),
            Waited::Gone => Ok(Room::Short),
            Waited::Overdue => Err(ReadError::Memory { topic: self.request.name.clone(), bytes: portion.bytes }),
        }
    }

    async fn source_error(&self, error: SourceError) -> ReadError {
        match error {
            SourceError::Fetch(cause) => self.context.fetch_error(&self.request, cause).await,
            SourceError::NoTimes(cause) => ReadError::NoTimes { topic: self.request.name.clone(), cause },
            SourceError::Filter(cause) => {
                ReadError::Assemble { topic: self.request.name.clone(), cause: cause.to_string() }
            }
        }
    }
}

/// How a wait for memory ended.
enum Waited {
    Found(Hold),
    /// Nobody waits for the rows any more.
    Gone,
    Overdue,
}

/// Waits in line for [`MEMORY_WAIT_S`] seconds, and looks every second whether it still has to.
async fn hold_in_line(
    account: &ReadAccount,
    budget: &ReadBudget,
    clock: &dyn Clock,
    bytes: usize,
    gone: impl Fn() -> bool,
) -> Waited {
    let mut line = pin!(account.hold_in_line(bytes));
    for _ in 0..MEMORY_WAIT_S {
        match select(line.as_mut(), clock.sleep(Duration::from_secs(1))).await {
            Either::Left((Some(hold), _)) => return Waited::Found(hold),
            Either::Left((None, _)) => break,
            Either::Right(_) if gone() => return Waited::Gone,
            Either::Right(_) => budget.press(clock.monotonic()),
        }
    }
    Waited::Overdue
}

/// Memory for the next rows.
enum Room {
    Found(Portion, Hold),
    /// Not before something of this reader's is let go.
    Short,
    NotNeeded,
}

/// Why a segment could not be listed.
pub fn catalog_error(request: &ReadRequest, cause: CatalogError) -> ReadError {
    let topic = request.name.clone();
    match cause {
        CatalogError::NotFound { .. } => ReadError::Deleted { topic },
        cause => ReadError::Catalog { topic, cause },
    }
}

impl ShardContext {
    /// Why a chunk could not be read: because it is damaged, or because somebody deleted its topic meanwhile.
    pub async fn fetch_error(&self, request: &ReadRequest, cause: FetchError) -> ReadError {
        let topic = request.name.clone();
        if matches!(cause, FetchError::Missing { .. })
            && let Err(CatalogError::NotFound { .. }) = self.catalog.topic_by_id(request.topic, Visibility::All).await
        {
            return ReadError::Deleted { topic };
        }
        ReadError::Fetch { topic, cause }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::read_budget::SHARE_BYTES;
    use super::*;
    use crate::io::ManualClock;

    /// Goal: who waits in line for the memory of others waits half a minute, no more and no less, and not for a client that
    /// went away.
    #[test]
    fn a_wait_for_memory_ends() {
        let budget = ReadBudget::new(8 << 20, Duration::ZERO);
        let (greedy, modest) = (budget.open(0).unwrap(), budget.open(0).unwrap());
        let clock = ManualClock::new(0);
        let second = |clock: &ManualClock| clock.advance(Duration::from_secs(1));
        let taken = || greedy.try_hold((4 << 20) + SHARE_BYTES).unwrap();

        let all = taken();
        let mut waits = Box::pin(hold_in_line(&modest, &budget, &clock, 1 << 20, || false));
        for at in 0..MEMORY_WAIT_S {
            assert!(waits.as_mut().now_or_never().is_none(), "it gave up after {at} s");
            second(&clock);
        }
        assert!(matches!(waits.now_or_never(), Some(Waited::Overdue)));

        let mut waits = Box::pin(hold_in_line(&modest, &budget, &clock, 1 << 20, || false));
        assert!(waits.as_mut().now_or_never().is_none());
        second(&clock);
        assert!(waits.as_mut().now_or_never().is_none());
        drop(all);
        assert!(matches!(waits.now_or_never(), Some(Waited::Found(hold)) if hold.bytes() == 1 << 20));

        let _all = taken();
        let mut waits = Box::pin(hold_in_line(&modest, &budget, &clock, 1 << 20, || true));
        assert!(waits.as_mut().now_or_never().is_none());
        second(&clock);
        assert!(matches!(waits.now_or_never(), Some(Waited::Gone)));
    }
}
