//! The start, in the order that safety wants: lock, probe, catalog, recovery, and only then the listener.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use uuid::Uuid;

use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::OpenStore;
use crate::config::Config;
use crate::io;
use crate::io::Backend;
use crate::io::DirectoryLock;
use crate::io::LockError;
use crate::io::ProbeError;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::runtime::Budget;
use crate::runtime::Executor;
use crate::runtime::cores;
use crate::shard;
use crate::shard::ShardError;
use crate::shard::ShardMemory;
use crate::shard::ShardSetup;
use crate::shard::Shards;
use crate::store;
use crate::store::Expected;
use crate::store::RecoveryReport;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("data directory {}: {cause}", path.display())]
    Directory { path: PathBuf, cause: std::io::Error },
    #[error("data directory {}: its DEVICE file is damaged: it should hold 32 hexadecimal digits", .0.display())]
    DeviceFile(PathBuf),
    #[error("data directories {} and {} are the same one: name each once", a.display(), b.display())]
    SameDirectory { a: PathBuf, b: PathBuf },
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(std::io::Error),
    #[error("the usable cores are unknown: {0}")]
    Cores(std::io::Error),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Shard(#[from] ShardError),
}

/// In the catalog's directory.
const CATALOG_FILE: &str = "catalog.db";

/// One mounted data directory.
struct Mounted {
    path: PathBuf,
    device: DeviceId,
    /// Held for the life of the daemon: a second one on the directory is refused.
    lock: DirectoryLock,
}

/// The storage side of the daemon, recovered and ready.
pub struct Storage {
    pub catalog: Arc<dyn Catalog>,
    pub embedded: EmbeddedCatalog,
    pub open_store: OpenStore,
    pub shards: Shards,
    pub executors: Vec<Executor>,
    pub ids: Arc<IdSource>,
    pub budget: Budget,
    pub ticket_key: [u8; 32],
    pub incarnation: u64,
    pub backend: Backend,
    pub report: RecoveryReport,
    pub recovery_ms: u128,
    pub locks: Vec<DirectoryLock>,
}

/// Opens the data directories and brings them in line with the catalog.
///
/// # Errors
/// [`StartError`]; nothing listens yet then, and the next start begins anew.
pub async fn open_storage(config: &Config) -> Result<Storage, StartError> {
    let began = Instant::now();
    let ids = Arc::new(IdSource::from_seed(seed()?));
    let mounted = mount(&config.storage.data_dirs, &ids)?;
    let backend = probe(config, &mounted)?;
    let embedded = open_catalog(&mounted)?;
    let open_store = embedded.open_store();
    let boot = open_store.boot(seed()?, wall_ns()).await?;
    let mut devices: Vec<(DeviceNumber, PathBuf)> = Vec::with_capacity(mounted.len());
    for directory in &mounted {
        devices.push((open_store.device(directory.device).await?, directory.path.clone()));
    }
    let catalog: Arc<dyn Catalog> = Arc::new(embedded.clone());
    let budget = Budget::new(usize::try_from(config.memory.receive_bytes).unwrap_or(usize::MAX));
    let setup = ShardSetup {
        backend: backend.clone(),
        cores: placement(config, &cores().map_err(StartError::Cores)?),
        devices,
        catalog: Arc::clone(&catalog),
        open_store: open_store.clone(),
        ids: Arc::clone(&ids),
        budget: budget.clone(),
        incarnation: boot.incarnation,
        chunk: config.chunk.clone(),
        memory: ShardMemory {
            blocks: usize::try_from(config.memory.blocks_per_shard).unwrap_or(usize::MAX),
            read_bytes: config.memory.read_bytes,
        },
    };
    // After everything that looks at the cores: a pinned thread sees one.
    let (shards, executors) = shard::start(&setup).await?;
    let report = shards.recover(expected(&*catalog, &open_store).await?).await?;
    Ok(Storage {
        catalog,
        embedded,
        open_store,
        shards,
        executors,
        ids,
        budget,
        ticket_key: boot.ticket_key,
        incarnation: boot.incarnation,
        backend,
        report,
        recovery_ms: began.elapsed().as_millis(),
        locks: mounted.into_iter().map(|m| m.lock).collect(),
    })
}

/// Unix time in nanoseconds: what labels are stamped with. Nothing is decided by it.
pub fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// One shard per core, or as many as the configuration says; cores are shared in turn when there are fewer.
fn placement(config: &Config, usable: &[usize]) -> Vec<Option<usize>> {
    let count = match config.shards.count {
        0 => usable.len().max(1),
        count => usize::from(count),
    };
    (0..count).map(|shard| usable.get(shard % usable.len().max(1)).copied()).collect()
}

fn seed() -> Result<[u8; 32], StartError> {
    io::seed().map_err(StartError::Randomness)
}

fn open_catalog(mounted: &[Mounted]) -> Result<EmbeddedCatalog, StartError> {
    let place = mounted.first().map(|m| m.path.join(store::CATALOG_DIRECTORY)).unwrap_or_default();
    make_directory(&place)?;
    Ok(EmbeddedCatalog::open(&EmbeddedConfig::default(), &place.join(CATALOG_FILE))?)
}

/// What the catalog knows of files.
async fn expected(catalog: &dyn Catalog, open_store: &OpenStore) -> Result<Expected, CatalogError> {
    let mut expected = Expected::default();
    for tombstone in catalog.tombstones(u32::MAX).await? {
        match tombstone.topic {
            None => drop(expected.purging.insert(tombstone.session)),
            Some((_, records)) => expected.purging_chunks.extend(records.iter().map(|record| record.chunk)),
        }
    }
    for session in open_store.sessions().await? {
        expected.sessions.insert(session, open_store.committed_chunks(session).await?);
    }
    Ok(expected)
}

/// Opens a stopped server's directories for looking at them: locked, catalog open, nothing recovered, nothing changed but
/// the locks.
///
/// # Errors
/// [`StartError`]; also when a directory was never used.
pub async fn open_at_rest(config: &Config) -> Result<AtRest, StartError> {
    let missing = config.storage.data_dirs.iter().find(|path| !path.join(store::DEVICE_FILE).exists());
    if let Some(path) = missing {
        let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no recording was ever stored here");
        return Err(StartError::Directory { path: path.clone(), cause });
    }
    let mounted = mount(&config.storage.data_dirs, &IdSource::from_seed(seed()?))?;
    let embedded = open_catalog(&mounted)?;
    let open_store = embedded.open_store();
    let known = open_store.devices().await?;
    let number = |id: DeviceId| known.iter().find(|(_, device)| *device == id).map(|(number, _)| *number);
    let devices = mounted.iter().filter_map(|m| Some((number(m.device)?, m.path.clone()))).collect();
    Ok(AtRest { embedded, open_store, devices, _locks: mounted.into_iter().map(|m| m.lock).collect() })
}

/// See [`open_at_rest`].
pub struct AtRest {
    pub embedded: EmbeddedCatalog,
    pub open_store: OpenStore,
    pub devices: Vec<(DeviceNumber, PathBuf)>,
    _locks: Vec<DirectoryLock>,
}

/// The slowest answer counts: one directory that refuses io_uring moves all to threads.
fn probe(config: &Config, mounted: &[Mounted]) -> Result<Backend, StartError> {
    let mut chosen = Backend::Uring;
    for directory in mounted {
        match io::probe(&directory.path, config.storage.backend)? {
            Backend::Uring => {}
            threads @ Backend::Threads { .. } => chosen = threads,
        }
    }
    Ok(chosen)
}

fn mount(paths: &[PathBuf], ids: &IdSource) -> Result<Vec<Mounted>, StartError> {
    let mut mounted: Vec<Mounted> = Vec::with_capacity(paths.len());
    for path in paths {
        make_directory(path)?;
        let path = fs::canonicalize(path).map_err(|cause| StartError::Directory { path: path.clone(), cause })?;
        if let Some(other) = mounted.iter().find(|other| other.path == path) {
            return Err(StartError::SameDirectory { a: other.path.clone(), b: path });
        }
        let lock = DirectoryLock::take(&path)?;
        let device = device_id(&path, ids)?;
        mounted.push(Mounted { path, device, lock });
    }
    Ok(mounted)
}

fn make_directory(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| StartError::Directory { path: path.to_owned(), cause })
}

/// Reads the directory's id, or writes one durably on first use.
fn device_id(path: &Path, ids: &IdSource) -> Result<DeviceId, StartError> {
    let file = path.join(store::DEVICE_FILE);
    let wrap = |cause| StartError::Directory { path: path.to_owned(), cause };
    match fs::read_to_string(&file) {
        Ok(text) => {
            let id = Uuid::try_parse(text.trim()).map_err(|_| StartError::DeviceFile(path.to_owned()))?;
            Ok(DeviceId(id))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = DeviceId::new(ids);
            let part = path.join("DEVICE.tmp");
            let mut out = fs::File::create(&part).map_err(wrap)?;
            writeln!(out, "{id}").and_then(|()| out.sync_all()).map_err(wrap)?;
            fs::rename(&part, &file).map_err(wrap)?;
            fs::File::open(path).and_then(|directory| directory.sync_all()).map_err(wrap)?;
            Ok(id)
        }
        Err(cause) => Err(wrap(cause)),
    }
}
