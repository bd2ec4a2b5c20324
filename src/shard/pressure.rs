//! Who gives way when the memory of reading is short: readers whose clients take nothing.
//!
//! Nobody is ended for being slow alone. A client that merges the topics of a sequence leaves some of its reads alone for as
//! long as it likes, and one that was put to sleep finds its reads where it left them, while there is memory for all who read.
//! Only when another reader waits for memory, those are ended that have had something to take for [`Pressure::patience`] and
//! took less than [`TAKEN_BYTES_MIN`] and a [`TAKEN_PART`]th of what they hold: the longest first, and no more than are waited for.
//!
//! What counts is what has left, not what was handed to HTTP/2: that keeps its memory, and the reader's share with it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use futures::task::AtomicWaker;

/// What a client must take to count as one that reads.
const TAKEN_BYTES_MIN: u64 = 64 << 10;
const TAKEN_PART: u64 = 64;

/// How long the memory of a reader that was ended counts as coming. Its connection may keep it longer; then the next one goes.
const COMING: Duration = Duration::from_secs(1);

/// Between two lines in the log about readers that were ended.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Readers of all shards, and how much is waited for. Cheap to clone.
#[derive(Clone)]
pub struct Pressure(Arc<Shared>);

struct Shared {
    /// `None`: nobody gives way.
    patience: Option<Duration>,
    waited_for: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stalls: Vec<Weak<Stall>>,
    told_at: Option<Duration>,
    untold: usize,
}

/// How one reader's client gets on.
#[derive(Default)]
pub struct Stall {
    /// Bytes that the client has taken, kept up to date by who sends.
    taken: Arc<AtomicU64>,
    /// Bytes that the reader's permits cover.
    covered: AtomicUsize,
    place: Mutex<Place>,
    ended: AtomicWaker,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    /// It waits for the server.
    #[default]
    Waiting,
    /// The server waits for it, since then; and what it had taken by then.
    Served { since: Duration, taken: u64 },
    /// It gave way.
    Ended { at: Duration },
}

/// Somebody waits for so many bytes.
pub struct Waiter {
    pressure: Pressure,
    bytes: usize,
}

impl Pressure {
    pub fn new(patience: Duration) -> Self {
        let patience = Some(patience).filter(|patience| !patience.is_zero());
        Self(Arc::new(Shared { patience, waited_for: AtomicUsize::new(0), state: Mutex::default() }))
    }

    /// How long a client may take nothing; `None`: for ever.
    pub fn patience(&self) -> Option<Duration> {
        self.0.patience
    }

    /// Counts one more reader.
    pub fn join(&self) -> Arc<Stall> {
        let stall = Arc::new(Stall::default());
        let mut state = self.state();
        state.stalls.retain(|stall| stall.strong_count() > 0);
        state.stalls.push(Arc::downgrade(&stall));
        stall
    }

    /// Says that somebody waits, for as long as the answer lives.
    pub fn wait_for(&self, bytes: usize) -> Waiter {
        self.0.waited_for.fetch_add(bytes, Relaxed);
        Waiter { pressure: self.clone(), bytes }
    }

    /// Ends as many stalled readers as are waited for. To be called now and then by everybody who waits.
    ///
    /// * `now`: monotonic.
    pub fn press(&self, now: Duration) {
        let Some(patience) = self.0.patience else { return };
        let mut state = self.state();
        let stalls: Vec<Arc<Stall>> = state.stalls.iter().filter_map(Weak::upgrade).collect();
        let wanted = self.0.waited_for.load(Relaxed);
        let mut coming: usize = stalls.iter().filter(|stall| stall.is_coming(now)).map(|stall| stall.covered()).sum();
        let mut stalled: Vec<_> =
            stalls.iter().filter_map(|stall| Some((stall.stalled_since(now, patience)?, stall))).collect();
        stalled.sort_by_key(|(since, _)| *since);
        for (_, stall) in stalled {
            if coming >= wanted {
                break;
            }
            coming += stall.covered();
            state.untold += 1;
            stall.end(now);
        }
        if state.untold > 0 && state.told_at.is_none_or(|told| now.saturating_sub(told) > TOLD_EVERY) {
            let readers = std::mem::take(&mut state.untold);
            state.told_at = Some(now);
            tracing::info!(
                readers,
                ms = patience.as_millis() as u64,
                "ended reads whose clients took nothing while others waited for their memory: memory.read_stall_ms says after \
                 how long, memory.read_bytes how much there is"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.pressure.0.waited_for.fetch_sub(self.bytes, Relaxed);
    }
}

impl Stall {
    /// Counts what the client takes.
    pub fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    /// The client has something to take.
    pub fn served(&self, now: Duration) {
        let mut place = self.place();
        if *place == Place::Waiting {
            *place = Place::Served { since: now, taken: self.taken.load(Relaxed) };
        }
    }

    /// The client wants more.
    pub fn asked(&self) {
        let mut place = self.place();
        if matches!(*place, Place::Served { .. }) {
            *place = Place::Waiting;
        }
    }

    pub fn covers(&self, bytes: usize) {
        self.covered.store(bytes, Relaxed);
    }

    /// Ready once it has to give way. One task at a time may wait for it.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            self.ended.register(cx.waker());
            if matches!(*self.place(), Place::Ended { .. }) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn covered(&self) -> usize {
        self.covered.load(Relaxed)
    }

    fn is_coming(&self, now: Duration) -> bool {
        matches!(*self.place(), Place::Ended { at } if now.saturating_sub(at) < COMING)
    }

    /// Since when its client has taken nothing, if that is long enough.
    fn stalled_since(&self, now: Duration, patience: Duration) -> Option<Duration> {
        let (taken, part) = (self.taken.load(Relaxed), self.covered() as u64 / TAKEN_PART);
        let mut place = self.place();
        let Place::Served { since, taken: before } = *place else { return None };
        if taken.saturating_sub(before) >= part.max(TAKEN_BYTES_MIN) {
            *place = Place::Served { since: now, taken };
            return None;
        }
        (now.saturating_sub(since) >= patience).then_some(since)
    }

    fn end(&self, now: Duration) {
        *self.place() = Place::Ended { at: now };
        self.ended.wake();
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn readers(pressure: &Pressure, covered: &[usize]) -> Vec<Arc<Stall>> {
        let reader = |bytes: &usize| {
            let stall = pressure.join();
            stall.covers(*bytes);
            stall
        };
        covered.iter().map(reader).collect()
    }

    fn ended(readers: &[Arc<Stall>]) -> Vec<usize> {
        let is_ended = |index: &usize| readers[*index].ended().now_or_never().is_some();
        (0..readers.len()).filter(is_ended).collect()
    }

    #[test]
    fn the_longest_stalled_give_way_and_no_more_than_are_waited_for() {
        let pressure = Pressure::new(s(10));
        let readers = readers(&pressure, &[100, 100, 100, 100]);
        readers[2].served(s(1));
        readers[1].served(s(2));
        readers[0].served(s(3));
        pressure.press(s(100));
        assert!(ended(&readers).is_empty(), "nobody waits");
        let waiter = pressure.wait_for(150);
        pressure.press(s(10));
        assert!(ended(&readers).is_empty(), "9 s are not 10");
        pressure.press(s(14));
        assert_eq!(ended(&readers), [1, 2], "two cover it; reader 3 waits for the server");
        pressure.press(s(14));
        assert_eq!(ended(&readers), [1, 2], "their memory is on its way");
        pressure.press(s(15));
        assert_eq!(ended(&readers), [0, 1, 2], "it did not come: a connection holds it");
        drop(waiter);
        readers[3].served(s(20));
        pressure.press(s(40));
        assert_eq!(ended(&readers), [0, 1, 2]);
    }

    #[test]
    fn who_takes_its_part_is_no_staller_and_who_trickles_is() {
        let pressure = Pressure::new(s(10));
        let readers = readers(&pressure, &[64 << 20, 1000]);
        readers.iter().for_each(|reader| reader.served(s(0)));
        let _waiter = pressure.wait_for(1);
        let takes =
            |bytes: [u64; 2]| readers.iter().zip(bytes).for_each(|(r, bytes)| _ = r.taken().fetch_add(bytes, Relaxed));
        takes([1 << 20, 64 << 10]);
        pressure.press(s(10));
        takes([(1 << 20) - 1, 64 << 10]);
        pressure.press(s(19));
        assert!(ended(&readers).is_empty());
        pressure.press(s(20));
        assert_eq!(ended(&readers), [0]);
        readers[1].asked();
        pressure.press(s(60));
        assert_eq!(ended(&readers), [0]);
    }

    #[test]
    fn without_patience_nobody_gives_way() {
        let pressure = Pressure::new(s(0));
        let readers = readers(&pressure, &[100]);
        readers[0].served(s(0));
        let _waiter = pressure.wait_for(100);
        pressure.press(s(1000));
        assert!(ended(&readers).is_empty());
    }
}
