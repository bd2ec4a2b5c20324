//! The back end of choice: glommio's io_uring with direct I/O and registered buffers.
//!
//! What it steers around, all of it in glommio 0.9:
//! * its open calls `statfs` on the *path* afterwards and panics when that is gone, so a file that is renamed or deleted in
//!   that moment would take its shard down. Names are therefore opened on a thread of ours, relative to the data directory,
//!   and glommio only sees `/proc/self/fd/<n>`, which cannot go away;
//! * the first file it opens on a disk decides whether reads and writes there *busy-poll*. It tries a read, and only a
//!   write-only file gives the answer that is right for a disk without poll queues: so [`DmaDevice::open`] opens such a file
//!   before any other (glommio logs one error about it per disk and executor), and files are created write-only;
//! * its writes report how many bytes were taken, and its stream writer ignores that: every count is compared here, and
//!   `DmaStreamWriter` is not used;
//! * its buffers cannot be written in part: a file's last write is copied into a buffer of its length.

use std::cell::Cell;
use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use glommio::GlommioError;
use glommio::allocate_dma_buffer;
use glommio::io::DmaBuffer;
use glommio::io::DmaFile;
use glommio::io::OpenOptions;
use glommio::io::ReadResult;
use glommio::sync::Permit;
use glommio::sync::Semaphore;
use rustix::fs::OFlags;

use super::block::BlockDevice;
use super::block::BlockFile;
use super::block::DirectoryEntry;
use super::block::IoFuture;
use super::block::Space;
use super::block::allowing_no_room;
use super::block::check_aligned;
use super::block::check_allocation;
use super::block::check_named;
use super::block::check_write;
use super::block::dead_file;
use super::block::expected_len;
use super::block::short_read;
use super::block::short_write;
use super::blocking::BlockingPool;
use super::buffer::AlignedBuf;
use super::buffer::Memory;
use super::directory::Directory;

/// A data directory on the glommio executor of this thread; its methods panic on any other thread.
pub struct DmaDevice {
    directory: Directory,
    turns: Turns,
}

/// For changes to the files of one device; `None` when as many may be under way as come.
#[derive(Clone, Default)]
struct Turns(Option<Rc<Semaphore>>);

impl Turns {
    /// A turn, held until it is dropped.
    async fn take(&self) -> io::Result<Option<Permit<'_>>> {
        match &self.0 {
            Some(turns) => turns.acquire_permit(1).await.map(Some).map_err(io_error),
            None => Ok(None),
        }
    }
}

impl DmaDevice {
    /// * `names`: threads for what is done to names.
    ///
    /// # Errors
    /// When the directory cannot be opened, or its file system has no unnamed files or refuses O_DIRECT.
    pub async fn open(root: &Path, names: BlockingPool) -> io::Result<Self> {
        let directory = Directory::open(root, names)?;
        let unnamed = directory.create_unnamed().await?;
        reopen(&unnamed, OpenOptions::new().write(true)).await?.close().await.map_err(io_error)?;
        Ok(Self { directory, turns: Turns::default() })
    }

    /// Lets so many writes, allocations, truncations and syncs be under way at once; more wait, first come first served.
    pub fn with_changes_at_once(self, count: Option<u64>) -> Self {
        Self { turns: Turns(count.map(|count| Rc::new(Semaphore::new(count)))), ..self }
    }
}

impl BlockDevice for DmaDevice {
    fn create(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        let path = path.to_owned();
        Box::pin(async move {
            let created = self.directory.create(&path, OFlags::empty()).await?;
            let file = reopen(&created, OpenOptions::new().write(true)).await?;
            Ok(DmaBlockFile::boxed(file, 0, &self.turns))
        })
    }

    fn open(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        let path = path.to_owned();
        Box::pin(async move {
            let (opened, len) = self.directory.open_file(&path, OFlags::empty()).await?;
            let file = reopen(&opened, OpenOptions::new().read(true)).await?;
            Ok(DmaBlockFile::boxed(file, len, &self.turns))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> IoFuture<'_, ()> {
        self.directory.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> IoFuture<'_, ()> {
        self.directory.unlink(path)
    }

    fn make_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.directory.make_directory(path)
    }

    fn remove_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.directory.remove_directory(path)
    }

    fn list(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.directory.list(path)
    }

    fn names(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.directory.names(path)
    }

    fn sync_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.directory.sync_directory(path)
    }

    fn read_small(&self, path: &Path, len_max: usize) -> IoFuture<'_, Vec<u8>> {
        self.directory.read_small(path, len_max)
    }

    fn write_small(&self, path: &Path, bytes: Vec<u8>) -> IoFuture<'_, ()> {
        self.directory.write_small(path, bytes)
    }

    fn space(&self) -> IoFuture<'_, Space> {
        self.directory.space()
    }
}

/// Opens what `file` refers to once more, by glommio and with O_DIRECT.
async fn reopen(file: &OwnedFd, options: &OpenOptions) -> io::Result<DmaFile> {
    options.dma_open(descriptor(file)).await.map_err(io_error)
}

/// A path to what is open, whatever became of its name.
fn descriptor(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Glommio's own text names the `/proc` path, and loses the error number: the cause alone is better.
fn io_error(error: GlommioError<()>) -> io::Error {
    match error {
        GlommioError::EnhancedIoError { source, .. } | GlommioError::IoError(source) => source,
        other => other.into(),
    }
}

struct DmaBlockFile {
    file: DmaFile,
    /// Length when it was opened for reading.
    len: u64,
    dead: Cell<bool>,
    turns: Turns,
}

impl DmaBlockFile {
    fn boxed(file: DmaFile, len: u64, turns: &Turns) -> Box<dyn BlockFile> {
        Box::new(Self { file, len, dead: Cell::new(false), turns: turns.clone() })
    }

    /// Awaits an operation that changes the file; its failure kills the file.
    async fn change<T>(&self, operation: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let _turn = self.turns.take().await?;
        if self.dead.get() {
            return Err(dead_file());
        }
        let result = operation.await;
        if result.is_err() {
            self.dead.set(true);
        }
        result
    }

    async fn write(&self, bytes: Rc<DmaBuffer>, offset: u64) -> io::Result<()> {
        let len = bytes.len();
        match self.file.write_rc_at(bytes, offset).await.map_err(io_error)? {
            taken if taken == len => Ok(()),
            taken => Err(short_write(offset, taken, len)),
        }
    }
}

impl BlockFile for DmaBlockFile {
    fn write_at(&self, buf: AlignedBuf, len: usize, offset: u64) -> IoFuture<'_, AlignedBuf> {
        Box::pin(async move {
            check_write(&buf, len, offset)?;
            let bytes = match buf.memory() {
                Some(Memory::Dma(bytes)) if bytes.len() == len => bytes.clone(),
                _ => copy(&buf, len),
            };
            self.change(self.write(bytes, offset)).await?;
            Ok(buf)
        })
    }

    fn read_at(&self, offset: u64, len: usize) -> IoFuture<'_, AlignedBuf> {
        Box::pin(async move {
            check_aligned(len, offset)?;
            let expected = expected_len(offset, len, self.len)?;
            let result = self.file.read_at_aligned(offset, len).await.map_err(io_error)?;
            // Should the file have grown since it was opened, the answer is still about the file that was opened.
            match ReadResult::slice(&result, 0, expected) {
                Some(result) => Ok(AlignedBuf::of(Memory::Read(result))),
                None => Err(short_read(offset, result.len(), expected)),
            }
        })
    }

    fn allocate(&self, len: u64) -> IoFuture<'_, ()> {
        Box::pin(async move {
            check_allocation(len)?;
            let allocated = async { self.file.pre_allocate(len, false).await.map_err(io_error) };
            self.change(async { allowing_no_room(allocated.await) }).await?
        })
    }

    fn truncate(&self, len: u64) -> IoFuture<'_, ()> {
        Box::pin(self.change(async move { self.file.truncate(len).await.map_err(io_error) }))
    }

    fn sync(&self) -> IoFuture<'_, ()> {
        Box::pin(self.change(async {
            self.file.fdatasync().await.map_err(io_error)?;
            check_named(&rustix::fs::stat(descriptor(&self.file))?)
        }))
    }

    fn close(self: Box<Self>) -> IoFuture<'static, ()> {
        Box::pin(async move { self.file.close().await.map_err(io_error) })
    }
}

/// The first `len` bytes in a buffer of their own: for a file's last write, and for memory that is not glommio's.
fn copy(buf: &AlignedBuf, len: usize) -> Rc<DmaBuffer> {
    let mut bytes = allocate_dma_buffer(len);
    bytes.as_bytes_mut().copy_from_slice(buf.as_slice().get(..len).unwrap_or_default());
    Rc::new(bytes)
}

#[cfg(test)]
mod tests;
