//! What still fits, and what does not.

use tessera::catalog::CatalogError;
use tessera::catalog::Visibility;
use tessera::model::ChunkRecord;
use tessera::model::OntologyTag;
use tessera::model::SequenceName;
use tessera::model::Statistics;
use tessera::model::TopicPath;
use tessera::model::UserMetadata;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::complete;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

pub fn a_thousand_topics_in_one_session(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let paths: Vec<String> = (0..1000).map(|n| format!("sensor/{n}")).collect();
    let heads: Vec<_> =
        paths.iter().map(|path| stage.catalog().create_topic(stage.new_topic(&session, path))).collect();
    let heads: Vec<_> = heads.into_iter().map(|head| wait(head).unwrap()).collect();
    let begun: Vec<_> = heads.iter().map(|head| stage.open().begin_put(head.id, vec![7; 100])).collect();
    begun.into_iter().for_each(|answer| drop(wait(answer).unwrap()));
    let ended: Vec<_> = heads.iter().map(|head| stage.open().commit(head.id, stage.records(2), complete())).collect();
    ended.into_iter().for_each(|answer| wait(answer).unwrap());
    wait(stage.catalog().finalize(session.id, 500)).unwrap();
    let view = wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::Final)).unwrap();
    let seen: Vec<_> = view.sessions[0].topics.iter().map(|topic| topic.head.name.path.to_string()).collect();
    assert_eq!(seen, paths, "in the order of their creation");
    assert_eq!(wait(stage.open().committed_chunks(session.id)).unwrap().len(), 2000);
}

pub fn the_longest_of_everything_comes_back(make: Make) {
    let mut stage = Stage::new(make);
    let texts = vec![format!("{:?}", "é\\\u{1F600}".repeat(5000)); 20].join(", ");
    let metadata = UserMetadata::parse(&format!("{{\"texts\": [{texts}]}}")).unwrap();
    let mut sequence = stage.new_sequence(&"s".repeat(SequenceName::LEN_MAX));
    sequence.metadata = metadata.clone();
    wait(stage.catalog().create_sequence(sequence.clone())).unwrap();
    let session = stage.session(sequence.name.as_str());
    let mut topic = stage.new_topic(&session, &"t".repeat(TopicPath::LEN_MAX));
    topic.metadata = metadata.clone();
    topic.tag = OntologyTag::parse(&"g".repeat(OntologyTag::LEN_MAX)).unwrap();
    topic.created_at_ns = i64::MIN;
    let head = wait(stage.catalog().create_topic(topic.clone())).unwrap();
    let schema = vec![0xa5; 1 << 20];
    wait(stage.open().begin_put(topic.id, schema.clone())).unwrap();
    // Records so long that a segment is full before it has 256 of them.
    let statistics = Statistics { version: 3, bytes: vec![1; 900_000] };
    let records: Vec<_> =
        (0..10).map(|n| ChunkRecord { statistics: statistics.clone(), ..stage.record(n, n) }).collect();
    wait(stage.open().commit(topic.id, records.clone(), None)).unwrap();
    for _ in 0..2 {
        let view = wait(stage.catalog().sequence(&sequence.name, Visibility::All)).unwrap();
        assert_eq!(view.head.metadata, metadata);
        let topic = &view.sessions[0].topics[0];
        assert_eq!((&topic.head.name, &topic.head.tag, &topic.head.metadata), (&head.name, &head.tag, &metadata));
        assert_eq!((topic.head.created_at_ns, topic.schema.as_ref()), (i64::MIN, Some(&schema)));
        assert_eq!(topic.totals.chunks, 10);
        assert_eq!(wait(stage.open().committed_chunks(session.id)), Ok(records.clone()));
        stage.reopen();
    }
}

pub fn what_is_too_long_is_refused(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let topic = stage.topic(&session, "imu");
    let answer = wait(stage.open().begin_put(topic.id, vec![0; (1 << 20) + 1]));
    assert!(matches!(answer, Err(CatalogError::TooLarge { .. })), "{answer:?}");
    wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
    let statistics = Statistics { version: 3, bytes: vec![1; 1 << 20] };
    let long = ChunkRecord { statistics, ..stage.record(1, 2) };
    let empty = ChunkRecord { rows: 0, ..stage.record(1, 2) };
    for bad in [long, empty] {
        let answer = wait(stage.open().commit(topic.id, vec![stage.record(1, 2), bad], complete()));
        assert!(matches!(answer, Err(CatalogError::Invalid { .. })), "{answer:?}");
    }
    // Nothing of it was kept, and the put goes on.
    wait(stage.open().commit(topic.id, stage.records(1), complete())).unwrap();
    let view = wait(stage.catalog().topic(&topic_name("drive", "imu"), Visibility::All)).unwrap();
    assert_eq!(view.totals.chunks, 1);
}
