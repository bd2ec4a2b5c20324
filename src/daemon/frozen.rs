//! Looking at data directories on a file system that is read-only: an archive that is write-protected, or a disk that the kernel
//! no longer trusts. No lock can be taken there, and none is needed against a start, which would be refused; SQLite cannot open a
//! catalog with its log there, so a copy elsewhere is looked at.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::io::DirectoryLock;
use crate::io::Host;
use crate::io::LockError;
use crate::io::is_directory_held;

use super::mount;
use super::mount::MountError;
use super::mount::Seen;

/// What SQLite needs of a catalog: its file, and the log that a crash left.
const PARTS: [&str; 2] = ["catalog.db", "catalog.db-wal"];

/// A data directory that is only looked at; without a lock where none can be.
pub type Watched = Seen<Option<DirectoryLock>>;

/// As [`mount::mount`], for who changes nothing in them.
///
/// # Errors
/// [`MountError`]; also when a server that was running when the file system became read-only still holds one.
pub fn watch(host: &Host, paths: &[PathBuf]) -> Result<Vec<Watched>, MountError> {
    mount::see(host, paths, &|path| match host.lock(path) {
        Err(LockError::Open { cause, .. }) if cause.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            match is_directory_held(path)? {
                true => Err(LockError::Held { path: path.to_owned(), holder: "another process".to_owned() }.into()),
                false => Ok(None),
            }
        }
        taken => Ok(Some(taken?)),
    })
}

/// The data directories that are not locked.
pub fn unlocked(watched: &[Watched]) -> Vec<PathBuf> {
    watched.iter().filter(|directory| directory.lock.is_none()).map(|directory| directory.path.clone()).collect()
}

/// A copy of a catalog, which goes when this is dropped.
pub struct Copy {
    host: Host,
    directory: PathBuf,
}

impl Copy {
    /// * `file`: the catalog's.
    ///
    /// # Errors
    /// [`MountError::NoCopy`].
    pub fn make(host: &Host, file: &Path) -> Result<Self, MountError> {
        let place = std::env::temp_dir();
        let wrap = |cause| MountError::NoCopy { path: place.clone(), cause };
        // Nobody else has this name, nor did a look that was killed leave it.
        let name = host
            .seed()
            .map_err(wrap)?
            .iter()
            .take(8)
            .fold("tessera-".to_owned(), |name, byte| format!("{name}{byte:02x}"));
        let directory = place.join(name);
        host.make_directory(&directory).map_err(wrap)?;
        let made = Self { host: host.clone(), directory: directory.clone() };
        for part in PARTS {
            let from = file.with_file_name(part);
            if host.exists(&from).map_err(wrap)? {
                host.copy_file(&from, &directory.join(part)).map_err(wrap)?;
            }
        }
        Ok(made)
    }

    pub fn file(&self) -> PathBuf {
        self.directory.join(PARTS[0])
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What stays takes room in a directory for temporary files, and nothing else.
        let _ = self.host.remove_directory(&self.directory);
    }
}
