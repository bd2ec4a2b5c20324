//! The life of the server: start, serve, drain, stop.

use std::io::Write;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::watch;

use crate::auth::TicketSealer;
use crate::catalog::EmbeddedCatalog;
use crate::config::Config;
use crate::flight::BindError;
use crate::flight::Desk;
use crate::flight::HandlerConfig;
use crate::flight::Listener;
use crate::flight::Stop;
use crate::io::Backend;
use crate::io::DirectoryLock;
use crate::retrieval::Retrieval;
use crate::runtime::Executor;
use crate::session::SessionError;
use crate::session::Sessions;

use super::start;
use super::start::StartError;
use super::start::Storage;

/// What a process ends with when the catalog can no longer be trusted to have stored what it was given.
const EXIT_CATALOG: i32 = 74;

/// How long running calls may go on after SIGTERM, and how long puts may before what they sent is sealed for them.
const DRAIN: Duration = Duration::from_secs(30);
const DRAIN_PUTS: Duration = Duration::from_secs(10);

const _: () = assert!(DRAIN_PUTS.as_secs() < DRAIN.as_secs(), "sealing needs time of its own");

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("recovery: {0}")]
    Session(#[from] SessionError),
    #[error("the runtime could not be started: {0}")]
    Runtime(std::io::Error),
    #[error("signals cannot be received: {0}")]
    Signal(std::io::Error),
    #[error("a shard ended badly: {0}")]
    Shard(String),
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal ends the process at once, as a crash would.
///
/// # Errors
/// [`ServeError`] when it cannot start, or did not stop cleanly.
pub fn serve(config: Config) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().div_ceil(4).max(2)))
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let Remains { executors, embedded, locks } = runtime.block_on(run(config))?;
    // What still runs on the control plane holds handles of the shards: end it first. Then the shards commit what they are
    // sealing, so the catalog closes after them, and the directories are free last of all.
    runtime.shutdown_timeout(Duration::from_secs(5));
    let joined: Vec<_> = executors.into_iter().map(Executor::join).collect();
    embedded.close();
    drop(locks);
    for result in joined {
        result.map_err(|error| ServeError::Shard(error.to_string()))?;
    }
    tracing::info!("stopped");
    Ok(())
}

/// What outlives the control plane.
struct Remains {
    executors: Vec<Executor>,
    embedded: EmbeddedCatalog,
    locks: Vec<DirectoryLock>,
}

async fn run(config: Config) -> Result<Remains, ServeError> {
    // First of all, so that a wrong or taken address is told before anything is opened; clients wait until we accept.
    let listener = Listener::bind(&config.server).await?;
    let storage = start::open_storage(&config).await?;
    storage.embedded.on_poison(|cause: &str| {
        tracing::error!(cause, "the catalog failed to store a change: stopping, so that nothing false is answered");
        process::exit(EXIT_CATALOG);
    });
    announce(&config, &listener, &storage);
    let Storage { catalog, embedded, open_store, shards, executors, ids, budget, ticket_key, locks, .. } = storage;
    let sessions = Sessions::new(
        Arc::clone(&catalog),
        open_store.clone(),
        shards.clone(),
        Arc::clone(&ids),
        config.sessions.clone(),
        start::wall_ns,
    );
    let retrieval = Retrieval::new(Arc::clone(&catalog), shards.clone(), config.reading.clone());
    let handlers = HandlerConfig {
        session_answer: config.compat.session_answer,
        message_bytes_max: config.connections.message_bytes_max,
        target_message_bytes: config.reading.target_message_bytes,
    };
    let desk = Desk::new(sessions.clone(), retrieval, TicketSealer::new(ticket_key), handlers);
    sessions.recover().await?;
    let (stop, stopping) = watch::channel(Stop::Run);
    let sweep = tokio::spawn(sessions.clone().sweep());
    let signals = tokio::spawn(drain_on_signal(stop, sessions.clone()));
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    listener.serve(config.connections.clone(), desk.routes(), budget, stopping).await;
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
    sessions.drain().await;
    signals.abort();
    sweep.abort();
    let _ = sweep.await;
    Ok(Remains { executors, embedded, locks })
}

/// The banner, and on standard output the one line that scripts wait for.
fn announce(config: &Config, listener: &Listener, storage: &Storage) {
    let address = listener.local_addr().unwrap_or(config.server.listen);
    match &storage.backend {
        Backend::Uring => tracing::info!("files are written with io_uring and direct I/O"),
        Backend::Threads { reason } => tracing::warn!(%reason, "files are written by threads, which costs throughput"),
    }
    for directory in &config.storage.data_dirs {
        tracing::info!(directory = %directory.display(), "data directory");
    }
    let report = &storage.report;
    tracing::info!(
        start = storage.incarnation,
        milliseconds = storage.recovery_ms,
        shards = storage.executors.len(),
        renamed = report.renamed,
        unlinked = report.unlinked,
        lost = report.lost,
        missing = report.missing.len(),
        wrong_length = report.wrong_length.len(),
        "recovered"
    );
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = writeln!(out, "tessera {} ready on grpc://{address}", env!("CARGO_PKG_VERSION"));
    let _ = out.flush();
}

async fn drain_on_signal(stop: watch::Sender<Stop>, sessions: Sessions) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    tracing::info!(seconds = DRAIN.as_secs(), "draining: no new calls, running ones may end");
    let _ = stop.send(Stop::Drain { until: Instant::now() + DRAIN });
    let drain = async {
        tokio::time::sleep(DRAIN_PUTS).await;
        sessions.drain().await;
        std::future::pending::<()>().await;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {}, () = drain => {} }
    tracing::warn!("second signal: stopping at once, as a crash would");
    process::exit(1);
}
