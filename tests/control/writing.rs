//! From a sequence to a written topic, and what is refused on the way.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::model::IdSource;
use tessera::model::Refusal;
use tessera::model::SequenceName;
use tessera::model::TimeRange;
use tessera::model::Token;
use tessera::model::TopicState;
use tessera::model::UserMetadata;
use tessera::session::SessionConfig;
use tessera::session::SessionError;
use tessera::shard::ChunkConfig;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;
use crate::fixture::race;
use crate::fixture::stream;
use crate::fixture::topic;
use crate::fixture::until;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_comes_back_once_it_is_final() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    let topic = house.topic(token, "drive/imu").await;
    let mut put = house.begin(&topic).await.unwrap();
    for start in [0, 3000, 1000] {
        push(&mut put, &(start..start + 1000).collect::<Vec<_>>()).await.unwrap();
    }
    assert_eq!(put.close().await.unwrap().rows, 3000);
    let head = house.sessions.finalize(token).await.unwrap();
    assert_eq!((head.id, head.completed_at_ns), (session.id, Some(1_700_000_000)));
    let expected: Vec<i64> = (0..2000).chain(3000..4000).collect();
    assert_eq!(house.times(&topic.0, TimeRange::ALL).await, expected);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_creators_of_one_name_one_wins() {
    let root = directory();
    let house = House::open(root.path()).await;
    let sessions = house.sessions.clone();
    let outcomes = race(64, |_| {
        let sessions = sessions.clone();
        async move { sessions.create_sequence(SequenceName::parse("drive").unwrap(), UserMetadata::empty()).await }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, SessionError::AlreadyExists { .. }), "{error}");
    }

    // Half of them in another session of the sequence: a path is unique over both.
    let name = SequenceName::parse("drive").unwrap();
    let tokens =
        [house.sessions.create_session(&name).await.unwrap().1, house.sessions.create_session(&name).await.unwrap().1];
    let outcomes = race(64, |index| {
        let sessions = sessions.clone();
        async move { sessions.create_topic(topic(tokens[index % 2], "drive/imu")).await }
    })
    .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, SessionError::AlreadyExists { .. }), "{error}");
    }
    drop(sessions);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_written_once_and_by_its_owner() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("drive").await;
    let (imu, gps) = (house.topic(token, "drive/imu").await, house.topic(token, "drive/gps").await);

    let swapped = house.begin(&(imu.0.clone(), gps.1)).await.err().unwrap();
    assert!(matches!(&swapped, SessionError::ForeignTopic { topic } if *topic == imu.0.name), "{swapped}");
    let unknown = house.begin(&(imu.0.clone(), Token::new(&IdSource::from_seed([1; 32])))).await.err().unwrap();
    assert!(matches!(unknown, SessionError::NotFound { .. }), "{unknown}");

    let put = house.begin(&imu).await.unwrap();
    let second = house.begin(&imu).await.err().unwrap();
    assert!(matches!(second, SessionError::Refused { refusal: Refusal::TopicReceiving, .. }), "{second}");
    assert_eq!(put.close().await.unwrap().rows, 0);
    let third = house.begin(&imu).await.err().unwrap();
    assert!(matches!(third, SessionError::Refused { refusal: Refusal::TopicWritten, .. }), "{third}");

    let foreign = house.sessions.create_topic(topic(token, "ride/imu")).await.unwrap_err();
    assert!(matches!(foreign, SessionError::ForeignSequence { .. }), "{foreign}");
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_schema_is_refused_before_the_topic_moves() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("drive").await;
    let topic = house.topic(token, "drive/imu").await;
    let time = |data_type| Field::new("timestamp_ns", data_type, false);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let wrong = [
        Schema::new(vec![Field::new("value", DataType::Float64, true)]),
        Schema::new(vec![time(DataType::UInt64)]),
        Schema::new(vec![time(DataType::Int64), Field::new("kind", dictionary, true)]),
    ];
    for schema in wrong.map(Arc::new) {
        let begun = house.sessions.begin_put(topic.1, &topic.0.name, stream(schema)).await;
        let error = begun.err().unwrap();
        assert!(matches!(error, SessionError::Schema { .. } | SessionError::Unsupported { .. }), "{error}");
    }
    let view = house.catalog.topic_by_id(topic.0.id, Visibility::All).await.unwrap();
    assert_eq!((view.head.state, view.schema), (TopicState::Created, None));
    house.begin(&topic).await.unwrap().close().await.unwrap();
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_its_rows() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("drive").await;
    let topic = house.topic(token, "drive/imu").await;
    let mut put = house.begin(&topic).await.unwrap();
    push(&mut put, &[1, 2, 3]).await.unwrap();
    drop(put);
    // It ends behind the drop.
    let state = async || house.catalog.topic_by_id(topic.0.id, Visibility::All).await.unwrap().head.state;
    until(async || state().await != TopicState::Receiving).await;
    let view = house.catalog.topic_by_id(topic.0.id, Visibility::All).await.unwrap();
    assert_eq!((view.head.state, view.totals.rows), (TopicState::Interrupted, 3));
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_refuse_the_next_one_and_are_given_back() {
    let root = directory();
    let config = SessionConfig { sessions_max: 2, topics_max: 2, puts_max: 1, ..SessionConfig::default() };
    let house = House::with(root.path(), config, ChunkConfig::default()).await;
    let name = house.sequence("drive").await;
    let (first, token) = house.sessions.create_session(&name).await.unwrap();
    house.sessions.create_session(&name).await.unwrap();
    let too_many = |error: &SessionError| matches!(error, SessionError::TooMany { .. });
    assert!(too_many(&house.sessions.create_session(&name).await.unwrap_err()));
    // A client that asks for both would leave the name behind.
    let other = SequenceName::parse("other").unwrap();
    let refused = house.sessions.create_sequence(other.clone(), UserMetadata::parse("{}").unwrap()).await;
    assert!(too_many(&refused.unwrap_err()));
    assert!(house.catalog.sequence(&other, Visibility::All).await.is_err());

    let (imu, gps) = (house.topic(token, "drive/imu").await, house.topic(token, "drive/gps").await);
    assert!(too_many(&house.sessions.create_topic(topic(token, "drive/odom")).await.unwrap_err()));

    let put = house.begin(&imu).await.unwrap();
    assert!(too_many(&house.begin(&gps).await.err().unwrap()));
    put.close().await.unwrap();
    // The refused one did not move, and there is room.
    house.begin(&gps).await.unwrap().close().await.unwrap();

    house.sessions.delete_topic(&gps.0.name).await.unwrap();
    house.write(token, "drive/odom", &[]).await;
    house.sessions.finalize(token).await.unwrap();
    let (third, _) = house.sessions.create_session(&name).await.unwrap();
    assert_ne!(third.id, first.id);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_keeps_what_open_streams_sent_and_lets_no_more_in() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("drive").await;
    let (imu, gps) = (house.topic(token, "drive/imu").await, house.topic(token, "drive/gps").await);
    let mut put = house.begin(&imu).await.unwrap();
    push(&mut put, &[5, 6]).await.unwrap();
    let client = tokio::spawn(async move {
        // As the handler of a stream does that waits for its client.
        let why = put.deleted().await;
        drop(put);
        why
    });
    house.sessions.drain().await;
    assert!(matches!(client.await.unwrap(), SessionError::Stopping));
    let view = house.catalog.topic_by_id(imu.0.id, Visibility::All).await.unwrap();
    assert_eq!((view.head.state, view.totals.rows), (TopicState::Interrupted, 2));
    assert!(matches!(house.begin(&gps).await.err().unwrap(), SessionError::Stopping));
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_survives_a_restart() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    let imu = house.write(token, "drive/imu", &[1, 2]).await;
    let gps = house.topic(token, "drive/gps").await;
    // A finalize that did not reach the catalog.
    std::fs::write(house.manifest(session.id), "{}").unwrap();
    house.stop();

    let config = SessionConfig { sessions_max: 1, topics_max: 2, ..SessionConfig::default() };
    let house = House::with(root.path(), config, ChunkConfig::default()).await;
    assert!(!house.manifest(session.id).exists());
    let name = SequenceName::parse("drive").unwrap();
    // What the last start left counts.
    assert!(matches!(house.sessions.create_session(&name).await, Err(SessionError::TooMany { .. })));
    assert!(matches!(house.sessions.create_topic(topic(token, "drive/x")).await, Err(SessionError::TooMany { .. })));
    let mut put = house.begin(&gps).await.unwrap();
    push(&mut put, &[7]).await.unwrap();
    put.close().await.unwrap();
    assert_eq!(house.sessions.finalize(token).await.unwrap().id, session.id);
    assert_eq!(house.times(&imu, TimeRange::ALL).await, [1, 2]);
    assert_eq!(house.times(&gps.0, TimeRange::ALL).await, [7]);
    house.stop();
}
