//! Goal: a bad moment of a device is survived, damage is not handed out.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use arrow::array::ArrayRef;
use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use futures::executor::block_on;

use super::*;
use crate::chunk::ChunkEncoder;
use crate::chunk::ChunkIdentity;
use crate::chunk::Columns;
use crate::chunk::Effort;
use crate::io::BlockingPool;
use crate::io::DirectoryEntry;
use crate::io::FaultDevice;
use crate::io::FaultScript;
use crate::io::Faults;
use crate::io::IoFuture;
use crate::io::Operation;
use crate::io::Recycler;
use crate::io::Space;
use crate::io::ThreadDevice;
use crate::io::hash_blocks;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SerializationFormat;
use crate::model::ShardIndex;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicName;

#[test]
#[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
fn ranges_are_widened_to_checksum_blocks_joined_and_cut() {
    let kib = |n: u64| n << 10;
    assert_eq!(widen(&[kib(70)..kib(80)], kib(100)), [kib(64)..kib(100)]);
    assert_eq!(widen(&[0..10, kib(65)..kib(66)], kib(1000)), [0..kib(128)]);
    assert_eq!(widen(&[0..10, kib(200)..kib(201)], kib(1000)), [0..kib(64), kib(192)..kib(256)]);
    assert_eq!(widen(&[0..kib(1500)], kib(1500)), [0..kib(1024), kib(1024)..kib(1500)]);
    assert_eq!(widen(&[], kib(10)), []);
}

/// A device with one chunk of three rows of 700 kB in it.
struct Fixture {
    _directory: tempfile::TempDir,
    device: Rc<dyn BlockDevice>,
    session: SessionId,
    record: ChunkRecord,
    rows: RecordBatch,
}

fn fixture() -> Fixture {
    let ids = IdSource::from_seed([5; 32]);
    let identity = ChunkIdentity {
        chunk: ChunkId::new(&ids),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        number: 0,
        incarnation: 1,
        sequence: SequenceId::new(&ids),
        session: SessionId::new(&ids),
        topic: TopicId::new(&ids),
        name: TopicName::parse("drive/camera").unwrap(),
        tag: OntologyTag::parse("Image").unwrap(),
        format: SerializationFormat::Default,
    };
    let (chunk, session) = (identity.chunk, identity.session);
    let payloads = BinaryArray::from_iter_values((0..3).map(|row| vec![row as u8 + 1; 700_000]));
    let columns = [
        ("timestamp_ns", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("data", Arc::new(payloads) as ArrayRef),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut encoder = ChunkEncoder::new(identity, &rows.schema()).unwrap();
    let mut file = Vec::new();
    for piece in encoder.row_group(std::slice::from_ref(&rows), Effort::Direct).unwrap() {
        file.extend_from_slice(&piece);
    }
    let (tail, record) = encoder.finish(&hash_blocks(chunk, &file)).unwrap();
    file.extend_from_slice(&tail);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(path::chunk_file(session, chunk, Suffix::Parquet));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file).unwrap();
    let names = BlockingPool::new("test", 2).unwrap();
    let device: Rc<dyn BlockDevice> = Rc::new(ThreadDevice::open(directory.path(), names.clone(), names).unwrap());
    Fixture { _directory: directory, device, session, record, rows }
}

impl Fixture {
    fn read(&self, device: Rc<dyn BlockDevice>) -> Result<RecordBatch, FetchError> {
        block_on(async {
            let chunk = ChunkReader::open(&device, self.session, &self.record).await?;
            let selection = chunk.layout().select(0, 0..3, &TimeRange::ALL, Columns::All).unwrap();
            let bytes = chunk.fetch(&selection).await?;
            Ok(chunk.layout().decode(&selection, &bytes, &Recycler::new(0))?)
        })
    }
}

#[test]
fn a_read_that_fails_is_repeated_whichever_it_is() {
    let fixture = fixture();
    let script = FaultScript::new(Faults::None);
    let clean = FaultDevice::new(Rc::clone(&fixture.device), fixture._directory.path(), script.clone());
    assert_eq!(fixture.read(Rc::new(clean)).unwrap(), fixture.rows);
    let trace = script.trace();
    let reads: Vec<usize> = (0..trace.len()).filter(|nth| trace[*nth] == Operation::Read).collect();
    assert!(reads.len() > 2, "{trace:?}");
    for nth in &reads {
        let failing = FaultDevice::new(
            Rc::clone(&fixture.device),
            fixture._directory.path(),
            FaultScript::new(Faults::One(*nth)),
        );
        assert_eq!(fixture.read(Rc::new(failing)).unwrap(), fixture.rows, "read {nth}");
    }
    let dead = FaultDevice::new(
        Rc::clone(&fixture.device),
        fixture._directory.path(),
        FaultScript::new(Faults::From(reads[1])),
    );
    let error = fixture.read(Rc::new(dead)).unwrap_err();
    assert!(matches!(&error, FetchError::Io { cause, .. } if cause.contains("3 times")), "{error}");
}

/// Goal: too many open files are not told as damage of what was recorded.
#[test]
fn what_the_process_has_no_more_of_is_no_damage() {
    let told = |code| is_ours(&io::Error::from_raw_os_error(code));
    let limits = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM];
    assert_eq!(limits.map(|limit| told(limit.raw_os_error())), [true; 3]);
    assert!(!told(rustix::io::Errno::IO.raw_os_error()) && !is_ours(&io::ErrorKind::Other.into()));
}

/// Goal: wrong bytes are read once more, and only once more.
/// Method: a device that turns the last bit of each read at one offset, the first `times` times.
#[test]
fn bytes_that_do_not_match_are_read_once_more() {
    let fixture = fixture();
    let tail = fixture.record.body_bytes / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
    for offset in [0, WRITE_SIZE as u64, tail] {
        let flipping = |times| Flipping { inner: Rc::clone(&fixture.device), offset, times: Rc::new(Cell::new(times)) };
        assert_eq!(fixture.read(Rc::new(flipping(1))).unwrap(), fixture.rows, "offset {offset}");
        let device = flipping(9);
        let left = Rc::clone(&device.times);
        let error = fixture.read(Rc::new(device)).unwrap_err();
        assert!(matches!(error, FetchError::Damaged(_)), "offset {offset}: {error}");
        assert_eq!(left.get(), 7, "offset {offset}");
    }
}

struct Flipping {
    inner: Rc<dyn BlockDevice>,
    offset: u64,
    times: Rc<Cell<usize>>,
}

struct FlippingFile {
    inner: Box<dyn BlockFile>,
    offset: u64,
    times: Rc<Cell<usize>>,
}

impl BlockFile for FlippingFile {
    fn write_at(&self, buf: AlignedBuf, len: usize, offset: u64) -> IoFuture<'_, AlignedBuf> {
        self.inner.write_at(buf, len, offset)
    }

    fn read_at(&self, offset: u64, len: usize) -> IoFuture<'_, AlignedBuf> {
        Box::pin(async move {
            let read = self.inner.read_at(offset, len).await?;
            if offset != self.offset || self.times.get() == 0 {
                return Ok(read);
            }
            self.times.set(self.times.get() - 1);
            let mut wrong = AlignedBuf::zeroed(read.len().next_multiple_of(BLOCK_SIZE));
            wrong.as_mut_slice()[..read.len()].copy_from_slice(read.as_slice());
            wrong.as_mut_slice()[read.len() - 1] ^= 4;
            Ok(wrong)
        })
    }

    fn allocate(&self, len: u64) -> IoFuture<'_, ()> {
        self.inner.allocate(len)
    }

    fn truncate(&self, len: u64) -> IoFuture<'_, ()> {
        self.inner.truncate(len)
    }

    fn sync(&self) -> IoFuture<'_, ()> {
        self.inner.sync()
    }

    fn close(self: Box<Self>) -> IoFuture<'static, ()> {
        self.inner.close()
    }
}

impl BlockDevice for Flipping {
    fn create(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        self.inner.create(path)
    }

    fn open(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        let opened = self.inner.open(path);
        Box::pin(async move {
            let file = FlippingFile { inner: opened.await?, offset: self.offset, times: Rc::clone(&self.times) };
            Ok(Box::new(file) as Box<dyn BlockFile>)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> IoFuture<'_, ()> {
        self.inner.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> IoFuture<'_, ()> {
        self.inner.unlink(path)
    }

    fn make_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.inner.make_directory(path)
    }

    fn remove_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.inner.remove_directory(path)
    }

    fn list(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.inner.list(path)
    }

    fn names(&self, path: &Path) -> IoFuture<'_, Vec<DirectoryEntry>> {
        self.inner.names(path)
    }

    fn sync_directory(&self, path: &Path) -> IoFuture<'_, ()> {
        self.inner.sync_directory(path)
    }

    fn read_small(&self, path: &Path, len_max: usize) -> IoFuture<'_, Vec<u8>> {
        self.inner.read_small(path, len_max)
    }

    fn write_small(&self, path: &Path, bytes: Vec<u8>) -> IoFuture<'_, ()> {
        self.inner.write_small(path, bytes)
    }

    fn space(&self) -> IoFuture<'_, Space> {
        self.inner.space()
    }
}
