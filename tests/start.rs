//! A start beside a large archive: what it costs must not depend on how much was recorded before.

mod archive;
mod house;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;

use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::io::BlockingPool;
use tessera::io::FaultDevice;
use tessera::io::FaultScript;
use tessera::io::ThreadDevice;
use tessera::model::DeviceNumber;
use tessera::model::TimeRange;
use tessera::store;
use tessera::store::RecoveryReport;

use archive::Shape;
use house::House;

/// Makes an archive for `perf/start.py` where the environment asks for one: see there.
#[test]
fn an_archive_is_made_where_one_is_asked_for() {
    let Some(place) = std::env::var_os("TESSERA_ARCHIVE").map(PathBuf::from) else { return };
    let number = |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let shape = Shape {
        sessions: number("TESSERA_SESSIONS", 1000),
        open: number("TESSERA_OPEN", 0),
        topics: number("TESSERA_TOPICS", 10),
        chunks: number("TESSERA_CHUNKS", 10),
    };
    archive::make(&place, &shape);
}

/// How often a start asks what of its data directory, and what it found. The order is that of ids, which are random.
fn start(root: &Path) -> (BTreeMap<String, usize>, RecoveryReport) {
    let names = BlockingPool::new("test", 1).unwrap();
    let script = FaultScript::default();
    let device = ThreadDevice::open(root, names.clone(), names).unwrap();
    let device = FaultDevice::new(Rc::new(device), root, script.clone());
    let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &root.join("catalog/catalog.db")).unwrap();
    let report = block_on(store::recover(&device, DeviceNumber(0), &catalog.open_store())).unwrap();
    catalog.close();
    let mut asked = BTreeMap::new();
    for operation in script.trace() {
        *asked.entry(format!("{operation:?}")).or_default() += 1;
    }
    (asked, report)
}

/// Goal: a start takes as long beside ten times the recordings.
/// Method: count what is asked of the device with few and with many final sessions, topics and chunks, beside the same work
/// that a crash left.
#[test]
fn a_start_does_not_depend_on_what_is_final() {
    let small = Shape { sessions: 3, open: 2, topics: 3, chunks: 4 };
    let traces = [small, Shape { sessions: 30, ..small }].map(|shape| {
        let directory = house::scratch();
        let open = archive::make(directory.path(), &shape);
        let (trace, report) = start(directory.path());
        assert_eq!((report.renamed, report.unlinked), (2, 2), "{shape:?}");
        assert!(!report.is_damage() && report.lost == 0);
        for session in open {
            let names = fs::read_dir(directory.path().join(format!("chunks/{session}"))).unwrap();
            assert!(names.map(|entry| entry.unwrap().path()).all(|path| path.extension().unwrap() == "parquet"));
        }
        let (again, report) = start(directory.path());
        assert_eq!(report, RecoveryReport::default());
        (trace, again)
    });
    assert_eq!(traces[0], traces[1]);
    let [(first, again), _] = &traces;
    assert!(!first.contains_key("List"), "a start looks at names, not at every file: {first:?}");
    assert_eq!((first["Names"], again["Names"]), (3, 1), "what was settled once is not looked at again");
}

/// Goal: the chunks of an open session cost their names and no more.
#[test]
fn a_start_asks_nothing_of_single_chunks_that_have_their_names() {
    let small = Shape { sessions: 1, open: 1, topics: 2, chunks: 3 };
    let traces = [small, Shape { chunks: 300, ..small }].map(|shape| {
        let directory = house::scratch();
        archive::make(directory.path(), &shape);
        start(directory.path()).0
    });
    assert_eq!(traces[0], traces[1]);
}

/// Goal: what the start leaves out is found behind it, and told; a chunk that has a file is not among it.
#[test]
fn the_audit_finds_what_is_missing_wrong_and_unknown() {
    let directory = house::scratch();
    let root = directory.path();
    archive::make(root, &Shape { sessions: 4, open: 1, topics: 2, chunks: 300 });
    let (house, report) = House::start(&[root]).unwrap();
    assert_eq!((report.renamed, report.unlinked), (1, 1));
    assert_eq!((report.missing.len(), report.wrong_length.len(), report.lost), (0, 0, 0));
    house.close();
    let mut sessions: Vec<PathBuf> =
        fs::read_dir(root.join("chunks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sessions.sort();
    let file = |session: usize| fs::read_dir(&sessions[session]).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(file(0)).unwrap();
    fs::OpenOptions::new().write(true).open(file(1)).unwrap().set_len(1).unwrap();
    fs::write(sessions[2].join("00000000000000000000000000000001.parquet"), b"unknown").unwrap();
    fs::remove_dir_all(&sessions[3]).unwrap();
    let (house, report) = House::start(&[root]).unwrap();
    assert_eq!((report.missing.len(), report.wrong_length.len(), report.lost), (601, 1, 1));
    house.close();
}

/// Goal: a session that is final and settled is never looked at again; one that is not is marked before it has a file.
#[test]
fn marks_come_before_files_and_go_with_the_last_name() {
    let directory = house::scratch();
    let (house, _) = House::start(&[directory.path()]).unwrap();
    let spec = house.topic("marked", &house::schema());
    house::write(&house, &spec, vec![house::batch(&[1, 2, 3], 100)]);
    let mark = directory.path().join(format!("touched/{}", spec.head.session));
    assert!(mark.is_dir());
    // It may still be written: another topic may come.
    block_on(house.shards.settle(spec.head.session)).unwrap();
    assert!(mark.is_dir());
    block_on(house.catalog.finalize(spec.head.session, 9)).unwrap();
    block_on(house.shards.settle(spec.head.session)).unwrap();
    assert!(!mark.exists());
    assert_eq!(house::times(&house.read(&spec, TimeRange::ALL)), [1, 2, 3]);
    let names = fs::read_dir(directory.path().join(format!("chunks/{}", spec.head.session))).unwrap();
    assert!(names.map(|entry| entry.unwrap().path()).all(|path| path.extension().unwrap() == "parquet"));
    house.close();
}
