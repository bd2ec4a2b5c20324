//! The move that makes a session visible.

use serde_json::Value;
use serde_json::json;
use tessera::catalog::Catalog;
use tessera::catalog::Entity;
use tessera::catalog::Visibility;
use tessera::model::NotificationTarget;
use tessera::model::Refusal;
use tessera::model::TimeRange;
use tessera::session::MANIFEST_FORMAT;
use tessera::session::SessionConfig;
use tessera::session::SessionError;
use tessera::shard::ChunkConfig;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;
use crate::fixture::race;
use crate::fixture::schema;
use crate::fixture::schema_message;
use crate::fixture::topic;

#[tokio::test(flavor = "multi_thread")]
async fn finalize_answers_the_same_however_often_it_is_asked() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("drive").await;
    house.write(token, "drive/imu", &[1]).await;
    let sessions = house.sessions.clone();
    let outcomes = race(8, |_| {
        let sessions = sessions.clone();
        async move { sessions.finalize(token).await.unwrap() }
    })
    .await;
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
    let again = house.sessions.finalize(token).await.unwrap();
    assert_eq!(again, outcomes[0]);
    assert_eq!(house.catalog.session(again.id).await.unwrap().head, again);
    let late = house.sessions.create_topic(topic(token, "drive/late")).await.unwrap_err();
    assert!(matches!(late, SessionError::Refused { refusal: Refusal::SessionFinal, .. }), "{late}");
    drop(sessions);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_is_not_finalized() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    let refused = async |wanted: Refusal, name: &str| match house.sessions.finalize(token).await {
        Err(SessionError::Refused { what, name: found, refusal }) => {
            assert_eq!((refusal, found.as_str()), (wanted, name));
            assert_eq!(what, if wanted == Refusal::SessionEmpty { Entity::Session } else { Entity::Topic });
            assert!(!house.manifest(session.id).exists());
        }
        other => panic!("{other:?}"),
    };
    refused(Refusal::SessionEmpty, &session.id.to_string()).await;
    house.write(token, "drive/done", &[1]).await;
    let topic = house.topic(token, "drive/imu").await;
    refused(Refusal::TopicWithoutPut, "drive/imu").await;
    let put = house.begin(&topic).await.unwrap();
    refused(Refusal::TopicReceiving, "drive/imu").await;
    put.close().await.unwrap();
    house.sessions.finalize(token).await.unwrap();
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_topic_is_finalized_with_its_prefix_and_a_notification() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("drive").await;
    let topic = house.topic(token, "drive/imu").await;
    let mut put = house.begin(&topic).await.unwrap();
    push(&mut put, &[1, 2, 3]).await.unwrap();
    put.interrupt("the cable came off".to_owned()).await;
    house.sessions.finalize(token).await.unwrap();
    house.sessions.finalize(token).await.unwrap();
    assert_eq!(house.times(&topic.0, TimeRange::ALL).await, [1, 2, 3]);
    let target = NotificationTarget::Topic(topic.0.name.clone());
    let told = house.sessions.notifications(target.clone()).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("the cable came off"), "{told:?}");
    house.sessions.notify(target.clone(), "seen".to_owned()).await.unwrap();
    assert_eq!(house.sessions.notifications(target.clone()).await.unwrap().len(), 2);
    house.sessions.purge_notifications(target.clone()).await.unwrap();
    assert_eq!(house.sessions.notifications(target).await.unwrap(), []);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_says_what_became_final() {
    let root = directory();
    // A chunk per row group, so that a topic has several.
    let chunk = ChunkConfig { rows_max: 1, ..ChunkConfig::default() };
    let house = House::with(root.path(), SessionConfig::default(), chunk).await;
    let (session, token) = house.session("drive").await;
    let imu = house.topic(token, "drive/imu/front").await;
    let mut put = house.begin(&imu).await.unwrap();
    // Each is a row group of its own by its size.
    for start in [0, 1_000_000] {
        push(&mut put, &(start..start + 300_000).collect::<Vec<_>>()).await.unwrap();
    }
    put.close().await.unwrap();
    let empty = house.write(token, "drive/empty", &[]).await;
    house.sessions.finalize(token).await.unwrap();

    let text = std::fs::read_to_string(house.manifest(session.id)).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(manifest["format"], json!(MANIFEST_FORMAT));
    assert_eq!(
        manifest["session"],
        json!({"id": session.id.to_string(), "created_at_ns": 1_700_000_000, "completed_at_ns": 1_700_000_000})
    );
    assert_eq!(
        manifest["sequence"],
        json!({"id": session.sequence.to_string(), "name": "drive", "metadata": {}, "created_at_ns": 1_700_000_000})
    );
    // The client's numbers keep their digits.
    assert!(text.contains(r#""metadata":{"n": 1.50}"#), "{text}");
    let topics = manifest["topics"].as_array().unwrap();
    assert_eq!(topics.len(), 2);
    assert_eq!(topics[1]["id"], json!(empty.id.to_string()));
    assert_eq!((&topics[1]["rows"], &topics[1]["chunks"]), (&json!(0), &json!([])));

    let records = house.catalog.open_store().committed_chunks(session.id).await.unwrap();
    let view = house.catalog.topic_by_id(imu.0.id, Visibility::Final).await.unwrap();
    let front = &topics[0];
    for (key, value) in [
        ("path", json!("imu/front")),
        ("tag", json!("Custom")),
        ("format", json!("default")),
        ("state", json!("complete")),
        ("rows", json!(600_000)),
        ("completed_at_ns", json!(view.head.completed_at_ns)),
    ] {
        assert_eq!(front[key], value, "{key}");
    }
    let hex: String = schema_message(&schema()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(front["schema"], json!(hex));
    let chunks = front["chunks"].as_array().unwrap();
    assert!(records.len() >= 2 && chunks.len() == records.len(), "{} chunks", records.len());
    for (chunk, record) in chunks.iter().zip(&records) {
        assert_eq!(chunk["id"], json!(record.chunk.to_string()));
        assert_eq!((&chunk["rows"], &chunk["bytes"]), (&json!(record.rows), &json!(record.file_bytes)));
        assert_eq!((&chunk["first"], &chunk["last"]), (&json!(record.bounds.first), &json!(record.bounds.last)));
        let digest: String = record.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(chunk["digest"], json!(digest));
    }
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finalize_whose_caller_went_away_is_whole() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    house.write(token, "drive/imu", &[1]).await;
    {
        let finalize = house.sessions.finalize(token);
        // Polled into the middle of it, then dropped.
        let _ = futures::poll!(std::pin::pin!(finalize));
    }
    let head = house.sessions.finalize(token).await.unwrap();
    assert_eq!(head.id, session.id);
    assert!(house.manifest(session.id).exists());
    house.stop();
}
