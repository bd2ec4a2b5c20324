//! What is done to the data directories besides writing and reading chunks.

use std::rc::Rc;
use std::time::Duration;

use futures::TryFutureExt;

use crate::catalog::CatalogError;
use crate::catalog::Tombstone;
use crate::io::Space;
use crate::io::failpoint;
use crate::model::DeviceNumber;
use crate::model::SessionId;
use crate::model::TopicId;
use crate::store;
use crate::store::Level;
use crate::store::Marks;
use crate::store::Measured;
use crate::store::Shortage;

use super::error::ShardError;
use super::worker::ShardContext;

/// How long a disk may take to say how much room it has: an answer to a client may wait for it.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long files may take to be removed before those on other disks are seen to, and how long what hung before may take.
const REMOVAL: Duration = Duration::from_secs(5);
const REMOVAL_LEFT: Duration = Duration::from_millis(20);

/// How a data directory stands to its marks.
#[derive(Clone, Debug)]
pub struct Room {
    pub device: DeviceNumber,
    /// As it was last told; nothing when it never was.
    pub space: Space,
    pub marks: Marks,
    /// Its disk has not answered in time.
    pub is_late: bool,
    /// Files could not be made or written on it, and cannot be yet.
    pub is_failing: bool,
    /// Why it cannot be asked: this data directory alone.
    pub trouble: Option<ShardError>,
}

impl Room {
    /// What is short at this mark; `None` above it.
    ///
    /// # Errors
    /// [`ShardError::Io`] when its disk cannot be asked.
    pub fn shortage(&self, level: Level) -> Result<Option<Shortage>, ShardError> {
        match &self.trouble {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(self.marks.shortage(&self.space, level)),
        }
    }

    /// Whether its disk can be asked, and is above this mark.
    pub fn has(&self, level: Level) -> bool {
        self.shortage(level).is_ok_and(|shortage| shortage.is_none())
    }
}

/// Measures every device, in the order of the configuration, and wakes the writers when one is below its hard mark. None of
/// them waits for another.
pub async fn measure(context: &ShardContext) -> Vec<Room> {
    let measured = context.mounted().map(|(device, directory)| async move {
        let (marks, is_failing) = (directory.marks(), directory.is_failing());
        match directory.measure_within(context.clock.sleep(PATIENCE)).await {
            Ok(Measured { space, is_late }) => Room { device, space, marks, is_late, is_failing, trouble: None },
            Err(error) => {
                let trouble = Some(context.io_error(device, &error));
                Room { device, space: Space::default(), marks, is_late: false, is_failing, trouble }
            }
        }
    });
    let rooms = futures::future::join_all(measured).await;
    if context.directories.values().any(|directory| directory.shortage().is_some()) {
        context.room_short.call();
    }
    rooms
}

/// What several shards found: a disk that one of them waits for hangs, and one fails that failed one of them.
pub fn together(shards: Vec<Vec<Room>>) -> Vec<Room> {
    let mut shards = shards.into_iter();
    let mut rooms = shards.next().unwrap_or_default();
    for other in shards {
        for (room, other) in rooms.iter_mut().zip(other) {
            room.is_late |= other.is_late;
            room.is_failing |= other.is_failing;
        }
    }
    rooms
}

/// Removes what can be reached, and then what says that it was deleted. With files on a device that is not mounted, or whose disk
/// hangs, it fails all the same, so that the tombstone stays until they are gone too.
pub async fn purge(context: &ShardContext, tombstone: &Tombstone) -> Result<(), ShardError> {
    let of_session;
    let records = match &tombstone.topic {
        Some((_, records)) => records,
        None => {
            of_session = match context.open_store.committed_chunks(tombstone.session).await {
                // Purged before: nothing is left to ask for.
                Err(CatalogError::NotFound { .. }) => Vec::new(),
                other => other?,
            };
            &of_session
        }
    };
    let removals = context.directories.iter().map(|(number, directory)| {
        let (own, session, is_topic) = (Rc::clone(directory), tombstone.session, tombstone.topic.is_some());
        let chunks: Vec<_> = records.iter().filter(|r| r.device == *number).map(|r| r.chunk).collect();
        let removal = async move {
            match is_topic {
                true => store::remove_chunks(&own, session, &chunks).await,
                false => store::remove_session(&own, session).await,
            }
        };
        let (patience, earlier) = (context.clock.sleep(REMOVAL), context.clock.sleep(REMOVAL_LEFT));
        let removed = directory.remove_within(removal, patience, earlier);
        removed.map_err(|error| context.io_error(*number, &error))
    });
    // All of them, whatever one says: the others free their room.
    futures::future::join_all(removals).await.into_iter().collect::<Result<(), _>>()?;
    match records.iter().find(|record| !context.directories.contains_key(&record.device)) {
        Some(record) => Err(ShardError::DeviceMissing(record.device)),
        None => forget(context, tombstone).await,
    }
}

pub async fn write_manifest(context: &ShardContext, session: SessionId, bytes: Vec<u8>) -> Result<(), ShardError> {
    let (number, directory) = context.manifest_directory()?;
    let path = store::manifest_file(session);
    let written = directory.device.write_small(&path, bytes).await;
    written.map_err(|e| context.io_error(number, &store::failed("writing", &path)(e)))
}

/// A manifest of 60 000 chunks: what reads one beside everything else takes no more memory.
const MANIFEST_BYTES_MAX: usize = 16 << 20;

pub async fn read_manifest(context: &ShardContext, session: SessionId) -> Result<Vec<u8>, ShardError> {
    let (number, directory) = context.manifest_directory()?;
    let path = store::manifest_file(session);
    let read = directory.device.read_small(&path, MANIFEST_BYTES_MAX).await;
    read.map_err(|e| context.io_error(number, &store::failed("reading", &path)(e)))
}

/// Removes the manifests and the drafts of them. Those that are gone are synced all the same: an earlier attempt may have ended
/// before its sync.
pub async fn remove_manifests(context: &ShardContext, sessions: &[SessionId]) -> Result<(), ShardError> {
    let (number, directory) = context.manifest_directory()?;
    for session in sessions {
        for path in [store::manifest_draft(*session), store::manifest_file(*session)] {
            match directory.device.unlink(&path).await {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(context.io_error(number, &store::failed("removing", &path)(error))),
                Ok(()) => failpoint("recover: manifest removed"),
            }
        }
    }
    let place = std::path::Path::new(store::MANIFESTS_DIRECTORY);
    let synced = directory.device.sync_directory(place).await;
    synced.map_err(|e| context.io_error(number, &store::failed("syncing", place)(e)))
}
async fn forget(context: &ShardContext, tombstone: &Tombstone) -> Result<(), ShardError> {
    let (number, directory) = context.manifest_directory()?;
    let forgotten = match &tombstone.topic {
        None => store::forget_session(&*directory.device, tombstone.session).await,
        Some((topic, _)) => store::forget_topic(&*directory.device, tombstone.session, *topic).await,
    };
    forgotten.map_err(|error| context.io_error(number, &error))
}

/// Says durably that a session, or a topic of it, was deleted. A session's manifest is gone after that.
pub async fn bury(context: &ShardContext, session: SessionId, topic: Option<TopicId>) -> Result<(), ShardError> {
    let (number, directory) = context.manifest_directory()?;
    let buried = match topic {
        None => store::bury_session(&*directory.device, session).await,
        Some(topic) => store::bury_topic(&*directory.device, session, topic).await,
    };
    buried.map_err(|error| context.io_error(number, &error))
}
