//! The back end for kernels, containers and file systems that refuse io_uring: threads that block in `pwrite` and `pread`.
//!
//! With O_DIRECT where the file system takes it; elsewhere through the page cache, where `sync` is what makes data durable
//! all the same.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::fs::OFlags;
use rustix::io::Errno;

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
use super::buffer::HeapBlock;
use super::buffer::Memory;
use super::directory::Directory;

/// A data directory whose blocks are moved by threads.
pub struct ThreadDevice {
    directory: Directory,
    blocks: BlockingPool,
    /// Whether the file system is still believed to take O_DIRECT. Shared: one refusal is enough.
    direct: Rc<Cell<bool>>,
}

impl ThreadDevice {
    /// * `names`: threads for what is done to names; a directory's fsync can take long, and must not hold up data.
    /// * `blocks`: threads for data; as many operations are in flight at most.
    ///
    /// Opens the directory on the calling thread: at start only.
    pub fn open(root: &Path, names: BlockingPool, blocks: BlockingPool) -> io::Result<Self> {
        Ok(Self { directory: Directory::open(root, names)?, blocks, direct: Rc::new(Cell::new(true)) })
    }

    /// Opens with O_DIRECT, and once more without when that is refused. Only if the second try succeeds was it O_DIRECT that
    /// was wrong: the kernel refuses it for a directory, too.
    async fn direct_or_not<T, F: Future<Output = io::Result<T>>>(&self, open: impl Fn(OFlags) -> F) -> io::Result<T> {
        if self.direct.get() {
            match open(OFlags::DIRECT).await {
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {}
                result => return result,
            }
        }
        let opened = open(OFlags::empty()).await?;
        self.direct.set(false);
        Ok(opened)
    }

    fn file(&self, file: OwnedFd, len: u64) -> Box<dyn BlockFile> {
        Box::new(ThreadFile { file: Arc::new(file), len, dead: Cell::new(false), blocks: self.blocks.clone() })
    }
}

impl BlockDevice for ThreadDevice {
    fn create(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        let path = path.to_owned();
        Box::pin(async move {
            let file = self.direct_or_not(|extra| create(&self.directory, &path, extra)).await?;
            Ok(self.file(file, 0))
        })
    }

    fn open(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        let path = path.to_owned();
        Box::pin(async move {
            let (file, len) = self.direct_or_not(|extra| self.directory.open_file(&path, extra)).await?;
            Ok(self.file(file, len))
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

/// Creating with O_DIRECT where it is refused leaves the empty file behind, under the name the second attempt needs.
async fn create(directory: &Directory, path: &Path, extra: OFlags) -> io::Result<OwnedFd> {
    let result = directory.create(path, extra).await;
    if let Err(error) = &result
        && error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
        && extra.contains(OFlags::DIRECT)
    {
        // Depends on the file system: some refuse before the name is made.
        let _ = directory.unlink(path).await;
    }
    result
}

struct ThreadFile {
    file: Arc<OwnedFd>,
    /// Length when it was opened for reading.
    len: u64,
    dead: Cell<bool>,
    blocks: BlockingPool,
}

impl ThreadFile {
    /// Runs an operation that changes the file; its failure kills the file.
    async fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&OwnedFd) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if self.dead.get() {
            return Err(dead_file());
        }
        let file = self.file.clone();
        let result = self.blocks.run(move || job(&file)).await;
        if result.is_err() {
            self.dead.set(true);
        }
        result
    }
}

impl BlockFile for ThreadFile {
    fn write_at(&self, mut buf: AlignedBuf, len: usize, offset: u64) -> IoFuture<'_, AlignedBuf> {
        Box::pin(async move {
            check_write(&buf, len, offset)?;
            let block = match buf.take() {
                Some(Memory::Heap(block)) => block,
                // A buffer of the other back end cannot change threads.
                other => {
                    drop(other);
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer of another back end"));
                }
            };
            let block = self.change(move |file| write(file, block, len, offset)).await?;
            buf.put(Memory::Heap(block));
            Ok(buf)
        })
    }

    fn read_at(&self, offset: u64, len: usize) -> IoFuture<'_, AlignedBuf> {
        Box::pin(async move {
            check_aligned(len, offset)?;
            let expected = expected_len(offset, len, self.len)?;
            let file = self.file.clone();
            let block = self.blocks.run(move || read(&file, offset, len, expected)).await?;
            Ok(AlignedBuf::of(Memory::Heap(block)))
        })
    }

    fn allocate(&self, len: u64) -> IoFuture<'_, ()> {
        Box::pin(async move {
            check_allocation(len)?;
            let allocate = move |file: &OwnedFd| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len);
            self.change(move |file| allowing_no_room(allocate(file).map_err(io::Error::from))).await?
        })
    }

    fn truncate(&self, len: u64) -> IoFuture<'_, ()> {
        Box::pin(self.change(move |file| Ok(rustix::fs::ftruncate(file, len)?)))
    }

    fn sync(&self) -> IoFuture<'_, ()> {
        Box::pin(self.change(|file| {
            rustix::fs::fdatasync(file)?;
            check_named(&rustix::fs::fstat(file)?)
        }))
    }

    fn close(self: Box<Self>) -> IoFuture<'static, ()> {
        // The last operation still under way, if any, closes the descriptor.
        Box::pin(async move {
            drop(self);
            Ok(())
        })
    }
}

fn write(file: &OwnedFd, block: HeapBlock, len: usize, offset: u64) -> io::Result<HeapBlock> {
    let bytes = block.as_slice().get(..len).unwrap_or_default();
    match rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))? {
        taken if taken == len => Ok(block),
        taken => Err(short_write(offset, taken, len)),
    }
}

fn read(file: &OwnedFd, offset: u64, len: usize, expected: usize) -> io::Result<HeapBlock> {
    let mut block = HeapBlock::zeroed(len);
    let came = rustix::io::retry_on_intr(|| rustix::io::pread(file, block.as_mut_slice(), offset))?;
    if came < expected {
        return Err(short_read(offset, came, expected));
    }
    // Should the file have grown since it was opened, the answer is still about the file that was opened.
    block.truncate(expected);
    Ok(block)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::io::BlockPool;
    use crate::io::conformance::conforms;
    use crate::io::conformance::directory_on_disk;

    fn open(root: &Path) -> ThreadDevice {
        ThreadDevice::open(root, BlockingPool::new("names", 2).unwrap(), BlockingPool::new("blocks", 4).unwrap())
            .unwrap()
    }

    #[test]
    fn it_conforms() {
        let directory = directory_on_disk();
        let device = open(directory.path());
        block_on(conforms(&device, &BlockPool::heap(4), directory.path()));
        assert!(device.direct.get(), "a disk takes O_DIRECT");
    }

    #[test]
    fn it_conforms_without_direct_io() {
        let directory = directory_on_disk();
        let device = open(directory.path());
        device.direct.set(false);
        block_on(conforms(&device, &BlockPool::heap(4), directory.path()));
    }
}
