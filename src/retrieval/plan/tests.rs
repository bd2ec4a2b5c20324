//! Plans over a catalog filled with chunk records that no file stands behind: the planner reads no file.

use futures::executor::block_on;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::NewSequence;
use crate::catalog::NewSession;
use crate::catalog::NewTopic;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::catalog::SEGMENT_CHUNKS_MAX;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::Statistics;
use crate::model::TokenDigest;
use crate::model::UserMetadata;

const CHUNK_NS: i64 = 100;
const SEGMENT_NS: i64 = CHUNK_NS * SEGMENT_CHUNKS_MAX as i64;

/// Ten rows a chunk, chunk `n` from `100 n` to `100 n + 90`.
fn record(ids: &IdSource, number: i64) -> ChunkRecord {
    ChunkRecord {
        chunk: ChunkId::new(ids),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        rows: 10,
        file_bytes: 4096,
        logical_bytes: 1000,
        bounds: TimeBounds { first: CHUNK_NS * number, last: CHUNK_NS * number + 90 },
        body_bytes: 1000,
        footer_offset: 1008,
        digest: [1; 16],
        footer_digest: [2; 16],
        row_groups: 1,
        runs: vec![0],
        pages: None,
        statistics: Statistics::default(),
    }
}

/// A catalog with a final topic of so many chunks.
fn filled(chunks: i64, schema: &[u8]) -> (TempDir, EmbeddedCatalog, TopicView) {
    let directory = tempfile::tempdir().unwrap();
    let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &directory.path().join("catalog.db")).unwrap();
    let (open, ids) = (catalog.open_store(), IdSource::from_seed([4; 32]));
    let topic = TopicId(Uuid::from_u128(3));
    block_on(async {
        let (sequence, session) = (SequenceId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)));
        let (name, metadata) = (SequenceName::parse("drive").unwrap(), UserMetadata::empty());
        let new = NewSequence { id: sequence, name: name.clone(), metadata: metadata.clone(), created_at_ns: 1 };
        catalog.create_sequence(new).await.unwrap();
        let new = NewSession { id: session, sequence: name, token: TokenDigest([1; 32]), created_at_ns: 1 };
        catalog.create_session(new).await.unwrap();
        let new = NewTopic {
            id: topic,
            session,
            token: TokenDigest([2; 32]),
            name: TopicName::parse("drive/imu").unwrap(),
            tag: OntologyTag::parse("IMU").unwrap(),
            format: SerializationFormat::Default,
            metadata,
            shard: ShardIndex(0),
            device: DeviceNumber(0),
            created_at_ns: 1,
        };
        catalog.create_topic(new).await.unwrap();
        open.begin_put(topic, schema.to_vec()).await.unwrap();
        let records: Vec<_> = (0..chunks).map(|number| record(&ids, number)).collect();
        for some in records.chunks(1000) {
            open.commit(topic, some.to_vec(), None).await.unwrap();
        }
        let hidden = topic_by_id(&catalog, topic).await;
        assert!(matches!(hidden, Err(RetrievalError::NotFinalized { .. })), "{hidden:?}");
        open.commit(topic, Vec::new(), Some(PutEnd { outcome: PutOutcome::Complete, at_ns: 2 })).await.unwrap();
        catalog.finalize(session, 3).await.unwrap();
        let view = topic_by_id(&catalog, topic).await.unwrap();
        (directory, catalog, view)
    })
}

fn range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(Some(start), Some(end)).unwrap()
}

/// Goal: a plan over more segments than one page has each segment that overlaps the range, once and in order.
#[test]
fn a_plan_has_the_segments_of_its_range() {
    let segments = i64::from(PAGE) + 3;
    let (_directory, catalog, view) = filled(segments * SEGMENT_CHUNKS_MAX as i64, b"schema");
    let planned = |range: TimeRange| -> Vec<i64> {
        let plan = block_on(Plan::make(&catalog, view.clone(), range)).unwrap();
        plan.segments.iter().map(|segment| segment.bounds.first / SEGMENT_NS).collect()
    };
    assert_eq!(planned(TimeRange::ALL), (0..segments).collect::<Vec<_>>());
    assert_eq!(planned(range(SEGMENT_NS, SEGMENT_NS + 1)), [1]);
    assert_eq!(planned(range(SEGMENT_NS - 10, SEGMENT_NS + 1)), [0, 1]);
    // Between the last row of one and the first of the next.
    assert_eq!(planned(range(SEGMENT_NS - 9, SEGMENT_NS)), Vec::<i64>::new());
    assert_eq!(planned(range(-50, 0)), Vec::<i64>::new());
    assert_eq!(planned(range(segments * SEGMENT_NS, i64::MAX)), Vec::<i64>::new());

    let bounded = block_on(Plan::bounded(&catalog, view.clone(), TimeRange::ALL, None, 5));
    assert!(matches!(bounded, Err(RetrievalError::TooManySegments { max: 5, .. })), "{bounded:?}");
    let bounded = block_on(Plan::bounded(&catalog, view, range(0, 5 * SEGMENT_NS), None, 5)).unwrap();
    assert_eq!(bounded.segments.len(), 5);
}

#[test]
fn only_segments_that_the_range_cuts_are_left_to_the_shards() {
    let (_directory, catalog, view) = filled(10 * SEGMENT_CHUNKS_MAX as i64, b"schema");
    let split = |range: TimeRange| {
        let mut plan = block_on(Plan::make(&catalog, view.clone(), range)).unwrap();
        let covered = plan.take_covered();
        (covered, plan.segments.iter().map(|segment| segment.bounds.first / SEGMENT_NS).collect::<Vec<_>>())
    };
    let rows = 10 * SEGMENT_CHUNKS_MAX as u64;
    let (covered, cut) = split(range(5, 4 * SEGMENT_NS + 1));
    let bounds = Some(TimeBounds { first: SEGMENT_NS, last: 4 * SEGMENT_NS - 10 });
    assert_eq!((covered, cut), (Window { bounds, rows: 3 * rows }, vec![0, 4]));
    assert_eq!(split(range(5, 6)), (Window::default(), vec![0]));
    // The end is exclusive: a range that ends at a segment's last row cuts it.
    assert_eq!(split(range(0, SEGMENT_NS - 10)), (Window::default(), vec![0]));
    assert_eq!(split(range(0, SEGMENT_NS - 9)).1, Vec::<i64>::new());

    let all = Window { bounds: view.totals.bounds, rows: 10 * rows };
    assert_eq!(whole(&view, &range(0, 10 * SEGMENT_NS)), Some(all));
    assert_eq!(whole(&view, &range(-9, 0)), Some(Window::default()));
    assert_eq!(whole(&view, &range(0, 5)), None);
}

#[test]
fn a_damaged_schema_is_an_error_with_the_topic() {
    let (_directory, _catalog, view) = filled(1, b"no schema message");
    let error = schema(&view).unwrap_err();
    assert!(matches!(&error, RetrievalError::Schema { topic, .. } if topic.path.as_str() == "imu"), "{error}");
}
