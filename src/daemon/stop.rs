//! The way out: signals, and an end to waiting.
//!
//! The first SIGTERM, SIGINT or SIGHUP drains. A second one, or a drain that is not over in time, ends the process as a crash would:
//! what was acknowledged is on disk at any moment. All this runs on a thread of its own, which outlives the control plane and
//! needs no shard.

use std::future::Future;
use std::io;
use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::flight::Stop;
use crate::io::Host;
use crate::io::now;

/// How long running calls may go on after the first signal, and how long the whole stop may take.
pub const DRAIN: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(45);

/// How long running puts may go on before what they sent is sealed for them.
pub const DRAIN_PUTS: Duration = Duration::from_secs(10);

const _: () = assert!(DRAIN.as_secs() < STOP.as_secs(), "the shards need time of their own");

/// Held until the stop is over.
pub struct Stopping {
    _over: oneshot::Sender<()>,
}

/// Whether this process was started with SIGHUP ignored.
fn ignores_hangup() -> bool {
    let status = Host::default().read_small(Path::new("/proc/self/status"), 1 << 16).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The first signal has the lowest bit.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Over,
    SecondSignal,
    Overdue,
}

/// From here on a signal says `Drain` instead of ending the process.
///
/// # Errors
/// When the system refuses the handlers or the thread.
pub fn on_signals(stop: watch::Sender<Stop>) -> io::Result<Stopping> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Of a terminal that was closed; whoever started us with it ignored (nohup) wants us to stay.
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    drop(entered);
    let (over, ended) = oneshot::channel();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut signals = async || {
            let hangup = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {}, _ = hangup => {} }
        };
        let end = runtime.block_on(async {
            let mut ended = ended;
            tokio::select! { () = signals() => {}, _ = &mut ended => return End::Over }
            // First of all: whoever reads the log may not.
            let _ = stop.send(Stop::Drain { until: now() + DRAIN });
            let (calls_s, puts_s) = (DRAIN.as_secs(), DRAIN_PUTS.as_secs());
            tracing::info!(
                calls_s,
                puts_s,
                "draining: no new calls; running ones may end, puts are then sealed as they are"
            );
            wait(signals(), ended, STOP).await
        });
        match end {
            End::Over => {}
            End::SecondSignal => {
                tracing::warn!("second signal: stopping at once, as a crash would");
                process::exit(1);
            }
            End::Overdue => {
                tracing::error!(seconds = STOP.as_secs(), "the stop is not over in time: ending as a crash would");
                process::exit(1);
            }
        }
    })?;
    Ok(Stopping { _over: over })
}

async fn wait(second: impl Future<Output = ()>, ended: oneshot::Receiver<()>, limit: Duration) -> End {
    tokio::select! {
        _ = ended => End::Over,
        () = second => End::SecondSignal,
        () = tokio::time::sleep(limit) => End::Overdue,
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::future::ready;

    use super::*;

    #[test]
    fn a_stop_ends_by_itself_by_a_second_signal_or_by_its_limit() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let long = Duration::from_secs(3600);
        let end = |second: Option<()>, over: Option<()>, limit| {
            let (sender, ended) = oneshot::channel();
            let sender = over.is_none().then_some(sender);
            let signals = async move {
                match second {
                    Some(()) => ready(()).await,
                    None => pending().await,
                }
            };
            let end = runtime.block_on(wait(signals, ended, limit));
            drop(sender);
            end
        };
        assert_eq!(end(None, Some(()), long), End::Over);
        assert_eq!(end(Some(()), None, long), End::SecondSignal);
        assert_eq!(end(None, None, Duration::from_millis(1)), End::Overdue);
    }
}
