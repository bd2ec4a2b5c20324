//! What searches ask: sequences with their topics, and segments that may match.

use std::ops::Bound;
use std::sync::Arc;

use tessera::catalog::Cursor;
use tessera::catalog::HeadMark;
use tessera::catalog::HeadPage;
use tessera::catalog::NewSequence;
use tessera::catalog::NewTopic;
use tessera::catalog::PAGE_BYTES;
use tessera::catalog::SEGMENT_CHUNKS_MAX;
use tessera::catalog::SegmentView;
use tessera::catalog::SequenceContents;
use tessera::model::ColumnSummary;
use tessera::model::ColumnTest;
use tessera::model::Expression;
use tessera::model::Number;
use tessera::model::Predicate;
use tessera::model::Step;
use tessera::model::Test;
use tessera::model::TimeRange;
use tessera::model::TopicId;
use tessera::model::UserMetadata;
use tessera::model::Values;
use tessera::model::encode_skip_index;
use tessera::model::may_match;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::complete;
use crate::stage::wait;

/// Names of sequences and paths of their topics, page by page.
fn contents(stage: &Stage, limit: u32) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = wait(stage.catalog().contents(after, limit)).unwrap();
        for item in page.items {
            assert!(
                item.topics.iter().all(|topic| topic.head.name.sequence == item.head.name && topic.schema.is_none())
            );
            let paths: Vec<&str> = item.topics.iter().map(|topic| topic.head.name.path.as_str()).collect();
            all.push(format!("{}: {}", item.head.name, paths.join(" ")));
        }
        match page.next {
            None => return all,
            Some(Cursor::Sequence(name)) => after = Some(name),
            Some(other) => panic!("{other:?}"),
        }
    }
}

pub fn contents_are_final_topics_alone(make: Make) {
    let mut stage = Stage::new(make);
    for name in ["b", "a", "empty", "open", "gone"] {
        stage.sequence(name);
    }
    let write = |stage: &Stage, sequence: &str, paths: &[&str]| {
        let session = stage.session(sequence);
        for path in paths {
            stage.written(&session, path, stage.records(2));
        }
        session
    };
    for (sequence, paths) in [("b", vec!["z", "y"]), ("a", vec!["imu"]), ("a", vec!["late/label"]), ("gone", vec!["x"])]
    {
        let session = write(&stage, sequence, &paths);
        wait(stage.catalog().finalize(session.id, 9)).unwrap();
        if sequence == "gone" {
            wait(stage.catalog().delete_session(session.id)).unwrap();
        }
    }
    write(&stage, "open", &["x"]);
    write(&stage, "b", &["hidden"]);
    let expected = ["a: imu late/label", "b: z y"];
    for limit in [1, 2, 7, 1000] {
        assert_eq!(contents(&stage, limit), expected, "{limit} a page");
    }
    stage.reopen();
    assert_eq!(contents(&stage, 7), expected);
}

/// Names of sequences and topics behind a mark, with the mark at the end.
fn heads(stage: &Stage, mut after: HeadMark, limit: u32) -> (Vec<String>, HeadMark) {
    let mut names = Vec::new();
    loop {
        let HeadPage::Heads { sequences, topics, more } = wait(stage.catalog().heads(after, limit)).unwrap() else {
            panic!("the mark is there");
        };
        assert!(sequences.len() <= limit as usize && topics.len() <= limit as usize);
        for (number, head) in sequences {
            after.sequence = Some((number, head.id));
            names.push(head.name.to_string());
        }
        for topic in topics {
            after.topic = Some((topic.number, topic.id));
            names.push(format!("/{}", topic.path.as_str()));
        }
        if !more {
            return (names, after);
        }
    }
}

/// Goal: whoever goes on behind a mark misses nothing, and is told when a number may be another's by now.
pub fn heads_tell_of_everything_once(make: Make) {
    let mut stage = Stage::new(make);
    for name in ["b", "a"] {
        stage.sequence(name);
        let session = stage.session(name);
        stage.topic(&session, "imu");
        stage.topic(&session, "gps");
    }
    for limit in [1, 2, 3, 1000] {
        let (mut names, _) = heads(&stage, HeadMark::default(), limit);
        assert!(names.iter().position(|name| name == "b") < names.iter().position(|name| name == "/imu"));
        names.sort_unstable();
        assert_eq!(names, ["/gps", "/gps", "/imu", "/imu", "a", "b"], "{limit} a page");
    }
    let (_, before) = heads(&stage, HeadMark::default(), 7);
    let last = stage.sequence("last");
    let (names, after) = heads(&stage, before, 7);
    assert_eq!(names, ["last"]);
    stage.reopen();
    assert_eq!(heads(&stage, after, 7).0, Vec::<String>::new());
    // It has no session, so nothing of it stays, and the next one may have its number.
    wait(stage.catalog().delete_sequence(last.id)).unwrap();
    stage.sequence("next");
    let told = wait(stage.catalog().heads(after, 7)).unwrap();
    assert_eq!(told, HeadPage::Gone { sequence: true, topic: false });
    assert_eq!(heads(&stage, before, 7).0, ["next"]);
}

pub fn contents_of_numbers_are_those_of_names(make: Make) {
    let stage = Stage::new(make);
    for name in ["c", "a", "open", "empty", "gone"] {
        stage.sequence(name);
        if name == "empty" {
            continue;
        }
        let session = stage.session(name);
        stage.written(&session, "imu", stage.records(1));
        if name != "open" {
            wait(stage.catalog().finalize(session.id, 9)).unwrap();
        }
        if name == "gone" {
            wait(stage.catalog().delete_session(session.id)).unwrap();
        }
    }
    let page = wait(stage.catalog().heads(HeadMark::default(), 100)).unwrap();
    let HeadPage::Heads { sequences, .. } = page else { panic!("{page:?}") };
    let mut numbers: Vec<i64> = sequences.iter().map(|(number, _)| *number).collect();
    numbers.push(9999);
    let (mut told, answered) = wait(stage.catalog().contents_of(numbers.clone())).unwrap();
    assert_eq!(answered, numbers.len());
    assert_eq!(told.iter().map(|own| own.head.name.as_str()).collect::<Vec<_>>(), ["c", "a"]);
    told.reverse();
    assert_eq!(told, wait(stage.catalog().contents(None, 100)).unwrap().items);
}

/// Ten sequences with a topic each. Three of them fill a page, or two with their topics.
fn with_much_metadata(stage: &Stage) -> Vec<String> {
    // Twelve of the longest texts.
    let texts: Vec<String> = (0..12).map(|n| format!("\"t{n}\": {:?}", "x".repeat(PAGE_BYTES / 32))).collect();
    let text = UserMetadata::parse(&format!("{{{}}}", texts.join(", "))).unwrap();
    let names: Vec<String> = (0..10).map(|n| format!("drive-{n}")).collect();
    for name in &names {
        let head = NewSequence { metadata: text.clone(), ..stage.new_sequence(name) };
        wait(stage.catalog().create_sequence(head)).unwrap();
        let session = stage.session(name);
        let new = NewTopic { metadata: text.clone(), ..stage.new_topic(&session, "imu") };
        let topic = wait(stage.catalog().create_topic(new)).unwrap();
        wait(stage.open().begin_put(topic.id, b"schema".to_vec())).unwrap();
        wait(stage.open().commit(topic.id, stage.records(1), complete())).unwrap();
        wait(stage.catalog().finalize(session.id, 9)).unwrap();
    }
    names
}

/// Goal: no page takes much more memory than [`PAGE_BYTES`], and all of them together have everything.
pub fn pages_end_where_metadata_is_large(make: Make) {
    let stage = Stage::new(make);
    let names = with_much_metadata(&stage);
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = wait(stage.catalog().sequences(after, 100)).unwrap();
        assert!(page.items.len() <= 3, "{} heads", page.items.len());
        listed.extend(page.items.iter().map(|head| head.name.to_string()));
        pages += 1;
        match page.next {
            None => break,
            Some(Cursor::Sequence(name)) => after = Some(name),
            Some(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((listed, pages), (names.clone(), 4));
    let whole: Vec<String> = names.iter().map(|name| format!("{name}: imu")).collect();
    assert_eq!(contents(&stage, 100), whole);
    let page = wait(stage.catalog().contents(None, 100)).unwrap();
    // Heads fill a page, and so do topics.
    assert!(page.items.len() <= 3 && page.items.iter().map(SequenceContents::bytes).sum::<usize>() < 3 * PAGE_BYTES);
}

/// Goal: the same of what is asked for by number.
pub fn numbered_pages_end_where_metadata_is_large(make: Make) {
    let stage = Stage::new(make);
    let names = with_much_metadata(&stage);
    let (mut all, _) = heads(&stage, HeadMark::default(), 100);
    all.retain(|name| name != "/imu");
    assert_eq!(all, names);
    let page = wait(stage.catalog().heads(HeadMark::default(), 100)).unwrap();
    let HeadPage::Heads { sequences, topics, more } = page else { panic!("{page:?}") };
    assert!(sequences.len() == 3 && topics.is_empty() && more, "{} sequences", sequences.len());
    let (told, answered) = wait(stage.catalog().contents_of((1..=10).collect())).unwrap();
    assert_eq!((told.len(), answered), (2, 2));
}

/// `A.x` between two numbers.
fn between(low: i128, high: i128) -> Arc<Predicate> {
    let range = (Bound::Included(Number::Integer(low)), Bound::Included(Number::Integer(high)));
    let path = vec![Step { name: "x".to_owned(), item: None }];
    Arc::new(Expression::Leaf(ColumnTest { path, test: Test::Numbers { ranges: vec![range], nan: false } }))
}

fn matching(stage: &Stage, topic: TopicId, predicate: &Arc<Predicate>, limit: u32) -> Vec<u32> {
    let (mut all, mut cursor): (Vec<SegmentView>, _) = (Vec::new(), None);
    loop {
        let page = stage.catalog().segments_matching(topic, TimeRange::ALL, predicate.clone(), cursor, limit);
        let page = wait(page).unwrap();
        assert!(page.items.len() <= limit as usize);
        all.extend(page.items);
        match page.next {
            None => return all.iter().map(|segment| segment.key.number).collect(),
            Some(next) => cursor = Some(next),
        }
    }
}

/// Chunk n has the values n to n + 9; those of the third segment say nothing.
pub fn segments_that_cannot_match_are_left_out(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let mut records = stage.records(5 * SEGMENT_CHUNKS_MAX as i64);
    for (n, record) in records.iter_mut().enumerate() {
        let values = Values::Signed(n as i64, n as i64 + 9);
        let column = ColumnSummary { path: "x".to_owned(), values, nulls: 0, nans: 0, list: false, empty: false };
        if n / SEGMENT_CHUNKS_MAX != 2 {
            record.statistics = encode_skip_index(&[column]);
        }
    }
    let topic = stage.written(&session, "imu", records);
    wait(stage.catalog().finalize(session.id, 9)).unwrap();
    for limit in [1, 2, 7, 1000] {
        let (mut zones, mut cursor) = (Vec::new(), None);
        loop {
            let page = wait(stage.catalog().zones(topic.id, cursor, limit)).unwrap();
            zones.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(zones.iter().map(|(view, _)| view.key.number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let may = |low, high| {
            let may = zones.iter().filter(|(_, known)| may_match(known, &between(low, high)));
            may.map(|(view, _)| view.key.number).collect::<Vec<_>>()
        };
        assert_eq!((may(0, 5), may(1280, 5000)), (vec![0, 2], vec![2, 4]));
        let found = |low, high| matching(&stage, topic.id, &between(low, high), limit);
        assert_eq!(found(0, 5), [0, 2], "{limit} a page");
        assert_eq!(found(256, 256), [0, 1, 2]);
        assert_eq!(found(1280, 5000), [2, 4]);
        assert_eq!(found(-5, -1), [2]);
        assert_eq!(found(0, 9999), [0, 1, 2, 3, 4]);
    }
}

/// Goal: a selective question over a long topic looks at zone maps, not at chunks. Prints how long it takes; `SEARCH_CHUNKS`
/// (a million for the figure that counts) sets the size.
pub fn a_question_over_many_chunks_reads_few(make: Make) {
    let chunks = std::env::var("SEARCH_CHUNKS").map_or(2000, |text| text.parse::<usize>().unwrap());
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let topic = stage.topic(&session, "imu");
    wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
    let names = ["x", "acceleration.x", "acceleration.y", "acceleration.z", "angular_velocity.x", "angular_velocity.y"];
    let mut n = 0;
    while n < chunks {
        let mut records = stage.records(SEGMENT_CHUNKS_MAX.min(chunks - n) as i64);
        for record in &mut records {
            let values = |k: usize| Values::Floats(vec![((n * 10 + k) as f64, (n * 10 + k + 9) as f64)]);
            let column = |(k, name): (usize, &&str)| {
                let path = (*name).to_owned();
                ColumnSummary { path, values: values(k), nulls: 0, nans: 0, list: false, empty: false }
            };
            record.statistics = encode_skip_index(&names.iter().enumerate().map(column).collect::<Vec<_>>());
            n += 1;
        }
        wait(stage.open().commit(topic.id, records, None)).unwrap();
    }
    wait(stage.open().commit(topic.id, Vec::new(), complete())).unwrap();
    wait(stage.catalog().finalize(session.id, 9)).unwrap();
    let mut took: Vec<_> = (0..200)
        .map(|round| {
            let at = (round * 7919 * 10 % (chunks * 10)) as i128;
            let begun = std::time::Instant::now();
            let found = matching(&stage, topic.id, &between(at, at), 1000);
            assert!(found.contains(&((at / 10) as u32 / SEGMENT_CHUNKS_MAX as u32)) && found.len() <= 2, "{found:?}");
            begun.elapsed()
        })
        .collect();
    took.sort();
    println!("{chunks} chunks: {:?} in the middle, {:?} of 99 %, {:?} the longest", took[100], took[198], took[199]);
}
