//! `tessera catalog rebuild`: a catalog made again from manifests and chunks alone.
//!
//! | step | what                                                        | a crash after it leaves                        |
//! |------|-------------------------------------------------------------|------------------------------------------------|
//! | 1    | `catalog/rebuilt.db` written from the files, and durable    | a catalog that nobody looks at: begun anew     |
//! |      | without its log; else nothing of what follows               |                                                |
//! |      | the directories' files `DEVICES` brought up to date         | the same: they say no more than the files do   |
//! | 2    | what tombstones name removed, and the tombstones after it   | the same, and less to remove                   |
//! | 3    | `catalog.db` moved to `catalog/before-rebuild-<n>/`, durably | no catalog: a start refuses, this command goes on |
//! | 4    | its companions moved there, durably                         | the same                                       |
//! | 5    | `rebuilt.db` renamed to `catalog.db`                        | the new catalog                                |
//!
//! Manifests decide what is final. A session with chunks and no manifest comes back open: nobody reads it until somebody
//! finalizes it. What a tombstone beside the manifests names does not come back. Of two that claim one name the newer one
//! gets it, topic by topic where they were open. No other chunk file is removed; one that belongs nowhere gets its last
//! name, so that a start puts it into `lost/`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use crate::catalog::Admission;
use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::config::Config;
use crate::io::Host;
use crate::io::LockError;
use crate::model::ChunkId;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::session::Recalled;
use crate::session::RestoreError;
use crate::session::Restored;
use crate::store;

use super::devices;
use super::frozen;
use super::mount;
use super::mount::MountError;
use super::starts;

mod claims;
mod found;
mod place;
mod remains;

use found::Found;

const REBUILT: &str = "rebuilt.db";

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error(transparent)]
    Mount(MountError),
    #[error("{0}. The catalog can be made in another place: give --to DIR, and nothing else is changed")]
    ReadOnly(MountError),
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
    #[error(
        "data directory number {number} with DEVICE {device} belongs to these and is none of them: name every --data-dir that \
         the server had, or give --without-missing to make what lies on it DATA_LOSS", number = number.0
    )]
    Absent { number: DeviceNumber, device: DeviceId },
    #[error(
        "two data directories have the number {number}: they belong to different servers, or one was replaced by a version \
         that did not keep them apart; name those that belong together", number = number.0
    )]
    Twice { number: DeviceNumber },
    #[error(
        "{}: {cause}. Nothing was changed; when it stays so, move the file aside: its session comes back open then",
        path.display()
    )]
    Manifest { path: PathBuf, cause: String },
    #[error("{} is there already: name another place", .0.display())]
    Exists(PathBuf),
    #[error("the rebuilt catalog: {0}; when its disk is full, --to has it made in another place")]
    Catalog(#[from] CatalogError),
    #[error("the rebuilt catalog is not whole without {}; nothing was replaced", .0.display())]
    Log(PathBuf),
}

impl From<MountError> for RebuildError {
    fn from(error: MountError) -> Self {
        match &error {
            MountError::Lock(LockError::Open { cause, .. }) if cause.kind() == ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly(error)
            }
            _ => Self::Mount(error),
        }
    }
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
    /// Sessions and topics that were deleted and had files still: those are removed.
    pub purged: u64,
    /// Data directories on a read-only file system, where nobody can be kept out.
    pub unlocked: Vec<PathBuf>,
    /// Of the catalog that was there.
    pub old: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Problem {
    pub name: String,
    pub part: String,
    pub problem: String,
}

/// Makes the catalog again. Refuses beside a running server.
///
/// # Errors
/// [`RebuildError`]; the old catalog is in its place then, unless the crash table says otherwise.
pub async fn rebuild(config: &Config, plan: &RebuildPlan, host: &Host) -> Result<Rebuilt, RebuildError> {
    // Held to the end: a server that runs has them.
    let dirs = &config.storage.data_dirs;
    let (mounted, watched) = match &plan.to {
        None => (mount::mount(host, dirs)?, Vec::new()),
        Some(_) => (Vec::new(), frozen::watch(host, dirs)?),
    };
    let mut rebuilt = Rebuilt { unlocked: frozen::unlocked(&watched), ..Rebuilt::default() };
    let seen: Vec<(&Path, Option<DeviceId>)> = match &plan.to {
        None => mounted.iter().map(|directory| (&*directory.path, directory.device)).collect(),
        Some(_) => watched.iter().map(|directory| (&*directory.path, directory.device)).collect(),
    };
    let found = Found::look(host, &seen, plan, &mut rebuilt).await?;
    let Some(first) = found.places.first().map(|place| place.path.clone()) else { return Ok(rebuilt) };

    let target = match &plan.to {
        Some(directory) => directory.join("catalog.db"),
        None => first.join(store::CATALOG_DIRECTORY).join(REBUILT),
    };
    match &plan.to {
        Some(directory) => {
            if let Some(found) = place::found(host, &target) {
                return Err(RebuildError::Exists(found));
            }
            mount::make_directory(host, directory)?;
        }
        None => {
            mount::make_directory(host, &first.join(store::CATALOG_DIRECTORY))?;
            place::remove(host, &target)?;
            // The reserve of the old one is for such a moment. The next start makes it again, where there is room.
            let config = EmbeddedConfig { reserve_bytes: config.storage.reserve_bytes, ..EmbeddedConfig::default() };
            let _ = EmbeddedCatalog::make_room(host, &config, &mount::catalog_file(&first));
        }
    }
    let made = make(host, &target, found, plan, &mut rebuilt).await;
    let replaced = match made {
        Ok(()) if plan.to.is_none() => place::replace(host, &first, &target),
        other => other.map(|()| None),
    };
    match replaced {
        Ok(old) => rebuilt.old = old,
        Err(error) => {
            // Half a catalog only takes up room, which may be what is wanting. The error that is told is the first one.
            let _ = place::remove(host, &target);
            return Err(error);
        }
    }
    Ok(rebuilt)
}

/// Writes the new catalog, whole and durable, and does to the files what it makes of them.
async fn make(
    host: &Host,
    target: &Path,
    found: Found,
    plan: &RebuildPlan,
    rebuilt: &mut Rebuilt,
) -> Result<(), RebuildError> {
    let config = EmbeddedConfig { admission: Admission::Recalled, ..EmbeddedConfig::default() };
    let catalog = EmbeddedCatalog::open(&config, target)?;
    let filled = fill(host, &catalog, found, rebuilt).await;
    let finished = catalog.finish();
    let found = filled?;
    finished?;
    place::require_whole(host, target)?;
    if plan.to.is_some() {
        return Ok(());
    }
    let places: Vec<PathBuf> = found.places.iter().map(|place| place.path.clone()).collect();
    let devices: Vec<_> = found.devices.iter().map(|(number, device)| (*number, *device)).collect();
    devices::write(host, &places, &devices)?;
    found.tidy(rebuilt).await
}

async fn fill(
    host: &Host,
    catalog: &EmbeddedCatalog,
    mut found: Found,
    rebuilt: &mut Rebuilt,
) -> Result<Found, RebuildError> {
    let store = catalog.open_store();
    let ids = IdSource::from_seed(host.seed().map_err(wrap(Path::new("random numbers")))?);
    // Also those that are not here, so that no other one ever gets their number.
    for (number, device) in &found.devices {
        store.adopt_device(*number, *device).await?;
    }
    let mut sequences = BTreeSet::new();
    let mut claims = claims::Claims::default();
    let (mut done, manifests) = (BTreeSet::new(), std::mem::take(&mut found.manifests));
    let (winners, losers) = claims.settle(manifests);
    for (manifest, why) in losers {
        let session = manifest.session();
        rebuilt.problems.push(Problem {
            name: manifest.sequence().to_owned(),
            part: format!("manifest of session {session}"),
            problem: format!("{why}: it was deleted, or replaced; its files go to lost/"),
        });
        found.lose(session).await?;
        done.insert(session);
    }
    for manifest in winners {
        let session = manifest.session();
        let files = found.files(session).await?;
        done.insert(session);
        match manifest.restore((catalog, &store), &ids, &files.records).await {
            Ok(restored) => {
                sequences.insert(manifest.sequence().to_owned());
                rebuilt.add(restored);
                surplus(&manifest, files, &mut found, rebuilt);
            }
            Err(RestoreError::Refused(why)) => {
                rebuilt.problems.push(Problem {
                    name: manifest.sequence().to_owned(),
                    part: format!("manifest of session {session}"),
                    problem: format!("{why}: it does not come back, its files go to lost/"),
                });
                found.lose(session).await?;
            }
            Err(RestoreError::Catalog(error)) => return Err(error.into()),
        }
    }
    let open = remains::gather(host, &mut found, &done, rebuilt).await?;
    remains::restore((catalog, &store), &ids, &mut found, open, claims, (&mut sequences, &mut *rebuilt)).await?;
    found.tell_endless(rebuilt);
    found.reserve();
    for (number, device) in &found.devices {
        store.adopt_device(*number, *device).await?;
    }
    rebuilt.sequences = sequences.len() as u64;
    let seed = host.seed().map_err(wrap(Path::new("random numbers")))?;
    store.adopt_incarnation(found.incarnation, seed).await?;
    Ok(found)
}

/// Chunks of a final session that its manifest does not name. None was acknowledged as a part of it.
fn surplus(manifest: &Recalled, files: found::Files, found: &mut Found, rebuilt: &mut Rebuilt) {
    let named: BTreeSet<ChunkId> = manifest.chunks().filter_map(|(chunk, _)| chunk).collect();
    for remains in files.remains {
        let identity = &remains.described.identity;
        if !named.contains(&identity.chunk) {
            found.lose_chunk(manifest.session(), &remains);
            rebuilt.problems.push(Problem {
                name: identity.name.to_string(),
                part: format!("chunk {}", identity.chunk),
                problem: "the manifest of its session does not name it: its file goes to lost/".to_owned(),
            });
        }
    }
}

impl Rebuilt {
    fn add(&mut self, restored: Restored) {
        self.sessions += 1;
        self.topics += restored.topics;
        self.chunks += restored.chunks;
        self.rows += restored.rows;
        self.problems.extend(restored.lost.into_iter().map(|lost| Problem {
            name: lost.topic,
            part: format!("chunk {}", lost.chunk),
            problem: lost.why,
        }));
    }
}

fn wrap(what: &Path) -> impl Fn(std::io::Error) -> RebuildError + '_ {
    move |cause| RebuildError::Io { what: what.to_owned(), cause }
}
