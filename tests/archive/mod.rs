//! A data directory as a server that was killed leaves it, made in seconds.
//!
//! The catalog is written through its own calls, so segments, journal and indexes are what recording makes of them. Every
//! chunk has a file, an inode and a name of its own and the length its record tells, but no bytes: the files are sparse. A
//! start does not read chunks, so for it nothing is missing; reading them would say DATA_LOSS.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use futures::executor::block_on;
use uuid::Uuid;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::NewSequence;
use tessera::catalog::NewSession;
use tessera::catalog::NewTopic;
use tessera::catalog::OpenStore;
use tessera::catalog::PutEnd;
use tessera::catalog::PutOutcome;
use tessera::model::ChunkId;
use tessera::model::ChunkRecord;
use tessera::model::DeviceNumber;
use tessera::model::IdSource;
use tessera::model::OntologyTag;
use tessera::model::SequenceId;
use tessera::model::SequenceName;
use tessera::model::SerializationFormat;
use tessera::model::SessionId;
use tessera::model::ShardIndex;
use tessera::model::Statistics;
use tessera::model::TimeBounds;
use tessera::model::TokenDigest;
use tessera::model::TopicId;
use tessera::model::TopicName;
use tessera::model::UserMetadata;

use super::house::House;

/// How much was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub sessions: usize,
    /// How many of them, the last ones, are open. In each of these the last topic is being received: its last chunk still
    /// has its first name, and one file more has no record.
    pub open: usize,
    /// Of each session.
    pub topics: usize,
    /// Of each topic.
    pub chunks: usize,
}

/// Makes a data directory at `root` and returns its open sessions.
pub fn make(root: &Path, shape: &Shape) -> Vec<SessionId> {
    let (house, _) = House::start(&[root]).unwrap();
    let parts = Parts { catalog: &house.catalog, open: &house.open, ids: &house.ids, device: house.device };
    let (next, open) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        // Many at once share the syncs of the catalog.
        for _ in 0..CREATORS.min(shape.sessions) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    if number >= shape.sessions {
                        break;
                    }
                    let is_open = number + shape.open >= shape.sessions;
                    let session = session(&parts, root, shape, number, is_open);
                    if is_open {
                        open.lock().unwrap().push(session);
                    }
                }
            });
        }
    });
    house.close();
    open.into_inner().unwrap()
}

const CREATORS: usize = 128;

/// What the sessions are made with.
struct Parts<'a> {
    catalog: &'a EmbeddedCatalog,
    open: &'a OpenStore,
    ids: &'a IdSource,
    device: DeviceNumber,
}

fn session(house: &Parts<'_>, root: &Path, shape: &Shape, number: usize, is_open: bool) -> SessionId {
    let (catalog, store) = (house.catalog, house.open);
    let sequence = SequenceName::parse(&format!("drive-{number}")).unwrap();
    let (metadata, id) = (UserMetadata::empty(), SessionId::new(house.ids));
    let token = |id: Uuid| {
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(id.as_bytes());
        TokenDigest(digest)
    };
    let new = NewSequence {
        id: SequenceId::new(house.ids),
        name: sequence.clone(),
        metadata: metadata.clone(),
        created_at_ns: 1,
    };
    block_on(catalog.create_sequence(new)).unwrap();
    let new = NewSession { id, sequence: sequence.clone(), token: token(id.0), created_at_ns: 2 };
    block_on(catalog.create_session(new)).unwrap();
    let place = root.join(format!("chunks/{id}"));
    fs::create_dir_all(&place).unwrap();
    for nth in 0..shape.topics {
        let topic = TopicId::new(house.ids);
        let new = NewTopic {
            id: topic,
            session: id,
            token: token(topic.0),
            name: TopicName::parse(&format!("{sequence}/topic-{nth}")).unwrap(),
            tag: OntologyTag::parse("Test").unwrap(),
            format: SerializationFormat::Default,
            metadata: metadata.clone(),
            shard: ShardIndex(0),
            device: house.device,
            created_at_ns: 3,
        };
        block_on(catalog.create_topic(new)).unwrap();
        block_on(store.begin_put(topic, vec![1])).unwrap();
        let receiving = is_open && nth + 1 == shape.topics;
        let records: Vec<ChunkRecord> = (0..shape.chunks).map(|n| record(house, n)).collect();
        for (n, record) in records.iter().enumerate() {
            let suffix = if receiving && n + 1 == shape.chunks { "part" } else { "parquet" };
            file(&place, record.chunk, suffix, record.file_bytes);
        }
        let end = (!receiving).then_some(PutEnd { outcome: PutOutcome::Complete, at_ns: 4 });
        for part in records.chunks(200) {
            block_on(store.commit(topic, part.to_vec(), None)).unwrap();
        }
        if receiving {
            file(&place, ChunkId::new(house.ids), "part", 4 << 20);
        }
        if end.is_some() {
            block_on(store.commit(topic, Vec::new(), end)).unwrap();
        }
    }
    if is_open {
        let touched = root.join("touched");
        if touched.exists() {
            fs::create_dir(touched.join(id.to_string())).unwrap();
        }
    } else {
        block_on(catalog.finalize(id, 5)).unwrap();
        fs::write(root.join(format!("manifests/{id}.json")), b"{}").unwrap();
    }
    id
}

fn file(place: &Path, chunk: ChunkId, suffix: &str, bytes: u64) {
    fs::File::create(place.join(format!("{chunk}.{suffix}"))).unwrap().set_len(bytes).unwrap();
}

fn record(house: &Parts<'_>, nth: usize) -> ChunkRecord {
    let first = nth as i64 * 1000;
    ChunkRecord {
        chunk: ChunkId::new(house.ids),
        device: house.device,
        shard: ShardIndex(0),
        rows: 1000,
        file_bytes: 1 << 20,
        logical_bytes: 1 << 20,
        bounds: TimeBounds { first, last: first + 999 },
        body_bytes: 1 << 19,
        footer_offset: 3 << 18,
        digest: [7; 16],
        footer_digest: [9; 16],
        row_groups: 1,
        runs: vec![0],
        pages: None,
        statistics: Statistics::default(),
    }
}
