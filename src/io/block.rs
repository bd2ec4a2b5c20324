//! The block I/O trait, in two halves: a file of aligned blocks, and the data directory it lies in.
//!
//! The only way this house touches recorded data on a disk; SQLite's own files are the exception. Futures stay on the
//! executor that made them (not `Send`). One box per call: noise beside a 1 MiB write.
//!
//! Dropping a future gives up its answer; the operation may still happen. The memory of a write that is given up is only
//! reused once the kernel has let go of it.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::Component;
use std::path::Path;
use std::pin::Pin;

use super::AlignedBuf;

/// Alignment and granularity, in bytes, of every offset, length and buffer address.
pub const BLOCK_SIZE: usize = 4096;

/// Bytes of one pooled buffer, and of every write but a file's last. 1 MiB with 4 to 16 in flight is where NVMe disks and
/// io_uring level off.
pub const WRITE_SIZE: usize = 1 << 20;

const _: () = {
    assert!(BLOCK_SIZE.is_power_of_two());
    assert!(WRITE_SIZE.is_multiple_of(BLOCK_SIZE));
};

/// What every operation returns: a boxed future that stays on its thread.
pub type IoFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>;

/// One file of aligned blocks: either write-only (from [`BlockDevice::create`]) or read-only (from [`BlockDevice::open`]).
///
/// Offsets and lengths that are not multiples of [`BLOCK_SIZE`], and lengths of zero, are refused as
/// [`io::ErrorKind::InvalidInput`] before anything reaches the disk. After any other failure of `write_at`, `allocate`,
/// `truncate` or `sync` the file is dead and every later call but `close` fails: what the kernel has kept of the failed
/// operation cannot be known, so nothing may be retried in place. An `allocate` that finds no room (`StorageFull`,
/// `QuotaExceeded`) is the exception: it changed no byte that was written, and may be asked for less.
pub trait BlockFile {
    /// Writes the first `len` bytes of `buf` at `offset`. A short write is an error. The buffer comes back, and after an
    /// error goes home to its pool.
    ///
    /// Costs a copy of `len` bytes when `len` is not the whole buffer: a file's last write.
    fn write_at(&self, buf: AlignedBuf, len: usize, offset: u64) -> IoFuture<'_, AlignedBuf>;

    /// Reads `len` bytes at `offset`; the file's end may cut the last block, so the buffer's `len()` says what came.
    ///
    /// # Errors
    /// `UnexpectedEof` when `offset` is at or past the file's end, or fewer bytes than `min(len, file length - offset)` come.
    fn read_at(&self, offset: u64, len: usize) -> IoFuture<'_, AlignedBuf>;

    /// Reserves space for the bytes `0..len` and makes the file that long (never shorter). Bytes not written read as zero.
    ///
    /// The size is set on purpose: a write that extends a file takes the inode's lock and leaves io_uring's fast path.
    fn allocate(&self, len: u64) -> IoFuture<'_, ()>;

    /// Cuts the file, and the space reserved for it, to `len` bytes; any length.
    fn truncate(&self, len: u64) -> IoFuture<'_, ()>;

    /// Returns once every *completed* write survives power loss: await the writes first. `NotFound` when the file has lost its
    /// name, for then nothing of it does.
    fn sync(&self) -> IoFuture<'_, ()>;

    /// Closes the file. Says nothing about durability.
    fn close(self: Box<Self>) -> IoFuture<'static, ()>;
}

/// One data directory. Paths are relative to it and made by us (hexadecimal ids and fixed words): an absolute path, or one
/// with `.` or `..` in it, is refused as `InvalidInput`.
pub trait BlockDevice {
    /// Creates a file of mode 0600 for writing; `AlreadyExists` when there is anything under that name.
    fn create(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>>;

    /// Opens a file for reading. Its length is taken once, here: open only files that no longer change.
    fn open(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>>;

    /// Renames; `AlreadyExists` when the target exists, and then nothing has changed.
    fn rename(&self, from: &Path, to: &Path) -> IoFuture<'_, ()>;

    /// Removes a file's name; `NotFound` when it is gone already.
    fn unlink(&self, path: &Path) -> IoFuture<'_, ()>;

    /// Makes a directory of mode 0700. One that exists already is fine; a file of that name is `AlreadyExists`.
    fn make_directory(&self, path: &Path) -> IoFuture<'_, ()>;

    /// Removes an empty directory; `DirectoryNotEmpty` or `NotFound` otherwise.
    fn remove_directory(&self, path: &Path) -> IoFuture<'_, ()>;

    /// What lies in a directory, in no order. The empty path is the data directory itself. Symbolic links are not followed:
    /// they appear as files.
    fn list(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>>;

    /// The names alone of what [`Self::list`] tells, with `len` 0: no file is looked at, so a directory whose files nobody
    /// touched for long costs what its names take, not one inode a file.
    fn names(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>>;

    /// Returns once the names made and removed in the directory survive power loss (a full fsync). The empty path is the
    /// data directory itself.
    fn sync_directory(&self, path: &Path) -> IoFuture<'_, ()>;

    /// A whole small file by ordinary reads; `FileTooLarge` above `len_max` bytes, before anything is allocated.
    fn read_small(&self, path: &Path, len_max: usize) -> IoFuture<'_, Vec<u8>>;

    /// Writes a whole small file durably and atomically, replacing an earlier one: `<path>.tmp`, fsync, rename, fsync of the
    /// directory. A crash leaves the earlier file or this one, and perhaps a `.tmp`, which the next write of the same path
    /// overwrites and recovery may remove. Two writes of one path must not overlap.
    fn write_small(&self, path: &Path, bytes: Vec<u8>) -> IoFuture<'_, ()>;

    /// How much room the file system has.
    fn space(&self) -> IoFuture<'_, Space>;
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryEntry {
    pub name: OsString,
    pub is_directory: bool,
    /// In bytes; meaningless for directories.
    pub len: u64,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes we may still fill: without what the file system keeps back for root.
    pub free: u64,
    pub total: u64,
    /// Files that can still be made, and that there can be in all; both `u64::MAX` where the file system does not count them.
    pub files_free: u64,
    pub files_total: u64,
}

/// Refuses a read or write that direct I/O would refuse, on every file system alike (tmpfs takes any).
pub(super) fn check_aligned(len: usize, offset: u64) -> io::Result<()> {
    let block = BLOCK_SIZE as u64;
    if len == 0 || !len.is_multiple_of(BLOCK_SIZE) || !offset.is_multiple_of(block) {
        let text =
            format!("{len} bytes at offset {offset}: both must be multiples of {BLOCK_SIZE}, and not zero bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

/// Refuses a write of more than the buffer holds.
pub(super) fn check_write(buf: &AlignedBuf, len: usize, offset: u64) -> io::Result<()> {
    check_aligned(len, offset)?;
    if len > buf.len() {
        let text = format!("{len} bytes of a buffer of {}", buf.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

/// Refuses to reserve nothing.
pub(super) fn check_allocation(len: u64) -> io::Result<()> {
    if len == 0 { Err(io::Error::new(io::ErrorKind::InvalidInput, "an allocation of zero bytes")) } else { Ok(()) }
}

/// Refuses a path that could leave the data directory.
pub(super) fn check_path(path: &Path) -> io::Result<()> {
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(());
    }
    let text = format!("{} is not a plain path inside a data directory", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// How many bytes a read of `len` at `offset` must bring from a file of `file_len` bytes.
pub(super) fn expected_len(offset: u64, len: usize, file_len: u64) -> io::Result<usize> {
    match file_len.checked_sub(offset) {
        None | Some(0) => {
            let text = format!("offset {offset} is at or past the end of the file, {file_len} bytes");
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
        }
        Some(rest) => Ok(usize::try_from(rest).map_or(len, |rest| rest.min(len))),
    }
}

/// What a read that brought too little answers.
pub(super) fn short_read(offset: u64, came: usize, expected: usize) -> io::Error {
    let text = format!("{came} of {expected} bytes came from offset {offset}");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// What a write that took too little answers. Usually the disk, or a quota, is full.
pub(super) fn short_write(offset: u64, taken: usize, len: usize) -> io::Error {
    let text = format!("{taken} of {len} bytes were taken at offset {offset}");
    io::Error::new(io::ErrorKind::WriteZero, text)
}

/// Whether there was no room, on the disk or in a quota.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// For an allocation: that there is no room is an answer, and kills no file.
pub(super) fn allowing_no_room(result: io::Result<()>) -> io::Result<io::Result<()>> {
    match result {
        Err(error) if is_no_room(&error) => Ok(Err(error)),
        other => other.map(Ok),
    }
}

/// What every call on a dead file answers.
pub(super) fn dead_file() -> io::Error {
    io::Error::other("an earlier operation on this file failed, the file is abandoned")
}

/// A file that somebody removed while it was written: what goes on in it is gone when it is closed.
pub(super) fn check_named(file: &rustix::fs::Stat) -> io::Result<()> {
    match file.st_nlink {
        0 => Err(io::Error::new(io::ErrorKind::NotFound, "somebody has removed the file while it was being written")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_the_directory_is_refused() {
        for path in ["a", "a/b.part", ""] {
            assert!(check_path(Path::new(path)).is_ok(), "{path}");
        }
        for path in ["/etc/passwd", "../x", "a/../../x", "./x"] {
            assert!(check_path(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn the_end_of_the_file_cuts_a_read() {
        assert_eq!(expected_len(0, 8192, 8192).unwrap(), 8192);
        assert_eq!(expected_len(4096, 8192, 8193).unwrap(), 4097);
        assert_eq!(expected_len(4096, 4096, 4096).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(expected_len(8192, 4096, 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
