//! A device that fails on purpose: every operation of a clean run can be counted, then made to fail in turn.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustix::io::Errno;

use super::block::BlockDevice;
use super::block::BlockFile;
use super::block::DirectoryEntry;
use super::block::IoFuture;
use super::block::Space;
use super::block::dead_file;
use super::buffer::AlignedBuf;

/// What was asked of the device, as the trace tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Open,
    Write,
    Read,
    Allocate,
    Truncate,
    Sync,
    Close,
    Rename,
    Unlink,
    MakeDirectory,
    RemoveDirectory,
    List,
    Names,
    SyncDirectory,
    ReadSmall,
    WriteSmall,
    Space,
}

/// Which operations fail, counted from 0 in the order they are asked for. A failing one does not reach the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    #[default]
    None,
    /// This one, with EIO.
    One(usize),
    /// This one and all after it: what a killed process leaves on the disk.
    From(usize),
    /// This one, with ENOSPC.
    Full(usize),
    /// This one of its kind panics in its caller.
    Panic(Operation, usize),
}

/// The faults to come and the trace so far. Clones, on any thread, are the same.
#[derive(Clone, Default)]
pub struct FaultScript(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    faults: Faults,
    trace: Vec<Operation>,
}

impl FaultScript {
    pub fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(Script { faults, trace: Vec::new() })))
    }

    /// Every operation asked for so far, the failed ones included.
    pub fn trace(&self) -> Vec<Operation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).trace.clone()
    }

    fn ask(&self, operation: Operation) -> io::Result<()> {
        let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = script.trace.len();
        let of_kind = script.trace.iter().filter(|earlier| **earlier == operation).count();
        script.trace.push(operation);
        let faults = script.faults;
        match faults {
            Faults::One(nth) if number == nth => Err(Errno::IO.into()),
            Faults::From(nth) if number >= nth => Err(Errno::IO.into()),
            Faults::Full(nth) if number == nth => Err(Errno::NOSPC.into()),
            Faults::Panic(kind, nth) if kind == operation && of_kind == nth => {
                drop(script);
                panic!("{operation:?} number {nth} panics as it was told to")
            }
            _ => Ok(()),
        }
    }
}

/// Another device, and a script of what goes wrong on it.
pub struct FaultDevice {
    inner: Rc<dyn BlockDevice>,
    script: FaultScript,
}

impl FaultDevice {
    pub fn new(inner: Rc<dyn BlockDevice>, script: FaultScript) -> Self {
        Self { inner, script }
    }

    /// Asks the script now, in the order of the calls, and runs `operation` if it may.
    fn run<'a, T: 'a>(&'a self, kind: Operation, operation: impl FnOnce() -> IoFuture<'a, T>) -> IoFuture<'a, T> {
        run(&self.script, kind, operation)
    }

    fn file<'a>(
        &'a self,
        kind: Operation,
        operation: impl FnOnce() -> IoFuture<'a, Box<dyn BlockFile>>,
    ) -> IoFuture<'a, Box<dyn BlockFile>> {
        let opened = self.run(kind, operation);
        Box::pin(async move {
            let file = FaultFile { inner: opened.await?, script: self.script.clone(), dead: Cell::new(false) };
            Ok(Box::new(file) as Box<dyn BlockFile>)
        })
    }
}

fn run<'a, T: 'a>(
    script: &FaultScript,
    kind: Operation,
    operation: impl FnOnce() -> IoFuture<'a, T>,
) -> IoFuture<'a, T> {
    match script.ask(kind) {
        Ok(()) => operation(),
        Err(error) => Box::pin(async { Err(error) }),
    }
}

impl BlockDevice for FaultDevice {
    fn create(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        self.file(Operation::Create, || self.inner.create(path))
    }

    fn open(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        self.file(Operation::Open, || self.inner.open(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> IoFuture<'_, ()> {
        self.run(Operation::Rename, || self.inner.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> IoFuture<'_, ()> {
        self.run(Operation::Unlink, || self.inner.unlink(path))
    }

    fn make_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.run(Operation::MakeDirectory, || self.inner.make_directory(path))
    }

    fn remove_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.run(Operation::RemoveDirectory, || self.inner.remove_directory(path))
    }

    fn list(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.run(Operation::List, || self.inner.list(path))
    }

    fn names(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.run(Operation::Names, || self.inner.names(path))
    }

    fn sync_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.run(Operation::SyncDirectory, || self.inner.sync_directory(path))
    }

    fn read_small(&self, path: &Path, len_max: usize) -> IoFuture<'_, Vec<u8>> {
        self.run(Operation::ReadSmall, || self.inner.read_small(path, len_max))
    }

    fn write_small(&self, path: &Path, bytes: Vec<u8>) -> IoFuture<'_, ()> {
        self.run(Operation::WriteSmall, || self.inner.write_small(path, bytes))
    }

    fn space(&self) -> IoFuture<'_, Space> {
        self.run(Operation::Space, || self.inner.space())
    }
}

struct FaultFile {
    inner: Box<dyn BlockFile>,
    script: FaultScript,
    /// A fault of ours killed it, though the file beneath knows nothing of that.
    dead: Cell<bool>,
}

impl FaultFile {
    fn change<'a, T: 'a>(&'a self, kind: Operation, operation: impl FnOnce() -> IoFuture<'a, T>) -> IoFuture<'a, T> {
        let may = self.script.ask(kind).and_then(|()| if self.dead.get() { Err(dead_file()) } else { Ok(()) });
        match may {
            Ok(()) => operation(),
            Err(error) => {
                self.dead.set(true);
                Box::pin(async { Err(error) })
            }
        }
    }
}

impl BlockFile for FaultFile {
    fn write_at(&self, buf: AlignedBuf, len: usize, offset: u64) -> IoFuture<'_, AlignedBuf> {
        self.change(Operation::Write, || self.inner.write_at(buf, len, offset))
    }

    fn read_at(&self, offset: u64, len: usize) -> IoFuture<'_, AlignedBuf> {
        run(&self.script, Operation::Read, || self.inner.read_at(offset, len))
    }

    fn allocate(&self, len: u64) -> IoFuture<'_, ()> {
        self.change(Operation::Allocate, || self.inner.allocate(len))
    }

    fn truncate(&self, len: u64) -> IoFuture<'_, ()> {
        self.change(Operation::Truncate, || self.inner.truncate(len))
    }

    fn sync(&self) -> IoFuture<'_, ()> {
        self.change(Operation::Sync, || self.inner.sync())
    }

    fn close(self: Box<Self>) -> IoFuture<'static, ()> {
        let Self { inner, script, .. } = *self;
        run(&script, Operation::Close, || inner.close())
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::io::BLOCK_SIZE;
    use crate::io::BlockPool;
    use crate::io::BlockingPool;
    use crate::io::ThreadDevice;
    use crate::io::conformance::conforms;
    use crate::io::conformance::directory_on_disk;

    fn device(root: &Path, faults: Faults) -> (FaultDevice, FaultScript) {
        let names = BlockingPool::new("test", 2).unwrap();
        let inner = ThreadDevice::open(root, names.clone(), names).unwrap();
        let script = FaultScript::new(faults);
        (FaultDevice::new(Rc::new(inner), script.clone()), script)
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
