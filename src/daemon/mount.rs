//! Data directories: made, locked, and told apart before anything in them is touched.
//!
//! The catalog decides what files are worth: recovery removes those it does not know. A catalog beside files that are not its
//! own would have them all removed. So directories and catalog must know each other first:
//!
//! | first directory | one of the directories                            | made of it                                    |
//! |-----------------|---------------------------------------------------|-----------------------------------------------|
//! | has a catalog   | its id is known to the catalog                    | mounted                                       |
//! | has a catalog   | id unknown or none, no chunks                     | new, or a first start that was cut off: taken |
//! | has a catalog   | id unknown or none, chunks                        | refused: files of another catalog             |
//! | has a catalog   | not the first, and has a catalog too              | refused: which one counts?                    |
//! | has a catalog   | its START names a start that the catalog lacks    | refused: an older catalog, see `starts`       |
//! | has a catalog   | none, no chunks, and one that is known is absent  | refused, unless replace_missing: not mounted? |
//! | has none        | none of them has an id, chunks or a catalog       | the very first start: a catalog is made       |
//! | has none        | one of them has                                   | refused: their catalog is elsewhere           |
//!
//! The catalog is made before the ids are written, so a first start that is cut off anywhere leaves the second row.

mod error;

use std::io;
use std::path::Path;
use std::path::PathBuf;

use uuid::Uuid;

use crate::io::DirectoryLock;
use crate::io::Host;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::store;

pub use self::error::MountError;

/// In the catalog's directory.
const CATALOG_FILE: &str = "catalog.db";

/// Bytes of a DEVICE file that somebody edited and that can still be meant.
const DEVICE_LEN_MAX: u64 = 256;

/// One data directory, held for the life of the daemon: a second one on it is refused.
pub type Mounted = Seen<DirectoryLock>;

/// One data directory as it was found.
pub struct Seen<L> {
    pub path: PathBuf,
    /// `None` when it was never used.
    pub device: Option<DeviceId>,
    pub lock: L,
    has_chunks: bool,
    has_catalog: bool,
}

/// What a look at the names alone shows to be wrong, before any of them is made.
///
/// * `must_exist`: each of them was used before.
pub fn check_names(host: &Host, paths: &[PathBuf], must_exist: bool) -> Result<(), MountError> {
    let mut whole: Vec<(PathBuf, bool)> = Vec::with_capacity(paths.len());
    for path in paths {
        let wrap = |cause| MountError::Directory { path: path.clone(), cause };
        let (path, used) = match host.exists(path).map_err(wrap)? {
            true => (host.resolve(path).map_err(wrap)?, read_device(host, path)?.is_some()),
            false => (std::path::absolute(path).map_err(wrap)?, false),
        };
        if must_exist && !used {
            return Err(MountError::MustExist(path));
        }
        for (other, other_used) in &whole {
            if *other == path {
                return Err(MountError::Same { a: other.clone(), b: path });
            }
            // Where the outer one was used before, the inner one may have been put into it on purpose.
            if path.starts_with(other) && !other_used {
                return Err(MountError::Nested { outer: other.clone(), inner: path });
            }
            if other.starts_with(&path) && !used {
                return Err(MountError::Nested { outer: path, inner: other.clone() });
            }
        }
        whole.push((path, used));
    }
    Ok(())
}

/// Locks the directories, which must exist, and looks at them. At least one.
pub fn mount(host: &Host, paths: &[PathBuf]) -> Result<Vec<Mounted>, MountError> {
    see(host, paths, &|path| Ok(host.lock(path)?))
}

/// What a start would refuse of these directories, as far as a look tells that changes nothing: beside a running server too.
/// Directories that are not there are made by a start.
pub fn check(host: &Host, paths: &[PathBuf]) -> Result<(), MountError> {
    let mut there = Vec::new();
    for path in paths {
        let wrap = |cause| MountError::Directory { path: path.clone(), cause };
        if host.exists(path).map_err(wrap)? {
            there.push(path.clone());
        }
    }
    if there.is_empty() {
        return Ok(());
    }
    let mut seen = see(host, &there, &|_| Ok(()))?;
    match paths.first() {
        // It will be made, so it has nothing.
        Some(first) if there.first() != Some(first) => {
            seen.insert(0, Seen { path: first.clone(), device: None, lock: (), has_chunks: false, has_catalog: false });
        }
        _ => {}
    }
    find_catalog(&seen).map(drop)
}

pub(super) fn see<L>(
    host: &Host,
    paths: &[PathBuf],
    take: &dyn Fn(&Path) -> Result<L, MountError>,
) -> Result<Vec<Seen<L>>, MountError> {
    let mut mounted: Vec<Seen<L>> = Vec::with_capacity(paths.len());
    for path in paths {
        let wrap = |cause| MountError::Directory { path: path.clone(), cause };
        let path = host.resolve(path).map_err(wrap)?;
        if let Some(other) = mounted.iter().find(|other| other.path == path) {
            return Err(MountError::Same { a: other.path.clone(), b: path });
        }
        let device = read_device(host, &path)?;
        if device.is_none()
            && let Some(found) = foreign_entry(host, &path).map_err(wrap)?
        {
            return Err(MountError::NotEmpty { path, found });
        }
        let lock = take(&path)?;
        if let Some(other) = mounted.iter().find(|other| device.is_some() && other.device == device) {
            return Err(MountError::Copy { a: other.path.clone(), b: path });
        }
        let has_chunks = host.has_entries(&path.join(store::CHUNKS_DIRECTORY)).map_err(wrap)?;
        let has_catalog = host.exists(&catalog_file(&path)).map_err(wrap)?;
        mounted.push(Seen { path, device, lock, has_chunks, has_catalog });
    }
    match mounted.is_empty() {
        true => {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "none is named");
            Err(MountError::Directory { path: PathBuf::new(), cause })
        }
        false => Ok(mounted),
    }
}

/// Where the catalog of these directories lies, and whether it is there. Refuses directories that a catalog made here
/// would not know.
pub fn find_catalog<L>(mounted: &[Seen<L>]) -> Result<(PathBuf, Presence), MountError> {
    let Some((first, others)) = mounted.split_first() else { unreachable!("mount refuses an empty list") };
    let holder = others.iter().find(|other| other.has_catalog).map(|other| other.path.clone());
    let file = catalog_file(&first.path);
    if first.has_catalog {
        return match holder {
            Some(other) => Err(MountError::TwoCatalogs { first: first.path.clone(), other }),
            None => Ok((file, Presence::Found)),
        };
    }
    match mounted.iter().find(|m| m.device.is_some() || m.has_chunks || m.has_catalog) {
        Some(used) => Err(MountError::NoCatalog { first: first.path.clone(), used: used.path.clone(), holder }),
        None => Ok((file, Presence::Absent)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Found,
    Absent,
}

/// Refuses directories with chunks of another catalog than the one that knows these devices.
pub fn check_known<L>(mounted: &[Seen<L>], known: &[(DeviceNumber, DeviceId)]) -> Result<(), MountError> {
    let is_known = |m: &Seen<L>| known.iter().any(|(_, device)| m.device == Some(*device));
    let foreign = mounted.iter().find(|m| m.has_chunks && !is_known(m));
    match (foreign, mounted.first()) {
        (Some(foreign), Some(first)) => {
            Err(MountError::Foreign { path: foreign.path.clone(), first: first.path.clone() })
        }
        _ => Ok(()),
    }
}

/// Refuses a directory that was never used where one that the catalog knows is absent: an empty mount point, most often.
pub fn check_used(mounted: &[Mounted], known: &[(DeviceNumber, DeviceId)]) -> Result<(), MountError> {
    let is_known = |m: &&Mounted| known.iter().any(|(_, device)| m.device == Some(*device));
    let absent = known.iter().find(|(_, device)| mounted.iter().all(|m| m.device != Some(*device)));
    match (mounted.iter().find(|m| !is_known(m)), absent) {
        (Some(unused), Some((number, absent))) => {
            Err(MountError::Unused { path: unused.path.clone(), number: *number, absent: *absent })
        }
        _ => Ok(()),
    }
}

pub fn catalog_file(path: &Path) -> PathBuf {
    path.join(store::CATALOG_DIRECTORY).join(CATALOG_FILE)
}

/// Something in a directory without a DEVICE file that we never put there.
fn foreign_entry(host: &Host, path: &Path) -> io::Result<Option<String>> {
    for name in host.names(path)? {
        let name = name.to_string_lossy().into_owned();
        let ours = [
            "LOCK",
            "DEVICE.tmp",
            store::DEVICES_FILE,
            "DEVICES.tmp",
            store::START_FILE,
            "START.tmp",
            store::SHARED_FILE,
            "SHARED.tmp",
            "probe.part",
            "lost+found",
        ]
        .contains(&name.as_str())
            || store::DIRECTORIES.contains(&name.as_str());
        if !ours {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Makes a directory and what is missing above it, each durable in its parent before the next.
pub fn make_directory(host: &Host, path: &Path) -> Result<(), MountError> {
    make_with(host, path, &mut |parent| host.sync_directory(parent))
        .map_err(|cause| MountError::Directory { path: path.to_owned(), cause })
}

/// * `sync`: called with the parent of every directory that is made.
fn make_with(host: &Host, path: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if host.is_directory(path) {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if parent != path {
        make_with(host, parent, sync)?;
    }
    match host.make_directory(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && host.is_directory(path) => {}
        other => other?,
    }
    sync(parent)
}

/// Reads the directory's id.
pub(super) fn read_device(host: &Host, path: &Path) -> Result<Option<DeviceId>, MountError> {
    match host.read_small(&path.join(store::DEVICE_FILE), DEVICE_LEN_MAX) {
        Ok(bytes) => {
            let id = Uuid::try_parse_ascii(bytes.trim_ascii()).map_err(|_| MountError::DeviceFile(path.to_owned()))?;
            Ok(Some(DeviceId(id)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(MountError::DeviceFile(path.to_owned())),
        Err(cause) => Err(MountError::Directory { path: path.to_owned(), cause }),
    }
}

/// Gives a directory its id, durably.
pub fn write_device(host: &Host, path: &Path, ids: &IdSource) -> Result<DeviceId, MountError> {
    let id = DeviceId::new(ids);
    let written = host.write_small(path, store::DEVICE_FILE, format!("{id}\n").as_bytes());
    written.map_err(|cause| MountError::Directory { path: path.to_owned(), cause })?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_made_is_made_durable_in_its_parent() {
        let root = tempfile::tempdir().unwrap();
        let mut synced = Vec::new();
        let mut sync = |path: &Path| {
            synced.push(path.to_owned());
            Ok(())
        };
        let (deep, host) = (root.path().join("a/b/c"), Host::default());
        make_with(&host, &deep, &mut sync).unwrap();
        make_with(&host, &deep, &mut sync).unwrap();
        assert!(deep.is_dir());
        assert_eq!(synced, [root.path().to_owned(), root.path().join("a"), root.path().join("a/b")]);
    }

    #[test]
    fn a_copied_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (paths, host) = ([root.path().join("a"), root.path().join("b")], Host::default());
        for path in &paths {
            make_directory(&host, path).unwrap();
        }
        write_device(&host, &paths[0], &IdSource::from_seed([1; 32])).unwrap();
        std::fs::copy(paths[0].join("DEVICE"), paths[1].join("DEVICE")).unwrap();
        assert!(matches!(mount(&host, &paths), Err(MountError::Copy { .. })));
        assert!(matches!(mount(&host, &[]), Err(MountError::Directory { .. })));
    }
}
