//! Memory of reading: `memory.read_bytes`, shared by the readers of all shards, in three parts.
//!
//! An eighth is for *fetching*: bytes on their way from the device into rows. Such a permit lives from before a read until its rows
//! are decoded and never while a client is waited for, so waiting in line for one always ends.
//!
//! The rest is for *holding*: decoded rows, batches being put together or waiting for their client, and what was read ahead. Clients
//! may leave those alone for long: one that merges all topics asks each only when its turn comes. So no reader may wait for what
//! another holds:
//!
//! - Three eighths are for *shares*. Each reader owns one from its beginning, [`SHARE_BYTES`] and room for a row as large as the
//!   topic's mean; it is refused when there is none. With its share alone a reader goes on in small batches without reading ahead.
//!   Apart from the rest, so that the first of many do not take what the last begin with; a sixteenth is not for large rows, whose
//!   readers wait in a line of their own.
//! - One half is for *speed*. A reader takes of it what is there at once, and gives it back with the rows it was for.
//! - Out of both, a reader waits for its *own* client to give a batch back: that client wants the next one by then.
//! - A row larger than the share with nothing to wait for (rows that differ much) is waited for in line, for a bounded time;
//!   then the read ends with RESOURCE_EXHAUSTED rather than with the memory.
//! - Who waits in line may end readers whose clients take nothing: `pressure` says which.
//!
//! Formula: readers hold at most `read_bytes`, but for two things. A row larger than a part of the budget counts as that whole part.
//! A portion whose rows turn out larger than the footer says is paid from the next ones ([`Hold::settle`]). Not in it: footers of
//! open chunks and directories of segments, which their formats bound, and what lies idle for the next batches, at most an eighth
//! more ([`ReadBudget::recycler`]).

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use futures::future::Either;
use futures::future::select;
use futures::task::AtomicWaker;

use crate::io::Recycler;
use crate::runtime::Budget;
use crate::runtime::Permit;

use super::config::READERS_MAX;
use super::counted::Counted;
use super::error::ShardError;
use super::pressure::Pressure;
use super::pressure::Stall;

/// What every reader may hold at the least: small batches on their way, and one being made.
pub const SHARE_BYTES: usize = 128 << 10;

/// How much a row may exceed the mean without more than the share.
const ROW_MARGIN_MAX: usize = 1 << 20;

/// Bytes that one shard keeps for the next batches when nobody reads.
const IDLE_BYTES_MAX: usize = 64 << 20;

/// Eighths of the memory for fetching and for shares; the rest is for speed. And the part of shares that is not for large rows.
const FETCHING_EIGHTHS: usize = 1;
const SHARES_EIGHTHS: usize = 3;
const SMALL_PART: usize = 16;

const _: () = assert!(FETCHING_EIGHTHS + SHARES_EIGHTHS < 8, "something must be left for speed");

/// The memory that readers share. Cheap to clone.
#[derive(Clone)]
pub struct ReadBudget {
    fetching: Budget,
    shares: Budget,
    large_shares: Budget,
    speed: Budget,
    readers: Arc<AtomicUsize>,
    pressure: Pressure,
}

impl ReadBudget {
    /// * `patience`: how long a client may take nothing while others wait; zero: for ever.
    pub fn new(bytes: u64, patience: Duration) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let (fetching, shares) = (bytes / 8 * FETCHING_EIGHTHS, Budget::new(bytes / 8 * SHARES_EIGHTHS));
        Self {
            fetching: Budget::new(fetching),
            large_shares: shares.part(shares.total() - shares.total() / SMALL_PART),
            speed: Budget::new(bytes - fetching - shares.total()),
            shares,
            readers: Arc::default(),
            pressure: Pressure::new(patience),
        }
    }

    /// Lets one more reader in, with its share.
    ///
    /// * `row_bytes`: the mean row of the topic.
    ///
    /// # Errors
    /// [`ShardError::TooManyReaders`], [`ShardError::ReadMemory`].
    pub fn open(&self, row_bytes: usize) -> Result<ReadAccount, ShardError> {
        let counted = self.count()?;
        match self.shares(row_bytes).try_acquire(self.share(row_bytes)) {
            Ok(Some(permit)) => Ok(self.account(counted, permit)),
            Ok(None) | Err(_) => {
                drop(counted); // it is none of those that are told
                Err(self.no_share(row_bytes))
            }
        }
    }

    /// The same, in line behind others who wait: readers whose clients take nothing give way to it.
    ///
    /// * `turn`: waits a moment and says what time it is, or that it has waited enough.
    ///
    /// # Errors
    /// As [`Self::open`], once `turn` says that it is over.
    pub async fn open_in_line<F: Future<Output = Option<Duration>>>(
        &self,
        row_bytes: usize,
        mut turn: impl FnMut() -> F,
    ) -> Result<ReadAccount, ShardError> {
        let share = self.share(row_bytes);
        let _waiter = self.pressure.wait_for(share);
        let mut line = pin!(self.shares(row_bytes).acquire(share));
        let permit = loop {
            match select(line.as_mut(), pin!(turn())).await {
                Either::Left((permit, _)) => break permit.map_err(|_| self.no_share(row_bytes))?,
                Either::Right((Some(now), _)) => self.pressure.press(now),
                Either::Right((None, _)) => return Err(self.no_share(row_bytes)),
            }
        };
        loop {
            match self.count() {
                Ok(counted) => return Ok(self.account(counted, permit)),
                Err(error) => self.pressure.press(turn().await.ok_or(error)?),
            }
        }
    }

    /// Ends readers whose clients take nothing, when others wait for memory.
    pub fn press(&self, now: Duration) {
        self.pressure.press(now);
    }

    fn count(&self) -> Result<Counted, ShardError> {
        let counted = Counted::new(&self.readers);
        let (readers, max) = (self.readers(), READERS_MAX);
        (readers <= max).then_some(counted).ok_or(ShardError::TooManyReaders { readers: readers - 1, max })
    }

    fn share(&self, row_bytes: usize) -> usize {
        let share = SHARE_BYTES.saturating_add(row_bytes).saturating_add(row_bytes.min(ROW_MARGIN_MAX));
        share.min(self.shares(row_bytes).total())
    }

    fn shares(&self, row_bytes: usize) -> &Budget {
        if row_bytes > ROW_MARGIN_MAX { &self.large_shares } else { &self.shares }
    }

    fn no_share(&self, row_bytes: usize) -> ShardError {
        let stalled = self.pressure.patience().map_or(0, |patience| patience.as_millis() as u64);
        let (bytes, total) = (self.share(row_bytes), self.shares(row_bytes).total());
        ShardError::ReadMemory { bytes, readers: self.readers(), total, stalled }
    }

    fn account(&self, counted: Counted, permit: Permit) -> ReadAccount {
        let (share, stall) = (permit.bytes(), self.pressure.join());
        stall.covers(share);
        ReadAccount(Arc::new(Inner {
            speed: self.speed.clone(),
            pressure: self.pressure.clone(),
            share,
            state: Mutex::new(State { used: 0, permits: vec![permit], lent: 0 }),
            returned: AtomicWaker::new(),
            stall,
            _counted: counted,
        }))
    }

    /// Room for bytes between the device and the decoder. Waits in line; never to be held while a client is waited for.
    pub async fn fetch(&self, bytes: usize) -> Option<Permit> {
        self.fetching.acquire(bytes.min(self.fetching.total())).await.ok()
    }

    /// A fair part of the memory for speed at this moment.
    pub fn fair_bytes(&self) -> usize {
        self.speed.total() / self.readers().max(1)
    }

    /// Where one of `shards` finds memory for decoded rows again.
    pub fn recycler(&self, shards: usize) -> Recycler {
        Recycler::new((self.fetching.total() / shards.max(1)).min(IDLE_BYTES_MAX))
    }

    pub fn readers(&self) -> usize {
        self.readers.load(Relaxed)
    }

    /// Bytes that permits cover.
    pub fn in_use(&self) -> usize {
        self.fetching.in_use() + self.shares.in_use() + self.speed.in_use()
    }
}

/// What one reader holds. Clones are the same account; it ends, and gives its share back, with the last clone, hold and loan.
#[derive(Clone)]
pub struct ReadAccount(Arc<Inner>);

struct Inner {
    speed: Budget,
    pressure: Pressure,
    share: usize,
    state: Mutex<State>,
    /// Who waits for a loan to come back.
    returned: AtomicWaker,
    stall: Arc<Stall>,
    _counted: Counted,
}

struct State {
    used: usize,
    /// The share first, then what was taken on top of it.
    permits: Vec<Permit>,
    /// Batches that are on their way to the client or with it.
    lent: usize,
}

impl State {
    fn covered(&self) -> usize {
        self.permits.iter().map(Permit::bytes).sum()
    }

    /// Takes back what no longer covers anything; to be dropped outside the lock.
    fn surplus(&mut self) -> Vec<Permit> {
        let mut surplus = Vec::new();
        let mut covered = self.covered();
        for at in (1..self.permits.len()).rev() {
            let bytes = self.permits.get(at).map_or(0, Permit::bytes);
            if covered - bytes >= self.used {
                covered -= bytes;
                surplus.push(self.permits.swap_remove(at));
            }
        }
        surplus
    }
}

impl ReadAccount {
    /// Room for `bytes`, from the share or from what nobody uses at this moment; `None` when neither has it.
    pub fn try_hold(&self, bytes: usize) -> Option<Hold> {
        let bytes = bytes.min(self.bytes_max());
        let mut state = self.state();
        let missing = (state.used + bytes).saturating_sub(state.covered());
        if missing > 0 {
            state.permits.push(self.0.speed.try_acquire(missing).ok()??);
            self.0.stall.covers(state.covered());
        }
        state.used += bytes;
        let (used, covered) = (state.used, state.covered());
        assert!(used <= covered, "a reader holds {used} bytes, its permits cover {covered}");
        drop(state);
        Some(Hold { account: self.clone(), bytes })
    }

    /// Room for `bytes` that leaves the share to others: for what is only done to be faster.
    pub fn try_hold_extra(&self, bytes: usize) -> Option<Hold> {
        let permit = self.0.speed.try_acquire(bytes).ok()??;
        let mut state = self.state();
        state.permits.push(permit);
        state.used += bytes;
        self.0.stall.covers(state.covered());
        drop(state);
        Some(Hold { account: self.clone(), bytes })
    }

    /// Waits in line until the budget has `bytes` to spare. Only for who holds nothing that could be given back.
    pub async fn hold_in_line(&self, bytes: usize) -> Option<Hold> {
        let bytes = bytes.min(self.0.speed.total());
        let _waiter = self.0.pressure.wait_for(bytes);
        let permit = self.0.speed.acquire(bytes).await.ok()?;
        let mut state = self.state();
        state.permits.push(permit);
        state.used += bytes;
        self.0.stall.covers(state.covered());
        drop(state);
        Some(Hold { account: self.clone(), bytes })
    }

    /// How its client gets on.
    pub fn stall(&self) -> &Arc<Stall> {
        &self.0.stall
    }

    /// What anything larger counts as: it can be held when nothing else is.
    fn bytes_max(&self) -> usize {
        self.0.share + self.0.speed.total()
    }

    /// Bytes that can be held without asking anyone.
    pub fn free(&self) -> usize {
        let state = self.state();
        state.covered().saturating_sub(state.used)
    }

    pub fn share(&self) -> usize {
        self.0.share
    }

    /// Counts a batch that goes to the client.
    pub fn lend(&self, holds: Vec<Arc<Hold>>) -> Loan {
        self.state().lent += 1;
        Loan { holds, account: self.clone() }
    }

    /// Batches on their way to the client or with it.
    pub fn lent(&self) -> usize {
        self.state().lent
    }

    /// Ready once fewer than `lent` batches are out. To be read before memory is asked for, so that none that comes back in
    /// between is missed.
    pub async fn returned(&self, lent: usize) {
        poll_fn(|cx| {
            self.0.returned.register(cx.waker());
            if self.lent() < lent { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn release(&self, bytes: usize) {
        let mut state = self.state();
        assert!(state.used >= bytes, "{bytes} bytes let go, {} are held", state.used);
        state.used -= bytes;
        let surplus = state.surplus();
        if !surplus.is_empty() {
            self.0.stall.covers(state.covered());
        }
        drop(state);
        drop(surplus);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of an account, held until this is dropped.
pub struct Hold {
    account: ReadAccount,
    bytes: usize,
}

impl Hold {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says how much it is in the end. More than there was room for is asked for, and owed when it is not there: the account
    /// gets no more before that is covered.
    pub fn settle(&mut self, bytes: usize) {
        let bytes = bytes.min(self.account.bytes_max());
        if bytes <= self.bytes {
            self.account.release(self.bytes - bytes);
        } else {
            let more = bytes - self.bytes;
            match self.account.try_hold(more) {
                // It is counted here from now on.
                Some(mut hold) => hold.bytes = 0,
                None => self.account.state().used += more,
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// What a batch holds, travelling with it.
pub struct Loan {
    holds: Vec<Arc<Hold>>,
    account: ReadAccount,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.holds.clear();
        let mut state = self.account.state();
        assert!(state.lent > 0, "a batch came back that was not lent");
        state.lent -= 1;
        drop(state);
        self.account.0.returned.wake();
    }
}

#[cfg(test)]
mod tests;
