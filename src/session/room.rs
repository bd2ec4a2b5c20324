//! What may begin while disks fill up: nothing new below the soft mark, no stream below the hard one.
//!
//! The room is measured at each question, so what is refused here is taken again as soon as there is room.

use super::error::SessionError;
use super::sessions::Desk;
use crate::model::DeviceNumber;
use crate::shard::Room;
use crate::shard::ShardError;
use crate::store::Level;

const SOFT_KEY: &str = "storage.soft_mark_bytes";
const HARD_KEY: &str = "storage.hard_mark_bytes";

impl Desk {
    /// Whether a sequence or a session may begin: there is room beside the catalog, and for chunks somewhere.
    ///
    /// # Errors
    /// [`SessionError::NoRoom`], [`SessionError::Shard`] when a disk cannot be asked.
    pub(super) async fn room_for(&self, what: &'static str) -> Result<(), SessionError> {
        let rooms = self.rooms().await?;
        // The catalog and the manifests lie on the first one.
        let first = rooms.first().map(|room| (room, room.shortage(Level::Soft)));
        let refused = match first {
            Some((_, Err(cause))) => return Err(failed(cause)),
            Some((room, Ok(Some(shortage)))) => Some((room.device, shortage)),
            // It has room, and so chunks have.
            _ => None,
        };
        match refused {
            Some((device, shortage)) => Err(SessionError::NoRoom { what, device, shortage, key: SOFT_KEY }),
            None => Ok(()),
        }
    }

    /// The devices that a topic of an open session may be placed on: those above the soft mark, or else above the hard one; of
    /// disks that hang or on which files fail, only where there is no other.
    ///
    /// # Errors
    /// [`SessionError::NoRoom`] when there is none, [`SessionError::Shard`] when a disk cannot be asked.
    pub(super) async fn devices_with_room(&self) -> Result<Vec<DeviceNumber>, SessionError> {
        let rooms = self.rooms().await?;
        let above = |level, ill: bool| -> Vec<DeviceNumber> {
            let fits = |room: &&Room| room.has(level) && (room.is_late || room.is_failing) == ill;
            rooms.iter().filter(fits).map(|room| room.device).collect()
        };
        // One that hangs or fails is better than none: it may come back.
        let choices = [(Level::Soft, false), (Level::Hard, false), (Level::Soft, true), (Level::Hard, true)];
        if let Some(devices) = choices.map(|(level, ill)| above(level, ill)).into_iter().find(|d| !d.is_empty()) {
            return Ok(devices);
        }
        for room in &rooms {
            if let Some(shortage) = room.shortage(Level::Hard).map_err(failed)? {
                return Err(SessionError::NoRoom { what: "a new topic", device: room.device, shortage, key: HARD_KEY });
            }
        }
        Ok(Vec::new())
    }

    /// Whether a stream may begin on this device.
    ///
    /// # Errors
    /// [`SessionError::NoRoom`], [`SessionError::Shard`] when a disk cannot be asked.
    pub(super) async fn room_on(&self, device: DeviceNumber) -> Result<(), SessionError> {
        let rooms = self.rooms().await?;
        let Some(room) = rooms.iter().find(|room| room.device == device) else { return Ok(()) };
        match room.shortage(Level::Hard).map_err(failed)? {
            Some(shortage) => Err(SessionError::NoRoom { what: "a new stream", device, shortage, key: HARD_KEY }),
            None => Ok(()),
        }
    }

    async fn rooms(&self) -> Result<Vec<Room>, SessionError> {
        self.shards.measure().await.map_err(failed)
    }
}

fn failed(cause: ShardError) -> SessionError {
    SessionError::Shard { what: "the room on the data directories".to_owned(), cause: Box::new(cause) }
}
