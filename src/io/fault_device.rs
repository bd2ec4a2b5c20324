//! A device that fails as its script says. A fault of its own kills a file just as one of the disk would.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use rustix::io::Errno;

use super::block::BLOCK_SIZE;
use super::block::BlockDevice;
use super::block::BlockFile;
use super::block::DirectoryEntry;
use super::block::IoFuture;
use super::block::Space;
use super::block::dead_file;
use super::block::short_read;
use super::block::short_write;
use super::buffer::AlignedBuf;
use super::buffer::HeapBlock;
use super::buffer::Memory;
use super::fault::FaultScript;
use super::fault::Operation;
use super::fault::Verdict;
use super::outage::Unsynced;

/// What a torn write or read has in its second half.
const RUBBISH: u8 = 0xa5;

/// Another device, and a script of what goes wrong on it.
pub struct FaultDevice {
    inner: Rc<dyn BlockDevice>,
    script: FaultScript,
    /// The data directory, for what a power cut undoes.
    root: PathBuf,
}

impl FaultDevice {
    /// * `root`: the directory of `inner`.
    pub fn new(inner: Rc<dyn BlockDevice>, root: &Path, script: FaultScript) -> Self {
        Self { inner, script, root: root.to_owned() }
    }

    /// Asks the script now, in the order of the calls.
    fn run<'a, T: 'a>(&'a self, kind: Operation, operation: IoFuture<'a, T>) -> IoFuture<'a, T> {
        run(self.script.ask(kind), operation)
    }

    /// The same for what is done to names, noted for a power cut.
    fn name<'a>(
        &'a self,
        kind: Operation,
        operation: IoFuture<'a, ()>,
        note: impl FnOnce(&mut Unsynced) + 'a,
    ) -> IoFuture<'a, ()> {
        let done = self.run(kind, operation);
        Box::pin(async move {
            done.await?;
            self.script.note(|unsynced| {
                note(unsynced);
                Ok(())
            })
        })
    }
}

/// `operation` has not begun: that takes a poll.
fn run<'a, T: 'a>(verdict: Verdict, operation: IoFuture<'a, T>) -> IoFuture<'a, T> {
    match verdict {
        Verdict::Proceed => operation,
        Verdict::Fail(error) => Box::pin(async move { Err(error.into()) }),
        Verdict::Short => Box::pin(async { Err(Errno::IO.into()) }),
        Verdict::Torn => Box::pin(async {
            let _ = operation.await;
            Err(Errno::IO.into())
        }),
        Verdict::Late(late) => Box::pin(async move {
            pause(late).await;
            operation.await
        }),
    }
}

/// On a thread of its own, so that it works on any executor.
async fn pause(late: Duration) {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        thread::sleep(late);
        let _ = sender.send(());
    });
    let _ = receiver.await;
}

impl BlockDevice for FaultDevice {
    fn create(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        let (created, path) = (self.run(Operation::Create, self.inner.create(path)), self.root.join(path));
        Box::pin(async move {
            let (inner, mut twin) = (created.await?, None);
            self.script.note(|unsynced| {
                unsynced.created(&path);
                twin = Some(Arc::new(File::options().write(true).open(&path)?));
                Ok(())
            })?;
            Ok(FaultFile::boxed(inner, self.script.clone(), twin))
        })
    }

    fn open(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        let opened = self.run(Operation::Open, self.inner.open(path));
        Box::pin(async move { Ok(FaultFile::boxed(opened.await?, self.script.clone(), None)) })
    }

    fn rename(&self, from: &Path, to: &Path) -> IoFuture<'_, ()> {
        let (old, new) = (self.root.join(from), self.root.join(to));
        let renamed = self.inner.rename(from, to);
        self.name(Operation::Rename, renamed, move |unsynced| unsynced.renamed(&old, &new))
    }

    fn unlink(&self, path: &Path) -> IoFuture<'_, ()> {
        let (unlinked, path) = (self.inner.unlink(path), self.root.join(path));
        let noted = async move {
            self.script.note(|unsynced| unsynced.unlinking(&self.root, &path))?;
            unlinked.await
        };
        self.run(Operation::Unlink, Box::pin(noted))
    }

    fn make_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        let (made, path) = (self.inner.make_directory(path), self.root.join(path));
        let was_there = path.is_dir();
        self.name(Operation::MakeDirectory, made, move |unsynced| {
            if !was_there {
                unsynced.directory_made(&path);
            }
        })
    }

    fn remove_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        let (removed, path) = (self.inner.remove_directory(path), self.root.join(path));
        self.name(Operation::RemoveDirectory, removed, move |unsynced| unsynced.directory_removed(&path))
    }

    fn list(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.run(Operation::List, self.inner.list(path))
    }

    fn names(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.run(Operation::Names, self.inner.names(path))
    }

    fn sync_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        let (synced, path) = (self.inner.sync_directory(path), self.root.join(path));
        self.name(Operation::SyncDirectory, synced, move |unsynced| unsynced.directory_synced(&path))
    }

    fn read_small(&self, path: &Path, len_max: usize) -> IoFuture<'_, Vec<u8>> {
        self.run(Operation::ReadSmall, self.inner.read_small(path, len_max))
    }

    fn write_small(&self, path: &Path, bytes: Vec<u8>) -> IoFuture<'_, ()> {
        let (written, path) = (self.inner.write_small(path, bytes), self.root.join(path));
        // It ends with a sync of its directory.
        self.name(Operation::WriteSmall, written, move |unsynced| {
            unsynced.directory_synced(path.parent().unwrap_or(Path::new("")));
        })
    }

    fn space(&self) -> IoFuture<'_, Space> {
        self.run(Operation::Space, self.inner.space())
    }
}

struct FaultFile {
    inner: Box<dyn BlockFile>,
    script: FaultScript,
    /// A second descriptor, for what a power cut undoes.
    twin: Option<Arc<File>>,
    /// A fault of ours killed it, though the file beneath knows nothing of that.
    dead: Rc<Cell<bool>>,
}

impl FaultFile {
    fn boxed(inner: Box<dyn BlockFile>, script: FaultScript, twin: Option<Arc<File>>) -> Box<dyn BlockFile> {
        Box::new(Self { inner, script, twin, dead: Rc::default() })
    }

    /// A call that changes the file: a fault kills it, and a dead file takes no more.
    fn change(&self, kind: Operation) -> Result<Verdict, io::Error> {
        let verdict = self.script.ask(kind);
        if self.dead.get() {
            self.script.asked_of_dead_file(kind);
            return Err(dead_file());
        }
        let spares = kind == Operation::Allocate && matches!(verdict, Verdict::Fail(Errno::NOSPC));
        if matches!(verdict, Verdict::Fail(_) | Verdict::Short | Verdict::Torn) && !spares {
            self.dead.set(true);
        }
        Ok(verdict)
    }

    fn note(&self, note: impl FnOnce(&mut Unsynced, &Arc<File>) -> io::Result<()>) -> io::Result<()> {
        match &self.twin {
            Some(twin) => self.script.note(|unsynced| note(unsynced, twin)),
            None => Ok(()),
        }
    }

    fn resize<'a>(&'a self, kind: Operation, operation: IoFuture<'a, ()>) -> IoFuture<'a, ()> {
        let verdict = self.change(kind);
        let noted = async move {
            self.note(|unsynced, twin| unsynced.resizing(twin))?;
            operation.await
        };
        Box::pin(async move { run(verdict?, Box::pin(noted)).await })
    }
}

impl BlockFile for FaultFile {
    fn write_at(&self, mut buf: AlignedBuf, len: usize, offset: u64) -> IoFuture<'_, AlignedBuf> {
        let verdict = self.change(Operation::Write);
        Box::pin(async move {
            match verdict? {
                Verdict::Short => {
                    let half = len / 2 / BLOCK_SIZE * BLOCK_SIZE;
                    if half > 0 {
                        self.inner.write_at(buf, half, offset).await?;
                    }
                    Err(short_write(offset, half, len))
                }
                Verdict::Torn => {
                    if let Some(rest) = buf.as_mut_slice().get_mut(len / 2..) {
                        rest.fill(RUBBISH);
                    }
                    self.inner.write_at(buf, len, offset).await?;
                    Err(Errno::IO.into())
                }
                verdict => {
                    let buf = run(verdict, self.inner.write_at(buf, len, offset)).await?;
                    self.note(|unsynced, twin| {
                        unsynced.written(twin, offset, len);
                        Ok(())
                    })?;
                    Ok(buf)
                }
            }
        })
    }

    fn read_at(&self, offset: u64, len: usize) -> IoFuture<'_, AlignedBuf> {
        let (verdict, read) = (self.script.ask(Operation::Read), self.inner.read_at(offset, len));
        Box::pin(async move {
            match verdict {
                Verdict::Short => Err(short_read(offset, len / 2, len)),
                Verdict::Torn => Ok(rubbish(&read.await?)),
                verdict => run(verdict, read).await,
            }
        })
    }

    fn allocate(&self, len: u64) -> IoFuture<'_, ()> {
        self.resize(Operation::Allocate, self.inner.allocate(len))
    }

    fn truncate(&self, len: u64) -> IoFuture<'_, ()> {
        self.resize(Operation::Truncate, self.inner.truncate(len))
    }

    fn sync(&self) -> IoFuture<'_, ()> {
        let verdict = self.change(Operation::Sync);
        Box::pin(async move {
            run(verdict?, self.inner.sync()).await?;
            self.note(|unsynced, twin| {
                unsynced.file_synced(twin);
                Ok(())
            })
        })
    }

    fn close(self: Box<Self>) -> IoFuture<'static, ()> {
        let Self { inner, script, .. } = *self;
        run(script.ask(Operation::Close), inner.close())
    }
}

/// What was read, with a second half that nobody wrote.
fn rubbish(read: &AlignedBuf) -> AlignedBuf {
    let mut block = HeapBlock::zeroed(read.len().next_multiple_of(BLOCK_SIZE));
    for (to, from) in block.as_mut_slice().iter_mut().zip(read.as_slice()) {
        *to = *from;
    }
    if let Some(rest) = block.as_mut_slice().get_mut(read.len() / 2..) {
        rest.fill(RUBBISH);
    }
    block.truncate(read.len());
    AlignedBuf::of(Memory::Heap(block))
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::io::BLOCK_SIZE;
    use crate::io::BlockPool;
    use crate::io::BlockingPool;
    use crate::io::Faults;
    use crate::io::ThreadDevice;
    use crate::io::conformance::conforms;
    use crate::io::conformance::directory_on_disk;

    fn device(root: &Path, faults: Faults) -> (FaultDevice, FaultScript) {
        let names = BlockingPool::new("test", 2).unwrap();
        let inner = ThreadDevice::open(root, names.clone(), names).unwrap();
        let script = FaultScript::new(faults);
        (FaultDevice::new(Rc::new(inner), root, script.clone()), script)
    }

    /// The life of a chunk file: what is done to it, until something fails.
    async fn publish(device: &dyn BlockDevice) -> io::Result<()> {
        let file = device.create(Path::new("a.part")).await?;
        file.allocate(2 * BLOCK_SIZE as u64).await?;
        file.write_at(AlignedBuf::zeroed(BLOCK_SIZE), BLOCK_SIZE, 0).await?;
        file.truncate(BLOCK_SIZE as u64).await?;
        file.sync().await?;
        file.close().await?;
        device.sync_directory(Path::new("")).await?;
        device.rename(Path::new("a.part"), Path::new("a.parquet")).await
    }

    #[test]
    fn it_conforms_while_nothing_fails() {
        let directory = directory_on_disk();
        let (device, _) = device(directory.path(), Faults::None);
        block_on(conforms(&device, &BlockPool::heap(4), directory.path()));
    }

    #[test]
    fn each_operation_can_be_made_to_fail_in_turn() {
        let directory = directory_on_disk();
        let (clean, script) = device(directory.path(), Faults::None);
        block_on(publish(&clean)).unwrap();
        let trace = script.trace();
        assert_eq!((trace.len(), trace[2], trace[7]), (8, Operation::Write, Operation::Rename));
        for nth in 0..trace.len() {
            let directory = directory_on_disk();
            let (failing, script) = device(directory.path(), Faults::Full(nth));
            assert_eq!(block_on(publish(&failing)).unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(script.trace(), trace[..=nth]);
            assert!(!directory.path().join("a.parquet").exists());
        }
    }

    #[test]
    fn a_fault_kills_the_file() {
        let directory = directory_on_disk();
        let (device, _) = device(directory.path(), Faults::One(1));
        block_on(async {
            let file = device.create(Path::new("a")).await.unwrap();
            assert!(file.sync().await.is_err());
            let again = file.sync().await.unwrap_err();
            assert!(again.to_string().contains("abandoned"), "a sync must not be retried: {again}");
            assert!(file.write_at(AlignedBuf::zeroed(BLOCK_SIZE), BLOCK_SIZE, 0).await.is_err());
        });
    }

    #[test]
    fn nothing_reaches_the_disk_of_a_killed_process() {
        let directory = directory_on_disk();
        let (killed, _) = device(directory.path(), Faults::From(1));
        assert!(block_on(publish(&killed)).is_err());
        assert!(block_on(killed.unlink(Path::new("a.part"))).is_err());
        assert_eq!(std::fs::metadata(directory.path().join("a.part")).unwrap().len(), 0);
        let (one, _) = device(directory.path(), Faults::One(0));
        assert!(block_on(one.unlink(Path::new("a.part"))).is_err());
        block_on(one.unlink(Path::new("a.part"))).unwrap();
    }
}
