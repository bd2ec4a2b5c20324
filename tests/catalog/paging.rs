//! Pages by cursor.

use tessera::catalog::CatalogError;
use tessera::catalog::Cursor;
use tessera::catalog::PAGE_ITEMS_MAX;
use tessera::catalog::SEGMENT_CHUNKS_MAX;
use tessera::catalog::SegmentKey;
use tessera::catalog::SegmentView;
use tessera::model::ChunkRecord;
use tessera::model::SequenceName;
use tessera::model::TimeBounds;
use tessera::model::TimeRange;
use tessera::model::TopicId;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::complete;
use crate::stage::sequence_name;
use crate::stage::wait;

const SIZES: [u32; 4] = [1, 2, 7, 1000];

/// All names, page by page; the catalog is told only what a client could remember: the cursor's text.
fn names(stage: &Stage, limit: u32) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = wait(stage.catalog().sequences(after, limit)).unwrap();
        assert!(page.items.len() <= limit as usize);
        all.extend(page.items.iter().map(|head| head.name.to_string()));
        match page.next.map(|cursor| Cursor::parse(&cursor.to_text())) {
            None => return all,
            Some(Ok(Cursor::Sequence(name))) => after = Some(name),
            Some(other) => panic!("{other:?}"),
        }
    }
}

pub fn sequences_page_at_any_size(make: Make) {
    let mut stage = Stage::new(make);
    assert_eq!(names(&stage, 7), Vec::<String>::new());
    // Upper case comes before lower case, and a prefix before what it begins.
    let mut expected: Vec<String> = ["b", "B", "a-1", "a", "aa", "Z9", "_x"].map(str::to_owned).to_vec();
    expected.extend((0..22).map(|n| format!("drive-{n:03}")));
    expected.iter().rev().for_each(|name| drop(stage.sequence(name)));
    expected.sort();
    for size in SIZES {
        assert_eq!(names(&stage, size), expected, "{size} a page");
    }
    stage.reopen();
    assert_eq!(names(&stage, 7), expected);
    assert!(matches!(wait(stage.catalog().sequences(None, 0)), Err(CatalogError::Invalid { .. })));
}

pub fn changes_between_pages_skip_and_repeat_nothing(make: Make) {
    let stage = Stage::new(make);
    let heads: Vec<_> = (0..9).map(|n| stage.sequence(&format!("s{n}0"))).collect();
    let (mut seen, mut after): (Vec<String>, Option<SequenceName>) = (Vec::new(), None);
    for round in 0.. {
        let page = wait(stage.catalog().sequences(after, 2)).unwrap();
        seen.extend(page.items.iter().map(|head| head.name.to_string()));
        if page.next.is_none() {
            break;
        }
        after = page.items.last().map(|head| head.name.clone());
        // One comes and one goes, first behind the cursor, then before it.
        stage.sequence(&format!("s{round}5"));
        if round == 0 {
            wait(stage.catalog().delete_sequence(heads[1].id)).unwrap(); // the cursor's own
            wait(stage.catalog().delete_sequence(heads[8].id)).unwrap();
        }
    }
    for n in 0..8 {
        assert_eq!(seen.iter().filter(|name| **name == format!("s{n}0")).count(), 1, "s{n}0 in {seen:?}");
    }
    assert!(seen.is_sorted_by(|a, b| a < b) && !seen.contains(&"s80".to_owned()), "{seen:?}");
}

/// All segments that may have rows in a range, page by page, across a restart of the catalog.
fn segments(stage: &mut Stage, topic: TopicId, range: TimeRange, limit: u32) -> Vec<SegmentView> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = wait(stage.catalog().segments(topic, range, cursor, limit)).unwrap();
        all.extend(page.items);
        match page.next {
            None => return all,
            Some(next) => cursor = Some(Cursor::parse(&next.to_text()).unwrap()),
        }
        if all.len() == 3 {
            stage.reopen();
        }
    }
}

fn directories(stage: &Stage, segments: &[SegmentView]) -> Vec<ChunkRecord> {
    segments.iter().flat_map(|segment| wait(stage.catalog().directory(segment.key)).unwrap()).collect()
}

pub fn segments_page_at_any_size(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let records = stage.records(10 * SEGMENT_CHUNKS_MAX as i64 + 5);
    let topic = stage.topic(&session, "imu");
    wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
    for part in records.chunks(300) {
        wait(stage.open().commit(topic.id, part.to_vec(), None)).unwrap();
    }
    for end in [None, Some(complete())] {
        if let Some(end) = end {
            wait(stage.open().commit(topic.id, Vec::new(), end)).unwrap();
        }
        for size in SIZES {
            let all = segments(&mut stage, topic.id, TimeRange::ALL, size);
            let numbers: Vec<u32> = all.iter().map(|segment| segment.key.number).collect();
            assert_eq!(numbers, (0..11).collect::<Vec<_>>(), "{size} a page");
            assert_eq!(all.iter().map(|segment| segment.chunks).sum::<u32>(), records.len() as u32);
            assert_eq!(all.iter().map(|segment| segment.rows).sum::<u64>(), 10 * records.len() as u64);
            assert_eq!(directories(&stage, &all), records);
        }
    }
    let page = wait(stage.catalog().segments(topic.id, TimeRange::ALL, None, PAGE_ITEMS_MAX + 1)).unwrap();
    assert_eq!((page.items.len(), page.next), (11, None));
    assert!(matches!(
        wait(stage.catalog().segments(topic.id, TimeRange::ALL, None, 0)),
        Err(CatalogError::Invalid { .. })
    ));
}

pub fn a_range_leaves_out_segments_and_nothing_else(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    // Times go back and forth, to the ends of what a time can be.
    let mut records = stage.records(4 * SEGMENT_CHUNKS_MAX as i64);
    records.extend((0..300).map(|n| stage.record(-n, 3 * n)));
    records.push(stage.record(i64::MIN, i64::MIN));
    records.push(stage.record(i64::MAX, i64::MAX));
    let topic = stage.written(&session, "imu", records.clone());
    let ends = [None, Some(i64::MIN), Some(-299), Some(0), Some(2559), Some(2560), Some(10_239), Some(i64::MAX)];
    for (start, end) in ends.iter().flat_map(|start| ends.map(|end| (*start, end))) {
        let Ok(range) = TimeRange::new(start, end) else { continue };
        let kept = segments(&mut stage, topic.id, range, 2);
        assert!(kept.iter().all(|segment| range.overlaps(&segment.bounds)), "{range:?}");
        let kept = directories(&stage, &kept);
        let missing = records.iter().filter(|record| range.overlaps(&record.bounds)).find(|r| !kept.contains(r));
        assert_eq!(missing, None, "{range:?}");
    }
    let range = TimeRange::new(Some(20_000), Some(30_000)).unwrap();
    assert_eq!(segments(&mut stage, topic.id, range, 2).len(), 1, "only the one that reaches to the last time of all");
}

pub fn the_open_tail_is_the_last_segment(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let topic = stage.topic(&session, "imu");
    let all = || wait(stage.catalog().segments(topic.id, TimeRange::ALL, None, 9)).unwrap().items;
    assert_eq!(all(), []);
    wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
    assert_eq!(all(), []);
    let key = SegmentKey { topic: topic.id, number: 0 };
    assert_not_found(wait(stage.catalog().directory(key)));
    let records = stage.records(SEGMENT_CHUNKS_MAX as i64 + 1);
    for n in [1, 2, SEGMENT_CHUNKS_MAX, SEGMENT_CHUNKS_MAX + 1] {
        let before: usize = all().iter().map(|segment| segment.chunks as usize).sum();
        wait(stage.open().commit(topic.id, records[before..n].to_vec(), None)).unwrap();
        let bounds = TimeBounds { first: 0, last: 10 * n.min(SEGMENT_CHUNKS_MAX) as i64 - 1 };
        let chunks = n.min(SEGMENT_CHUNKS_MAX) as u32;
        let (rows, bytes) = (10 * u64::from(chunks), 5000 * u64::from(chunks));
        assert_eq!(all()[0], SegmentView { key, bounds, chunks, rows, bytes });
        assert_eq!(directories(&stage, &all()), records[..n]);
    }
    let next = SegmentKey { number: 1, ..key };
    assert_eq!((all().len(), all()[1].key, all()[1].chunks), (2, next, 1));
    // It is sealed under the number it had.
    wait(stage.open().commit(topic.id, Vec::new(), complete())).unwrap();
    assert_eq!((all().len(), all()[1].key), (2, next));
    assert_eq!(wait(stage.catalog().directory(next)), Ok(records[SEGMENT_CHUNKS_MAX..].to_vec()));
    assert_not_found(wait(stage.catalog().directory(SegmentKey { number: 2, ..key })));
}

pub fn foreign_cursors_are_refused(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let (imu, gps) = (stage.written(&session, "imu", stage.records(1)), stage.written(&session, "gps", Vec::new()));
    let of_imu = Cursor::Segment(SegmentKey { topic: imu.id, number: 0 });
    let of_names = Cursor::Sequence(sequence_name("drive"));
    for cursor in [of_imu.clone(), of_names] {
        let answer = wait(stage.catalog().segments(gps.id, TimeRange::ALL, Some(cursor), 9));
        assert!(matches!(answer, Err(CatalogError::Invalid { field: "cursor", .. })), "{answer:?}");
    }
    let behind = wait(stage.catalog().segments(imu.id, TimeRange::ALL, Some(of_imu), 9)).unwrap();
    assert_eq!((behind.items, behind.next), (Vec::new(), None));
}
