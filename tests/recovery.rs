//! What a start makes of directories that are not as the last stop left them, and how files of deleted things go.

mod house;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;

use futures::executor::block_on;
use uuid::Uuid;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::NewSequence;
use tessera::catalog::NewSession;
use tessera::catalog::NewTopic;
use tessera::config::Config;
use tessera::daemon::MountError;
use tessera::daemon::StartError;
use tessera::daemon::open_at_rest;
use tessera::io::BlockDevice;
use tessera::io::BlockFile;
use tessera::io::BlockPool;
use tessera::io::BlockingPool;
use tessera::io::DirectoryEntry;
use tessera::io::FaultDevice;
use tessera::io::FaultScript;
use tessera::io::Faults;
use tessera::io::IoFuture;
use tessera::io::Space;
use tessera::io::ThreadDevice;
use tessera::model::ChunkId;
use tessera::model::ChunkRecord;
use tessera::model::DeviceNumber;
use tessera::model::OntologyTag;
use tessera::model::SequenceId;
use tessera::model::SequenceName;
use tessera::model::SerializationFormat;
use tessera::model::SessionId;
use tessera::model::ShardIndex;
use tessera::model::Statistics;
use tessera::model::TimeBounds;
use tessera::model::TimeRange;
use tessera::model::TokenDigest;
use tessera::model::TopicId;
use tessera::model::TopicName;
use tessera::model::UserMetadata;
use tessera::runtime::TaskSet;
use tessera::shard::ShardError;
use tessera::shard::TopicSpec;
use tessera::store;
use tessera::store::Directory;
use tessera::store::RecoveryReport;

use house::House;
use house::batch;
use house::schema;
use house::scratch;
use house::times;
use house::write;

/// Every file below a directory with its length. The lock says who holds it, which changes.
fn tree(root: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false if entry.file_name() == "LOCK" => {}
                false => drop(found.insert(entry.path(), entry.metadata().unwrap().len())),
            }
        }
    }
    found
}

/// Files below `chunks/`, by their last part.
fn chunk_files(root: &Path) -> Vec<PathBuf> {
    tree(&root.join("chunks")).into_keys().collect()
}

fn sorted(report: &RecoveryReport) -> (u64, u64, u64, u64) {
    (report.renamed, report.unlinked, report.lost, report.foreign)
}

fn refused(directories: &[&Path]) -> MountError {
    let mut config = Config::default();
    config.storage.data_dirs = directories.iter().map(|path| path.to_path_buf()).collect();
    match block_on(open_at_rest(&config)) {
        Err(StartError::Mount(_)) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{directories:?} were opened at rest"),
    }
    match House::start(directories) {
        Err(StartError::Mount(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{directories:?} were started"),
    }
}

/// Two data directories with one topic on each; what was committed last still has its first name.
fn pair(a: &Path, b: &Path) -> [TopicSpec; 2] {
    let (mut house, _) = House::start(&[a, b]).unwrap();
    let specs = [0, 1].map(|device| {
        house.device = DeviceNumber(device);
        let spec = house.topic(&format!("t{device}"), &schema());
        write(&house, &spec, vec![batch(&[1, 2, 3], 100)]);
        spec
    });
    house.close();
    for root in [a, b] {
        let [file] = chunk_files(root).try_into().unwrap();
        fs::rename(&file, file.with_extension("part")).unwrap();
    }
    specs
}

/// Goal: a catalog never meets files of another one, however the directories are named.
/// Method: every wrong order is refused and changes nothing; after it the right order still has every row.
#[test]
fn a_start_with_another_catalog_is_refused_and_loses_nothing() {
    let root = scratch();
    let [a, b, new, other] = ["a", "b", "new", "other"].map(|name| root.path().join(name));
    let specs = pair(&a, &b);
    fs::create_dir(&new).unwrap();
    House::start(&[&other]).unwrap().0.close();
    let before = tree(root.path());
    let check = |error: &MountError, names: [&Path; 2]| {
        let text = error.to_string();
        assert!(names.iter().all(|name| text.contains(&*name.to_string_lossy())), "{text}");
        assert_eq!(tree(root.path()), before, "after: {text}");
    };
    // A new disk is put first.
    let error = refused(&[&new, &a, &b]);
    assert!(matches!(error, MountError::NoCatalog { holder: Some(_), .. }), "{error}");
    check(&error, [&new, &a]);
    // Swapped.
    let error = refused(&[&b, &a]);
    assert!(matches!(error, MountError::NoCatalog { holder: Some(_), .. }), "{error}");
    check(&error, [&b, &a]);
    // The first is left out.
    let error = refused(&[&b]);
    assert!(matches!(error, MountError::NoCatalog { holder: None, .. }), "{error}");
    check(&error, [&b, &b]);
    // Another server's directory comes first.
    let error = refused(&[&other, &b]);
    assert!(matches!(error, MountError::Foreign { .. }), "{error}");
    check(&error, [&other, &b]);
    let error = refused(&[&other, &a, &b]);
    assert!(matches!(error, MountError::TwoCatalogs { .. }), "{error}");
    check(&error, [&other, &a]);
    // The id is gone: nobody knows whose chunks these are.
    let device = fs::read(b.join("DEVICE")).unwrap();
    fs::remove_file(b.join("DEVICE")).unwrap();
    assert!(matches!(refused(&[&a, &b]), MountError::Foreign { .. }));
    fs::write(b.join("DEVICE"), device).unwrap();
    // The catalog is gone, with its directory or emptied.
    fs::rename(a.join("catalog"), root.path().join("away")).unwrap();
    assert!(matches!(refused(&[&a, &b]), MountError::NoCatalog { holder: None, .. }));
    assert!(!a.join("catalog").exists());
    fs::create_dir(a.join("catalog")).unwrap();
    fs::write(a.join("catalog/catalog.db"), b"").unwrap();
    assert!(matches!(refused(&[&a, &b]), MountError::Foreign { .. }));
    fs::remove_dir_all(a.join("catalog")).unwrap();
    fs::rename(root.path().join("away"), a.join("catalog")).unwrap();

    let (house, report) = House::start(&[&a, &b]).unwrap();
    assert_eq!(sorted(&report), (2, 0, 0, 0));
    for spec in &specs {
        assert_eq!(times(&house.read(spec, TimeRange::ALL)), [1, 2, 3]);
    }
    house.close();
    // Behind the first, a new disk is welcome.
    let (house, _) = House::start(&[&a, &b, &new]).unwrap();
    assert_eq!(block_on(house.open.devices()).unwrap().len(), 3);
    house.close();
}

#[test]
fn looking_at_a_directory_that_was_never_used_makes_nothing_in_it() {
    let root = scratch();
    let new = root.path().join("new");
    let mut config = Config::default();
    config.storage.data_dirs = vec![new.clone()];
    assert!(block_on(open_at_rest(&config)).is_err());
    assert!(!new.exists());
    fs::create_dir(&new).unwrap();
    assert!(block_on(open_at_rest(&config)).is_err());
    assert_eq!(tree(&new), BTreeMap::new());
}

/// Goal: a first start that is cut off at any point is taken up by the next one.
#[test]
fn a_first_start_that_was_cut_off_is_taken_up() {
    let root = scratch();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    House::start(&[&a]).unwrap().0.close();
    // The second directory had its id already, and the catalog had not heard of it.
    House::start(&[&b]).unwrap().0.close();
    fs::remove_dir_all(b.join("catalog")).unwrap();
    let (house, _) = House::start(&[&a, &b]).unwrap();
    assert_eq!(block_on(house.open.devices()).unwrap().len(), 2);
    house.close();
}

/// Goal: the files of a deleted session on a device that is not there are not forgotten.
#[test]
fn a_purge_waits_for_a_device_that_is_not_mounted() {
    let root = scratch();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    let [on_a, on_b] = pair(&a, &b);
    let (house, _) = House::start(&[&a]).unwrap();
    block_on(house.catalog.delete_topic(on_a.head.id)).unwrap();
    block_on(house.catalog.delete_session(on_b.head.session)).unwrap();
    let [topic, session] = block_on(house.catalog.tombstones(0, 10)).unwrap().try_into().unwrap();
    block_on(house.shards.purge(&topic)).unwrap();
    assert_eq!(chunk_files(&a), [] as [PathBuf; 0]);
    block_on(house.catalog.purged(topic.number)).unwrap();
    let error = block_on(house.shards.purge(&session)).unwrap_err();
    assert!(matches!(error, ShardError::DeviceMissing(DeviceNumber(1))), "{error}");
    house.close();
    assert_eq!(chunk_files(&b).len(), 1);

    let (house, report) = House::start(&[&a, &b]).unwrap();
    assert_eq!(sorted(&report), (0, 0, 0, 0));
    block_on(house.shards.purge(&session)).unwrap();
    block_on(house.catalog.purged(session.number)).unwrap();
    block_on(house.shards.purge(&session)).unwrap();
    assert_eq!(chunk_files(&b), [] as [PathBuf; 0]);
    house.close();
}

#[test]
fn a_purge_of_a_topic_waits_for_a_device_that_is_not_mounted() {
    let root = scratch();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    let [_, on_b] = pair(&a, &b);
    let (house, _) = House::start(&[&a]).unwrap();
    block_on(house.catalog.delete_topic(on_b.head.id)).unwrap();
    let [topic] = block_on(house.catalog.tombstones(0, 10)).unwrap().try_into().unwrap();
    let error = block_on(house.shards.purge(&topic)).unwrap_err();
    assert!(matches!(error, ShardError::DeviceMissing(DeviceNumber(1))), "{error}");
    house.close();
}

#[test]
fn manifests_lie_beside_the_catalog() {
    let root = scratch();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    pair(&a, &b);
    // The operator moves the catalog to the other disk; the numbers stay.
    fs::rename(a.join("catalog"), b.join("catalog")).unwrap();
    let (house, _) = House::start(&[&b, &a]).unwrap();
    let session = SessionId(Uuid::from_u128(7));
    block_on(house.shards.write_manifest(session, b"{}".to_vec())).unwrap();
    let name = format!("manifests/{session}.json");
    assert!(b.join(&name).exists() && !a.join(&name).exists());
    block_on(house.shards.remove_manifests(vec![session])).unwrap();
    assert!(!b.join(&name).exists());
    house.close();
}

#[test]
fn an_error_of_a_data_directory_names_it_and_the_path_in_it() {
    let root = scratch();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    pair(&a, &b);
    fs::remove_dir_all(b.join("lost")).unwrap();
    fs::write(b.join("lost"), b"a file in its place").unwrap();
    let error = House::start(&[&a, &b]).err().unwrap().to_string();
    for part in [&*b.to_string_lossy(), "number 1", "making lost"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Goal: a chunk with two files neither stops the start nor loses the file that the catalog means.
#[test]
fn of_two_files_of_a_chunk_the_recorded_one_is_kept() {
    for (good, bad) in [("parquet", "part"), ("part", "parquet")] {
        let directory = scratch();
        let (house, _) = House::start(&[directory.path()]).unwrap();
        let spec = house.topic("twice", &schema());
        write(&house, &spec, vec![batch(&[1, 2, 3], 100)]);
        let root = house.close();
        let [file] = chunk_files(&root).try_into().unwrap();
        fs::rename(&file, file.with_extension("kept")).unwrap();
        fs::write(file.with_extension(bad), b"something else").unwrap();
        fs::rename(file.with_extension("kept"), file.with_extension(good)).unwrap();
        // An earlier one lies in lost/ already.
        let lost = root.join("lost").join(file.file_name().unwrap());
        fs::write(&lost, b"earlier").unwrap();
        let (house, report) = House::start(&[&root]).unwrap();
        assert_eq!((report.twice.len(), report.lost, report.wrong_length.len()), (1, 1, 0), "{bad}");
        assert_eq!(times(&house.read(&spec, TimeRange::ALL)), [1, 2, 3], "{bad}");
        house.close();
        assert_eq!(fs::read(&lost).unwrap(), b"earlier");
        assert_eq!(fs::read(lost.with_extension("2.parquet")).unwrap(), b"something else");
        assert_eq!(chunk_files(&root), [file]);
        let (house, report) = House::start(&[&root]).unwrap();
        assert_eq!(report, RecoveryReport::default());
        house.close();
    }
}

#[test]
fn drafts_and_empty_directories_of_unknown_sessions_go() {
    let directory = scratch();
    House::start(&[directory.path()]).unwrap().0.close();
    let root = directory.path();
    let id = |n: u128| SessionId(Uuid::from_u128(n));
    for n in [1, 2, 3] {
        fs::create_dir(root.join(format!("chunks/{}", id(n)))).unwrap();
    }
    fs::write(root.join(format!("chunks/{}/{}.part", id(2), id(9))), b"torn").unwrap();
    fs::write(root.join(format!("chunks/{}/notes", id(3))), b"somebody's").unwrap();
    let names = [format!("{}.json.tmp", id(1)), format!("{}.json", id(1)), "notes.tmp".to_owned()];
    for name in &names {
        fs::write(root.join("manifests").join(name), b"{}").unwrap();
    }
    let (house, report) = House::start(&[root]).unwrap();
    // The first one is final by its manifest: the catalog is older than it, and nothing of it is judged.
    assert_eq!(sorted(&report), (0, 1, 0, 2));
    assert_eq!([1, 2, 3].map(|n| root.join(format!("chunks/{}", id(n))).exists()), [true, false, true]);
    assert_eq!(names.map(|name| root.join("manifests").join(name).exists()), [false, true, true]);
    house.close();
}

fn record(chunk: u128, device: u16, file_bytes: u64) -> ChunkRecord {
    ChunkRecord {
        chunk: ChunkId(Uuid::from_u128(chunk)),
        device: DeviceNumber(device),
        shard: ShardIndex(0),
        rows: 1,
        file_bytes,
        logical_bytes: 1,
        bounds: TimeBounds { first: 0, last: 0 },
        body_bytes: 1,
        footer_offset: 1,
        digest: [0; 16],
        footer_digest: [0; 16],
        row_groups: 1,
        runs: vec![0],
        pages: None,
        statistics: Statistics::default(),
    }
}

fn device(root: &Path) -> Rc<dyn BlockDevice> {
    let pool = BlockingPool::new("test", 1).unwrap();
    Rc::new(ThreadDevice::open(root, pool.clone(), pool).unwrap())
}

/// Goal: a start that is cut off anywhere in recovery and begins again ends as one that ran through.
/// Method: count the operations of a clean run, then cut off before each in turn.
#[test]
fn a_recovery_that_is_cut_off_anywhere_is_finished_by_the_next() {
    let (known, unknown, id) = (SessionId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)), |n| Uuid::from_u128(n));
    // The last one was moved here from another device.
    let records = vec![record(10, 0, 4), record(11, 0, 4), record(12, 0, 4), record(13, 0, 4), record(14, 1, 4)];
    let catalog = scratch();
    let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &catalog.path().join("catalog.db")).unwrap();
    register(&catalog, known, records);
    let open = catalog.open_store();
    let run = |faults: Faults, marks: Marks| {
        let directory = scratch();
        let root = directory.path();
        for name in ["chunks", "manifests", "lost"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let files = [
            (known, 10, "part", "good"),
            (known, 11, "parquet", "good"),
            (known, 12, "part", "good"),
            (known, 12, "parquet", "torn file"),
            (known, 14, "part", "good"),
            (known, 20, "part", "torn"),
            (unknown, 21, "part", "torn"),
            (unknown, 22, "parquet", "orphan"),
        ];
        for (session, chunk, suffix, text) in files {
            let place = root.join(format!("chunks/{session}"));
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join(format!("{}.{suffix}", id(chunk).as_simple())), text).unwrap();
        }
        if marks == Marks::Made {
            for session in [known, unknown] {
                fs::create_dir_all(root.join(format!("touched/{session}"))).unwrap();
            }
        }
        let script = FaultScript::new(faults);
        let faulty = FaultDevice::new(device(root), root, script.clone());
        let first = block_on(store::recover(&faulty, DeviceNumber(0), &open));
        let last = block_on(store::recover(&*device(root), DeviceNumber(0), &open)).unwrap();
        assert_eq!(fs::read_dir(root.join("touched")).unwrap().count(), 0, "all marks are gone");
        let found = tree(root).into_iter().map(|(path, len)| (path.strip_prefix(root).unwrap().to_owned(), len));
        (first, last, found.collect::<Vec<_>>(), script.trace().len())
    };
    // Of a directory that has no marks yet everything is looked at.
    let (first, last, wanted, operations) = run(Faults::None, Marks::Unknown);
    let first = first.unwrap();
    assert_eq!(sorted(&first), (2, 2, 2, 1));
    assert_eq!((first.twice.len(), first.missing.len(), first.wrong_length.len()), (1, 1, 0));
    assert_eq!(last, RecoveryReport::default(), "nothing is marked any more");
    assert_eq!(wanted.len(), 6, "{wanted:?}");
    for nth in 0..operations {
        let (first, _, found, _) = run(Faults::From(nth), Marks::Unknown);
        assert!(first.is_err(), "operation {nth}");
        assert_eq!(found, wanted, "cut off before operation {nth}");
    }
    // With marks only what a crash leaves is judged: the file that no record knows waits for the audit.
    let (first, _, wanted, operations) = run(Faults::None, Marks::Made);
    assert_eq!(sorted(&first.unwrap()), (2, 2, 1, 1));
    for nth in 0..operations {
        let (first, _, found, _) = run(Faults::From(nth), Marks::Made);
        assert!(first.is_err(), "operation {nth}");
        assert_eq!(found, wanted, "cut off before operation {nth}");
    }
    drop(open);
    catalog.close();
}

#[derive(Clone, Copy, PartialEq)]
enum Marks {
    Unknown,
    Made,
}

/// A session of one topic that is being received and has these chunks.
fn register(catalog: &EmbeddedCatalog, session: SessionId, records: Vec<ChunkRecord>) {
    let (sequence, metadata) = (SequenceName::parse("drive").unwrap(), UserMetadata::empty());
    let (id, token) = (Uuid::from_u128(100), TokenDigest([1; 32]));
    let new = NewSequence { id: SequenceId(id), name: sequence.clone(), metadata: metadata.clone(), created_at_ns: 1 };
    block_on(catalog.create_sequence(new)).unwrap();
    let new = NewSession { id: session, sequence: sequence.clone(), token, created_at_ns: 2 };
    block_on(catalog.create_session(new)).unwrap();
    let new = NewTopic {
        id: TopicId(id),
        session,
        token,
        name: TopicName::parse("drive/topic").unwrap(),
        tag: OntologyTag::parse("Test").unwrap(),
        format: SerializationFormat::Default,
        metadata,
        shard: ShardIndex(0),
        device: DeviceNumber(0),
        created_at_ns: 3,
    };
    block_on(catalog.create_topic(new)).unwrap();
    let open = catalog.open_store();
    block_on(open.begin_put(TopicId(id), vec![1])).unwrap();
    block_on(open.commit(TopicId(id), records, None)).unwrap();
}

/// A device on which something happens after the next looks into a directory.
struct Surprise {
    inner: Rc<dyn BlockDevice>,
    after_list: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl BlockDevice for Surprise {
    fn create(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        self.inner.create(path)
    }
    fn open(&self, path: &Path) -> IoFuture<'_, Box<dyn BlockFile>> {
        self.inner.open(path)
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
        let listed = self.inner.list(path);
        Box::pin(async move {
            let entries = listed.await;
            if let Some(surprise) = self.after_list.borrow_mut().pop() {
                surprise();
            }
            entries
        })
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

/// Goal: a rename or a file that comes while a session is removed leaves nothing behind.
#[test]
fn a_rename_beside_the_purge_leaves_no_file() -> io::Result<()> {
    let directory = scratch();
    let root = directory.path().to_owned();
    let session = SessionId(Uuid::from_u128(1));
    let place = root.join(format!("chunks/{session}"));
    let file = |n: u128, suffix: &str| place.join(format!("{}.{suffix}", Uuid::from_u128(n).as_simple()));
    fs::create_dir_all(&place)?;
    fs::write(file(1, "part"), b"committed")?;
    fs::write(file(2, "parquet"), b"committed")?;
    let (from, to, late) = (file(1, "part"), file(1, "parquet"), file(3, "part"));
    let surprises: Vec<Box<dyn FnOnce()>> = vec![Box::new(move || {
        fs::rename(from, to).unwrap();
        fs::write(late, b"late").unwrap();
    })];
    let surprise = Surprise { inner: device(&root), after_list: RefCell::new(surprises) };
    let directory = Directory::new(Rc::new(surprise), BlockPool::heap(1), TaskSet::default(), Rc::new(|| {}));
    block_on(store::remove_session(&directory, session))?;
    assert!(!place.exists(), "{:?}", chunk_files(&root));
    // Again, as the sweep may; and what is not ours stays.
    block_on(store::remove_session(&directory, session))?;
    fs::create_dir_all(&place)?;
    fs::write(place.join("notes"), b"somebody's")?;
    fs::write(file(5, "part"), b"committed")?;
    block_on(store::remove_session(&directory, session))?;
    assert_eq!(chunk_files(&root), [place.join("notes")]);
    Ok(())
}
