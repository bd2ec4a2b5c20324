//! Deletes in every state: names are free at once, writers are told, files and manifests go.

use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::model::Refusal;
use tessera::model::SequenceName;
use tessera::model::TimeRange;
use tessera::model::TopicName;
use tessera::session::SessionError;
use tessera::session::SessionRef;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;
use crate::fixture::race;
use crate::fixture::until;

fn not_found<T: std::fmt::Debug>(outcome: Result<T, SessionError>) -> bool {
    matches!(outcome, Err(SessionError::NotFound { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_session_stops_its_puts_and_frees_its_paths() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    house.write(token, "drive/done", &[1, 2]).await;
    let imu = house.topic(token, "drive/imu").await;
    let mut put = house.begin(&imu).await.unwrap();
    push(&mut put, &[1]).await.unwrap();

    let by_other_sequence = SessionRef::Locator { sequence: SequenceName::parse("ride").unwrap(), session: session.id };
    assert!(not_found(house.sessions.delete_session(by_other_sequence).await));
    let which = SessionRef::Locator { sequence: session.sequence_name.clone(), session: session.id };
    house.sessions.delete_session(which.clone()).await.unwrap();
    assert!(matches!(put.deleted().await, SessionError::Deleted { topic } if topic == imu.0.name));
    let pushed = push(&mut put, &[2]).await;
    assert!(matches!(pushed, Err(SessionError::Deleted { .. })), "{pushed:?}");
    assert!(not_found(house.sessions.delete_session(which).await));
    assert!(not_found(house.sessions.delete_session(SessionRef::Token(token)).await));
    assert!(not_found(house.sessions.delete_session(SessionRef::Id(session.id)).await));
    assert!(not_found(house.sessions.finalize(token).await));

    // The path is free for another session before anything is purged.
    let (_, second) = house.sessions.create_session(&session.sequence_name).await.unwrap();
    let again = house.write(second, "drive/imu", &[9]).await;
    house.sessions.finalize(second).await.unwrap();
    house.swept().await;
    assert_eq!(house.chunk_files(session.id), 0);
    assert_eq!(house.times(&again, TimeRange::ALL).await, [9]);
    drop(put);
    house.stop();
}

/// Goal: what was deleted waits for its writers, and what was deleted after it does not wait with it.
/// Method: more deleted topics with idle writers than the sweep looks at in one round, and a delete behind them.
#[tokio::test(flavor = "multi_thread")]
async fn files_stay_until_the_writer_lets_go() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    let mut puts = Vec::new();
    for index in 0..40 {
        let topic = house.topic(token, &format!("drive/imu{index}")).await;
        puts.push(house.begin(&topic).await.unwrap());
        house.sessions.delete_topic(&topic.0.name).await.unwrap();
    }
    let sweep = tokio::spawn(house.sessions.clone().sweep());
    let (other, other_token) = house.session("other").await;
    house.write(other_token, "other/imu", &[1]).await;
    house.sessions.delete_session(SessionRef::Id(other.id)).await.unwrap();
    let left = async || house.catalog.tombstones(0, 99).await.unwrap().iter().map(|t| t.session).collect::<Vec<_>>();
    until(async || !left().await.contains(&other.id)).await;
    assert_eq!(left().await, [session.id; 40]);
    drop(puts);
    until(async || left().await.is_empty()).await;
    sweep.abort();
    let _ = sweep.await;
    house.stop();
}

/// Goal: however many deleted recordings cannot go, what is deleted after them does.
/// Method: one that waits for its writer, listed 5,000 times.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_hides_nothing_behind_it() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (stuck, token) = house.session("stuck").await;
    let put = house.begin(&house.topic(token, "stuck/imu").await).await.unwrap();
    house.sessions.delete_session(SessionRef::Id(stuck.id)).await.unwrap();
    let file = rusqlite::Connection::open(root.path().join("catalog.db")).unwrap();
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO tombstone (session, topic) SELECT session, topic FROM tombstone, n";
    assert_eq!(file.execute(many, []).unwrap(), 5000);
    let (other, token) = house.session("other").await;
    house.write(token, "other/imu", &[1]).await;
    house.sessions.delete_session(SessionRef::Id(other.id)).await.unwrap();
    let sweep = tokio::spawn(house.sessions.clone().sweep());
    until(async || house.chunk_files(other.id) == 0).await;
    sweep.abort();
    let _ = sweep.await;
    // The copies must not outlive the writer: what they stand for is gone with the first of them.
    file.execute("DELETE FROM tombstone WHERE number > (SELECT min(number) FROM tombstone)", []).unwrap();
    drop(put);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_sequence_takes_all_its_sessions() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (first, first_token) = house.session("drive").await;
    house.write(first_token, "drive/imu", &[1]).await;
    house.sessions.finalize(first_token).await.unwrap();
    assert!(house.manifest(first.id).exists());
    let (second, second_token) = house.sessions.create_session(&first.sequence_name).await.unwrap();
    let gps = house.topic(second_token, "drive/gps").await;
    let put = house.begin(&gps).await.unwrap();

    house.sessions.delete_sequence(&first.sequence_name).await.unwrap();
    assert!(!house.manifest(first.id).exists());
    let closed = put.close().await;
    assert!(matches!(closed, Err(SessionError::Deleted { .. })), "{closed:?}");
    assert!(not_found(house.sessions.delete_sequence(&first.sequence_name).await));
    // Free at once.
    let (third, _) = house.session("drive").await;
    assert!(third.sequence != first.sequence);
    house.swept().await;
    assert_eq!(house.chunk_files(first.id) + house.chunk_files(second.id), 0);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_an_open_session_can_go_alone() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    let kept = house.write(token, "drive/kept", &[5]).await;
    house.write(token, "drive/imu", &[1]).await;
    let name = TopicName::parse("drive/imu").unwrap();
    house.sessions.delete_topic(&name).await.unwrap();
    assert!(not_found(house.sessions.delete_topic(&name).await));
    house.swept().await;
    assert_eq!(house.chunk_files(session.id), 1);

    let again = house.topic(token, "drive/imu").await;
    let mut put = house.begin(&again).await.unwrap();
    push(&mut put, &[2]).await.unwrap();
    house.sessions.delete_topic(&name).await.unwrap();
    assert!(matches!(put.close().await, Err(SessionError::Deleted { .. })));
    house.sessions.finalize(token).await.unwrap();
    let late = house.sessions.delete_topic(&kept.name).await;
    assert!(matches!(late, Err(SessionError::Refused { refusal: Refusal::SessionFinal, .. })), "{late:?}");
    house.swept().await;
    assert_eq!(house.times(&kept, TimeRange::ALL).await, [5]);
    house.stop();
}

/// Goal: no order of a finalize and a delete leaves a manifest of a session that is gone, or a final one without.
/// Method: let them race often, with a topic that comes in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_finalize_that_races_a_delete_leaves_no_manifest_behind() {
    let root = directory();
    let house = House::open(root.path()).await;
    let mut finalized = 0;
    for round in 0..24 {
        let (session, token) = house.session(&format!("drive{round}")).await;
        house.write(token, &format!("drive{round}/imu"), &[1]).await;
        let sessions = house.sessions.clone();
        let outcomes = race(2, |index| {
            let sessions = sessions.clone();
            async move {
                match index {
                    0 => sessions.finalize(token).await.map(|_| ()),
                    _ => sessions.delete_session(SessionRef::Token(token)).await,
                }
            }
        })
        .await;
        outcomes[1].as_ref().unwrap();
        match &outcomes[0] {
            Ok(()) => finalized += 1,
            Err(error) => assert!(matches!(error, SessionError::NotFound { .. }), "{error}"),
        }
        assert!(!house.manifest(session.id).exists(), "round {round}, {finalized} finalized first");
        let view = house.catalog.sequence(&session.sequence_name, Visibility::All).await.unwrap();
        assert_eq!(view.sessions, []);
    }
    house.stop();
}

/// Goal: a put that begins while its session is deleted ends deleted or is not found, and its files go.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_races_a_delete_ends() {
    let root = directory();
    let house = House::open(root.path()).await;
    for round in 0..24 {
        let (session, token) = house.session(&format!("drive{round}")).await;
        let topic = house.topic(token, &format!("drive{round}/imu")).await;
        let sessions = house.sessions.clone();
        let outcomes = race(2, |index| {
            let (sessions, name, topic) = (sessions.clone(), topic.0.name.clone(), topic.1);
            async move {
                if index == 1 {
                    return sessions.delete_session(SessionRef::Token(token)).await;
                }
                let schema = crate::fixture::schema();
                let mut put = sessions.begin_put(topic, &name, crate::fixture::stream(schema)).await?;
                push(&mut put, &[1, 2, 3]).await?;
                put.close().await.map(|_| ())
            }
        })
        .await;
        outcomes[1].as_ref().unwrap();
        match &outcomes[0] {
            Ok(()) | Err(SessionError::Deleted { .. } | SessionError::NotFound { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        house.swept().await;
        assert_eq!(house.chunk_files(session.id), 0, "round {round}");
    }
    house.stop();
}
