//! Room on the catalog's disk: asked for before anything is written, so that a full disk refuses a call instead of failing a
//! commit, after which nobody would know what the file holds.

use std::path::Path;

use super::EmbeddedConfig;
use crate::catalog::CatalogError;
use crate::io::Reserve;

/// Bytes free below which the reserve is given up.
const WANTED_BYTES: u64 = 8 << 20;

/// Bytes that must be free for a group of calls, and for each call of it: its pages in the log (each row touches a few of
/// 4 KiB), and those that a checkpoint adds to the file.
const GROUP_BYTES: u64 = 512 << 10;
const CALL_BYTES: u64 = 32 << 10;

/// Name of the reserve, beside the catalog's file.
const RESERVE_SUFFIX: &str = "reserve";

/// Cheap to clone; all clones speak of the same disk.
#[derive(Clone)]
pub struct Room {
    reserve: Reserve,
    bytes: u64,
}

impl Room {
    /// * `path`: of the catalog's file.
    pub fn new(config: &EmbeddedConfig, path: &Path) -> Self {
        let reserve = Reserve::new(&path.with_extension(RESERVE_SUFFIX), config.reserve_bytes);
        Self { reserve, bytes: config.reserve_bytes }
    }

    /// Makes the reserve when there is room for it.
    pub fn keep(&self) {
        if self.bytes > 0
            && let Err(error) = self.reserve.keep()
        {
            tracing::debug!(%error, "the reserve of the catalog cannot be made; it is tried again");
        }
    }

    /// Whether a group of calls may be written, with the reserve given up if need be.
    ///
    /// # Errors
    /// [`CatalogError::Full`].
    pub fn for_group(&self, calls: usize) -> Result<(), CatalogError> {
        let needed = GROUP_BYTES + CALL_BYTES * calls as u64;
        match self.bytes {
            // Nobody watches over a catalog without a reserve.
            0 => Ok(()),
            _ => match self.reserve.make_room(WANTED_BYTES, needed) {
                Ok(false) => Err(CatalogError::Full),
                // A disk that cannot be asked will say itself what is wrong.
                Ok(true) | Err(_) => Ok(()),
            },
        }
    }
}
