use std::sync::Mutex;

use arrow::array::ArrayRef;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use futures::executor::block_on;
use futures::future::select;
use uuid::Uuid;

use super::super::error::PutError;
use super::super::request::TopicSpec;
use super::super::topic_sender::TopicSender;
use super::*;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::NewSequence;
use crate::catalog::NewSession;
use crate::catalog::NewTopic;
use crate::model::DeviceId;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::TimeRange;
use crate::model::TokenDigest;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::UserMetadata;

#[test]
fn a_shard_that_panics_while_it_opens_is_told_by_its_panic() {
    let threads = Backend::Threads { reason: "a test".to_owned() };
    let config = ExecutorConfig { name: "shard-0".to_owned(), ..ExecutorConfig::default() };
    let (sender, receiver) = oneshot::channel();
    let dies = move |_: Local| -> Main {
        Box::pin(async move {
            let _sender: oneshot::Sender<Result<(), ShardError>> = sender;
            panic!("on purpose")
        })
    };
    let mut executors = vec![Executor::spawn(&threads, config, dies).unwrap()];
    let error = futures::executor::block_on(all_opened(vec![receiver], &mut executors)).unwrap_err().to_string();
    assert!(error.contains("shard-0") && error.contains("on purpose"), "{error}");
}

struct Fixture {
    catalog: EmbeddedCatalog,
    setup: ShardSetup,
    session: SessionId,
    sequence: SequenceId,
}

/// Two shards to be, and an open session.
fn fixture(root: &std::path::Path) -> Fixture {
    let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &root.join("catalog.db")).unwrap();
    let open_store = catalog.open_store();
    block_on(open_store.boot([3; 32], 0)).unwrap();
    let device = block_on(open_store.device(DeviceId(Uuid::from_u128(1)))).unwrap();
    let ids = Arc::new(IdSource::from_seed([5; 32]));
    let (sequence, session) = (SequenceId::new(&ids), SessionId::new(&ids));
    let name = SequenceName::parse("drive").unwrap();
    let new = NewSequence { id: sequence, name: name.clone(), metadata: UserMetadata::empty(), created_at_ns: 1 };
    block_on(catalog.create_sequence(new)).unwrap();
    let new = NewSession { id: session, sequence: name, token: TokenDigest([1; 32]), created_at_ns: 2 };
    block_on(catalog.create_session(new)).unwrap();
    let setup = ShardSetup {
        backend: Backend::Threads { reason: "a test".to_owned() },
        cores: vec![None, None],
        devices: vec![(device, root.to_owned())],
        catalog: Arc::new(catalog.clone()),
        open_store,
        ids,
        received: Budget::new(64 << 20).into(),
        incarnation: 1,
        chunk: ChunkConfig::default(),
        memory: ShardMemory { blocks: 4, read_bytes: 64 << 20, read_stall_ms: 0 },
        marks: crate::store::Marks::default(),
        faults: None,
    };
    Fixture { catalog, setup, session, sequence }
}

fn batch() -> RecordBatch {
    RecordBatch::try_from_iter([("timestamp_ns", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap()
}

impl Fixture {
    /// A topic on a shard, with its put open.
    fn topic(&self, path: &str, shard: u16) -> TopicSpec {
        let id = TopicId::new(&self.setup.ids);
        let mut token = [0; 32];
        token[..16].copy_from_slice(id.0.as_bytes());
        let new = NewTopic {
            id,
            session: self.session,
            token: TokenDigest(token),
            name: TopicName::parse(&format!("drive/{path}")).unwrap(),
            tag: OntologyTag::parse("Test").unwrap(),
            format: SerializationFormat::Default,
            metadata: UserMetadata::empty(),
            shard: ShardIndex(shard),
            device: self.setup.devices[0].0,
            created_at_ns: 3,
        };
        block_on(self.catalog.create_topic(new)).unwrap();
        let head = block_on(self.setup.open_store.begin_put(id, vec![1])).unwrap();
        TopicSpec { head, sequence: self.sequence, schema: batch().schema() }
    }

    fn reader(&self, topic: &TopicSpec) -> ReadRequest {
        let segments = block_on(self.catalog.segments(topic.head.id, TimeRange::ALL, None, 100)).unwrap().items;
        ReadRequest {
            topic: topic.head.id,
            session: self.session,
            name: topic.head.name.clone(),
            segments,
            range: TimeRange::ALL,
            batch_bytes: 1 << 20,
            batch_rows: 1000,
            filter: None,
        }
    }
}

/// Goal: a shard that dies in a running process takes its own topics along and no others, and whoever asks it is told at once
/// instead of waiting. (The daemon ends itself soon after: `daemon::serve`.)
#[test]
fn a_dead_shard_is_told_of_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let fixture = fixture(directory.path());
    let (kill, killed) = oneshot::channel::<()>();
    let killed = Arc::new(Mutex::new(Some(killed)));
    let made = move |index: ShardIndex, main: Main| -> Main {
        match killed.lock().unwrap().take_if(|_| index == ShardIndex(0)) {
            Some(killed) => Box::pin(async move {
                select(main, killed).await;
                panic!("on purpose")
            }),
            None => main,
        }
    };
    let (shards, mut executors) = block_on(start_as(&fixture.setup, made)).unwrap();
    block_on(shards.recover()).unwrap();
    let (dead, alive) = (fixture.topic("dead", 0), fixture.topic("alive", 1));
    let open = |topic: &TopicSpec| block_on(shards.open_writer(topic.clone()));
    let push = |sender: &mut TopicSender| block_on(sender.push(batch(), 16));
    let (mut lost, mut kept) = (open(&dead).unwrap(), open(&alive).unwrap());
    push(&mut lost).unwrap();
    push(&mut kept).unwrap();
    kill.send(()).unwrap();
    while !executors[0].is_finished() {
        thread::yield_now();
    }
    // A running put, a new one, and whatever else is asked of it.
    assert!(matches!(push(&mut lost), Err(PutError::Stopped { .. })));
    assert!(matches!(block_on(lost.close()), Err(PutError::Stopped { .. })));
    assert!(matches!(open(&dead).err(), Some(ShardError::Stopped)));
    let manifest = block_on(shards.write_manifest(fixture.session, b"{}".to_vec()));
    assert!(matches!(manifest, Err(ShardError::Stopped)), "{manifest:?}");
    // The other one.
    push(&mut kept).unwrap();
    assert_eq!(block_on(kept.close()).unwrap().rows, 4);
    // Readers take turns: one of two finds a shard that lives.
    let read = |_| match block_on(shards.open_reader(fixture.reader(&alive))) {
        Ok(mut batches) => block_on(batches.next()).unwrap().unwrap().num_rows(),
        Err(ShardError::Stopped) => 0,
        Err(other) => panic!("{other}"),
    };
    let rows: Vec<usize> = (0..2).map(read).collect();
    assert_eq!(rows.iter().sum::<usize>(), 4, "{rows:?}");
    drop(shards);
    let ended = executors.remove(0).join().unwrap_err().to_string();
    assert!(ended.contains("shard-0") && ended.contains("on purpose"), "{ended}");
    executors.remove(0).join().unwrap();
}
