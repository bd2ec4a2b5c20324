//! Room on the catalog's disk: asked for before anything is written, so that a full disk refuses a call instead of failing a
//! commit, after which nobody would know what the file holds.
//!
//! A reserve is kept back for what must go on, in two parts, so that whoever fills the disk cannot take both before a delete
//! gets one: each is given up only for those that may spend it, see [`Need`].

use std::path::Path;

use super::EmbeddedConfig;
use crate::catalog::CatalogError;
use crate::io::Host;
use crate::io::Left;
use crate::io::Reserve;

/// Bytes free below which ordinary calls are refused, and others spend the first part of the reserve.
const WANTED_BYTES: u64 = 8 << 20;

/// Bytes that must be free for a group of calls, and for each call of it: its pages in the log (each row touches a few of
/// 4 KiB), and those that a checkpoint adds to the file.
const GROUP_BYTES: u64 = 512 << 10;
const CALL_BYTES: u64 = 32 << 10;

/// The last part of the reserve is this part of it.
const LAST_SHARE: u64 = 4;

/// Names of the two parts, beside the catalog's file.
const RESERVE_SUFFIX: &str = "reserve";
const LAST_SUFFIX: &str = "last.reserve";

/// What a call may spend when the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It writes nothing, and is never refused.
    Nothing,
    /// Nothing of the reserve: something new begins.
    Ordinary,
    /// The first part: something that was begun ends well.
    Ending,
    /// All of it: something is deleted, which brings room, or the server starts, without which nobody deletes.
    Deleting,
}

/// Cheap to clone; all clones speak of the same disk.
#[derive(Clone)]
pub struct Room {
    /// In the order in which they are given up.
    reserves: [Reserve; 2],
    bytes: u64,
}

impl Room {
    /// * `path`: of the catalog's file.
    pub fn new(host: &Host, config: &EmbeddedConfig, path: &Path) -> Self {
        let (all, last) = (config.reserve_bytes, config.reserve_bytes / LAST_SHARE);
        let reserve = |suffix, bytes| Reserve::new(host, &path.with_extension(suffix), bytes);
        Self { reserves: [reserve(RESERVE_SUFFIX, all - last), reserve(LAST_SUFFIX, last)], bytes: all }
    }

    /// Makes the reserve when there is room for it.
    pub fn keep(&self) {
        for reserve in &self.reserves {
            if self.bytes > 0
                && let Err(error) = reserve.keep()
            {
                tracing::debug!(%error, "the reserve of the catalog cannot be made; it is tried again");
            }
        }
    }

    /// Whether a group of calls may be written, with what it may spend of the reserve given up if need be.
    ///
    /// # Errors
    /// [`CatalogError::Full`].
    pub fn for_group(&self, calls: usize, need: Need) -> Result<(), CatalogError> {
        let needed = GROUP_BYTES + CALL_BYTES * calls as u64;
        let wanted = needed.max(WANTED_BYTES);
        let parts = match need {
            Need::Nothing => return Ok(()),
            // Nobody watches over a catalog without a reserve.
            _ if self.bytes == 0 => return Ok(()),
            Need::Ordinary => 0,
            Need::Ending => 1,
            Need::Deleting => self.reserves.len(),
        };
        // A disk that cannot be asked will say itself what is wrong.
        if let ([reserve, _], 0) = (&self.reserves, parts)
            && reserve.has_room(wanted).unwrap_or(true)
        {
            return Ok(());
        }
        // The last part goes only when it must.
        let mut left = Left::default();
        for (reserve, wanted) in self.reserves.iter().zip([wanted, needed]).take(parts) {
            let Ok(room) = reserve.make_room(wanted, needed) else { return Ok(()) };
            left = room;
            if left.bytes && left.files {
                break;
            }
        }
        // Where only files are short there may be as many as it takes: the log is there, as a rule.
        if left.bytes { Ok(()) } else { Err(CatalogError::Full) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls for which no disk has room.
    const TOO_MANY: usize = 1 << 40;

    #[test]
    fn each_need_spends_its_part_and_no_more() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = directory.path().join("catalog.db");
        let config = EmbeddedConfig { reserve_bytes: 4 << 20, ..EmbeddedConfig::default() };
        let room = Room::new(&Host::default(), &config, &path);
        room.keep();
        let there = || ["reserve", "last.reserve"].map(|suffix| path.with_extension(suffix).exists());
        for need in [Need::Ordinary, Need::Ending, Need::Deleting] {
            room.for_group(1, need).unwrap();
        }
        assert_eq!(there(), [true, true], "there is room without it");
        room.for_group(TOO_MANY, Need::Nothing).unwrap();
        for (need, left) in
            [(Need::Ordinary, [true, true]), (Need::Ending, [false, true]), (Need::Deleting, [false, false])]
        {
            assert_eq!(room.for_group(TOO_MANY, need), Err(CatalogError::Full));
            assert_eq!(there(), left, "{need:?}");
        }
        room.keep();
        assert_eq!(there(), [true, true]);
    }
}
