//! The storage side without the network: batches into a topic, a restart, and the same rows back in time order.

mod house;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::io::BackendChoice;
use tessera::model::TimeBounds;
use tessera::model::TimeRange;
use tessera::model::TopicState;
use tessera::runtime::Permit;
use tessera::shard::ChunkConfig;
use tessera::shard::TopicSpec;

use house::House;
use house::batch;
use house::schema;
use house::scratch;
use house::times;
use house::write;

const BACKENDS: [BackendChoice; 2] = [BackendChoice::Auto, BackendChoice::Threads];

#[test]
fn rows_come_back_equal_after_a_restart_on_either_back_end() {
    for wanted in BACKENDS {
        let directory = scratch();
        let house = House::open(directory.path(), wanted, ChunkConfig { bytes_max: 3 << 20, ..ChunkConfig::default() });
        let spec = house.topic("camera", &schema());
        let sent: Vec<RecordBatch> = (0..40).map(|i| batch(&[i * 10, i * 10 + 5], 300_000)).collect();
        write(&house, &spec, sent.clone());
        let view = block_on(house.catalog.topic(&spec.head.name, Visibility::All)).unwrap();
        assert_eq!(view.head.state, TopicState::Complete);
        assert!(view.totals.chunks > 3, "{} chunks", view.totals.chunks);
        let house = House::open(&house.close(), wanted, ChunkConfig::default());
        let got = house.read(&spec, TimeRange::ALL);
        assert!(got.iter().all(|b| b.num_rows() > 0));
        let (sent, got) = (concat_batches(&schema(), &sent).unwrap(), concat_batches(&schema(), &got).unwrap());
        assert_eq!(sent, got);
        house.close();
    }
}

/// Goal: what overlaps in time, inside a chunk and between chunks, comes back in order, every row once.
#[test]
fn rows_out_of_order_come_back_in_order() {
    let directory = scratch();
    let chunk = ChunkConfig { bytes_max: 1 << 20, ..ChunkConfig::default() };
    let house = House::open(directory.path(), BackendChoice::Auto, chunk);
    let spec = house.topic("mixed", &schema());
    // Every batch reaches back behind its predecessor; times repeat between batches.
    let starts: Vec<i64> = (0..60).map(|i| (i * 7919) % 1000).collect();
    let sent: Vec<RecordBatch> =
        starts.iter().map(|s| batch(&(0..50).map(|i| s + i * 3).collect::<Vec<_>>(), 2000)).collect();
    write(&house, &spec, sent.clone());
    let mut want = times(&sent);
    want.sort_unstable();
    assert_eq!(times(&house.read(&spec, TimeRange::ALL)), want);
    for (start, end) in [(0, 1), (500, 501), (100, 900), (-5, 3), (1140, 9999), (i64::MIN, i64::MAX)] {
        let range = TimeRange::new(Some(start), Some(end)).unwrap();
        let inside: Vec<i64> = want.iter().copied().filter(|t| range.contains(*t)).collect();
        assert_eq!(times(&house.read(&spec, range)), inside, "[{start}, {end})");
        let window = house.window(&spec, range);
        assert_eq!(window.rows, inside.len() as u64, "[{start}, {end})");
        let bounds = inside.first().zip(inside.last()).map(|(f, l)| TimeBounds { first: *f, last: *l });
        assert_eq!(window.bounds, bounds, "[{start}, {end})");
    }
    house.close();
}

#[test]
fn a_dropped_sender_leaves_an_interrupted_topic_with_what_was_received() {
    let directory = scratch();
    let house = House::open(directory.path(), BackendChoice::Auto, ChunkConfig::default());
    let spec = house.topic("broken", &schema());
    block_on(async {
        let mut sender = house.shards.open_writer(spec.clone()).await.unwrap();
        for i in 0..10 {
            sender.push(batch(&[i], 1000), 1000).await.unwrap();
        }
        drop(sender);
    });
    // Closing waits for every writer, so the end of the put is in the catalog after it.
    let house = House::open(&house.close(), BackendChoice::Auto, ChunkConfig::default());
    let view = block_on(house.catalog.topic(&spec.head.name, Visibility::All)).unwrap();
    assert_eq!((view.head.state, view.totals.rows), (TopicState::Interrupted, 10));
    assert_eq!(times(&house.read(&spec, TimeRange::ALL)), (0..10).collect::<Vec<_>>());
    house.close();
}

/// Goal: many open topics share few blocks and a small budget without standing still.
#[test]
fn more_topics_than_blocks_are_written() {
    within_a_minute(write_forty_topics);
}

fn write_forty_topics() {
    let directory = scratch();
    let house = House::open(directory.path(), BackendChoice::Auto, ChunkConfig::default());
    let specs: Vec<TopicSpec> = (0..40).map(|i| house.topic(&format!("t{i}"), &schema())).collect();
    block_on(async {
        let mut senders = Vec::new();
        for spec in &specs {
            senders.push(house.shards.open_writer(spec.clone()).await.unwrap());
        }
        for round in 0..6 {
            for sender in &mut senders {
                sender.push(batch(&[round], 1_500_000), 1_500_000).await.unwrap();
            }
        }
        for sender in senders {
            assert_eq!(sender.close().await.unwrap().rows, 6);
        }
    });
    for spec in &specs {
        assert_eq!(times(&house.read(spec, TimeRange::ALL)), (0..6).collect::<Vec<_>>());
    }
    house.close();
}

/// Goal: a chunk is cut at its row limit even when the rows are far from filling a row group.
#[test]
fn a_small_row_limit_cuts_small_chunks() {
    let directory = scratch();
    let chunk = ChunkConfig { rows_max: 100, ..ChunkConfig::default() };
    let house = House::open(directory.path(), BackendChoice::Auto, chunk);
    let spec = house.topic("small", &schema());
    write(&house, &spec, (0..100).map(|i| batch(&[i * 10, i * 10 + 1, i * 10 + 2, i * 10 + 3], 8)).collect());
    let view = block_on(house.catalog.topic(&spec.head.name, Visibility::All)).unwrap();
    assert_eq!((view.totals.rows, view.totals.chunks), (400, 4));
    house.close();
}

/// Goal: a batch that cannot be stored takes no row along that was received before it.
#[test]
fn a_refused_batch_leaves_everything_before_it() {
    let directory = scratch();
    let house = House::open(directory.path(), BackendChoice::Auto, ChunkConfig::default());
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("timestamp_ns", DataType::Int64, true)]));
    let spec = house.topic("nulls", &schema);
    let rows = |times: Vec<Option<i64>>| -> RecordBatch {
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(times)) as ArrayRef]).unwrap()
    };
    let error = block_on(async {
        let mut sender = house.shards.open_writer(spec.clone()).await.unwrap();
        sender.push(rows((0..1000).map(Some).collect()), 5 << 20).await.unwrap(); // a row group of its own
        sender.push(rows(vec![Some(1000)]), 8).await.unwrap();
        sender.push(rows(vec![None]), 8).await.unwrap();
        sender.close().await.unwrap_err()
    });
    assert!(error.to_string().contains("timestamp_ns"), "{error}");
    let view = block_on(house.catalog.topic(&spec.head.name, Visibility::All)).unwrap();
    assert_eq!(view.head.state, TopicState::Interrupted);
    assert_eq!(times(&house.read(&spec, TimeRange::ALL)), (0..=1000).collect::<Vec<_>>());
    house.close();
}

/// Goal: with few received bytes to share, senders wait and go on; nobody holds them for company for ever.
#[test]
fn a_short_budget_slows_senders_and_loses_nothing() {
    within_a_minute(write_on_a_short_budget);
}

fn write_on_a_short_budget() {
    let directory = scratch();
    let chunk = ChunkConfig { bytes_max: 0, ..ChunkConfig::default() };
    let house = House::open(directory.path(), BackendChoice::Auto, chunk);
    let specs: Vec<TopicSpec> = (0..30).map(|i| house.topic(&format!("b{i}"), &schema())).collect();
    let budget = house.budget.clone();
    block_on(async {
        let mut senders = Vec::new();
        for spec in &specs {
            senders.push(house.shards.open_writer(spec.clone()).await.unwrap());
        }
        // Every topic holds back a little, together more than there is: only letting go lets the next one in.
        for round in 0..20 {
            for sender in &mut senders {
                let permit = Arc::new(budget.acquire(3 << 20).await.unwrap());
                sender.push(held(batch(&[round], 1000), permit), 3 << 20).await.unwrap();
            }
        }
        for sender in senders {
            assert_eq!(sender.close().await.unwrap().rows, 20);
        }
    });
    assert_eq!(budget.in_use(), 0);
    house.close();
}

/// Standing still is how these tests fail: it must end them, not wait for somebody to notice.
fn within_a_minute(test: fn()) {
    let (done, ended) = std::sync::mpsc::channel();
    let running = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match ended.recv_timeout(std::time::Duration::from_secs(60)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("nothing moves any more"),
        Ok(()) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => running.join().unwrap(),
    }
}

/// The batch with a payload that gives its permit back when the last reference goes.
fn held(batch: RecordBatch, permit: Arc<Permit>) -> RecordBatch {
    struct Held(Vec<u8>, #[expect(dead_code, reason = "held for its drop")] Arc<Permit>);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let payload = batch.column(1).as_binary::<i32>();
    let bytes = bytes::Bytes::from_owner(Held(payload.value_data().to_vec(), permit));
    let held = BinaryArray::new(payload.offsets().clone(), Buffer::from(bytes), payload.nulls().cloned());
    RecordBatch::try_new(batch.schema(), vec![Arc::clone(batch.column(0)), Arc::new(held)]).unwrap()
}

#[test]
fn orphans_are_removed_and_committed_parts_renamed_at_the_next_start() {
    let directory = scratch();
    let house = House::open(directory.path(), BackendChoice::Auto, ChunkConfig::default());
    let spec = house.topic("part", &schema());
    write(&house, &spec, vec![batch(&[1, 2, 3], 100)]);
    let root = house.close();
    let session = root.join("chunks").join(spec.head.session.to_string());
    let files = || -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(&session).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    };
    let [file] = files().try_into().unwrap();
    let part = file.with_extension("part");
    std::fs::rename(&file, &part).unwrap();
    std::fs::write(session.join("00000000000000000000000000000001.part"), b"torn").unwrap();
    std::fs::write(session.join("notes.txt"), b"somebody's").unwrap();
    let house = House::open(&root, BackendChoice::Auto, ChunkConfig::default());
    assert_eq!(files(), [file, session.join("notes.txt")]);
    assert_eq!(times(&house.read(&spec, TimeRange::ALL)), [1, 2, 3]);
    house.close();
}
