//! The way out: signals, and an end to waiting.
//!
//! The first SIGTERM or SIGINT drains. A second one, or a drain that is not over in time, ends the process as a crash would:
//! what was acknowledged is on disk at any moment. All this runs on a thread of its own, which outlives the control plane and
//! needs no shard.

use std::future::Future;
use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::flight::Stop;
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
    drop(entered);
    let (over, ended) = oneshot::channel();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut signals = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        let end = runtime.block_on(async {
            let mut ended = ended;
            tokio::select! { () = signals() => {}, _ = &mut ended => return End::Over }
            let (calls_s, puts_s) = (DRAIN.as_secs(), DRAIN_PUTS.as_secs());
            tracing::info!(
                calls_s,
                puts_s,
                "draining: no new calls; running ones may end, puts are then sealed as they are"
            );
            let _ = stop.send(Stop::Drain { until: now() + DRAIN });
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
