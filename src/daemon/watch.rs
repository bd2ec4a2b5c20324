//! The look at what lies under the data directories, once a second: room, and whether they are still there.
//!
//! Who else fills a disk tells nobody, so it is measured; streams on one that is below its hard mark then end while what they
//! brought can still be sealed. A data directory that was removed or unmounted takes what is written next with it, in silence,
//! for files that are open go on: without the first one, or the catalog in it, the server ends as at a crash.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use crate::io::DirectoryLock;
use crate::io::KnownFile;
use crate::model::DeviceNumber;
use crate::shard::Room;
use crate::shard::Shards;
use crate::store::Level;

use super::serve::EXIT_CATALOG;

const PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Failing {
    Seen,
    Told,
}

/// What a device was last said to be.
#[derive(Default)]
struct Told {
    names: HashMap<DeviceNumber, PathBuf>,
    levels: HashMap<DeviceNumber, Level>,
    unreachable: HashSet<DeviceNumber>,
    /// On which files fail.
    failing: HashMap<DeviceNumber, Failing>,
    /// Those whose marks were held against their size.
    measured: HashSet<DeviceNumber>,
    stopped: bool,
}

impl Told {
    /// What people call a data directory.
    fn name(&self, device: DeviceNumber) -> String {
        self.names.get(&device).map_or_else(|| format!("number {}", device.0), |path| path.display().to_string())
    }

    /// Warns, once, of marks that no amount of deleting can keep.
    fn marks(&mut self, room: &Room) {
        let (directory, total) = (self.name(room.device), room.space.total);
        if !self.measured.insert(room.device) {
            return;
        }
        for (key, bytes) in
            [("storage.soft_mark_bytes", room.marks.soft_bytes), ("storage.hard_mark_bytes", room.marks.hard_bytes)]
        {
            if bytes >= total {
                tracing::warn!(
                    directory,
                    key,
                    bytes,
                    total,
                    "the mark is not below the size of this data directory's disk: nothing can ever be recorded on it; lower it"
                );
            }
        }
    }

    /// Tells when files begin to fail on a disk, and when they no longer do. Not at the first look: behind that it is tried whether
    /// one can be made, and a failure that this disproves is nobody's concern (its session was deleted, say).
    fn fails(&mut self, room: &Room) {
        match (room.is_failing, self.failing.get(&room.device).copied()) {
            (true, None) => drop(self.failing.insert(room.device, Failing::Seen)),
            (true, Some(Failing::Seen)) => {
                self.failing.insert(room.device, Failing::Told);
                let directory = self.name(room.device);
                tracing::error!(
                    directory,
                    "files fail in a data directory: new topics go to others, where there are, until one can be made"
                );
            }
            (false, Some(Failing::Told)) => {
                self.failing.remove(&room.device);
                tracing::info!(directory = self.name(room.device), "files can be made in a data directory again");
            }
            (false, Some(Failing::Seen)) => drop(self.failing.remove(&room.device)),
            (true, Some(Failing::Told)) | (false, None) => {}
        }
    }

    /// Whether a disk says what room it has. Tells when that changes.
    fn answers(&mut self, room: &Room) -> bool {
        let directory = self.name(room.device);
        if !room.is_late && room.trouble.is_none() {
            if self.unreachable.remove(&room.device) {
                tracing::info!(directory, "the disk of a data directory answers again");
            }
            return true;
        }
        if self.unreachable.insert(room.device) {
            let error = room.trouble.as_ref().map_or_else(|| "it hangs".to_owned(), ToString::to_string);
            tracing::warn!(directory, error, "the disk of a data directory does not say what room it has");
        }
        false
    }
}

/// Which of the data directories are no longer where they were, by their place in the configuration.
pub fn gone(locks: &[DirectoryLock]) -> Vec<usize> {
    locks.iter().enumerate().filter(|(_, lock)| !lock.is_in_place()).map(|(index, _)| index).collect()
}

/// Looks for ever. Holds the locks of the data directories all the while, and gives them back when it is stopped.
pub async fn run(
    shards: Shards,
    locks: &[DirectoryLock],
    directories: Vec<(DeviceNumber, PathBuf)>,
    catalog: &KnownFile,
) {
    let mut told = Told { names: directories.into_iter().collect(), ..Told::default() };
    let mut lost = vec![false; locks.len()];
    loop {
        tokio::time::sleep(PERIOD).await;
        let gone = gone(locks);
        for (index, (lock, lost)) in locks.iter().zip(&mut lost).enumerate() {
            if !gone.contains(&index) {
                *lost = false;
                continue;
            }
            let directory = lock.path().parent().unwrap_or(lock.path()).display();
            if index == 0 {
                tracing::error!(
                    %directory,
                    "the data directory with the catalog is gone: what is stored from here on would be lost, so the server ends; \
                     put it back (is its disk mounted?) and start again"
                );
                process::exit(EXIT_CATALOG);
            }
            if !std::mem::replace(lost, true) {
                tracing::error!(%directory, "a data directory is gone: its chunks cannot be read, and streams to it fail");
            }
        }
        if !catalog.is_in_place() {
            tracing::error!(
                file = %catalog.path().display(),
                "the catalog's file is gone, or another lies in its place: what is stored from here on would be lost, so the \
                 server ends; put it back, or make it again with `tessera catalog rebuild`, and start again"
            );
            process::exit(EXIT_CATALOG);
        }
        match shards.measure().await {
            Ok(rooms) => {
                told.stopped = false;
                for room in rooms {
                    told.fails(&room);
                    if !told.answers(&room) {
                        continue;
                    }
                    told.marks(&room);
                    let level = room.marks.level(&room.space);
                    let before = told.levels.insert(room.device, level).unwrap_or(Level::Free);
                    if level == before {
                        continue;
                    }
                    let (directory, mib) = (told.name(room.device), room.space.free >> 20);
                    let short = room.marks.shortage(&room.space, level);
                    let short = short.map(|short| short.to_string()).unwrap_or_default();
                    match level {
                        Level::Free => tracing::info!(directory, mib, "a data directory has room again"),
                        Level::Soft => tracing::warn!(
                            directory,
                            short,
                            "a data directory is below its soft mark (storage.soft_mark_bytes): nothing new begins on it"
                        ),
                        Level::Hard => tracing::error!(
                            directory,
                            short,
                            "a data directory is below its hard mark (storage.hard_mark_bytes): streams to it end"
                        ),
                    }
                }
            }
            Err(error) if !told.stopped => {
                told.stopped = true;
                tracing::error!(%error, "the room on the data directories cannot be measured");
            }
            Err(_) => {}
        }
    }
}
