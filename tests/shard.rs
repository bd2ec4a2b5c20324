//! The storage side without the network: batches into a topic, a restart, and the same rows back in time order.

use std::path::Path;
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
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::NewSequence;
use tessera::catalog::NewSession;
use tessera::catalog::NewTopic;
use tessera::catalog::OpenStore;
use tessera::catalog::Visibility;
use tessera::io::Backend;
use tessera::io::BackendChoice;
use tessera::io::probe;
use tessera::model::DeviceId;
use tessera::model::DeviceNumber;
use tessera::model::IdSource;
use tessera::model::OntologyTag;
use tessera::model::SequenceId;
use tessera::model::SequenceName;
use tessera::model::SerializationFormat;
use tessera::model::SessionId;
use tessera::model::TimeBounds;
use tessera::model::TimeRange;
use tessera::model::TokenDigest;
use tessera::model::TopicId;
use tessera::model::TopicName;
use tessera::model::TopicState;
use tessera::model::UserMetadata;
use tessera::runtime::Budget;
use tessera::runtime::Executor;
use tessera::runtime::Permit;
use tessera::shard;
use tessera::shard::ChunkConfig;
use tessera::shard::ReadRequest;
use tessera::shard::ShardMemory;
use tessera::shard::ShardSetup;
use tessera::shard::Shards;
use tessera::shard::TopicSpec;
use tessera::shard::Window;
use tessera::store::Expected;

/// A directory on a real disk: tmpfs hides errors of alignment.
fn scratch() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tempfile::TempDir::new_in(root).unwrap()
}

struct House {
    directory: PathBuf,
    catalog: EmbeddedCatalog,
    open: OpenStore,
    shards: Shards,
    executors: Vec<Executor>,
    ids: Arc<IdSource>,
    device: DeviceNumber,
    budget: Budget,
}

impl House {
    fn open(directory: &Path, wanted: BackendChoice, chunk: ChunkConfig) -> Self {
        let backend = probe(directory, wanted).unwrap();
        let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &directory.join("catalog.db")).unwrap();
        let open = catalog.open_store();
        let boot = block_on(open.boot([3; 32], 0)).unwrap();
        let mut seed = [0; 32];
        seed[0] = boot.incarnation as u8;
        let ids = Arc::new(IdSource::from_seed(seed));
        let device = block_on(open.device(DeviceId(uuid::Uuid::from_u128(1)))).unwrap();
        let budget = Budget::new(64 << 20);
        let setup = ShardSetup {
            backend: backend.clone(),
            cores: vec![None, None],
            devices: vec![(device, directory.to_owned())],
            catalog: Arc::new(catalog.clone()),
            open_store: open.clone(),
            ids: Arc::clone(&ids),
            budget: budget.clone(),
            incarnation: boot.incarnation,
            chunk,
            memory: ShardMemory { blocks: 8, read_bytes: 64 << 20 },
        };
        let (shards, executors) = block_on(shard::start(&setup)).unwrap();
        if wanted == BackendChoice::Uring {
            assert!(matches!(backend, Backend::Uring));
        }
        let mut expected = Expected::default();
        for session in block_on(open.sessions()).unwrap() {
            expected.sessions.insert(session, block_on(open.committed_chunks(session)).unwrap());
        }
        let report = block_on(shards.recover(expected)).unwrap();
        assert_eq!(report.missing, []);
        Self { directory: directory.to_owned(), catalog, open, shards, executors, ids, device, budget }
    }

    fn close(self) -> PathBuf {
        drop(self.shards);
        for executor in self.executors {
            executor.join().unwrap();
        }
        self.catalog.close();
        self.directory
    }

    fn topic(&self, path: &str, schema: &SchemaRef) -> TopicSpec {
        let sequence = SequenceName::parse(&format!("seq-{path}")).unwrap();
        let (sequence_id, session, topic) =
            (SequenceId::new(&self.ids), SessionId::new(&self.ids), TopicId::new(&self.ids));
        let metadata = UserMetadata::empty();
        let new = NewSequence { id: sequence_id, name: sequence.clone(), metadata: metadata.clone(), created_at_ns: 1 };
        block_on(self.catalog.create_sequence(new)).unwrap();
        let token = |id: uuid::Uuid| {
            let mut digest = [0; 32];
            digest[..16].copy_from_slice(id.as_bytes());
            TokenDigest(digest)
        };
        let new = NewSession { id: session, sequence: sequence.clone(), token: token(session.0), created_at_ns: 2 };
        block_on(self.catalog.create_session(new)).unwrap();
        let (shard, _) = self.shards.place();
        let new = NewTopic {
            id: topic,
            session,
            token: token(topic.0),
            name: TopicName::parse(&format!("{sequence}/{path}")).unwrap(),
            tag: OntologyTag::parse("Test").unwrap(),
            format: SerializationFormat::Default,
            metadata,
            shard,
            device: self.device,
            created_at_ns: 3,
        };
        block_on(self.catalog.create_topic(new)).unwrap();
        let head = block_on(self.open.begin_put(topic, vec![1])).unwrap();
        TopicSpec { head, sequence: sequence_id, schema: Arc::clone(schema) }
    }

    fn request(&self, spec: &TopicSpec, range: TimeRange) -> ReadRequest {
        let page = block_on(self.catalog.segments(spec.head.id, range, None, 1000)).unwrap();
        ReadRequest {
            topic: spec.head.id,
            session: spec.head.session,
            name: spec.head.name.clone(),
            segments: page.items,
            range,
            batch_bytes: 1 << 20,
            batch_rows: 10_000,
        }
    }

    fn read(&self, spec: &TopicSpec, range: TimeRange) -> Vec<RecordBatch> {
        let request = self.request(spec, range);
        block_on(async {
            let mut receiver = self.shards.open_reader(request).await.unwrap();
            let mut batches = Vec::new();
            while let Some(batch) = receiver.next().await {
                batches.push(batch.unwrap());
            }
            batches
        })
    }

    fn window(&self, spec: &TopicSpec, range: TimeRange) -> Window {
        block_on(self.shards.window(self.request(spec, range))).unwrap()
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("timestamp_ns", DataType::Int64, false),
        Field::new("payload", DataType::Binary, true),
    ]))
}

/// Rows with the given times; the payload is a function of the time and `bytes` long.
fn batch(times: &[i64], bytes: usize) -> RecordBatch {
    let payload = |time: &i64| -> Vec<u8> { (0..bytes).map(|i| (*time as usize * 31 + i) as u8).collect() };
    let payloads: Vec<Vec<u8>> = times.iter().map(payload).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(times.to_vec())),
        Arc::new(BinaryArray::from_iter(payloads.iter().map(|p| Some(p.as_slice())))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn times(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn write(house: &House, spec: &TopicSpec, batches: Vec<RecordBatch>) {
    block_on(async {
        let mut sender = house.shards.open_writer(spec.clone()).await.unwrap();
        for batch in batches {
            let bytes = batch.get_array_memory_size();
            sender.push(batch, bytes).await.unwrap();
        }
        sender.close().await.unwrap();
    });
}

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
