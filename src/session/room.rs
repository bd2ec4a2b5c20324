//! What may begin while disks fill up: nothing new below the soft mark, no stream below the hard one.
//!
//! The room is measured at each question, so what is refused here is taken again as soon as there is room.

use super::error::SessionError;
use super::sessions::Desk;
use crate::model::DeviceNumber;
use crate::shard::Room;
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
        let short = |room: &Room| Some((room.device, room.shortage(Level::Soft)?));
        let shortages: Vec<_> = rooms.iter().filter_map(short).collect();
        // The catalog and the manifests lie on the first one.
        let refused = match shortages.first() {
            Some((device, _)) if rooms.first().is_some_and(|first| first.device == *device) => shortages.first(),
            first if shortages.len() == rooms.len() => first,
            _ => None,
        };
        match refused {
            Some((device, shortage)) => {
                Err(SessionError::NoRoom { what, device: *device, shortage: *shortage, key: SOFT_KEY })
            }
            None => Ok(()),
        }
    }

    /// The devices that a topic of an open session may be placed on: those above the soft mark, or else above the hard one.
    ///
    /// # Errors
    /// [`SessionError::NoRoom`] when there is none, [`SessionError::Shard`] when a disk cannot be asked.
    pub(super) async fn devices_with_room(&self) -> Result<Vec<DeviceNumber>, SessionError> {
        let rooms = self.rooms().await?;
        let above = |level| -> Vec<DeviceNumber> {
            rooms.iter().filter(|room| room.shortage(level).is_none()).map(|room| room.device).collect()
        };
        let soft = above(Level::Soft);
        if !soft.is_empty() {
            return Ok(soft);
        }
        let hard = above(Level::Hard);
        match rooms.iter().find_map(|room| Some((room.device, room.shortage(Level::Hard)?))) {
            Some((device, shortage)) if hard.is_empty() => {
                Err(SessionError::NoRoom { what: "a new topic", device, shortage, key: HARD_KEY })
            }
            _ => Ok(hard),
        }
    }

    /// Whether a stream may begin on this device.
    ///
    /// # Errors
    /// [`SessionError::NoRoom`], [`SessionError::Shard`] when a disk cannot be asked.
    pub(super) async fn room_on(&self, device: DeviceNumber) -> Result<(), SessionError> {
        let rooms = self.rooms().await?;
        match rooms.iter().find(|room| room.device == device).and_then(|room| room.shortage(Level::Hard)) {
            Some(shortage) => Err(SessionError::NoRoom { what: "a new stream", device, shortage, key: HARD_KEY }),
            None => Ok(()),
        }
    }

    async fn rooms(&self) -> Result<Vec<Room>, SessionError> {
        let what = || "the room on the data directories".to_owned();
        self.shards.measure().await.map_err(|cause| SessionError::Shard { what: what(), cause: Box::new(cause) })
    }
}
