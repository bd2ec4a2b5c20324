//! How the chunks of topics are stored: sums over their records. No file is opened.

use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;

use super::error::RetrievalError;
use super::plan::Plan;
use crate::catalog::Catalog;
use crate::catalog::SegmentView;
use crate::model::ChunkRecord;
use crate::model::TimeRange;
use crate::model::TopicStorage;
use crate::model::TopicView;

/// Segments of which the records are read for one request, over all its topics, but at least one each. 256 chunks and
/// some 40 kB a segment: beyond 260,000 chunks the sums are those of a sample.
const SEGMENTS_MAX: usize = 1024;

/// Topics looked at at once.
const TOPICS_AT_ONCE: usize = 16;

/// One answer per topic, in their order.
pub(super) async fn gather(
    catalog: &dyn Catalog,
    topics: impl ExactSizeIterator<Item = &TopicView>,
) -> Result<Vec<TopicStorage>, RetrievalError> {
    let segments_max = (SEGMENTS_MAX / topics.len().max(1)).max(1);
    let sums: Vec<_> = topics.map(|view| topic(catalog, view.clone(), segments_max)).collect();
    stream::iter(sums).buffered(TOPICS_AT_ONCE).try_collect().await
}

async fn topic(catalog: &dyn Catalog, view: TopicView, segments_max: usize) -> Result<TopicStorage, RetrievalError> {
    let plan = Plan::make(catalog, view, TimeRange::ALL).await?;
    let mut sums = Sums::default();
    let all = plan.segments.len();
    for segment in sample(&plan.segments, segments_max) {
        for record in catalog.directory(segment.key).await? {
            sums.add(&record);
        }
    }
    Ok(sums.finish(all <= segments_max))
}

/// At most `max` of the segments, evenly spread.
fn sample(segments: &[SegmentView], max: usize) -> impl Iterator<Item = &SegmentView> {
    segments.iter().step_by(segments.len().div_ceil(max).max(1))
}

#[derive(Default)]
struct Sums {
    storage: TopicStorage,
    /// Last timestamp of the chunk before.
    end: Option<i64>,
    /// A chunk did not tell its longest gap, or began before its predecessor ended: its rows may lie in a gap of another.
    gap_unknown: bool,
}

impl Sums {
    fn add(&mut self, record: &ChunkRecord) {
        let storage = &mut self.storage;
        storage.chunks += 1;
        storage.logical_bytes += record.logical_bytes;
        storage.file_bytes += record.file_bytes;
        let gap = record.pages.and_then(|pages| pages.gap_max_ns);
        match record.pages {
            Some(pages) => {
                storage.plain_bytes += pages.plain_bytes;
                storage.zstd_bytes += pages.zstd_bytes;
            }
            None => storage.unknown_bytes += record.file_bytes,
        }
        let in_order = self.end.is_none_or(|end| record.bounds.first >= end);
        self.gap_unknown |= !in_order || (gap.is_none() && record.rows > 1);
        let between = self.end.map(|end| record.bounds.first.abs_diff(end));
        storage.gap_max_ns = storage.gap_max_ns.max(gap).max(between);
        self.end = Some(record.bounds.last);
    }

    fn finish(mut self, whole: bool) -> TopicStorage {
        self.storage.gap_max_ns = self.storage.gap_max_ns.filter(|_| whole && !self.gap_unknown);
        self.storage
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::ChunkId;
    use crate::model::DeviceNumber;
    use crate::model::PageFacts;
    use crate::model::ShardIndex;
    use crate::model::Statistics;
    use crate::model::TimeBounds;

    fn record(first: i64, last: i64, pages: Option<PageFacts>) -> ChunkRecord {
        ChunkRecord {
            chunk: ChunkId(Uuid::from_u128(1)),
            device: DeviceNumber(0),
            shard: ShardIndex(0),
            rows: 2,
            file_bytes: 100,
            logical_bytes: 150,
            bounds: TimeBounds { first, last },
            body_bytes: 90,
            footer_offset: 95,
            digest: [0; 16],
            footer_digest: [0; 16],
            row_groups: 1,
            runs: vec![0],
            pages,
            statistics: Statistics::default(),
        }
    }

    fn facts(plain_bytes: u64, zstd_bytes: u64, gap: u64) -> Option<PageFacts> {
        Some(PageFacts { plain_bytes, zstd_bytes, gap_max_ns: Some(gap) })
    }

    fn sums(records: &[ChunkRecord]) -> TopicStorage {
        let mut sums = Sums::default();
        records.iter().for_each(|record| sums.add(record));
        sums.finish(true)
    }

    #[test]
    fn the_longest_gap_may_lie_between_two_chunks() {
        let storage = sums(&[record(0, 10, facts(60, 20, 10)), record(17, 20, facts(0, 80, 3))]);
        assert_eq!((storage.plain_bytes, storage.zstd_bytes, storage.unknown_bytes), (60, 100, 0));
        assert_eq!((storage.chunks, storage.file_bytes, storage.logical_bytes), (2, 200, 300));
        assert_eq!(storage.gap_max_ns, Some(10));
        assert_eq!(sums(&[record(0, 10, facts(1, 1, 10)), record(50, 60, facts(1, 1, 5))]).gap_max_ns, Some(40));
    }

    #[test]
    fn what_records_do_not_tell_is_not_made_up() {
        let old = sums(&[record(0, 10, facts(60, 20, 10)), record(17, 20, None)]);
        assert_eq!((old.unknown_bytes, old.gap_max_ns), (100, None));
        // Rows of the second chunk lie between those of the first.
        assert_eq!(sums(&[record(0, 10, facts(1, 1, 10)), record(5, 20, facts(1, 1, 15))]).gap_max_ns, None);
        let mut part = Sums::default();
        part.add(&record(0, 10, facts(1, 1, 10)));
        assert_eq!(part.finish(false).gap_max_ns, None);
        assert_eq!(sums(&[]), TopicStorage::default());
    }
}
