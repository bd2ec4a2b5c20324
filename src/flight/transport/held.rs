//! Bytes that puts have been sent and have not taken: counted over all connections, because they are memory.
//!
//! Two sums. *Held*: what lies in the windows now. *Promised*: what may come to lie there, which is for each put the window it
//! was told, or what it holds if that is more. A put begins only if there is room for its window in what may be held in all, and
//! windows grow only while a quarter stays free for puts to come; so whoever keeps to its windows is never turned out.
//! A client has to acknowledge smaller windows before they bind it: one that goes on sending into larger ones while all together
//! hold too much loses its connection.
//!
//! Counting takes one lock of the connection per put, so a connection counts when it has received so much that it matters, when
//! windows change, and twice a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use h2::FlowControl;
use tokio::sync::watch;

use super::status::Refusal;
use super::windows::share;

/// What all connections may receive uncounted is this part of what may be held; a connection counts at least after so much.
const UNCOUNTED_PART: usize = 16;
const STEP_MIN: usize = 64 << 10;

/// What all connections hold. Clones share it.
#[derive(Clone)]
pub(super) struct Total(Arc<Inner>);

struct Inner {
    max: usize,
    held: AtomicUsize,
    promised: AtomicUsize,
    /// Of the connections with puts.
    sharers: Mutex<Vec<Arc<Streams>>>,
    sharers_len: AtomicUsize,
    /// Held while all connections are counted.
    counting: Mutex<()>,
    puts: watch::Sender<Puts>,
}

/// Puts that are open, and the window of each.
#[derive(Clone, Copy)]
pub(super) struct Puts {
    open: usize,
    share: u32,
    /// The share became smaller, and not all connections have counted since: what they promised may be out of date.
    shrunk: bool,
}

/// What the puts of one connection hold, and the windows of all its calls. Clones share it.
#[derive(Clone)]
pub(super) struct Held {
    streams: Arc<Streams>,
    total: Total,
}

/// The streams of one connection, by their numbers.
#[derive(Default)]
struct Streams {
    puts: Mutex<HashMap<u32, Stream>>,
    /// Of calls that are no puts, while they send their requests.
    requests: Mutex<HashMap<u32, FlowControl>>,
}

struct Stream {
    flow: FlowControl,
    counted: Counted,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    held: usize,
    promised: usize,
}

/// Waits for smaller windows.
pub(super) struct Smaller(watch::Receiver<Puts>);

impl Smaller {
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await // the server is gone, and its connections with it
        }
    }
}

/// Counts one put's stream as long as it lives.
pub(super) struct HeldStream {
    held: Held,
    stream: u32,
}

/// Has one request's stream in [`Held::reclaim`] as long as it lives.
pub(super) struct RequestStream {
    held: Held,
    stream: u32,
}

impl Total {
    pub fn new(max: usize) -> Self {
        let puts = watch::Sender::new(Puts { open: 0, share: share(0, max), shrunk: false });
        let (held, promised, sharers, sharers_len, counting) = Default::default();
        Self(Arc::new(Inner { max, held, promised, sharers, sharers_len, counting, puts }))
    }

    pub fn connection(&self) -> Held {
        Held { streams: Arc::default(), total: self.clone() }
    }

    /// The window of each put, as the number of them has it.
    pub fn share(&self) -> u32 {
        self.0.puts.borrow().share
    }

    /// Tells when the share becomes smaller.
    pub fn smaller(&self) -> Smaller {
        Smaller(self.0.puts.subscribe())
    }

    /// Whether connections hold more than they may.
    pub fn is_over(&self) -> bool {
        self.0.held.load(Relaxed) > self.0.max
    }

    /// Bytes that a connection may receive before it counts again.
    pub fn step(&self) -> u64 {
        (self.0.max / UNCOUNTED_PART / self.0.sharers_len.load(Relaxed).max(1)).max(STEP_MIN) as u64
    }

    fn change(&self, was: Counted, is: Counted) {
        // Wrapping, as atomics do: each stream takes away exactly what it added.
        self.0.held.fetch_add(is.held.wrapping_sub(was.held), Relaxed);
        self.0.promised.fetch_add(is.promised.wrapping_sub(was.promised), Relaxed);
    }

    fn opened(&self) {
        self.0.puts.send_if_modified(|puts| {
            puts.open += 1;
            let shrunk = share(puts.open, self.0.max) < puts.share;
            puts.share = share(puts.open, self.0.max);
            puts.shrunk |= shrunk;
            shrunk
        });
    }

    /// A connection's first put. Called under the lock of its streams.
    fn share_with(&self, streams: &Arc<Streams>) {
        let mut sharers = lock(&self.0.sharers);
        sharers.push(Arc::clone(streams));
        self.0.sharers_len.store(sharers.len(), Relaxed);
    }

    /// Its last one has ended.
    fn share_no_more(&self, streams: &Arc<Streams>) {
        let mut sharers = lock(&self.0.sharers);
        sharers.retain(|one| !Arc::ptr_eq(one, streams));
        self.0.sharers_len.store(sharers.len(), Relaxed);
    }

    /// Counts the puts of all connections with the share of now, if any may have been counted with a larger one.
    fn count(&self) {
        let _counting = lock(&self.0.counting); // who finds that nothing shrank finds all counted, too
        let (mut share, mut shrunk) = (0, false);
        self.0.puts.send_if_modified(|puts| {
            (share, shrunk) = (puts.share, std::mem::take(&mut puts.shrunk));
            false // nobody waits for this
        });
        if shrunk {
            let sharers = lock(&self.0.sharers).clone(); // each has a lock that is taken before this one
            for streams in sharers {
                streams.shrink(share, self);
            }
        }
    }

    fn ended(&self) {
        // Larger windows are in no hurry: nobody is woken for them.
        self.0.puts.send_if_modified(|puts| {
            puts.open -= 1;
            puts.share = share(puts.open, self.0.max);
            false
        });
    }
}

impl Held {
    pub fn total(&self) -> &Total {
        &self.total
    }

    /// Takes a put up.
    ///
    /// # Errors
    /// [`Refusal::Held`] when all puts together hold, or were promised, so much that there is no room for its window.
    pub fn open(&self, flow: FlowControl) -> Result<HeldStream, Refusal> {
        let (max, all) = (self.total.0.max, &self.total.0.promised);
        self.total.opened();
        let share = self.total.share();
        let promised = share as usize;
        if all.fetch_add(promised, Relaxed).saturating_add(promised) > max {
            // Some may have been counted with larger windows: other connections learn of smaller ones in their own time.
            self.count(share);
            self.total.count();
            let held = all.load(Relaxed);
            if held > max {
                all.fetch_sub(promised, Relaxed);
                self.total.ended();
                return Err(Refusal::Held { held: held.saturating_sub(promised), max });
            }
        }
        let stream = flow.stream_id().as_u32();
        let mut streams = lock(&self.streams.puts);
        if streams.is_empty() {
            self.total.share_with(&self.streams);
        }
        streams.insert(stream, Stream { flow, counted: Counted { held: 0, promised } });
        Ok(HeldStream { held: self.clone(), stream })
    }

    /// Takes up a call that is no put.
    pub fn request(&self, flow: FlowControl) -> RequestStream {
        let stream = flow.stream_id().as_u32();
        lock(&self.streams.requests).insert(stream, flow);
        RequestStream { held: self.clone(), stream }
    }

    /// To be called when the client has acknowledged smaller windows. h2 gives back what was taken only when that is half of what is
    /// left of the window, and looks at it only when something is taken: a client whose window became smaller than what it has
    /// sent, all of it taken, would wait for ever.
    pub fn reclaim(&self) {
        let again = |flow: &mut FlowControl| drop(flow.release_capacity(0)); // refuses only more than is held
        lock(&self.streams.puts).values_mut().for_each(|stream| again(&mut stream.flow));
        lock(&self.streams.requests).values_mut().for_each(again);
    }

    /// Counts again, for windows of so many bytes. True when the client is known not to have acknowledged them yet.
    pub fn count(&self, window: u32) -> bool {
        self.streams.count(window, &self.total)
    }

    /// Counts for windows that become larger. False, and nothing is changed, when they would leave too little for others.
    pub fn grow(&self, announced: u32, wanted: u32) -> bool {
        self.count(wanted);
        let fits = self.total.0.promised.load(Relaxed) <= self.total.0.max / 4 * 3;
        if !fits {
            self.count(announced);
        }
        fits
    }
}

impl Streams {
    /// Counts again for windows that may have become smaller; none is counted with more than before.
    fn shrink(&self, window: u32, total: &Total) {
        for stream in lock(&self.puts).values_mut() {
            stream.count(stream.counted.promised.min(window as usize), total);
        }
    }

    fn count(&self, window: u32, total: &Total) -> bool {
        let mut late = false;
        for stream in lock(&self.puts).values_mut() {
            let held = stream.count(window as usize, total);
            // What h2 lets in: it applies a smaller window when the client has acknowledged it, and to what is not used.
            late |= held as isize + stream.flow.available_capacity() > window as isize;
        }
        late
    }
}

impl Stream {
    /// What it holds; promised is as much, or the window if that is more.
    fn count(&mut self, window: usize, total: &Total) -> usize {
        let held = self.flow.used_capacity();
        let is = Counted { held, promised: held.max(window) };
        total.change(std::mem::replace(&mut self.counted, is), is);
        held
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for HeldStream {
    fn drop(&mut self) {
        let mut streams = lock(&self.held.streams.puts);
        let gone = streams.remove(&self.stream);
        let total = &self.held.total;
        if let Some(stream) = &gone {
            total.change(stream.counted, Counted::default());
            total.ended();
            if streams.is_empty() {
                total.share_no_more(&self.held.streams);
            }
        }
        drop(streams);
        drop(gone); // after our lock: it may be the last handle, and then h2 resets the stream
    }
}

impl Drop for RequestStream {
    fn drop(&mut self) {
        let gone = lock(&self.held.streams.requests).remove(&self.stream);
        drop(gone); // after our lock, as above
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::MIB;
    use super::*;

    /// Flow control of so many streams that wait for their first byte.
    async fn flows(count: usize) -> (Vec<FlowControl>, impl Sized) {
        let (ours, theirs) = tokio::io::duplex(MIB);
        let (client, server) = tokio::join!(h2::client::handshake(theirs), h2::server::handshake(ours));
        let ((mut client, connection), mut server) =
            (client.unwrap(), server.unwrap() as h2::server::Connection<_, bytes::Bytes>);
        let connection = tokio::spawn(connection);
        let (mut flows, mut kept) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let request = http::Request::post("http://localhost/put").body(()).unwrap();
            let (response, send) = client.send_request(request, false).unwrap();
            let (mut request, respond) = server.accept().await.unwrap().unwrap();
            flows.push(request.body_mut().flow_control().clone());
            kept.push((response, send, request, respond));
        }
        (flows, (client, connection, server, kept))
    }

    /// Puts that come faster than connections hear that windows are smaller, as at the start of a drive.
    #[tokio::test]
    async fn what_connections_have_not_heard_of_turns_no_put_out() {
        let total = Total::new(16 * MIB);
        let connections: [_; 8] = std::array::from_fn(|_| total.connection());
        let (flows, _streams) = flows(128).await;
        let puts = flows.into_iter().enumerate();
        let puts: Vec<_> = puts.map(|(at, flow)| connections[at / 16].open(flow).unwrap()).collect();
        assert!(total.0.promised.load(Relaxed) <= 16 * MIB);
        drop(puts);
        assert_eq!(total.0.promised.load(Relaxed), 0);
        assert!(lock(&total.0.sharers).is_empty());
    }
}
