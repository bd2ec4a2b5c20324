//! The machine as a start sees it, before there is a device: directories that the operator named, small files in them, locks,
//! the probe, randomness. All of it blocks, so it is for starts and tools.

use std::ffi::OsString;
use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use super::directory;
use super::fault::FaultScript;
use super::fault::Operation;
use super::lock::DirectoryLock;
use super::lock::LockError;
use super::outage::Unsynced;
use super::probe;
use super::probe::Backend;
use super::probe::BackendChoice;
use super::probe::ProbeError;
use super::random;

/// Mode of the directories it makes: their owner's alone.
const DIRECTORY_MODE: u32 = 0o700;

/// Asks the operating system; with a script, that first.
#[derive(Clone, Default)]
pub struct Host {
    faults: Option<FaultScript>,
}

impl Host {
    /// One that fails as the script says, and so do the devices that are opened with [`Self::faults`].
    pub fn faulty(script: FaultScript) -> Self {
        Self { faults: Some(script) }
    }

    pub fn faults(&self) -> Option<FaultScript> {
        self.faults.clone()
    }

    /// The absolute path without symbolic links.
    pub fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.ask(Operation::Look)?;
        fs::canonicalize(path)
    }

    pub fn is_directory(&self, path: &Path) -> bool {
        self.ask(Operation::Look).is_ok() && path.is_dir()
    }

    pub fn exists(&self, path: &Path) -> io::Result<bool> {
        self.ask(Operation::Look)?;
        fs::exists(path)
    }

    pub fn is_socket(&self, path: &Path) -> bool {
        self.ask(Operation::Look).is_ok() && fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
    }

    /// The names in a directory, in no order.
    pub fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.ask(Operation::Names)?;
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// Whether anything lies in a directory; nothing does in one that is not there. Costs the same however much does.
    pub fn has_entries(&self, directory: &Path) -> io::Result<bool> {
        self.ask(Operation::Names)?;
        match fs::read_dir(directory) {
            Ok(mut entries) => entries.next().transpose().map(|entry| entry.is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes one directory of mode 0700. Durable only after its parent is synced.
    pub fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::MakeDirectory)?;
        DirBuilder::new().mode(DIRECTORY_MODE).create(path)?;
        self.note(|unsynced| unsynced.directory_made(path))
    }

    pub fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::SyncDirectory)?;
        File::open(path)?.sync_all()?;
        self.note(|unsynced| unsynced.directory_synced(path))
    }

    /// Makes durable what was written to a file.
    pub fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Sync)?;
        File::open(path)?.sync_all()
    }

    /// When a file's content last changed, in ns of Unix time; 0 before 1970. A label, never compared with a clock of ours.
    pub fn changed_ns(&self, path: &Path) -> io::Result<i64> {
        self.ask(Operation::Look)?;
        let changed = fs::symlink_metadata(path)?.modified()?.duration_since(std::time::UNIX_EPOCH);
        Ok(changed.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// A whole small file; `FileTooLarge` above `len_max` bytes.
    pub fn read_small(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        self.ask(Operation::ReadSmall)?;
        let mut bytes = Vec::new();
        File::open(path)?.take(len_max.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > len_max {
            true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {len_max} bytes"))),
            false => Ok(bytes),
        }
    }

    /// Writes a whole small file durably and atomically, as [`BlockDevice::write_small`](super::BlockDevice::write_small).
    pub fn write_small(&self, directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.ask(Operation::WriteSmall)?;
        directory::write_small(&File::open(directory)?.into(), Path::new(name), bytes)
    }

    /// Makes a directory for people and what is missing above it, with their own mode.
    pub fn make_directories(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::MakeDirectory)?;
        fs::create_dir_all(path)
    }

    /// An empty file for people, in place of one of that name.
    pub fn create_report(&self, path: &Path) -> io::Result<File> {
        self.ask(Operation::WriteSmall)?;
        File::create(path)
    }

    /// Writes a file for people, as they named it. Not synced.
    pub fn write_report(&self, path: &Path, text: &str) -> io::Result<()> {
        self.ask(Operation::WriteSmall)?;
        fs::write(path, text)
    }

    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Unlink)?;
        fs::remove_file(path)
    }

    /// A copy of a file, with its mode made ours: to be written, by its owner alone. Not synced.
    pub fn copy_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Operation::ReadSmall)?;
        fs::copy(from, to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o600))
    }

    /// Removes a directory with everything in it.
    pub fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.ask(Operation::Unlink)?;
        fs::remove_dir_all(path)
    }

    /// Gives a file or a directory another name, replacing a file there. Durable only after both directories are synced.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask(Operation::Rename)?;
        fs::rename(from, to)
    }

    pub fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.ask(Operation::Look)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    /// See [`DirectoryLock::take`].
    ///
    /// # Errors
    /// [`LockError`]
    pub fn lock(&self, directory: &Path) -> Result<DirectoryLock, LockError> {
        let open = |cause| LockError::Open { path: directory.join("LOCK"), cause };
        self.ask(Operation::Lock).map_err(open)?;
        DirectoryLock::take_on(self, directory)
    }

    /// See [`probe`](super::probe()).
    ///
    /// # Errors
    /// [`ProbeError`]
    pub fn probe(&self, directory: &Path, wanted: BackendChoice) -> Result<Backend, ProbeError> {
        let failed = |cause| ProbeError::Directory { path: directory.to_owned(), cause };
        self.ask(Operation::Probe).map_err(failed)?;
        probe::probe(directory, wanted)
    }

    /// 32 random bytes, from which ids and keys are made.
    ///
    /// # Errors
    /// When the kernel has none to give.
    pub fn seed(&self) -> io::Result<[u8; 32]> {
        self.ask(Operation::Random)?;
        random::seed()
    }

    pub(super) fn ask(&self, operation: Operation) -> io::Result<()> {
        match &self.faults {
            Some(script) => script.ask_host(operation),
            None => Ok(()),
        }
    }

    /// Tells the script what a power cut would take, or no longer would.
    fn note(&self, note: impl FnOnce(&mut Unsynced)) -> io::Result<()> {
        let told = |unsynced: &mut Unsynced| {
            note(unsynced);
            Ok(())
        };
        self.faults.as_ref().map_or(Ok(()), |script| script.note(told))
    }
}
