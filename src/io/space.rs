//! How much room a file system has, and a reserve of it that can be given up.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::fs::FallocateFlags;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::block::Space;
use super::fault::Operation;
use super::host::Host;

/// The room on the file system that `directory` lies on.
pub(super) fn of(directory: impl AsFd) -> Result<Space, Errno> {
    let found = rustix::fs::fstatvfs(directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let counted = |files: u64| if found.f_files == 0 { u64::MAX } else { files };
    Ok(Space {
        free: bytes(found.f_bavail),
        total: bytes(found.f_blocks),
        files_free: counted(found.f_favail),
        files_total: counted(found.f_files),
    })
}

/// A file that only takes up room, so that there is some left for what must go on when the disk is full: it is removed then.
///
/// A crash leaves the file, a shorter one, or none; each is what [`Self::keep`] starts from.
#[derive(Clone)]
pub struct Reserve {
    host: Host,
    directory: PathBuf,
    path: PathBuf,
    bytes: u64,
}

/// Of what there is enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub bytes: bool,
    pub files: bool,
}

impl Reserve {
    /// The largest reserve is this part of its file system.
    const SHARE: u64 = 32;

    /// A reserve makes itself only where this many times its size are free: it must not be what fills the disk.
    const ROOM: u64 = 4;

    /// A catalog makes so many files beside its own at most: a log, the index of it, and another one for a moment.
    const FILES: u64 = 3;

    /// * `path`: of the file, which is not touched yet. Its directory must exist when it is used.
    /// * `bytes`: to keep back, at most; 0 for no reserve.
    pub fn new(host: &Host, path: &Path, bytes: u64) -> Self {
        let directory = path.parent().unwrap_or(Path::new(".")).to_owned();
        Self { host: host.clone(), directory, path: path.to_owned(), bytes }
    }

    /// Makes the file if it is not there and there is plenty of room, of files too. Blocks for some milliseconds when it does.
    ///
    /// # Errors
    /// Whatever the system says; nothing depends on the reserve being there.
    pub fn keep(&self) -> io::Result<()> {
        let space = self.space()?;
        let wanted = self.bytes.min(space.total / Self::SHARE);
        let there = fs::metadata(&self.path).map_or(0, |found| found.len());
        if wanted == 0 || there >= wanted || !Self::is_plenty(&space, wanted) {
            return Ok(());
        }
        self.host.ask(Operation::Allocate)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &self.path, flags, Mode::RUSR | Mode::WUSR)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, wanted) {
            Ok(()) => Ok(()),
            Err(error) => {
                fs::remove_file(&self.path)?;
                Err(error.into())
            }
        }
    }

    /// Gives up the reserve when fewer than `wanted` bytes or a few files are free. Returns whether `needed`, and these, are then.
    ///
    /// # Errors
    /// When the file system cannot be asked, or the reserve not be removed.
    pub fn make_room(&self, wanted: u64, needed: u64) -> io::Result<Left> {
        let has = |bytes| self.space().map(|space| Self::left(&space, bytes));
        let left = has(wanted.max(needed))?;
        if left.bytes && left.files {
            return Ok(left);
        }
        match self.give_up() {
            Ok(()) => {
                tracing::warn!("the disk is full: the reserve of the catalog is given up, so that deleting goes on")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        has(needed)
    }

    fn is_plenty(space: &Space, wanted: u64) -> bool {
        space.free / Self::ROOM >= wanted && space.files_free / Self::ROOM >= Self::FILES
    }

    fn left(space: &Space, bytes: u64) -> Left {
        Left { bytes: space.free >= bytes, files: space.files_free >= Self::FILES }
    }

    /// XFS frees the blocks of a file without a name some time later, those of one that is cut short at once.
    fn give_up(&self) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::ftruncate(rustix::fs::openat(CWD, &self.path, flags, Mode::empty())?, 0)?;
        self.host.remove_file(&self.path)
    }

    /// Whether so many bytes are free without giving it up.
    ///
    /// # Errors
    /// When the file system cannot be asked.
    pub fn has_room(&self, wanted: u64) -> io::Result<bool> {
        Ok(self.space()?.free >= wanted)
    }

    fn space(&self) -> io::Result<Space> {
        self.host.ask(Operation::Space)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(of(rustix::fs::openat(CWD, &self.directory, flags, Mode::empty())?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::conformance::directory_on_disk;

    #[test]
    fn a_reserve_takes_room_and_gives_it_back() {
        let directory = directory_on_disk();
        let path = directory.path().join("reserve");
        let reserve = Reserve::new(&Host::default(), &path, 1 << 20);
        reserve.keep().unwrap();
        reserve.keep().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 20);
        assert!(reserve.make_room(4096, 0).unwrap().bytes);
        assert!(path.exists(), "there is room without it");
        assert!(!reserve.make_room(0, u64::MAX).unwrap().bytes);
        assert!(!path.exists());
        assert!(!reserve.make_room(0, u64::MAX).unwrap().bytes, "given up once, it is no error to want it again");
    }

    #[test]
    fn a_reserve_of_nothing_makes_no_file() {
        let directory = directory_on_disk();
        let path = directory.path().join("reserve");
        Reserve::new(&Host::default(), &path, 0).keep().unwrap();
        Reserve::new(&Host::default(), &path, u64::MAX / 8).keep().unwrap();
        assert!(fs::metadata(&path).map_or(0, |found| found.len()) < 1 << 40, "at most a share of the disk");
    }

    #[test]
    fn a_few_files_are_kept_back_as_bytes_are() {
        let with = |files_free| Space { free: 1 << 20, total: 1 << 30, files_free, files_total: 1000 };
        assert!(!Reserve::is_plenty(&with(11), 4096) && Reserve::is_plenty(&with(12), 4096));
        assert!(!Reserve::is_plenty(&with(12), 1 << 19));
        let left = |files_free, bytes| Reserve::left(&with(files_free), bytes);
        assert_eq!(left(2, 1 << 20), Left { bytes: true, files: false });
        assert_eq!(left(3, (1 << 20) + 1), Left { bytes: false, files: true });
    }
}
