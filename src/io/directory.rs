//! A data directory and what is done to names in it. Both back ends share this half: the kernel offers these calls only as
//! blocking ones (io_uring's rename takes no NOREPLACE through glommio), so they go to threads.
//!
//! Every call is relative to a descriptor of the directory, so renaming or remounting one above it cannot send us elsewhere,
//! and no symbolic link is followed in a path's last part.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::fs::CWD;
use rustix::fs::Dir;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::block::DirectoryEntry;
use super::block::IoFuture;
use super::block::Space;
use super::block::check_path;
use super::blocking::BlockingPool;
use super::failpoint::failpoint;
use super::space;

/// Who may read what we create: its owner.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// An open data directory.
#[derive(Clone)]
pub(super) struct Directory {
    root: Arc<OwnedFd>,
    pool: BlockingPool,
}

impl Directory {
    /// Opens an existing directory.
    pub(super) fn open(root: &Path, pool: BlockingPool) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        Ok(Self { root: Arc::new(root), pool })
    }

    /// Runs `job` with the root descriptor on a pool thread, after checking `path`.
    fn with<T: Send + 'static>(
        &self,
        path: &Path,
        job: impl FnOnce(&OwnedFd, &Path) -> io::Result<T> + Send + 'static,
    ) -> IoFuture<'_, T> {
        let (checked, root, path) = (check_path(path), self.root.clone(), path.to_owned());
        Box::pin(async move {
            checked?;
            self.pool.run(move || job(&root, &path)).await
        })
    }

    /// Creates a file that must not exist; with `extra` flags such as O_DIRECT.
    pub(super) fn create(&self, path: &Path, extra: OFlags) -> IoFuture<'_, OwnedFd> {
        self.with(path, move |root, path| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
            Ok(rustix::fs::openat(root, path, flags, FILE_MODE)?)
        })
    }

    /// A file without a name, gone when it is closed.
    pub(super) fn create_unnamed(&self) -> IoFuture<'_, OwnedFd> {
        self.with(Path::new(""), |root, _| {
            let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(root, ".", flags, FILE_MODE)?)
        })
    }

    /// Opens a file for reading, and says how long it is.
    pub(super) fn open_file(&self, path: &Path, extra: OFlags) -> IoFuture<'_, (OwnedFd, u64)> {
        self.with(path, move |root, path| open_file(root, path, extra))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> IoFuture<'_, ()> {
        let (checked, to) = (check_path(to), to.to_owned());
        self.with(from, move |root, from| {
            checked?;
            Ok(rustix::fs::renameat_with(root, from, root, &to, RenameFlags::NOREPLACE)?)
        })
    }

    pub(super) fn unlink(&self, path: &Path) -> IoFuture<'_, ()> {
        self.with(path, |root, path| Ok(rustix::fs::unlinkat(root, path, AtFlags::empty())?))
    }

    pub(super) fn make_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.with(path, |root, path| match rustix::fs::mkdirat(root, path, DIRECTORY_MODE) {
            Err(Errno::EXIST) => {
                let found = rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW)?;
                let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
                if is_directory { Ok(()) } else { Err(Errno::EXIST.into()) }
            }
            result => Ok(result?),
        })
    }

    pub(super) fn remove_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.with(path, |root, path| Ok(rustix::fs::unlinkat(root, path, AtFlags::REMOVEDIR)?))
    }

    pub(super) fn list(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.with(path, list)
    }

    pub(super) fn names(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.with(path, names)
    }

    pub(super) fn sync_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.with(path, sync_directory)
    }

    pub(super) fn read_small(&self, path: &Path, len_max: usize) -> IoFuture<'_, Vec<u8>> {
        self.with(path, move |root, path| read_small(root, path, len_max))
    }

    pub(super) fn write_small(&self, path: &Path, bytes: Vec<u8>) -> IoFuture<'_, ()> {
        self.with(path, move |root, path| write_small(root, path, &bytes))
    }

    pub(super) fn space(&self) -> IoFuture<'_, Space> {
        self.with(Path::new(""), |root, _| Ok(space::of(root)?))
    }
}

fn open_file(root: &OwnedFd, path: &Path, extra: OFlags) -> io::Result<(OwnedFd, u64)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    let file = rustix::fs::openat(root, path, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((file, u64::try_from(found.st_size).unwrap_or(0)))
}

/// Opens a directory inside the root; the empty path is the root.
fn open_directory(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(root, path, flags, Mode::empty())?)
}

fn list(root: &OwnedFd, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
    walk(root, path, |_| None)
}

fn names(root: &OwnedFd, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
    // Some file systems do not tell what a name is: those names are looked at one by one.
    walk(root, path, |kind| match kind {
        FileType::Unknown => None,
        kind => Some((kind, 0)),
    })
}

/// * `known`: what is known of an entry by the type that the directory tells, and its length; `None` to look at it.
fn walk(
    root: &OwnedFd,
    path: &Path,
    known: impl Fn(FileType) -> Option<(FileType, u64)>,
) -> io::Result<Vec<DirectoryEntry>> {
    let directory = open_directory(root, path)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let (kind, len) = match known(entry.file_type()) {
            Some(known) => known,
            None => match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Removed since the directory was read.
                Err(Errno::NOENT) => continue,
                found => {
                    let found = found?;
                    (FileType::from_raw_mode(found.st_mode), u64::try_from(found.st_size).unwrap_or(0))
                }
            },
        };
        entries.push(DirectoryEntry { name: name.to_owned(), is_directory: kind == FileType::Directory, len });
    }
    Ok(entries)
}

fn sync_directory(root: &OwnedFd, path: &Path) -> io::Result<()> {
    Ok(rustix::fs::fsync(open_directory(root, path)?)?)
}

fn read_small(root: &OwnedFd, path: &Path, len_max: usize) -> io::Result<Vec<u8>> {
    let (file, len) = open_file(root, path, OFlags::empty())?;
    let too_large = |len: u64| {
        let text = format!("{}: {len} bytes, at most {len_max}", path.display());
        io::Error::new(io::ErrorKind::FileTooLarge, text)
    };
    let capacity = usize::try_from(len).ok().filter(|len| *len <= len_max).ok_or_else(|| too_large(len))?;
    let mut bytes = Vec::with_capacity(capacity);
    // One byte more than allowed, should the file have grown since.
    File::from(file).take(len_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > len_max {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

pub(super) fn write_small(root: &OwnedFd, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".tmp");
    let draft = PathBuf::from(draft);
    let result = write_draft(root, &draft, bytes).and_then(|()| {
        failpoint("small file: draft synced");
        Ok(rustix::fs::renameat(root, &draft, root, path)?)
    });
    if let Err(error) = result {
        // The error that is reported is the first one; a draft that stays is overwritten by the next attempt.
        let _ = rustix::fs::unlinkat(root, &draft, AtFlags::empty());
        return Err(error);
    }
    failpoint("small file: renamed");
    sync_directory(root, path.parent().unwrap_or(Path::new("")))
}

fn write_draft(root: &OwnedFd, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(root, draft, flags, FILE_MODE)?);
    file.write_all(bytes)?;
    failpoint("small file: draft written");
    file.sync_all()
}
