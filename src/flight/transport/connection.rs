//! One HTTP/2 connection: accepts calls, runs each in a task, keeps the windows, watches for life, and ends in order.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use h2::Ping;
use h2::PingPong;
use h2::Reason;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio::time::timeout;

use crate::io::now;

use super::config::TransportConfig;
use super::config::ms;
use super::held::Held;
use super::listener::Stop;
use super::places::Place;
use super::rope::Rope;
use super::routes;
use super::routes::Kind;
use super::routes::Shared;
use super::socket::Peer;
use super::socket::Socket;
use super::socket::Traffic;
use super::status::Refusal;
use super::status::Status;
use super::windows;
use super::windows::Broken;
use super::windows::Windows;

/// Larger frames mean fewer, larger reads; the plateau begins here, and a frame is still in the core's cache when it is copied.
const FRAME_BYTES_MAX: u32 = 256 << 10;
/// Streams we reset are remembered, so that what is still on its way for them is no offence: a client may lose many puts at once.
const RESET_STREAMS_REMEMBERED: usize = 4096;
/// Streams the client reset before they were taken up, and errors of its making, before it is told to calm down.
const PENDING_RESETS_MAX: usize = 20;
const ERROR_RESETS_MAX: usize = 128;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);
/// For the last frames (GOAWAY) of a connection that is closed by us.
const FAREWELL: Duration = Duration::from_secs(1);
/// Calls still running when the time to stop is over may end for so long, then they are dropped.
const LAST_WORDS: Duration = Duration::from_secs(5);

type Incoming = (Request<RecvStream>, SendResponse<Rope>);

struct Connection {
    h2: h2::server::Connection<Socket, Rope>,
    shared: Shared,
    peer: Peer,
    place: Place,
    windows: Windows,
    held: Held,
    life: Life,
    calls: JoinSet<Kind>,
    puts: usize,
    opened_at: Instant,
    served: bool,
    draining: bool,
}

/// What the connection woke up for.
enum Event {
    Call(Box<Incoming>),
    Ended(Kind),
    Tick,
    Stop,
    /// Another client needs the place.
    Wanted,
    /// Windows are to be smaller.
    Smaller,
    Broken(Broken),
    Closed,
}

/// Serves until the client leaves, breaks a rule, or the server stops; returns when every call's task has ended.
pub(super) async fn serve(socket: Socket, peer: Peer, place: Place, shared: Shared, mut stop: watch::Receiver<Stop>) {
    let opened_at = now();
    let traffic = socket.traffic();
    let patience = ms(shared.config.first_request_ms);
    let handshake = timeout(patience, builder(&shared.config).handshake::<_, Rope>(socket));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        () = place.wanted() => return,
    };
    let Ok(Ok(mut h2)) = handshake else {
        tracing::debug!(%peer, "no HTTP/2 handshake");
        return;
    };
    let mut connection = Connection {
        windows: Windows::new(opened_at, Arc::clone(&traffic)),
        life: Life::new(traffic, h2.ping_pong(), opened_at),
        h2,
        peer,
        place,
        held: shared.held.connection(),
        calls: JoinSet::new(),
        puts: 0,
        opened_at,
        served: false,
        draining: false,
        shared,
    };
    let end = connection.run(&mut stop).await;
    tracing::debug!(%peer, end, "connection ends");
    let Connection { h2, mut calls, .. } = connection;
    // First the connection: its calls then see that the client is gone, and end.
    drop(h2);
    tokio::select! {
        () = async { while calls.join_next().await.is_some() {} } => {}
        () = after_last_words(&mut stop) => calls.shutdown().await,
    }
}

fn builder(config: &TransportConfig) -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(windows::QUIET_WINDOW)
        .initial_connection_window_size(windows::CONNECTION_WINDOW)
        .data_frame_budget(windows::DATA_FRAME_BUDGET)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(config.streams_max)
        .max_header_list_size(config.header_list_bytes_max)
        .max_concurrent_reset_streams(RESET_STREAMS_REMEMBERED)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(ERROR_RESETS_MAX));
    builder
}

impl Connection {
    /// Returns the reason why it ended.
    async fn run(&mut self, stop: &mut watch::Receiver<Stop>) -> &'static str {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut smaller = self.held.total().smaller();
        loop {
            let Self { h2, place, windows, held, life, calls, puts, draining, .. } = &mut *self;
            let event = tokio::select! {
                event = poll_fn(|cx| poll(h2, windows, held, life, *puts, cx)) => event,
                Some(ended) = calls.join_next() => Event::Ended(ended.unwrap_or(Kind::Other)),
                _ = tick.tick() => Event::Tick,
                () = stopping(stop), if !*draining => Event::Stop,
                () = place.wanted() => Event::Wanted,
                () = smaller.next() => Event::Smaller,
            };
            match event {
                Event::Call(incoming) => self.call(*incoming),
                Event::Ended(kind) => {
                    self.puts -= usize::from(kind == Kind::Put);
                    self.windows.look_again();
                    if self.calls.is_empty() {
                        self.place.idle(now());
                    }
                }
                Event::Stop => {
                    self.draining = true;
                    self.h2.graceful_shutdown();
                }
                Event::Tick => {
                    if let Err((reason, why)) = self.check(stop) {
                        return self.farewell(reason, why).await;
                    }
                }
                // It was idle when it was chosen; a call that came since then is worth more than one that may come.
                Event::Wanted if self.calls.is_empty() => {
                    return self.farewell(Reason::NO_ERROR, "idle while all places were taken").await;
                }
                // The next poll announces them.
                Event::Wanted | Event::Smaller => {}
                Event::Broken(broken) => {
                    let (reason, why) = ending(&broken);
                    return self.farewell(reason, why).await;
                }
                Event::Closed => return "closed",
            }
        }
    }

    async fn farewell(&mut self, reason: Reason, why: &'static str) -> &'static str {
        self.h2.abrupt_shutdown(reason);
        let _ = timeout(FAREWELL, poll_fn(|cx| self.h2.poll_closed(cx))).await;
        why
    }

    fn call(&mut self, (request, respond): Incoming) {
        self.served = true;
        if self.draining {
            routes::refuse(respond, &Status::from(&Refusal::Draining));
            return;
        }
        if let Ok(call) = self.shared.open(request, respond, self.peer, &self.held) {
            self.place.busy();
            self.puts += usize::from(call.kind == Kind::Put);
            self.windows.look_again();
            self.calls.spawn(async move {
                call.run.await; // contains panics itself: the kind always comes back
                call.kind
            });
        }
    }

    fn check(&mut self, stop: &watch::Receiver<Stop>) -> Result<(), (Reason, &'static str)> {
        let config = &self.shared.config;
        if let Stop::Drain { until } = *stop.borrow()
            && until <= now()
        {
            return Err((Reason::NO_ERROR, "the time to stop is over"));
        }
        if !self.served && self.opened_at.elapsed() > ms(config.first_request_ms) {
            return Err((Reason::NO_ERROR, "no request in time"));
        }
        let kept = self.windows.check(&mut self.h2, ms(config.settings_ack_ms), &self.held);
        kept.map_err(|broken| ending(&broken))?;
        let alive = self.life.check(ms(config.keep_alive_ms), ms(config.keep_alive_timeout_ms));
        alive.map_err(|_| (Reason::NO_ERROR, "no sign of life"))
    }
}

fn ending(broken: &Broken) -> (Reason, &'static str) {
    match broken {
        Broken::Unacknowledged => (Reason::SETTINGS_TIMEOUT, "settings not acknowledged in time"),
        Broken::Over => (Reason::ENHANCE_YOUR_CALM, "sends into windows that it was told are smaller"),
    }
}

/// Advances the connection. Runs at every wake-up, so also when SETTINGS are acknowledged.
fn poll(
    h2: &mut h2::server::Connection<Socket, Rope>,
    windows: &mut Windows,
    held: &Held,
    life: &mut Life,
    puts: usize,
    cx: &mut Context<'_>,
) -> Poll<Event> {
    life.poll(cx);
    loop {
        let accepted = h2.poll_accept(cx);
        if let Err(broken) = windows.count(held) {
            return Poll::Ready(Event::Broken(broken));
        }
        match accepted {
            Poll::Ready(Some(Ok(incoming))) => return Poll::Ready(Event::Call(Box::new(incoming))),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Event::Closed),
            Poll::Pending if windows.adjust(h2, puts, held) => {} // poll again: that flushes the SETTINGS
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Signs of life: any byte the client sends. A ping only asks for one, so a pong stuck behind data on a slow link is no death. And
/// while bytes wait for it, any byte it takes: no ping reaches a client that leaves its socket full, and what waits holds memory.
struct Life {
    traffic: Arc<Traffic>,
    seen: u64,
    seen_at: Instant,
    stuck: Option<u64>,
    stuck_at: Instant,
    ping: Option<PingPong>,
    asked: bool,
}

/// The client sent nothing, not even the answer to a ping.
struct Silent;

impl Life {
    fn new(traffic: Arc<Traffic>, ping: Option<PingPong>, now: Instant) -> Self {
        Self { traffic, seen: 0, seen_at: now, stuck: None, stuck_at: now, ping, asked: false }
    }

    /// Takes the answer to a ping out of h2, which allows one at a time.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.asked
            && let Some(ping) = &mut self.ping
        {
            let _ = ping.poll_pong(cx);
        }
    }

    fn check(&mut self, quiet: Duration, patience: Duration) -> Result<(), Silent> {
        let stuck = self.traffic.stuck_at();
        if stuck.is_none() || stuck != self.stuck {
            (self.stuck, self.stuck_at) = (stuck, now());
        } else if self.stuck_at.elapsed() > quiet + patience {
            return Err(Silent);
        }
        let received = self.traffic.received();
        if received != self.seen {
            self.seen = received;
            self.seen_at = now();
        }
        let silence = self.seen_at.elapsed();
        if silence < quiet {
            self.asked = false;
        } else if silence > quiet + patience {
            return Err(Silent);
        } else if !self.asked
            && let Some(ping) = &mut self.ping
        {
            // An error means that an earlier one is not answered yet: it asks just as well.
            let _ = ping.send_ping(Ping::opaque());
            self.asked = true;
        }
        Ok(())
    }
}

/// Resolves when the server is to stop.
pub(super) async fn stopping(stop: &mut watch::Receiver<Stop>) {
    // An error means that nobody is left who could say stop: run on.
    if stop.wait_for(|stop| *stop != Stop::Run).await.is_err() {
        std::future::pending().await
    }
}

/// Resolves when calls that outlive their connection and the time to stop are to be dropped.
async fn after_last_words(stop: &mut watch::Receiver<Stop>) {
    stopping(stop).await;
    let until = match *stop.borrow() {
        Stop::Drain { until } => until + LAST_WORDS,
        Stop::Run => now() + LAST_WORDS,
    };
    tokio::time::sleep_until(until.into()).await;
}
