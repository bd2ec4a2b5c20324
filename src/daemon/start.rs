//! The start, in the order that safety wants: lock, probe, catalog, recovery, and only then the listener.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::Membership;
use crate::catalog::OpenStore;
use crate::config::Config;
use crate::io::Backend;
use crate::io::BackendChoice;
use crate::io::DirectoryLock;
use crate::io::Host;
use crate::io::KnownFile;
use crate::io::ProbeError;
use crate::io::failpoint;
use crate::io::now;
use crate::io::wall_ns;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::StartId;
use crate::runtime::Budget;
use crate::runtime::Executor;
use crate::runtime::ExecutorError;
use crate::runtime::Shares;
use crate::runtime::cores;
use crate::runtime::memory_lock_shortfall;
use crate::shard;
use crate::shard::ShardError;
use crate::shard::ShardMemory;
use crate::shard::ShardSetup;
use crate::shard::Shards;
use crate::store::Marks;
use crate::store::RecoveryReport;

use super::devices;
use super::frozen;
use super::memory;
use super::memory::MemoryError;
use super::mount;
use super::mount::MountError;
use super::mount::Mounted;
use super::mount::Presence;
use super::shared;
use super::shared::SharedError;
use super::starts;
use super::starts::Start;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(std::io::Error),
    #[error("the usable cores are unknown: {0}")]
    Cores(std::io::Error),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Shared(#[from] SharedError),
    #[error(transparent)]
    Shard(#[from] ShardError),
}

/// The storage side of the daemon, recovered and ready.
pub struct Storage {
    pub catalog: Arc<dyn Catalog>,
    /// There when others share it.
    pub membership: Option<Membership>,
    pub embedded: EmbeddedCatalog,
    pub open_store: OpenStore,
    pub shards: Shards,
    pub executors: Vec<Executor>,
    pub ids: Arc<IdSource>,
    pub budget: Budget,
    pub ticket_key: [u8; 32],
    pub start: Start,
    pub backend: Backend,
    pub report: RecoveryReport,
    pub recovery_ms: u128,
    pub locks: Vec<DirectoryLock>,
    /// What the numbers stand for.
    pub directories: Vec<(DeviceNumber, PathBuf)>,
    /// The catalog's own file.
    pub catalog_file: KnownFile,
}

/// What [`open_storage`] would refuse of a configuration, as far as can be told without a start.
///
/// # Errors
/// [`StartError`], as the start would end with.
pub fn check(config: &Config, host: &Host) -> Result<(), StartError> {
    let cores = placement(config, &cores().map_err(StartError::Cores)?);
    memory::check(config, host, cores.len() as u64)?;
    mount::check_names(host, &config.storage.data_dirs, config.storage.must_exist)?;
    Ok(mount::check(host, &config.storage.data_dirs)?)
}

/// Opens the data directories and brings them in line with the catalog.
///
/// # Errors
/// [`StartError`]; nothing listens yet then, and the next start begins anew.
pub async fn open_storage(config: &Config, host: &Host) -> Result<Storage, StartError> {
    let began = now();
    let cores = placement(config, &cores().map_err(StartError::Cores)?);
    memory::check(config, host, cores.len() as u64)?;
    let ids = Arc::new(IdSource::from_seed(seed(host)?));
    mount::check_names(host, &config.storage.data_dirs, config.storage.must_exist)?;
    for path in &config.storage.data_dirs {
        mount::make_directory(host, path)?;
    }
    let mounted = mount::mount(host, &config.storage.data_dirs)?;
    let (file, presence) = mount::find_catalog(&mounted)?;
    let reserve = EmbeddedConfig { reserve_bytes: config.storage.reserve_bytes, ..EmbeddedConfig::default() };
    if presence == Presence::Found {
        // A start takes some room, and on a full disk it is what lets recordings be deleted.
        EmbeddedCatalog::make_room(host, &reserve, &file)?;
    }
    let backend = probe(config, host, &mounted)?;
    if let (Presence::Absent, Some(place)) = (presence, file.parent()) {
        mount::make_directory(host, place)?;
    }
    let embedded = EmbeddedCatalog::open_on(host, &reserve, &file)?;
    if let (Presence::Absent, Some(place)) = (presence, file.parent()) {
        // Before any directory gets an id: see `mount`.
        let above = mounted.first().map_or(place, |first| &first.path);
        let synced = host.sync_directory(place).and_then(|()| host.sync_directory(above));
        synced.map_err(|cause| MountError::Directory { path: place.to_owned(), cause })?;
    }
    let open_store = embedded.open_store();
    let known = open_store.devices().await?;
    mount::check_known(&mounted, &known)?;
    if !config.storage.replace_missing {
        mount::check_used(&mounted, &known)?;
    }
    let named = starts::check(host, &mounted, &known, &open_store).await?;
    let directories: Vec<&Path> = mounted.iter().map(|directory| &*directory.path).collect();
    let shared = shared::choose(config, host, &directories, &embedded).await?;
    let boot = open_store.boot(seed(host)?, wall_ns()).await?;
    failpoint("recover: catalog booted");
    let id = StartId::new(&ids);
    open_store.name_start(boot.incarnation, id).await?;
    let this = Start { number: boot.incarnation, id, moment: open_store.count_first_moment().await? };
    let mut devices: Vec<(DeviceNumber, PathBuf)> = Vec::with_capacity(mounted.len());
    let mut node = None;
    for directory in &mounted {
        let device = match directory.device {
            Some(device) => device,
            None => mount::write_device(host, &directory.path, &ids)?,
        };
        node = node.or(Some(device));
        devices.push((open_store.device(device).await?, directory.path.clone()));
    }
    let paths: Vec<PathBuf> = mounted.iter().map(|m| m.path.clone()).collect();
    devices::write(host, &paths, &open_store.devices().await?)?;
    // The last word before anything is recorded or removed.
    starts::write(host, paths.iter().map(PathBuf::as_path), this)?;
    failpoint("recover: start named");
    tell_left_out(&open_store, &devices).await?;
    let Some(node) = node else { unreachable!("mount refuses an empty list") };
    let (catalog, membership): (Arc<dyn Catalog>, _) = match shared {
        Some(shared) => {
            let (catalog, membership) = shared.open(host, node, &named, &embedded, &ids).await?;
            (catalog, Some(membership))
        }
        None => (Arc::new(embedded.clone()), None),
    };
    let budget = Budget::new(usize::try_from(config.memory.receive_bytes).unwrap_or(usize::MAX));
    let numbers: Vec<_> = devices.iter().map(|(number, _)| *number).collect();
    // Two of the largest messages, beside the quarter that rows may hold back for company.
    let charge = config.connections.message_bytes_max.next_power_of_two();
    let received = Shares::new(&budget, &numbers, charge.saturating_mul(8) / 3);
    let mut setup = ShardSetup {
        backend,
        cores,
        devices,
        catalog: Arc::clone(&catalog),
        open_store: open_store.clone(),
        ids: Arc::clone(&ids),
        received,
        incarnation: boot.incarnation,
        chunk: config.chunk.clone(),
        memory: ShardMemory {
            blocks: usize::try_from(config.write_blocks()).unwrap_or(usize::MAX),
            read_bytes: config.memory.read_bytes,
            read_stall_ms: config.memory.read_stall_ms,
        },
        marks: Marks { soft_bytes: config.storage.soft_mark_bytes, hard_bytes: config.storage.hard_mark_bytes },
        faults: host.faults(),
    };
    // After everything that looks at the cores: a pinned thread sees one.
    let (shards, executors) = start_shards(&mut setup, config.storage.backend).await?;
    let report = shards.recover().await?;
    Ok(Storage {
        catalog,
        membership,
        embedded,
        open_store,
        shards,
        executors,
        ids,
        budget,
        ticket_key: boot.ticket_key,
        start: this,
        backend: setup.backend,
        directories: setup.devices,
        report,
        recovery_ms: began.elapsed().as_millis(),
        catalog_file: KnownFile::look(host, &file)
            .map_err(|cause| MountError::Directory { path: file.clone(), cause })?,
        locks: mounted.into_iter().map(|m| m.lock).collect(),
    })
}

/// Says which data directories are not named although chunks lie on them: reading those will fail, and only the names tell.
async fn tell_left_out(open_store: &OpenStore, devices: &[(DeviceNumber, PathBuf)]) -> Result<(), StartError> {
    for (number, device) in open_store.devices().await? {
        if devices.iter().any(|(here, _)| *here == number) {
            continue;
        }
        let topics = open_store.topics_on(number).await?;
        if topics > 0 && device.is_untold() {
            tracing::warn!(
                number = number.0,
                topics,
                "recorded chunks lay in a data directory that was missing when the catalog was rebuilt: should it be found, `tessera \
                 catalog rebuild` with all data directories brings back what lies there"
            );
            continue;
        }
        if topics > 0 {
            tracing::warn!(
                number = number.0,
                %device,
                topics,
                "a data directory is left out that recorded topics lie on: reading them is UNAVAILABLE until the directory whose \
                 DEVICE file holds this id is named again (--data-dir, storage.data_dirs)"
            );
        }
    }
    Ok(())
}

/// Starts the shards; with threads when io_uring passed the probe and still does not start them, unless it was insisted on.
async fn start_shards(setup: &mut ShardSetup, wanted: BackendChoice) -> Result<(Shards, Vec<Executor>), StartError> {
    if setup.backend == Backend::Uring
        && let Some(shortfall) = memory_lock_shortfall(&setup.executors())
    {
        tracing::warn!("{shortfall}");
    }
    match shard::start(setup).await {
        Err(error) => match fallback(&setup.backend, wanted, &error) {
            Some(threads) => {
                tracing::warn!(%error, "io_uring does not start the shards: threads are used instead");
                setup.backend = threads;
                Ok(shard::start(setup).await?)
            }
            None => Err(error.into()),
        },
        Ok(started) => Ok(started),
    }
}

/// The back end to try after `error`; `None` when that would not help or is not wanted.
fn fallback(tried: &Backend, wanted: BackendChoice, error: &ShardError) -> Option<Backend> {
    let ShardError::Executor(cause) = error else { return None };
    let refused = matches!(**cause, ExecutorError::Start { .. });
    let allowed = *tried == Backend::Uring && wanted == BackendChoice::Auto;
    (refused && allowed).then(|| Backend::Threads { reason: cause.to_string() })
}

/// One shard per core, or as many as the configuration says; cores are shared in turn when there are fewer.
fn placement(config: &Config, usable: &[usize]) -> Vec<Option<usize>> {
    let count = match config.shards.count {
        0 => usable.len().max(1),
        count => usize::from(count),
    };
    if count > usable.len() {
        let cores = usable.len();
        tracing::warn!(
            shards = count,
            cores,
            "shards.count is above the cores this process may use: shards share them"
        );
    }
    (0..count).map(|shard| usable.get(shard % usable.len().max(1)).copied()).collect()
}

fn seed(host: &Host) -> Result<[u8; 32], StartError> {
    host.seed().map_err(StartError::Randomness)
}

/// Opens a stopped server's directories for looking at them: locked, catalog open, nothing recovered, nothing made or changed
/// but the locks. Where a file system is read-only: without a lock, and with a copy of the catalog.
///
/// # Errors
/// [`StartError`]; also when a directory was never used.
pub async fn open_at_rest(config: &Config) -> Result<AtRest, StartError> {
    let host = Host::default();
    let mounted = frozen::watch(&host, &config.storage.data_dirs)?;
    let (file, presence) = mount::find_catalog(&mounted)?;
    if presence == Presence::Absent {
        let path = mounted.first().map(|m| m.path.clone()).unwrap_or_default();
        let cause = std::io::Error::other("no recording was ever stored here");
        return Err(MountError::Directory { path, cause }.into());
    }
    let copy = match mounted.first() {
        Some(first) if first.lock.is_none() => Some(frozen::Copy::make(&host, &file)?),
        _ => None,
    };
    let file = copy.as_ref().map_or(file, frozen::Copy::file);
    let embedded = EmbeddedCatalog::open(&EmbeddedConfig::default(), &file)?;
    let open_store = embedded.open_store();
    let known = open_store.devices().await?;
    mount::check_known(&mounted, &known)?;
    let number = |id: DeviceId| known.iter().find(|(_, device)| *device == id).map(|(number, _)| *number);
    let devices = mounted.iter().filter_map(|m| Some((number(m.device?)?, m.path.clone()))).collect();
    let (unlocked, locks) = (frozen::unlocked(&mounted), mounted.into_iter().filter_map(|m| m.lock).collect());
    Ok(AtRest { embedded, open_store, devices, unlocked, _locks: locks, _copy: copy })
}

/// See [`open_at_rest`].
pub struct AtRest {
    pub embedded: EmbeddedCatalog,
    pub open_store: OpenStore,
    pub devices: Vec<(DeviceNumber, PathBuf)>,
    /// Those on a read-only file system, where nobody can be kept out.
    pub unlocked: Vec<PathBuf>,
    _locks: Vec<DirectoryLock>,
    /// Goes last, when the catalog is closed.
    _copy: Option<frozen::Copy>,
}

/// The slowest answer counts: one directory that refuses io_uring moves all to threads.
fn probe(config: &Config, host: &Host, mounted: &[Mounted]) -> Result<Backend, StartError> {
    let mut chosen = Backend::Uring;
    for directory in mounted {
        match host.probe(&directory.path, config.storage.backend)? {
            Backend::Uring => {}
            threads @ Backend::Threads { .. } => chosen = threads,
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_tried_only_when_io_uring_was_refused_and_not_insisted_on() {
        let start = ExecutorError::Start { name: "shard-0".to_owned(), backend: "io_uring", reason: "no".to_owned() };
        let refused = ShardError::Executor(Arc::new(start));
        let threads = fallback(&Backend::Uring, BackendChoice::Auto, &refused);
        assert!(matches!(threads, Some(Backend::Threads { reason }) if reason.contains("shard-0")));
        assert_eq!(fallback(&Backend::Uring, BackendChoice::Uring, &refused), None);
        let tried = Backend::Threads { reason: String::new() };
        assert_eq!(fallback(&tried, BackendChoice::Auto, &refused), None);
        assert_eq!(fallback(&Backend::Uring, BackendChoice::Auto, &ShardError::Stopped), None);
    }
}
