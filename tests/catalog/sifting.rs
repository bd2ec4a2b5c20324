//! What searches ask where no index of theirs tells: topics by their tag, what is known of many, and walks through a sieve.

use std::sync::Arc;

use tessera::catalog::CatalogError;
use tessera::catalog::Cursor;
use tessera::catalog::HeadText;
use tessera::catalog::NewSequence;
use tessera::catalog::NewTopic;
use tessera::catalog::PAGE_BYTES;
use tessera::catalog::SEGMENT_CHUNKS_MAX;
use tessera::catalog::SegmentKey;
use tessera::catalog::Sieve;
use tessera::catalog::TaggedTopic;
use tessera::catalog::TopicZones;
use tessera::catalog::Visibility;
use tessera::model::ColumnSummary;
use tessera::model::OntologyTag;
use tessera::model::TopicId;
use tessera::model::UserMetadata;
use tessera::model::Values;
use tessera::model::encode_skip_index;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::complete;
use crate::stage::wait;

/// Topics with a tag and their sequences, page by page, in the order in which they are told.
fn tagged(stage: &Stage, tag: &str, limit: u32) -> Vec<TaggedTopic> {
    let (mut all, mut cursor, tag) = (Vec::new(), None, OntologyTag::parse(tag).unwrap());
    loop {
        let page = wait(stage.catalog().tagged(tag.clone(), cursor, limit)).unwrap();
        all.extend(page.items);
        match page.next {
            None => return all,
            Some(next) => cursor = Some(Cursor::parse(&next.to_text()).unwrap()),
        }
    }
}

pub fn topics_are_told_by_their_tag(make: Make) {
    let mut stage = Stage::new(make);
    let mut expected = Vec::new();
    for name in ["c", "a", "open", "gone", "b"] {
        stage.sequence(name);
        let session = stage.session(name);
        for (path, tag) in [("imu", "IMU"), ("gps", "GPS"), ("late/imu", "IMU"), ("imu_raw", "IMU_raw")] {
            let new = NewTopic { tag: OntologyTag::parse(tag).unwrap(), ..stage.new_topic(&session, path) };
            let topic = wait(stage.catalog().create_topic(new)).unwrap();
            wait(stage.open().begin_put(topic.id, b"schema".to_vec())).unwrap();
            wait(stage.open().commit(topic.id, stage.records(1), complete())).unwrap();
            if tag == "IMU" && !["open", "gone"].contains(&name) {
                expected.push((name.to_owned(), topic.id.0));
            }
        }
        if name != "open" {
            wait(stage.catalog().finalize(session.id, 9)).unwrap();
        }
        if name == "gone" {
            wait(stage.catalog().delete_session(session.id)).unwrap();
        }
    }
    expected.sort_unstable();
    for limit in [1, 2, 7, 1000] {
        let told = tagged(&stage, "IMU", limit);
        assert_eq!(told, tagged(&stage, "IMU", 3), "the order stays");
        for topic in &told {
            let Some(number) = topic.number else { continue };
            let (contents, _) = wait(stage.catalog().contents_of(vec![number])).unwrap();
            assert_eq!(contents[0].head.name, topic.sequence);
        }
        let mut told: Vec<_> = told.into_iter().map(|topic| (topic.sequence.to_string(), topic.id.0)).collect();
        told.sort_unstable();
        assert_eq!(told, expected, "{limit} a page");
    }
    assert_eq!(tagged(&stage, "LIDAR", 7), []);
    stage.reopen();
    assert_eq!(tagged(&stage, "IMU", 7).len(), expected.len());
    let foreign = Cursor::Segment(SegmentKey { topic: TopicId(expected[0].1), number: 0 });
    let refused = wait(stage.catalog().tagged(OntologyTag::parse("IMU").unwrap(), Some(foreign), 7));
    assert!(matches!(refused, Err(CatalogError::Invalid { field: "cursor", .. })), "{refused:?}");
}

/// Goal: many topics at once tell what each tells alone, and an answer ends where it is large.
pub fn zones_of_many_topics_are_those_of_each(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let (session, open) = (stage.session("drive"), stage.session("drive"));
    let mut topics = Vec::new();
    for n in 0..6 {
        let mut records = stage.records(n * SEGMENT_CHUNKS_MAX as i64 / 2);
        for (at, record) in records.iter_mut().enumerate() {
            let values = Values::Signed(at as i64, at as i64 + n);
            let column = ColumnSummary { path: "x".to_owned(), values, nulls: 0, nans: 0, list: false, empty: false };
            record.statistics = encode_skip_index(&[column]);
        }
        let topic = stage.topic(&session, &format!("imu{n}"));
        wait(stage.open().begin_put(topic.id, vec![b'x'; PAGE_BYTES / 4])).unwrap();
        wait(stage.open().commit(topic.id, records, complete())).unwrap();
        topics.push(topic.id);
    }
    let hidden = stage.written(&open, "hidden", stage.records(1));
    wait(stage.catalog().finalize(session.id, 9)).unwrap();
    let missing = TopicId::new(&stage.ids);
    let mut asked = vec![missing, hidden.id];
    asked.extend(topics.iter().rev());
    let (mut told, mut answers) = (Vec::new(), 0);
    while !asked.is_empty() {
        let (own, answered) = wait(stage.catalog().zones_of(asked.clone())).unwrap();
        assert!(answered > 0);
        let bytes = |own: &TopicZones| own.schema.as_ref().map_or(0, Vec::len);
        assert!(own.iter().map(bytes).sum::<usize>() < 2 * PAGE_BYTES);
        told.extend(own);
        asked.drain(..answered);
        answers += 1;
    }
    assert!(answers > 1, "six quarters of a page are in {answers} answers");
    assert_eq!(told.iter().map(|own| own.id).collect::<Vec<_>>(), topics.iter().rev().copied().collect::<Vec<_>>());
    for own in told {
        let view = wait(stage.catalog().topic_by_id(own.id, Visibility::Final)).unwrap();
        assert_eq!((own.totals, own.schema), (view.totals, view.schema));
        let alone = wait(stage.catalog().zones(own.id, None, 1000)).unwrap();
        assert_eq!((own.segments, alone.next), (alone.items, None));
    }
}

/// Goal: a sieve leaves out what it says, at every page size, and is asked of what is stored.
pub fn sieves_leave_out_what_they_say(make: Make) {
    let stage = Stage::new(make);
    for n in 0..12 {
        let metadata = UserMetadata::parse(&format!("{{\"run\": {n}}}")).unwrap();
        let name = format!("drive-{n:02}");
        let new = NewSequence { metadata, created_at_ns: 100 + n, ..stage.new_sequence(&name) };
        wait(stage.catalog().create_sequence(new)).unwrap();
        let session = stage.session(&name);
        stage.written(&session, "imu", stage.records(1));
        if n % 2 == 0 {
            stage.written(&session, "gps", stage.records(1));
        }
        if n != 4 {
            wait(stage.catalog().finalize(session.id, 9)).unwrap();
        }
    }
    let sequence = |head: &HeadText<'_>| {
        assert!(head.tag.is_empty() && head.format.is_empty() && head.name.starts_with("drive-"));
        assert_eq!(head.metadata, format!("{{\"run\": {}}}", head.created_at_ns - 100));
        head.created_at_ns >= 102
    };
    let topic = |head: &HeadText<'_>| {
        assert_eq!((head.tag, head.format, head.created_at_ns), ("IMU", "ragged", 300));
        assert_eq!(head.metadata, r#"{"rate": 200}"#);
        head.name == "gps"
    };
    let sieves = [
        Sieve::default(),
        Sieve { sequence: Some(Box::new(sequence)), topic: None },
        Sieve { sequence: None, topic: Some(Box::new(topic)) },
        Sieve { sequence: Some(Box::new(sequence)), topic: Some(Box::new(topic)) },
    ];
    let expected: [&[i64]; 4] =
        [&[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11], &[2, 3, 5, 6, 7, 8, 9, 10, 11], &[0, 2, 6, 8, 10], &[2, 6, 8, 10]];
    for (sieve, expected) in sieves.map(Arc::new).iter().zip(expected) {
        for limit in [1, 2, 7, 1000] {
            let (mut told, mut after) = (Vec::new(), None);
            loop {
                let page = wait(stage.catalog().sifted(after, limit, Arc::clone(sieve))).unwrap();
                told.extend(page.items);
                match page.next {
                    None => break,
                    Some(Cursor::Sequence(name)) => after = Some(name),
                    Some(other) => panic!("{other:?}"),
                }
            }
            assert_eq!(told.iter().map(|own| own.head.created_at_ns - 100).collect::<Vec<_>>(), expected, "{sieve:?}");
            let mut all = wait(stage.catalog().contents(None, 100)).unwrap().items;
            all.retain(|own| expected.contains(&(own.head.created_at_ns - 100)));
            assert_eq!(told, all, "topics come whole");
        }
    }
}
