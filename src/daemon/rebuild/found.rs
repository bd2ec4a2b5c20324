//! What the data directories hold: manifests, tombstones, and chunks that tell who they are.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;

use arrow::datatypes::SchemaRef;

use super::Problem;
use super::RebuildError;
use super::RebuildPlan;
use super::Rebuilt;
use super::devices;
use super::mount;
use super::starts;
use super::wrap;
use crate::chunk::Described;
use crate::io::BlockDevice;
use crate::io::BlockingPool;
use crate::io::FaultDevice;
use crate::io::Host;
use crate::io::ThreadDevice;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::SessionId;
use crate::session::ManifestError;
use crate::session::Recalled;
use crate::store;
use crate::store::Tombstones;

/// A manifest is held in memory.
const MANIFEST_BYTES_MAX: usize = 1 << 30;

pub(super) struct Place {
    pub path: PathBuf,
    pub id: DeviceId,
    pub number: DeviceNumber,
    pub device: Rc<dyn BlockDevice>,
}

/// Everything that lies in the data directories, but for what single sessions have.
pub(super) struct Found {
    pub places: Vec<Place>,
    /// Those that are whole and name no missing data directory, unless that is wanted.
    pub manifests: Vec<Recalled>,
    tombstones: Tombstones,
    /// Every data directory that belongs to these, as far as they tell: also those that are not here.
    pub devices: BTreeMap<DeviceNumber, DeviceId>,
    /// Every number that a manifest or a chunk names.
    pub named: BTreeSet<DeviceNumber>,
    /// Whether one of them is not here.
    is_missing: bool,
    /// Chunks of deleted topics.
    deleted: Vec<(usize, SessionId, ChunkId)>,
    /// Chunks of what does not come back that have not got their last name.
    unnamed: Vec<(usize, SessionId, ChunkId)>,
    /// Files of these that have no end, or a damaged one, and not their last name.
    endless: Vec<(usize, SessionId, ChunkId)>,
    /// Sessions whose manifest does not come back.
    lost: Vec<SessionId>,
    /// The greatest start that any directory or chunk names.
    pub incarnation: u64,
}

/// What a session's files say of themselves.
#[derive(Default)]
pub(super) struct Files {
    pub records: HashMap<ChunkId, Result<ChunkRecord, String>>,
    pub remains: Vec<Remains>,
}

/// A chunk that tells who it is, and where.
pub(super) struct Remains {
    pub described: Described,
    pub schema: SchemaRef,
    pub place: usize,
    pub is_named: bool,
}

impl Found {
    pub async fn look(
        host: &Host,
        seen: &[(&Path, Option<DeviceId>)],
        plan: &RebuildPlan,
        rebuilt: &mut Rebuilt,
    ) -> Result<Self, RebuildError> {
        let mut places = open(host, seen)?;
        let (mut tombstones, mut manifests, mut lost) = (Tombstones::default(), Vec::new(), Vec::new());
        if let Some(first) = places.first() {
            tombstones = store::stored_tombstones(&*first.device).await.map_err(wrap(&first.path))?;
            (manifests, lost) = read_manifests(first, &tombstones, rebuilt).await?;
        }
        let mut devices = named(host, &places)?;
        let mut incarnation = 0;
        for place in &places {
            incarnation = incarnation.max(starts::read(host, &place.path)?.map_or(0, |start| start.number));
        }
        number(&mut places, &manifests, &devices).await?;
        let known: BTreeSet<DeviceNumber> = places.iter().map(|place| place.number).collect();
        let absent: Vec<_> = devices.iter().filter(|(number, _)| !known.contains(number)).collect();
        let told = absent.iter().find(|(_, id)| !id.is_untold());
        if let (Some((number, device)), false) = (told, plan.without_missing) {
            return Err(RebuildError::Absent { number: **number, device: **device });
        }
        let missing = |manifest: &Recalled| manifest.chunks().find(|(_, device)| !known.contains(device));
        let first = manifests.iter().find_map(|manifest| Some((manifest.sequence().to_owned(), missing(manifest)?.1)));
        let is_missing = first.is_some() || !absent.is_empty();
        if let (Some((sequence, device)), false) = (first, plan.without_missing) {
            return Err(RebuildError::Missing { sequence, device });
        }
        let named = manifests.iter().flat_map(Recalled::chunks).map(|(_, device)| device).collect();
        devices.extend(places.iter().map(|place| (place.number, place.id)));
        let (deleted, unnamed, endless) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            places,
            manifests,
            tombstones,
            devices,
            named,
            is_missing,
            deleted,
            unnamed,
            endless,
            lost,
            incarnation,
        })
    }

    /// The sessions with a directory somewhere that are not among these and were not deleted.
    pub async fn others(&self, done: &BTreeSet<SessionId>) -> Result<BTreeSet<SessionId>, RebuildError> {
        let mut others = BTreeSet::new();
        for place in &self.places {
            others.extend(sessions(place).await?);
        }
        others.retain(|session| !done.contains(session) && !self.tombstones.sessions.contains(session));
        Ok(others)
    }

    /// Keeps the numbers that files name and nobody has from every other data directory. Once all files were read.
    pub fn reserve(&mut self) {
        for number in &self.named {
            self.devices.entry(*number).or_insert_with(|| DeviceId::untold(*number));
        }
    }

    /// Reads the end of every file of a session. Chunks of topics that were deleted are left out, and removed at the end.
    pub async fn files(&mut self, session: SessionId) -> Result<Files, RebuildError> {
        let mut files = Files::default();
        for (index, place) in self.places.iter().enumerate() {
            for stored in store::stored_chunks(&*place.device, session).await.map_err(wrap(&place.path))? {
                match store::describe_chunk(&place.device, session, stored).await {
                    Ok((described, _)) if self.tombstones.topics.contains(&(session, described.identity.topic)) => {
                        self.deleted.push((index, session, stored.chunk));
                    }
                    Ok((mut described, schema)) => {
                        self.incarnation = self.incarnation.max(described.identity.incarnation);
                        self.named.insert(described.identity.device);
                        described.record.device = place.number;
                        files.records.insert(stored.chunk, Ok(described.record.clone()));
                        files.remains.push(Remains { described, schema, place: index, is_named: stored.is_named });
                    }
                    // Most often it was being written, and nobody was told of its rows. What is damaged looks the same.
                    Err(_) if !stored.is_named => self.endless.push((index, session, stored.chunk)),
                    Err(error) => drop(files.records.insert(stored.chunk, Err(error.to_string()))),
                }
            }
        }
        Ok(files)
    }

    /// A session that was final and does not come back: whatever is whole of it is kept.
    pub async fn lose(&mut self, session: SessionId) -> Result<(), RebuildError> {
        self.lost.push(session);
        let files = self.files(session).await?;
        files.remains.iter().for_each(|remains| self.lose_chunk(session, remains));
        Ok(())
    }

    /// The same of one chunk.
    pub fn lose_chunk(&mut self, session: SessionId, remains: &Remains) {
        if !remains.is_named {
            self.lose_file(remains.place, session, remains.described.identity.chunk);
        }
    }

    /// The same of a file that has not got its last name.
    pub fn lose_file(&mut self, place: usize, session: SessionId, chunk: ChunkId) {
        self.unnamed.push((place, session, chunk));
    }

    /// Tells of the files that nobody can read: they may have been acknowledged.
    pub fn tell_endless(&self, rebuilt: &mut Rebuilt) {
        let told = self.endless.iter().map(|(_, session, chunk)| Problem {
            name: format!("session {session}"),
            part: format!("chunk {chunk}"),
            problem: "its file has no end, or a damaged one: it was being written, or is damaged; it goes to lost/"
                .to_owned(),
        });
        rebuilt.problems.extend(told);
    }

    /// Removes what was deleted, and gives what does not come back its last names. Once the new catalog is whole.
    pub async fn tidy(self, rebuilt: &mut Rebuilt) -> Result<(), RebuildError> {
        for (place, session, chunk) in self.unnamed.iter().chain(&self.endless) {
            let Some(place) = self.places.get(*place) else { continue };
            store::keep_chunk(&*place.device, *session, *chunk).await.map_err(wrap(&place.path))?;
        }
        if let Some(first) = self.places.first() {
            for session in &self.lost {
                store::lose_manifest(&*first.device, *session).await.map_err(wrap(&first.path))?;
            }
        }
        let mut touched = BTreeSet::new();
        for (index, session, chunk) in &self.deleted {
            let Some(place) = self.places.get(*index) else { continue };
            store::discard_chunk(&*place.device, *session, *chunk).await.map_err(wrap(&place.path))?;
            touched.insert((*index, *session));
        }
        for (index, session) in touched {
            let Some(place) = self.places.get(index) else { continue };
            let directory = store::session_directory(session);
            place.device.sync_directory(&directory).await.map_err(wrap(&directory))?;
        }
        for session in &self.tombstones.sessions {
            for place in &self.places {
                store::discard_session(&*place.device, *session).await.map_err(wrap(&place.path))?;
            }
        }
        rebuilt.purged = (self.tombstones.sessions.len() + self.tombstones.topics.len()) as u64;
        let Some(first) = self.places.first().filter(|_| !self.is_missing) else {
            // Files of what was deleted may lie on what is missing, so the tombstones stay.
            return Ok(());
        };
        for (session, topic) in &self.tombstones.topics {
            store::forget_topic(&*first.device, *session, *topic).await.map_err(wrap(&first.path))?;
        }
        for session in &self.tombstones.sessions {
            store::forget_session(&*first.device, *session).await.map_err(wrap(&first.path))?;
        }
        Ok(())
    }
}

fn open(host: &Host, seen: &[(&Path, Option<DeviceId>)]) -> Result<Vec<Place>, RebuildError> {
    let pool = |name, threads| BlockingPool::new(name, threads).map_err(wrap(Path::new("threads")));
    let (names, blocks) = (pool("names", 1)?, pool("blocks", 4)?);
    let mut places = Vec::new();
    for (index, (path, id)) in seen.iter().enumerate() {
        let path = path.to_path_buf();
        let id = id.ok_or_else(|| RebuildError::NeverUsed(path.clone()))?;
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
        let device: Rc<dyn BlockDevice> = match host.faults() {
            Some(script) => Rc::new(FaultDevice::new(Rc::new(device), &path, script)),
            None => Rc::new(device),
        };
        places.push(Place { path, id, number: DeviceNumber(0), device });
    }
    Ok(places)
}

/// What the files `DEVICES` name, together.
fn named(host: &Host, places: &[Place]) -> Result<BTreeMap<DeviceNumber, DeviceId>, RebuildError> {
    let mut all = BTreeMap::new();
    for place in places {
        for (number, id) in devices::read(host, &place.path)?.into_iter().flatten() {
            match all.insert(number, id) {
                Some(other) if id.is_untold() => drop(all.insert(number, other)),
                Some(other) if other != id && !other.is_untold() => return Err(RebuildError::Twice { number }),
                _ => {}
            }
        }
    }
    Ok(all)
}

/// Finds the number of each device: where the files `DEVICES` say it, else in the first of its chunks that tells it. Those without
/// any get numbers that nobody has: no other device, and none that a manifest names, for that one may be missing.
async fn number(
    places: &mut [Place],
    manifests: &[Recalled],
    devices: &BTreeMap<DeviceNumber, DeviceId>,
) -> Result<(), RebuildError> {
    let mut told = Vec::with_capacity(places.len());
    for place in &*places {
        let named = devices.iter().find(|(_, id)| **id == place.id).map(|(number, _)| *number);
        told.push(match named {
            Some(number) => Some(number),
            None => number_of(place).await?,
        });
    }
    let named = manifests.iter().flat_map(Recalled::chunks).map(|(_, device)| device);
    let mut taken: BTreeSet<DeviceNumber> =
        told.iter().flatten().copied().chain(named).chain(devices.keys().copied()).collect();
    for (place, told) in places.iter_mut().zip(&told) {
        place.number = told.unwrap_or_else(|| {
            let free = (0..=u16::MAX).map(DeviceNumber).find(|number| !taken.contains(number));
            let free = free.unwrap_or(DeviceNumber(u16::MAX));
            taken.insert(free);
            free
        });
    }
    let mut once = BTreeSet::new();
    match places.iter().find(|place| {
        let other = devices.get(&place.number).is_some_and(|id| *id != place.id && !id.is_untold());
        other || !once.insert(place.number)
    }) {
        Some(place) => Err(RebuildError::Twice { number: place.number }),
        None => Ok(()),
    }
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

/// All manifests but for those of what was deleted; and the sessions whose manifest is damaged.
async fn read_manifests(
    first: &Place,
    tombstones: &Tombstones,
    rebuilt: &mut Rebuilt,
) -> Result<(Vec<Recalled>, Vec<SessionId>), RebuildError> {
    let (mut whole, mut damaged) = (Vec::new(), Vec::new());
    for session in store::stored_manifests(&*first.device).await.map_err(wrap(&first.path))? {
        if tombstones.sessions.contains(&session) {
            continue;
        }
        let path = store::manifest_file(session);
        // A disk that does not answer, or a version that does not understand, says nothing about the session.
        let unread = |cause: String| RebuildError::Manifest { path: first.path.join(&path), cause };
        let bytes =
            first.device.read_small(&path, MANIFEST_BYTES_MAX).await.map_err(|error| unread(error.to_string()))?;
        match Recalled::parse(session, &bytes) {
            Ok(manifest) => whole.push(manifest),
            Err(error @ ManifestError::Format { .. }) => return Err(unread(error.to_string())),
            Err(why) => {
                damaged.push(session);
                rebuilt.problems.push(Problem {
                    name: format!("session {session}"),
                    part: "manifest".to_owned(),
                    problem: format!(
                        "{why}: it goes to lost/ and the session is not final any more, what its chunks tell comes back as an open \
                         session"
                    ),
                });
            }
        }
    }
    Ok((whole, damaged))
}
