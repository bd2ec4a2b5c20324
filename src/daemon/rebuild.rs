//! `tessera catalog rebuild`: a catalog made again from manifests and chunks alone.
//!
//! | step | what                                                        | a crash after it leaves                        |
//! |------|-------------------------------------------------------------|------------------------------------------------|
//! | 1    | `catalog/rebuilt.db` written from the files                 | a catalog that nobody looks at: begun anew     |
//! | 2    | the old catalog moved to `catalog/before-rebuild-<n>/`      | no catalog: a start refuses, this command goes on |
//! | 3    | `rebuilt.db` renamed to `catalog.db`                        | the new catalog                                |
//!
//! Manifests decide what is final. A session with chunks and no manifest comes back open: nobody reads it until somebody
//! finalizes it. No chunk file is removed; one that belongs nowhere gets its last name, so that a start puts it into `lost/`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;

use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::OpenStore;
use crate::config::Config;
use crate::io::BlockDevice;
use crate::io::BlockingPool;
use crate::io::Host;
use crate::io::ThreadDevice;
use crate::io::wall_ns;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::SessionId;
use crate::session::OpenRemains;
use crate::session::Recalled;
use crate::session::Restored;
use crate::session::SessionError;
use crate::session::restore_open;
use crate::store;

use super::mount;
use super::mount::MountError;

mod place;

const REBUILT: &str = "rebuilt.db";

/// A manifest is held in memory.
const MANIFEST_BYTES_MAX: usize = 1 << 30;

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("{what}: {cause}", what = .what.display())]
    Io { what: PathBuf, cause: std::io::Error },
    #[error("{} was never a data directory: it has no DEVICE file", .0.display())]
    NeverUsed(PathBuf),
    #[error(
        "data directory {} has the {what}, and it is not named first: name it first, for the new catalog goes there",
        holder.display()
    )]
    Order { holder: PathBuf, what: &'static str },
    #[error(
        "chunks of {sequence} lie on data directory number {number}, which is none of these: name every --data-dir that the \
         server had, or give --without-missing to make their rows DATA_LOSS", number = device.0
    )]
    Missing { sequence: String, device: DeviceNumber },
    #[error("{} is there already: name another place", .0.display())]
    Exists(PathBuf),
    #[error("the rebuilt catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error("the rebuilt catalog: {0}")]
    Session(#[from] SessionError),
}

/// What is asked for beside the data directories.
#[derive(Clone, Debug, Default)]
pub struct RebuildPlan {
    /// Where the catalog goes; the data directories are left as they are then. `None` puts it into its place.
    pub to: Option<PathBuf>,
    /// Go on without data directories that chunks lie on.
    pub without_missing: bool,
}

/// What came back, and what did not.
#[derive(Clone, Debug, Default)]
pub struct Rebuilt {
    pub sequences: u64,
    pub sessions: u64,
    /// Of them, those that came back open.
    pub open: u64,
    pub topics: u64,
    pub chunks: u64,
    pub rows: u64,
    pub problems: Vec<Problem>,
    /// Of the catalog that was there.
    pub old: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub name: String,
    pub part: String,
    pub problem: String,
}

struct Place {
    path: PathBuf,
    id: DeviceId,
    number: DeviceNumber,
    device: Rc<dyn BlockDevice>,
}

/// What a session's files say of themselves.
#[derive(Default)]
struct Files {
    records: HashMap<ChunkId, Result<ChunkRecord, String>>,
    remains: Vec<(crate::chunk::Described, arrow::datatypes::SchemaRef)>,
    /// Of those that were described, the ones without their last name, and where.
    unnamed: Vec<(usize, ChunkId)>,
}

/// Makes the catalog again. Refuses beside a running server.
///
/// # Errors
/// [`RebuildError`]; the old catalog is in its place then, unless the crash table says otherwise.
pub async fn rebuild(config: &Config, plan: &RebuildPlan) -> Result<Rebuilt, RebuildError> {
    let host = Host::default();
    // Held to the end: a server that runs has them.
    let mounted = mount::mount(&host, &config.storage.data_dirs)?;
    let mut places = open(&host, &mounted)?;
    let Some(first) = places.first().map(|place| place.path.clone()) else { return Ok(Rebuilt::default()) };
    number(&mut places).await?;

    let mut rebuilt = Rebuilt::default();
    let manifests = manifests(&places, plan, &mut rebuilt).await?;
    let target = match &plan.to {
        Some(directory) => directory.join("catalog.db"),
        None => first.join(store::CATALOG_DIRECTORY).join(REBUILT),
    };
    match &plan.to {
        Some(_) if host.exists(&target).unwrap_or(true) => return Err(RebuildError::Exists(target)),
        Some(directory) => mount::make_directory(&host, directory)?,
        None => {
            mount::make_directory(&host, &first.join(store::CATALOG_DIRECTORY))?;
            place::remove(&host, &target)?;
        }
    }
    let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &target)?;
    let made = fill(&catalog, &places, manifests, plan, &mut rebuilt).await;
    catalog.close();
    made?;
    if plan.to.is_none() {
        rebuilt.old = place::replace(&host, &first, &target)?;
    }
    Ok(rebuilt)
}

fn open(host: &Host, mounted: &[mount::Mounted]) -> Result<Vec<Place>, RebuildError> {
    let pool = |name, threads| BlockingPool::new(name, threads).map_err(wrap(Path::new("threads")));
    let (names, blocks) = (pool("names", 1)?, pool("blocks", 4)?);
    let mut places = Vec::new();
    for (index, directory) in mounted.iter().enumerate() {
        let path = directory.path.clone();
        let id = directory.device.ok_or_else(|| RebuildError::NeverUsed(path.clone()))?;
        for (what, name) in [("catalog", mount::catalog_file(&path)), ("manifests", path.join("manifests"))] {
            let has = match what {
                "catalog" => host.exists(&name).unwrap_or(false),
                _ => host.has_entries(&name).unwrap_or(false),
            };
            if index > 0 && has {
                return Err(RebuildError::Order { holder: path, what });
            }
        }
        let device = ThreadDevice::open(&path, names.clone(), blocks.clone()).map_err(wrap(&path))?;
        places.push(Place { path, id, number: DeviceNumber(0), device: Rc::new(device) });
    }
    Ok(places)
}

/// Finds the number of each device in the first of its chunks that tells it; those without any get numbers nobody has.
async fn number(places: &mut [Place]) -> Result<(), RebuildError> {
    let mut told = Vec::with_capacity(places.len());
    for place in &*places {
        told.push(number_of(place).await?);
    }
    let mut taken: BTreeSet<u16> = told.iter().flatten().map(|number| number.0).collect();
    for (place, told) in places.iter_mut().zip(told) {
        place.number = told.unwrap_or_else(|| {
            let free = (0..=u16::MAX).find(|number| !taken.contains(number)).unwrap_or(u16::MAX);
            taken.insert(free);
            DeviceNumber(free)
        });
    }
    Ok(())
}

async fn number_of(place: &Place) -> Result<Option<DeviceNumber>, RebuildError> {
    for session in sessions(place).await? {
        let stored = store::stored_chunks(&*place.device, session).await.map_err(wrap(&place.path))?;
        for chunk in stored {
            if let Ok((described, _)) = store::describe_chunk(&place.device, session, chunk).await {
                return Ok(Some(described.identity.device));
            }
        }
    }
    Ok(None)
}

async fn sessions(place: &Place) -> Result<Vec<SessionId>, RebuildError> {
    match store::stored(&*place.device).await {
        Ok((sessions, _)) => Ok(sessions),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(wrap(&place.path)(error)),
    }
}

/// All manifests that are whole, in the order of what they speak of.
async fn manifests(
    places: &[Place],
    plan: &RebuildPlan,
    rebuilt: &mut Rebuilt,
) -> Result<BTreeMap<((i64, i64), SessionId), Recalled>, RebuildError> {
    let (mut whole, Some(first)) = (BTreeMap::new(), places.first()) else { return Ok(BTreeMap::new()) };
    let known: BTreeSet<DeviceNumber> = places.iter().map(|place| place.number).collect();
    for session in store::stored_manifests(&*first.device).await.map_err(wrap(&first.path))? {
        let path = store::manifest_file(session);
        let read = first.device.read_small(&path, MANIFEST_BYTES_MAX).await.map_err(|error| error.to_string());
        match read.and_then(|bytes| Recalled::parse(session, &bytes).map_err(|error| error.to_string())) {
            Ok(manifest) => {
                let missing = manifest.chunks().find(|(_, device)| !known.contains(device));
                if let (Some((_, device)), false) = (missing, plan.without_missing) {
                    return Err(RebuildError::Missing { sequence: manifest.sequence().to_owned(), device });
                }
                whole.insert((manifest.order(), session), manifest);
            }
            Err(why) => rebuilt.problems.push(Problem {
                name: format!("session {session}"),
                part: "manifest".to_owned(),
                problem: format!("{why}: it is not final any more, what its chunks tell comes back as an open session"),
            }),
        }
    }
    Ok(whole)
}

async fn fill(
    catalog: &EmbeddedCatalog,
    places: &[Place],
    manifests: BTreeMap<((i64, i64), SessionId), Recalled>,
    plan: &RebuildPlan,
    rebuilt: &mut Rebuilt,
) -> Result<(), RebuildError> {
    let store = catalog.open_store();
    let ids = IdSource::from_seed(Host::default().seed().map_err(wrap(Path::new("random numbers")))?);
    for place in places {
        store.adopt_device(place.number, place.id).await?;
    }
    let (mut sequences, mut done) = (BTreeSet::new(), BTreeSet::new());
    for ((_, session), manifest) in manifests {
        let files = files(places, session).await?;
        let restored = manifest.restore((catalog, &store), &ids, &files.records).await?;
        sequences.insert(manifest.sequence().to_owned());
        done.insert(session);
        add(rebuilt, restored);
    }
    let mut others = BTreeSet::new();
    for place in places {
        others.extend(sessions(place).await?);
    }
    for session in others.difference(&done) {
        let files = files(places, *session).await?;
        let at = (places, *session);
        reopen((catalog, &store), &ids, at, files, plan, (&mut sequences, &mut *rebuilt)).await?;
    }
    rebuilt.sequences = sequences.len() as u64;
    Ok(())
}

/// Brings back a session that no manifest tells of.
async fn reopen(
    (catalog, store): (&EmbeddedCatalog, &OpenStore),
    ids: &IdSource,
    (places, session): (&[Place], SessionId),
    files: Files,
    plan: &RebuildPlan,
    (sequences, rebuilt): (&mut BTreeSet<String>, &mut Rebuilt),
) -> Result<(), RebuildError> {
    let unreadable = files.records.iter().filter_map(|(chunk, record)| Some((chunk, record.as_ref().err()?)));
    rebuilt.problems.extend(unreadable.map(|(chunk, why)| Problem {
        name: format!("session {session}"),
        part: format!("chunk {chunk}"),
        problem: format!("{why}: it is left out of the open session"),
    }));
    let Some((any, _)) = files.remains.first() else { return Ok(()) };
    let name = any.identity.name.sequence.to_string();
    match restore_open((catalog, store), ids, OpenRemains { session, chunks: files.remains }, wall_ns()).await {
        Ok(restored) => {
            sequences.insert(name);
            rebuilt.open += 1;
            add(rebuilt, restored);
            Ok(())
        }
        Err(SessionError::AlreadyExists { name, .. }) => {
            if plan.to.is_none() {
                for (place, chunk) in files.unnamed {
                    let Some(place) = places.get(place) else { continue };
                    store::keep_chunk(&*place.device, session, chunk).await.map_err(wrap(&place.path))?;
                }
            }
            rebuilt.problems.push(Problem {
                name,
                part: format!("session {session}"),
                problem: "another one has its name, so it was deleted or never finalized: its files go to lost/"
                    .to_owned(),
            });
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn files(places: &[Place], session: SessionId) -> Result<Files, RebuildError> {
    let mut files = Files::default();
    for (index, place) in places.iter().enumerate() {
        for stored in store::stored_chunks(&*place.device, session).await.map_err(wrap(&place.path))? {
            match store::describe_chunk(&place.device, session, stored).await {
                Ok((mut described, schema)) => {
                    described.record.device = place.number;
                    if !stored.is_named {
                        files.unnamed.push((index, stored.chunk));
                    }
                    files.records.insert(stored.chunk, Ok(described.record.clone()));
                    files.remains.push((described, schema));
                }
                // A file without its last name and without an end was being written: nobody was told of its rows.
                Err(_) if !stored.is_named => {}
                Err(error) => drop(files.records.insert(stored.chunk, Err(error.to_string()))),
            }
        }
    }
    Ok(files)
}

fn add(rebuilt: &mut Rebuilt, restored: Restored) {
    rebuilt.sessions += 1;
    rebuilt.topics += restored.topics;
    rebuilt.chunks += restored.chunks;
    rebuilt.rows += restored.rows;
    rebuilt.problems.extend(restored.lost.into_iter().map(|lost| Problem {
        name: lost.topic,
        part: format!("chunk {}", lost.chunk),
        problem: lost.why,
    }));
}

fn wrap(what: &Path) -> impl Fn(std::io::Error) -> RebuildError + '_ {
    move |cause| RebuildError::Io { what: what.to_owned(), cause }
}
