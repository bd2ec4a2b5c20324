//! The life of the server: start, serve, drain, stop.

use std::io::Write;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;

use crate::auth::OrderSealer;
use crate::auth::TicketSealer;
use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::OpenStore;
use crate::config::Config;
use crate::flight::BindError;
use crate::flight::Desk;
use crate::flight::HandlerConfig;
use crate::flight::Listener;
use crate::flight::Stop;
use crate::io::Backend;
use crate::io::DirectoryLock;
use crate::io::Host;
use crate::io::KnownFile;
use crate::io::wall_ns;
use crate::model::DeviceNumber;
use crate::retrieval::Retrieval;
use crate::runtime::Budget;
use crate::runtime::Executor;
use crate::runtime::raise_descriptor_limit;
use crate::session::SessionError;
use crate::session::Sessions;
use crate::shard::Shards;

use super::audit;
use super::fleet;
use super::moments::Moments;
use super::mount;
use super::scrub::Scrub;
use super::socket;
use super::start;
use super::start::StartError;
use super::start::Storage;
use super::stop;
use super::watch;

/// What a process ends with when the catalog can no longer be trusted to have stored what it was given, and when a shard is
/// dead. Both as a crash would: the next start finds everything that was acknowledged.
pub(super) const EXIT_CATALOG: i32 = 74;
const EXIT_SHARD: i32 = 70;

/// Files of the catalog, rings, sockets, chunks being read.
const DESCRIPTORS_OWN: u64 = 256;

/// How often the shards are looked at.
const LOOK: Duration = Duration::from_millis(500);

const _: () = assert!(stop::DRAIN_PUTS.as_secs() < stop::DRAIN.as_secs(), "sealing needs time of its own");

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("recovery: {0}")]
    Session(#[from] SessionError),
    #[error("the other servers cannot be told where this one is: {0}")]
    Fleet(CatalogError),
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
pub fn serve(mut config: Config) -> Result<(), ServeError> {
    share_descriptors(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().div_ceil(4).max(2)))
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let open = runtime.block_on(open(&config))?;
    let (stop, stopping) = tokio::sync::watch::channel(Stop::Run);
    // Before the line that scripts wait for. Until here a signal ends the process: nothing is lost by it.
    let over = stop::on_signals(stop).map_err(ServeError::Signal)?;
    announce_ready(&config, &open.listener);
    let Remains { executors, embedded, locks, moments, .. } = runtime.block_on(run(config, open, stopping));
    // What still runs on the control plane holds handles of the shards: end it first. Then the shards commit what they are
    // sealing, so the catalog closes after them, with a last moment noted, and the directories are free last of all.
    runtime.shutdown_timeout(Duration::from_secs(5));
    let joined: Vec<_> = executors.into_iter().map(Executor::join).collect();
    futures::executor::block_on(moments.end());
    drop(moments);
    embedded.close();
    drop(locks);
    drop(over);
    for result in joined {
        result.map_err(|error| ServeError::Shard(error.to_string()))?;
    }
    tracing::info!("stopped");
    Ok(())
}

/// As many descriptors as the system gives. Connections may take half of them: clients must not be able to take those that
/// their rows are stored with.
fn share_descriptors(config: &mut Config) {
    let Some(limit) = raise_descriptor_limit() else { return };
    let (connections, puts) = (config.connections.connections_max, u64::from(config.sessions.puts_max));
    let connections_max = usize::try_from(limit / 2).unwrap_or(usize::MAX).min(connections).max(1);
    config.connections.connections_max = connections_max;
    let wanted = 2 * (connections as u64).max(puts.saturating_add(DESCRIPTORS_OWN));
    if limit < wanted {
        tracing::warn!(
            limit,
            wanted,
            connections_max,
            "too few file descriptors for all connections and puts that are allowed: raise LimitNOFILE, or lower both"
        );
    }
}

/// Everything that serving takes.
struct Open {
    listener: Listener,
    sessions: Sessions,
    desk: Desk,
    budget: Budget,
    audited: (OpenStore, Shards),
    retrieval: Retrieval,
    scrub: Scrub,
    remains: Remains,
}

/// What outlives the control plane.
struct Remains {
    executors: Vec<Executor>,
    embedded: EmbeddedCatalog,
    locks: Arc<Vec<DirectoryLock>>,
    directories: Vec<(DeviceNumber, PathBuf)>,
    catalog_file: KnownFile,
    moments: Arc<Moments>,
}

async fn open(config: &Config) -> Result<Open, ServeError> {
    // First of all, so that a wrong or taken address is told before anything is opened; clients wait until we accept.
    let listener = socket::bind(&config.server).await?;
    let host = Host::default();
    let storage = start::open_storage(config, &host).await?;
    storage.embedded.on_poison(|cause: &str| {
        tracing::error!(cause, "the catalog failed to store a change: stopping, so that nothing false is answered");
        process::exit(EXIT_CATALOG);
    });
    announce_storage(&storage);
    let Storage {
        catalog,
        membership,
        embedded,
        open_store,
        shards,
        executors,
        ids,
        budget,
        ticket_key,
        locks,
        directories,
        catalog_file,
        start,
        ..
    } = storage;
    let fleet = match membership {
        Some(membership) => Some(fleet::join(config, &listener, membership, start.id, &catalog, &ids).await?),
        None => None,
    };
    let (orders, limits) = (OrderSealer::new(ticket_key), config.sessions.clone());
    let store = open_store.clone();
    let sessions = Sessions::new(Arc::clone(&catalog), store, shards.clone(), ids, orders, limits, wall_ns);
    let beside = config.storage.data_dirs.first().map(|first| mount::catalog_file(first)).unwrap_or_default();
    let place = beside.parent().unwrap_or(&beside);
    let scrub = Scrub::new(Arc::clone(&catalog), open_store.clone(), shards.clone(), config.scrub.clone(), place);
    let retrieval = Retrieval::new(catalog, shards.clone(), config.reading.clone());
    let handlers = HandlerConfig {
        session_answer: config.compat.session_answer,
        message_bytes_max: config.connections.message_bytes_max,
        target_message_bytes: config.reading.target_message_bytes,
        dictionary_bytes: config.memory.dictionary_bytes,
    };
    let desk = Desk::new(sessions.clone(), retrieval.clone(), TicketSealer::new(ticket_key), handlers, &shards);
    let desk = match fleet {
        Some(fleet) => desk.within(fleet),
        None => desk,
    };
    sessions.recover().await?;
    let locks = Arc::new(locks);
    let moments = Arc::new(Moments { host, store: open_store.clone(), start, locks: Arc::clone(&locks) });
    let remains = Remains { executors, embedded, locks, directories, catalog_file, moments };
    Ok(Open { listener, sessions, desk, budget, audited: (open_store, shards), retrieval, scrub, remains })
}

async fn run(config: Config, open: Open, stopping: Receiver<Stop>) -> Remains {
    let Open { listener, sessions, desk, budget, audited: (open_store, shards), retrieval, scrub, mut remains } = open;
    let sweep = tokio::spawn(sessions.clone().sweep());
    let (looked_at, locks) = (shards.clone(), Arc::clone(&remains.locks));
    let (catalog_file, directories) = (remains.catalog_file.clone(), std::mem::take(&mut remains.directories));
    let look = tokio::spawn(async move { watch::run(looked_at, &locks, directories, &catalog_file).await });
    let moments = tokio::spawn(Arc::clone(&remains.moments).run());
    let audit = tokio::spawn(audit::run(open_store, shards));
    let scrub = tokio::spawn(scrub.run());
    let preparing = tokio::spawn(async move { retrieval.prepare().await });
    let sealing = tokio::spawn(seal_puts(stopping.clone(), sessions.clone()));
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    let serving = async {
        listener.serve(config.connections, desk.routes(), budget, stopping).await;
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        sessions.drain().await;
    };
    tokio::select! {
        () = serving => {}
        error = first_to_end(&mut remains.executors) => {
            tracing::error!(%error, "its topics can be neither written nor read: stopping, as a crash would");
            process::exit(EXIT_SHARD);
        }
    }
    for task in [sweep, look, moments, audit, scrub, preparing, sealing] {
        task.abort();
        let _ = task.await;
    }
    remains
}

/// Ends puts that go on for long after the stop was asked for.
async fn seal_puts(mut stopping: Receiver<Stop>, sessions: Sessions) {
    if stopping.wait_for(|stop| *stop != Stop::Run).await.is_ok() {
        tokio::time::sleep(stop::DRAIN_PUTS).await;
        sessions.drain().await;
    }
}

/// Returns once a shard has ended, which none does while there are handles of it.
async fn first_to_end(executors: &mut Vec<Executor>) -> ServeError {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        if let Some(index) = executors.iter().position(Executor::is_finished) {
            let ended = executors.remove(index).join();
            let why = ended.map_or_else(|error| error.to_string(), |()| "it stopped by itself".to_owned());
            return ServeError::Shard(why);
        }
    }
}

/// The banner.
fn announce_storage(storage: &Storage) {
    match &storage.backend {
        Backend::Uring => tracing::info!("files are written with io_uring and direct I/O"),
        Backend::Threads { reason } => tracing::warn!(%reason, "files are written by threads, which costs throughput"),
    }
    for (number, directory) in &storage.directories {
        tracing::info!(number = number.0, directory = %directory.display(), "data directory");
    }
    let report = &storage.report;
    tracing::info!(
        start = storage.start.number,
        milliseconds = storage.recovery_ms,
        shards = storage.executors.len(),
        renamed = report.renamed,
        unlinked = report.unlinked,
        lost = report.lost,
        foreign = report.foreign,
        twice = report.twice.len(),
        missing = report.missing.len(),
        wrong_length = report.wrong_length.len(),
        longer = report.longer.len(),
        "recovered"
    );
}

/// On standard output the one line that scripts wait for.
fn announce_ready(config: &Config, listener: &Listener) {
    let address = listener.local_addr().unwrap_or(config.server.listen);
    let mut out = std::io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = writeln!(out, "tessera {} ready on grpc://{address}", env!("CARGO_PKG_VERSION"));
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use futures::channel::oneshot;

    use super::*;
    use crate::runtime::ExecutorConfig;
    use crate::runtime::Main;

    #[test]
    fn a_shard_that_dies_is_noticed_and_told() {
        let threads = Backend::Threads { reason: "a test".to_owned() };
        let config = |name: &str| ExecutorConfig { name: name.to_owned(), ..ExecutorConfig::default() };
        let (stop, stopped) = oneshot::channel::<()>();
        let lives = move |_| -> Main {
            Box::pin(async move {
                let _ = stopped.await;
            })
        };
        let dies = |_| -> Main { Box::pin(async { panic!("on purpose") }) };
        let mut executors = vec![
            Executor::spawn(&threads, config("shard-0"), lives).unwrap(),
            Executor::spawn(&threads, config("shard-1"), dies).unwrap(),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(first_to_end(&mut executors)).to_string();
        assert!(error.contains("shard-1") && error.contains("on purpose"), "{error}");
        drop(stop);
        assert_eq!(executors.into_iter().map(Executor::join).filter(Result::is_ok).count(), 1);
    }
}
