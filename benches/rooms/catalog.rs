//! Leaving out what has no rows in a time range: up to 100 000 chunks of one topic, a hundredth of them asked for.

use tessera::catalog::SEGMENT_CHUNKS_MAX;
use tessera::catalog::SegmentKey;
use tessera::catalog::SegmentView;
use tessera::catalog::decode_directory;
use tessera::catalog::encode_directory;
use tessera::catalog::prune;
use tessera::model::ChunkId;
use tessera::model::ChunkRecord;
use tessera::model::DeviceNumber;
use tessera::model::ShardIndex;
use tessera::model::Statistics;
use tessera::model::TimeBounds;
use tessera::model::TimeRange;
use tessera::model::TopicId;

use crate::case::Amount;
use crate::case::Case;
use crate::case::Ready;
use crate::case::Scale;
use crate::case::fold;
use crate::rows;

/// Between the first rows of two chunks, which overlap a little.
const STEP_NS: i64 = 1_000_000;

pub fn cases(scale: Scale) -> Vec<Case> {
    let chunks = scale.pick(10_000, 100_000);
    vec![
        records("prune/records", 0x497b_bf42_fd96_0d5b, chunks),
        segments("prune/segments", 0xc1bb_00f3_8777_70a0, chunks),
        read("prune/read-directories", 0x497b_bf42_fd96_0d5b, chunks),
    ]
}

/// Records that are in memory.
fn records(name: &'static str, digest: u64, chunks: usize) -> Case {
    Case::new(name, digest, move || {
        let records = make(chunks);
        let range = middle(records.len());
        Ready::new(Amount::Rows(records.len() as u64), move |watch| {
            let items = records.clone();
            let kept = watch.time(|| prune(items, &range));
            kept.iter().fold(kept.len() as u64, |digest, record| fold(digest, record.bounds.first as u64))
        })
    })
}

/// Segments, without a look at their directories.
fn segments(name: &'static str, digest: u64, count: usize) -> Case {
    Case::new(name, digest, move || {
        let topic = TopicId::new(&rows::ids());
        let segment = |number: usize| SegmentView {
            key: SegmentKey { topic, number: number as u32 },
            bounds: bounds(number * SEGMENT_CHUNKS_MAX, SEGMENT_CHUNKS_MAX),
            chunks: SEGMENT_CHUNKS_MAX as u32,
            rows: 1 << 20,
            bytes: 1 << 30,
        };
        let segments: Vec<SegmentView> = (0..count).map(segment).collect();
        let range = middle(count * SEGMENT_CHUNKS_MAX);
        Ready::new(Amount::Rows(segments.len() as u64), move |watch| {
            let items = segments.clone();
            let kept = watch.time(|| prune(items, &range));
            kept.iter().fold(kept.len() as u64, |digest, segment| fold(digest, segment.key.number.into()))
        })
    })
}

/// What a reader does: the directories of the segments that may have rows, checked and parsed, then their chunks pruned.
/// Here of all segments, so that it is a price per chunk.
fn read(name: &'static str, digest: u64, chunks: usize) -> Case {
    Case::new(name, digest, move || {
        let topic = TopicId::new(&rows::ids());
        let (records, range) = (make(chunks), middle(chunks));
        let directories = records.chunks(SEGMENT_CHUNKS_MAX).zip(0..).map(|(records, number)| {
            let key = SegmentKey { topic, number };
            (key, encode_directory(key, records).expect("a segment"))
        });
        let directories: Vec<_> = directories.collect();
        Ready::new(Amount::Rows(records.len() as u64), move |watch| {
            let kept = watch.time(|| {
                let kept = directories
                    .iter()
                    .flat_map(|(key, bytes)| prune(decode_directory(*key, bytes).expect("a directory"), &range));
                kept.collect::<Vec<_>>()
            });
            kept.iter().fold(kept.len() as u64, |digest, record| fold(digest, record.bounds.first as u64))
        })
    })
}

fn bounds(chunk: usize, count: usize) -> TimeBounds {
    let first = chunk as i64 * STEP_NS;
    TimeBounds { first, last: first + count as i64 * STEP_NS + STEP_NS / 10 }
}

/// A hundredth of the time of so many chunks.
fn middle(chunks: usize) -> TimeRange {
    let (whole, start) = (chunks as i64 * STEP_NS, chunks as i64 * STEP_NS / 2);
    TimeRange::new(Some(start), Some(start + whole / 100)).expect("a range")
}

fn make(chunks: usize) -> Vec<ChunkRecord> {
    let ids = rows::ids();
    let record = |number| ChunkRecord {
        chunk: ChunkId::new(&ids),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        rows: 1000,
        file_bytes: 1 << 20,
        logical_bytes: 1 << 20,
        bounds: bounds(number, 1),
        body_bytes: 1_000_000,
        footer_offset: 1_010_000,
        digest: [1; 16],
        footer_digest: [2; 16],
        row_groups: 1,
        runs: vec![0],
        pages: None,
        statistics: Statistics::default(),
    };
    (0..chunks).map(record).collect()
}
