//! What a power cut takes: everything that was done and not synced, on a real disk, after the fact.
//!
//! Names come back or go in the reverse order of what was done to them, from a random moment on, as a journal that ends there
//! would have it. Bytes are kept, torn or lost one write at a time: a device cache has no order. What was synced stays.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// What was done since the last sync that covers it, oldest first.
#[derive(Default)]
pub(super) struct Unsynced(Vec<Done>);

enum Done {
    Name {
        directory: PathBuf,
        undo: Undo,
    },
    Bytes {
        file: Arc<File>,
        offset: u64,
        len: usize,
    },
    /// And what it was before.
    Length {
        file: Arc<File>,
        before: u64,
    },
}

enum Undo {
    Remove(PathBuf),
    RemoveDirectory(PathBuf),
    MakeDirectory(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
}

impl Unsynced {
    pub(super) fn created(&mut self, path: &Path) {
        self.name(path, Undo::Remove(path.to_owned()));
    }

    pub(super) fn directory_made(&mut self, path: &Path) {
        self.name(path, Undo::RemoveDirectory(path.to_owned()));
    }

    pub(super) fn directory_removed(&mut self, path: &Path) {
        self.name(path, Undo::MakeDirectory(path.to_owned()));
    }

    pub(super) fn renamed(&mut self, from: &Path, to: &Path) {
        self.name(from, Undo::Rename { from: to.to_owned(), to: from.to_owned() });
    }

    /// Before a file is unlinked: keeps another name of it, so that it can come back.
    ///
    /// * `root`: the data directory; the other name lies beside it.
    pub(super) fn unlinking(&mut self, root: &Path, path: &Path) -> io::Result<()> {
        let mut grave = root.as_os_str().to_owned();
        grave.push(".unlinked");
        let grave = PathBuf::from(grave);
        fs::create_dir_all(&grave)?;
        let kept = grave.join(self.0.len().to_string() + &fs::read_dir(&grave)?.count().to_string());
        match fs::hard_link(path, &kept) {
            Ok(()) => self.name(path, Undo::Rename { from: kept, to: path.to_owned() }),
            // The unlink will say so itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn written(&mut self, file: &Arc<File>, offset: u64, len: usize) {
        self.0.push(Done::Bytes { file: Arc::clone(file), offset, len });
    }

    pub(super) fn resizing(&mut self, file: &Arc<File>) -> io::Result<()> {
        self.0.push(Done::Length { file: Arc::clone(file), before: file.metadata()?.len() });
        Ok(())
    }

    pub(super) fn file_synced(&mut self, synced: &Arc<File>) {
        self.0.retain(|done| match done {
            Done::Bytes { file, .. } | Done::Length { file, .. } => !Arc::ptr_eq(file, synced),
            Done::Name { .. } => true,
        });
    }

    pub(super) fn directory_synced(&mut self, synced: &Path) {
        self.0.retain(|done| !matches!(done, Done::Name { directory, .. } if directory == synced));
    }

    fn name(&mut self, path: &Path, undo: Undo) {
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        self.0.push(Done::Name { directory, undo });
    }

    pub(super) fn take_away(self, seed: u64) -> io::Result<usize> {
        let mut dice = Dice(seed);
        let (names, contents): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|done| matches!(done, Done::Name { .. }));
        let mut taken = 0;
        for done in contents.into_iter().rev() {
            let half = match dice.below(3) {
                0 => continue,
                1 => 2,
                _ => 1,
            };
            taken += 1;
            match done {
                Done::Bytes { file, offset, len } => {
                    let lost = len / half;
                    let end = offset + len as u64;
                    if file.metadata()?.len() >= end {
                        file.write_all_at(&vec![0; lost], end - lost as u64)?;
                    }
                }
                Done::Length { file, before } => file.set_len(before)?,
                Done::Name { .. } => {}
            }
        }
        let kept = dice.below(names.len() + 1);
        for done in names.into_iter().skip(kept).rev() {
            let Done::Name { undo, .. } = done else { continue };
            taken += 1;
            let undone = match undo {
                Undo::Remove(path) => fs::remove_file(path),
                Undo::RemoveDirectory(path) => fs::remove_dir_all(path),
                Undo::MakeDirectory(path) => fs::create_dir(path),
                Undo::Rename { from, to } => fs::rename(from, to),
            };
            match undone {
                // It went with its directory, or lay in one that is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // Somebody else made it again since.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
        }
        Ok(taken)
    }
}

/// SplitMix64: the same numbers for the same seed, and no crate for it.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}
