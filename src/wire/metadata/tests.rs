use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::model::DeviceNumber;
use crate::model::NodeId;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicState;

fn topic(totals: TopicTotals) -> TopicView {
    let head = TopicHead {
        id: TopicId(Uuid::from_u128(3)),
        session: SessionId(Uuid::from_u128(2)),
        name: TopicName::parse("drive/sensors/imu").unwrap(),
        tag: OntologyTag::parse("IMU \"a\"").unwrap(),
        format: SerializationFormat::Default,
        metadata: UserMetadata::parse(r#"{"n": 12345678901234567890123, "f": 1.10}"#).unwrap(),
        state: TopicState::Complete,
        shard: ShardIndex(0),
        device: DeviceNumber(0),
        created_at_ns: 1_795_185_257_311_446_015,
        completed_at_ns: Some(1_795_185_257_495_606_154),
    };
    TopicView { head, schema: None, totals, node: None }
}

fn sequence(topics: Vec<TopicView>) -> SequenceView {
    let name = SequenceName::parse("drive").unwrap();
    let id = SequenceId(Uuid::from_u128(1));
    let session = SessionHead {
        id: SessionId(Uuid::from_u128(2)),
        sequence: id,
        sequence_name: name.clone(),
        state: SessionState::Final,
        created_at_ns: 5,
        completed_at_ns: Some(6),
    };
    let open = SessionHead {
        id: SessionId(Uuid::from_u128(9)),
        state: SessionState::Open,
        completed_at_ns: None,
        ..session.clone()
    };
    SequenceView {
        head: SequenceHead { id, name, metadata: UserMetadata::parse("null").unwrap(), created_at_ns: 4 },
        sessions: vec![SessionView { head: session, topics }, SessionView { head: open, topics: Vec::new() }],
    }
}

const FULL: TopicTotals =
    TopicTotals { rows: 3, file_bytes: 1234, chunks: 1, bounds: Some(TimeBounds { first: 1000, last: 3000 }) };

#[test]
fn a_sequence_lists_its_sessions_by_locator_and_public_id() {
    let value: Value = serde_json::from_str(&sequence_app_metadata(&sequence(vec![topic(FULL)]), &[])).unwrap();
    let expected = json!({
        "resource_locator": "drive", "created_at_ns": 4, "user_metadata": {},
        "sessions": [
            {"locator": "drive:00000000000000000000000000000002", "uuid": "00000000-0000-0000-0000-000000000002",
             "created_at_ns": 5, "completed_at_ns": 6, "locked": true, "topics": ["drive/sensors/imu"]},
            {"locator": "drive:00000000000000000000000000000009", "uuid": "00000000-0000-0000-0000-000000000009",
             "created_at_ns": 5, "completed_at_ns": null, "locked": false, "topics": []},
        ],
    });
    assert_eq!(value, expected);
}

#[test]
fn a_topic_tells_every_generation_what_it_reads() {
    let text = topic_app_metadata(&topic(FULL), None, TopicExtras::default());
    let value: Value = serde_json::from_str(&text).unwrap();
    let interval = json!({"start_ns": 1000, "end_ns": 3000});
    assert_eq!(value["created_at_ns"], 1_795_185_257_311_446_015_i64);
    assert_eq!(value["completed_at_ns"], 1_795_185_257_495_606_154_i64);
    assert_eq!(value["locked"], true);
    assert_eq!(value["resource_locator"], "drive/sensors/imu");
    assert_eq!(value["ontology_tag"], "IMU \"a\"");
    assert_eq!(value["serialization_format"], "default");
    assert_eq!(
        value["data_info"],
        json!({"interval": interval, "total_row_count": 3, "total_bytes": 1234, "total_chunks_count": 1})
    );
    assert_eq!(value["info"], json!({"chunks_number": 1, "total_bytes": 1234, "timestamp": interval}));
    assert_eq!(value["time_window_info"], Value::Null);
}

#[test]
fn user_metadata_leaves_as_the_text_that_came() {
    let text = topic_app_metadata(&topic(FULL), None, TopicExtras::default());
    assert!(text.contains(r#""user_metadata":{"n": 12345678901234567890123, "f": 1.10},"#), "{text}");
}

#[test]
fn a_topic_without_rows_has_null_intervals() {
    let empty = topic(TopicTotals::default());
    let value: Value = serde_json::from_str(&topic_app_metadata(&empty, None, TopicExtras::default())).unwrap();
    assert_eq!(value["data_info"]["interval"], Value::Null);
    assert_eq!(value["data_info"]["total_row_count"], 0);
    assert_eq!(value["info"]["timestamp"], Value::Null);
    let mut created = empty.clone();
    created.head.completed_at_ns = None;
    let value: Value = serde_json::from_str(&topic_app_metadata(&created, None, TopicExtras::default())).unwrap();
    assert_eq!((&value["locked"], &value["completed_at_ns"]), (&json!(false), &Value::Null));
}

#[test]
fn a_window_is_an_object_even_when_it_is_empty() {
    let window = |bounds, rows| {
        let text = topic_app_metadata(&topic(FULL), Some(WindowInfo { bounds, rows }), TopicExtras::default());
        serde_json::from_str::<Value>(&text).unwrap()["time_window_info"].clone()
    };
    assert_eq!(window(None, 0), json!({"interval": null, "row_count": 0}));
    let one = Some(TimeBounds { first: -7, last: -7 });
    assert_eq!(window(one, 2), json!({"interval": {"start_ns": -7, "end_ns": -7}, "row_count": 2}));
}

#[test]
fn schema_metadata_has_the_three_keys() {
    let view = topic(FULL);
    let [context, properties, metadata] = topic_schema_metadata(&view, None);
    assert_eq!(context, ("mosaico:context".to_owned(), "topic".to_owned()));
    assert_eq!(properties.0, "mosaico:properties");
    assert_eq!(properties.1, r#"{"ontology_tag":"IMU \"a\"","serialization_format":"default"}"#);
    assert_eq!(metadata, ("mosaico:user_metadata".to_owned(), view.head.metadata.as_str().to_owned()));

    let rows = WindowInfo { bounds: FULL.bounds, rows: 3 };
    let [_, (_, properties), _] = topic_schema_metadata(&view, Some(rows));
    let value: Value = serde_json::from_str(&properties).unwrap();
    assert_eq!(value["message_count"], 3);
    assert_eq!((&value["timestamp_ns_min"], &value["timestamp_ns_max"]), (&json!(1000), &json!(3000)));

    let [context, metadata] = sequence_schema_metadata(&sequence(Vec::new()).head);
    assert_eq!(context.1, "sequence");
    assert_eq!(metadata, ("mosaico:user_metadata".to_owned(), "{}".to_owned()));
}

#[test]
fn a_location_is_the_topics_name_under_our_scheme() {
    assert_eq!(topic_location(&TopicName::parse("/drive/cam/front").unwrap()), "mosaico:drive/cam/front");
}

/// Goal: who asks for nothing of ours gets nothing of ours.
#[test]
fn extras_are_keys_of_their_own() {
    let plain: Value = serde_json::from_str(&topic_app_metadata(&topic(FULL), None, TopicExtras::default())).unwrap();
    assert!(!plain.as_object().unwrap().contains_key("storage"));
    assert!(!plain.as_object().unwrap().contains_key("interrupted"));
    let storage = TopicStorage { chunks: 1, zstd_bytes: 7, gap_max_ns: Some(5), ..TopicStorage::default() };
    let extras = TopicExtras { storage: Some(&storage), interrupted: true };
    let told: Value = serde_json::from_str(&topic_app_metadata(&topic(FULL), None, extras)).unwrap();
    assert_eq!((&told["storage"]["zstd_bytes"], &told["storage"]["gap_max_ns"]), (&json!(7), &json!(5)));
    assert_eq!(told["interrupted"], json!(false));

    let view = sequence(vec![topic(FULL)]);
    let mut open = topic(TopicTotals { rows: 2, ..FULL });
    open.head.state = TopicState::Interrupted;
    let opened = SessionView { head: view.sessions[1].head.clone(), topics: vec![open.clone()] };
    let told: Value = serde_json::from_str(&sequence_app_metadata(&view, &[opened])).unwrap();
    assert!(!told["sessions"][0].as_object().unwrap().contains_key("open_topics"));
    let topic = &told["sessions"][1]["open_topics"][0];
    assert_eq!((&topic["state"], &topic["total_row_count"]), (&json!("interrupted"), &json!(2)));
    assert!(!topic.as_object().unwrap().contains_key("server"));
    let mut theirs = open;
    theirs.node = Some(NodeId(Uuid::from_u128(7)));
    let opened = SessionView { head: view.sessions[1].head.clone(), topics: vec![theirs] };
    let told: Value = serde_json::from_str(&sequence_app_metadata(&view, &[opened])).unwrap();
    let topic = &told["sessions"][1]["open_topics"][0];
    assert_eq!((&topic["state"], topic["server"].is_string()), (&json!("elsewhere"), true));
    assert_eq!(told["sessions"][1]["topics"], json!([]));
}
