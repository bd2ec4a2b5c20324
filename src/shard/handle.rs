//! The shards as the control plane sees them: everything here runs on tokio and talks over bounded mailboxes.

use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::catalog::Tombstone;
use crate::io;
use crate::model::DeviceNumber;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TopicId;
use crate::runtime::Budget;
use crate::runtime::Sender;
use crate::runtime::Shares;
use crate::runtime::mailbox;
use crate::store::RecoveryReport;

use super::batch_receiver::BatchReceiver;
use super::counted::Counted;
use super::error::ShardError;
use super::files::Room;
use super::files::together;
use super::filter::GivenUp;
use super::merge;
use super::put_task::PutSignals;
use super::read_budget::ReadBudget;
use super::recovery::Stored;
use super::request::ReadRequest;
use super::request::ShardRequest;
use super::request::TopicSpec;
use super::request::Window;
use super::scrub::ScrubRequest;
use super::scrub::Scrubbed;
use super::topic_sender::TopicSender;

/// How long a new reader waits for the share of a stalled one, and between two looks for them.
const OPEN_WAIT: Duration = Duration::from_secs(60);
const OPEN_TURN: Duration = Duration::from_millis(200);

/// Batches decoded ahead of a client that has not asked yet.
const BATCHES_AHEAD_MAX: usize = 2;

struct Lane {
    inbox: Sender<ShardRequest>,
    writers: Arc<AtomicUsize>,
    /// Batches of all topics that wait for their writers.
    backlog: Arc<AtomicUsize>,
}

struct Inner {
    lanes: Vec<Lane>,
    devices: Vec<(DeviceNumber, Arc<AtomicUsize>)>,
    turn: AtomicUsize,
    received: Shares,
    read_budget: ReadBudget,
}

/// All shards of this start. Cheap to clone.
#[derive(Clone)]
pub struct Shards(Arc<Inner>);

impl Shards {
    /// # Panics
    /// Without a shard or a device: the daemon starts with at least one of each.
    pub(super) fn new(
        inboxes: Vec<Sender<ShardRequest>>,
        devices: &[DeviceNumber],
        received: Shares,
        read_budget: ReadBudget,
    ) -> Self {
        assert!(!inboxes.is_empty() && !devices.is_empty(), "{} shards, {} devices", inboxes.len(), devices.len());
        let lanes =
            inboxes.into_iter().map(|inbox| Lane { inbox, writers: Arc::default(), backlog: Arc::default() }).collect();
        let devices = devices.iter().map(|device| (*device, Arc::default())).collect();
        Self(Arc::new(Inner { lanes, devices, turn: AtomicUsize::new(0), received, read_budget }))
    }

    /// Memory of received messages, in a part for each data directory.
    pub fn received(&self) -> &Shares {
        &self.0.received
    }

    /// Another budget in such parts, of at least `least` bytes.
    pub fn in_parts(&self, whole: &Budget, least: usize) -> Shares {
        let devices: Vec<_> = self.0.devices.iter().map(|(number, _)| *number).collect();
        Shares::new(whole, &devices, least)
    }

    /// The shard and the device with the fewest topics being written; equals take turns.
    pub fn place(&self) -> (ShardIndex, DeviceNumber) {
        let turn = self.0.turn.fetch_add(1, Relaxed);
        let least = |counts: Vec<usize>| {
            let len = counts.len();
            (0..len).map(|i| (i + turn) % len).min_by_key(|i| counts.get(*i).copied()).unwrap_or(0)
        };
        let shard = least(self.0.lanes.iter().map(|lane| lane.writers.load(Relaxed)).collect());
        let device = least(self.0.devices.iter().map(|(_, writers)| writers.load(Relaxed)).collect());
        let device = self.0.devices.get(device).map_or(DeviceNumber(0), |(number, _)| *number);
        (ShardIndex(u16::try_from(shard).unwrap_or(0)), device)
    }

    /// As [`Self::place`], on one of these devices; `None` when there is none of them.
    pub fn place_on(&self, allowed: &[DeviceNumber]) -> Option<(ShardIndex, DeviceNumber)> {
        let (shard, device) = self.place();
        let writers = |n: &DeviceNumber| self.0.devices.iter().find(|(m, _)| m == n).map(|(_, w)| w.load(Relaxed));
        match allowed.contains(&device) {
            true => Some((shard, device)),
            false => Some((shard, *allowed.iter().min_by_key(|number| writers(number))?)),
        }
    }

    /// Measures the room on every device, in the order of the configuration. Writers on those below their hard mark end. A disk
    /// that fails or hangs is told of in its own [`Room`].
    ///
    /// # Errors
    /// [`ShardError::Stopped`].
    pub async fn measure(&self) -> Result<Vec<Room>, ShardError> {
        let asked = (0..self.0.lanes.len()).map(|lane| self.ask(lane, |reply| ShardRequest::Measure { reply }));
        Ok(together(futures::future::try_join_all(asked).await?))
    }

    /// Opens a topic's writer on its shard. A topic placed by an earlier start with more shards goes to one there is.
    ///
    /// # Errors
    /// [`ShardError::DeviceMissing`] when its data directory is not mounted, [`ShardError::Stopped`].
    pub async fn open_writer(&self, spec: TopicSpec) -> Result<TopicSender, ShardError> {
        let device = spec.head.device;
        let Some((_, writers)) = self.0.devices.iter().find(|(number, _)| *number == device) else {
            return Err(ShardError::DeviceMissing(device));
        };
        let lane = self.lane(usize::from(spec.head.shard.0))?;
        let signals = PutSignals { backlog: Arc::clone(&lane.backlog), ..PutSignals::default() };
        let counted = [Counted::new(&lane.writers), Counted::new(writers)];
        let (sender, inbox) = TopicSender::new(spec.head.name.clone(), signals.clone(), counted);
        let request = ShardRequest::OpenWriter { spec: Box::new(spec), inbox, signals };
        lane.inbox.send(request, 0).await.map_err(|_| ShardError::Stopped)?;
        Ok(sender)
    }

    /// Starts reading; batches come as the receiver takes them. Waits for the memory of readers whose clients take nothing.
    ///
    /// # Errors
    /// [`ShardError::TooManyReaders`], [`ShardError::ReadMemory`], [`ShardError::Stopped`].
    pub async fn open_reader(&self, request: ReadRequest) -> Result<BatchReceiver, ShardError> {
        // Large rows are stored as they are, so their files say how large they are.
        let row_bytes = request.segments.iter().map(|segment| segment.bytes / segment.rows.max(1)).max().unwrap_or(0);
        let row_bytes = match &request.filter {
            Some(filter) if filter.columns.is_some() => 0,
            _ => usize::try_from(row_bytes).unwrap_or(usize::MAX),
        };
        let account = match self.0.read_budget.open(row_bytes) {
            Err(_) if Handle::try_current().is_ok() => self.0.read_budget.open_in_line(row_bytes, turns()).await?,
            opened => opened?,
        };
        let stall = Arc::clone(account.stall());
        let (outbox, batches) =
            mailbox(BATCHES_AHEAD_MAX, merge::bytes_max(request.batch_bytes).saturating_mul(BATCHES_AHEAD_MAX));
        let turn = match &request.filter {
            Some(filter) => filter.shard,
            None => self.0.turn.fetch_add(1, Relaxed),
        };
        let (lane, given_up) = (self.lane(turn)?, GivenUp::of(request.filter.as_deref()));
        let open = ShardRequest::OpenReader { request: Box::new(request), account, outbox };
        lane.inbox.send(open, 0).await.map_err(|_| ShardError::Stopped)?;
        Ok(BatchReceiver::new(batches, stall, given_up))
    }

    /// Bytes that readers and windows hold, and will not exceed: `memory.read_bytes`.
    pub fn read_bytes(&self) -> usize {
        self.0.read_budget.in_use()
    }

    /// What lies inside the request's range, exactly; reads only the time column, and only where the range cuts.
    ///
    /// # Errors
    /// [`ShardError::Read`], [`ShardError::Stopped`].
    pub async fn window(&self, request: ReadRequest) -> Result<Window, ShardError> {
        let lane = self.0.turn.fetch_add(1, Relaxed);
        self.ask(lane, |reply| ShardRequest::Window { request: Box::new(request), reply })
            .await?
            .map_err(ShardError::Read)
    }

    /// Brings the data directories in line with the catalog, as far as a crash can have put them out of line. Before anything
    /// else is asked of the shards. Costs what was being written, not what was recorded.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Stopped`].
    pub async fn recover(&self) -> Result<RecoveryReport, ShardError> {
        self.ask(0, |reply| ShardRequest::Recover { reply }).await?
    }

    /// A session is final: gives its files their last names, so that the next start need not look at them.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Stopped`]; may be repeated, and the next start does it otherwise.
    pub async fn settle(&self, session: SessionId) -> Result<(), ShardError> {
        self.ask(0, |reply| ShardRequest::Settle { session, reply }).await?
    }

    /// Holds every file of a session against its record, also while it is written. Costs one look at each file.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Stopped`].
    pub async fn audit(&self, session: SessionId) -> Result<RecoveryReport, ShardError> {
        self.ask(0, |reply| ShardRequest::Audit { session, reply }).await?
    }

    /// What the data directories say they hold.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Stopped`].
    pub async fn stored(&self) -> Result<Stored, ShardError> {
        self.ask(0, |reply| ShardRequest::Stored { reply }).await?
    }

    /// Verifies every byte of a chunk, with what nobody else needs. Dropping the answer ends it.
    ///
    /// # Errors
    /// [`ShardError::DeviceMissing`], [`ShardError::Stopped`]; inside, what is wrong with the chunk.
    pub async fn scrub(&self, request: ScrubRequest) -> Result<Scrubbed, ShardError> {
        let lane = self.0.turn.fetch_add(1, Relaxed);
        self.ask(lane, |reply| ShardRequest::Scrub { request: Box::new(request), reply }).await?
    }

    /// Removes the files of what was deleted, on every mounted device.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Stopped`]; may be repeated.
    pub async fn purge(&self, tombstone: &Tombstone) -> Result<(), ShardError> {
        let tombstone = Box::new(tombstone.clone());
        self.ask(0, |reply| ShardRequest::Purge { tombstone, reply }).await?
    }

    /// Writes a session's manifest; durable on return.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Stopped`].
    pub async fn write_manifest(&self, session: SessionId, bytes: Vec<u8>) -> Result<(), ShardError> {
        self.ask(0, |reply| ShardRequest::WriteManifest { session, bytes, reply }).await?
    }

    /// A session's manifest, unchecked. [`ShardError::Io`] also for one that is not there, or too large to be held beside all else.
    pub async fn read_manifest(&self, session: SessionId) -> Result<Vec<u8>, ShardError> {
        self.ask(0, |reply| ShardRequest::ReadManifest { session, reply }).await?
    }

    /// Removes the manifests of sessions and the drafts of them, durably. One that is not there is removed already.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Stopped`].
    pub async fn remove_manifests(&self, sessions: Vec<SessionId>) -> Result<(), ShardError> {
        self.ask(0, |reply| ShardRequest::RemoveManifests { sessions, reply }).await?
    }

    /// Says beside the manifests that a session, or one topic of it, was deleted; durable on return. A catalog made again from
    /// the files does not bring it back.
    ///
    /// # Errors
    /// [`ShardError::Io`], [`ShardError::Full`], [`ShardError::Stopped`]; may be repeated.
    pub async fn bury(&self, session: SessionId, topic: Option<TopicId>) -> Result<(), ShardError> {
        self.ask(0, |reply| ShardRequest::Bury { session, topic, reply }).await?
    }

    /// Asks so each time somebody has to wait for `budget`, which rows that wait for company hold.
    pub fn relieve_when_short(&self, budget: &Budget) {
        let relieved = self.downgrade();
        budget.on_short(Arc::new(move || relieved.relieve()));
    }

    /// Asks every shard to let rows go that only wait for company. Never waits.
    fn relieve(&self) {
        for lane in &self.0.lanes {
            // A full inbox means the shard is about to look at its topics anyway.
            let _ = lane.inbox.try_send(ShardRequest::Relieve, 0);
        }
    }

    /// A handle for callbacks that must not keep the shards running.
    fn downgrade(&self) -> WeakShards {
        WeakShards(Arc::downgrade(&self.0))
    }

    fn lane(&self, index: usize) -> Result<&Lane, ShardError> {
        self.0.lanes.get(index % self.0.lanes.len()).ok_or(ShardError::Stopped)
    }

    async fn ask<T>(
        &self,
        lane: usize,
        request: impl FnOnce(oneshot::Sender<T>) -> ShardRequest,
    ) -> Result<T, ShardError> {
        let (reply, answer) = oneshot::channel();
        self.lane(lane)?.inbox.send(request(reply), 0).await.map_err(|_| ShardError::Stopped)?;
        answer.await.map_err(|_| ShardError::Stopped)
    }
}

/// See [`Shards::downgrade`].
struct WeakShards(Weak<Inner>);

impl WeakShards {
    fn relieve(&self) {
        if let Some(inner) = self.0.upgrade() {
            Shards(inner).relieve();
        }
    }
}

/// [`OPEN_TURN`] each, for [`OPEN_WAIT`]; and what time it is then.
fn turns() -> impl FnMut() -> BoxFuture<'static, Option<Duration>> {
    let mut left = OPEN_WAIT;
    move || {
        left = left.saturating_sub(OPEN_TURN);
        let goes_on = !left.is_zero();
        Box::pin(async move {
            sleep(OPEN_TURN).await;
            goes_on.then(io::monotonic)
        })
    }
}
