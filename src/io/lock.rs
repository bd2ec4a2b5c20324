//! One daemon per data directory.
//!
//! An advisory lock on `<directory>/LOCK`, which the kernel drops with the process, however that ends: nothing stays behind
//! that a start would have to clean up. The number in the file is only there to be shown.

use std::fmt;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::process;

use rustix::fs::CWD;
use rustix::fs::FlockOperation;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::block::is_no_room;
use super::fault::Operation;
use super::host::Host;
use super::with_remedy;

/// Bytes of the file that are looked at to name its holder.
const HOLDER_LEN_MAX: u64 = 32;

/// Held until it is dropped.
pub struct DirectoryLock {
    file: File,
    path: PathBuf,
    host: Host,
}

impl fmt::Debug for DirectoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryLock({})", self.path.display())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{} is in use by {holder}: stop that one first, or choose another data directory", path.display())]
    Held { path: PathBuf, holder: String },
    #[error("cannot lock {}: {}", path.display(), with_remedy(cause))]
    Open {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

impl DirectoryLock {
    /// Takes the lock or fails at once; makes the lock file (mode 0600) when it is not there.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        Self::take_on(&Host::default(), directory)
    }

    /// * `host`: is asked whether the lock is in place.
    pub(super) fn take_on(host: &Host, directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("LOCK");
        let open = |cause: io::Error| LockError::Open { path: path.clone(), cause };
        let mut file = File::from(open_lock(&path).map_err(|cause| open(cause.into()))?);
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(LockError::Held { path: directory.to_owned(), holder: holder(&file) });
            }
            Err(cause) => return Err(open(cause.into())),
        }
        match file.set_len(0).and_then(|()| writeln!(file, "{}", process::id())) {
            Ok(()) => {}
            // The number is only there to be shown, and a server must start on a full disk: what is deleted frees it.
            Err(error) if is_no_room(&error) => {}
            Err(error) => return Err(open(error)),
        }
        Ok(Self { file, path, host: host.clone() })
    }

    /// Whether the directory still has the file that is locked: not when somebody removed, moved or unmounted it. A disk that
    /// cannot be asked at the moment has said nothing of the kind.
    pub fn is_in_place(&self) -> bool {
        let look = || Ok::<_, io::Error>((rustix::fs::fstat(&self.file)?, rustix::fs::stat(&self.path)?));
        match self.host.ask(Operation::Look).and_then(|()| look()) {
            Ok((held, there)) => (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino),
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// The file that is locked.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A file that was found under a name: for who must notice that it is another one, or gone.
#[derive(Clone)]
pub struct KnownFile {
    path: PathBuf,
    number: (u64, u64),
    host: Host,
}

impl KnownFile {
    /// # Errors
    /// When there is none, or it cannot be looked at.
    pub fn look(host: &Host, path: &Path) -> io::Result<Self> {
        host.ask(Operation::Look)?;
        let there = rustix::fs::stat(path)?;
        Ok(Self { path: path.to_owned(), number: (there.st_dev, there.st_ino), host: host.clone() })
    }

    /// Whether the name still leads to it. As [`DirectoryLock::is_in_place`], a disk that cannot be asked has said nothing.
    pub fn is_in_place(&self) -> bool {
        let look = || Ok::<_, io::Error>(rustix::fs::stat(&self.path)?);
        match self.host.ask(Operation::Look).and_then(|()| look()) {
            Ok(there) => self.number == (there.st_dev, there.st_ino),
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether some process holds the lock of this directory. Makes and writes nothing.
///
/// # Errors
/// [`LockError::Open`] when the lock file cannot be opened; a directory without one is held by nobody.
pub fn is_held(directory: &Path) -> Result<bool, LockError> {
    let path = directory.join("LOCK");
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |cause: Errno| LockError::Open { path: path.clone(), cause: cause.into() };
    let file = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(cause) => return Err(open(cause)),
    };
    // Shared, and given back at once with the file: a start at this very moment would see it held.
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(cause) => Err(open(cause)),
    }
}

fn open_lock(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)
}

/// Who holds the lock, as far as the file says.
fn holder(file: &File) -> String {
    let mut text = String::new();
    match file.take(HOLDER_LEN_MAX).read_to_string(&mut text) {
        Ok(_) if text.trim().parse::<u32>().is_ok() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::FaultScript;
    use crate::io::Faults;

    #[test]
    fn the_second_daemon_is_told_who_holds_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path()).unwrap();
        let refused = DirectoryLock::take(directory.path()).unwrap_err();
        assert!(refused.to_string().contains(&format!("process {}", process::id())), "{refused}");
        drop(first);
        DirectoryLock::take(directory.path()).unwrap();
    }

    #[test]
    fn a_lock_whose_directory_was_removed_is_no_longer_in_place() {
        let root = tempfile::tempdir().unwrap();
        let (place, moved) = (root.path().join("data"), root.path().join("moved"));
        std::fs::create_dir(&place).unwrap();
        let lock = DirectoryLock::take(&place).unwrap();
        assert!(lock.is_in_place());
        std::fs::rename(&place, &moved).unwrap();
        assert!(!lock.is_in_place());
        std::fs::create_dir(&place).unwrap();
        let other = DirectoryLock::take(&place).unwrap();
        assert!(other.is_in_place() && !lock.is_in_place(), "another file of the same name is not it");
    }

    /// Goal: an error that is none of the directory's does not count as its end.
    #[test]
    fn a_disk_that_cannot_be_asked_has_not_lost_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let lock = Host::faulty(FaultScript::new(Faults::One(1))).lock(root.path()).unwrap();
        assert!(lock.is_in_place(), "the call that fails");
        std::fs::remove_file(root.path().join("LOCK")).unwrap();
        assert!(!lock.is_in_place());
        let place = root.path().join("data");
        std::fs::create_dir(&place).unwrap();
        let lock = DirectoryLock::take(&place).unwrap();
        std::fs::remove_dir_all(&place).unwrap();
        std::fs::write(&place, b"a file in its place").unwrap();
        assert!(!lock.is_in_place());
    }

    #[test]
    fn a_symbolic_link_in_its_place_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = directory.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, directory.path().join("LOCK")).unwrap();
        assert!(matches!(DirectoryLock::take(directory.path()), Err(LockError::Open { .. })));
        assert!(!elsewhere.exists());
    }
}
