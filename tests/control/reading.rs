//! What a reader sees, and which rows a time range is.

use tessera::catalog::Entity;
use tessera::model::Locator;
use tessera::model::SequenceName;
use tessera::model::TimeBounds;
use tessera::model::TimeRange;
use tessera::model::TopicName;
use tessera::query::Selection;
use tessera::retrieval::RetrievalError;
use tessera::session::SessionConfig;
use tessera::shard::ChunkConfig;
use tessera::shard::Window;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;

fn range(start: impl Into<Option<i64>>, end: impl Into<Option<i64>>) -> TimeRange {
    TimeRange::new(start.into(), end.into()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_shows_that_it_is_there_and_nothing_else() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    let imu = house.write(token, "drive/imu", &[1, 2]).await;
    let info = house.retrieval.info(&Locator::Sequence(session.sequence_name.clone()), TimeRange::ALL).await.unwrap();
    assert_eq!(info.topics, []);
    assert_eq!(info.sequence.sessions.len(), 1);
    assert_eq!(info.sequence.sessions[0].topics, []);
    let hidden = |error: RetrievalError| {
        assert!(matches!(&error, RetrievalError::NotFinalized { topic } if *topic == imu.name), "{error}");
    };
    hidden(house.retrieval.topic(&imu.name).await.unwrap_err());
    hidden(house.retrieval.read(imu.id, TimeRange::ALL, Selection::default()).await.err().unwrap());
    hidden(house.retrieval.info(&Locator::Topic(imu.name.clone()), TimeRange::ALL).await.unwrap_err());

    house.sessions.finalize(token).await.unwrap();
    let info = house.retrieval.info(&Locator::Sequence(session.sequence_name), TimeRange::ALL).await.unwrap();
    assert_eq!(info.topics.len(), 1);
    assert_eq!((&info.topics[0].view.head.name, info.topics[0].window), (&imu.name, None));
    assert_eq!(house.retrieval.topic(&imu.name).await.unwrap(), info.topics[0].view);
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_not_found_and_named() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("drive").await;
    house.write(token, "drive/imu", &[1]).await;
    house.sessions.finalize(token).await.unwrap();
    let other = house.sequence("other").await;
    for (locator, wanted) in [
        (Locator::parse("nowhere").unwrap(), Entity::Sequence),
        (Locator::parse("nowhere/imu").unwrap(), Entity::Sequence),
        (Locator::parse("drive/gps").unwrap(), Entity::Topic),
        (Locator::Session { sequence: other, session: session.id }, Entity::Session),
    ] {
        match house.retrieval.info(&locator, TimeRange::ALL).await {
            Err(RetrievalError::NotFound { what, name }) => assert_eq!(what, wanted, "{name}"),
            other => panic!("{locator}: {other:?}"),
        }
    }
    let gone = TopicName::parse("drive/gps").unwrap();
    assert!(matches!(house.retrieval.topic(&gone).await, Err(RetrievalError::NotFound { .. })));
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_one_view_and_can_be_asked_for_alone() {
    let root = directory();
    let house = House::open(root.path()).await;
    let name = house.sequence("drive").await;
    let mut sessions = Vec::new();
    for layer in ["base", "labels", "odometry"] {
        let (session, token) = house.sessions.create_session(&name).await.unwrap();
        house.write(token, &format!("drive/{layer}/a"), &[1]).await;
        house.write(token, &format!("drive/{layer}/b"), &[]).await;
        house.sessions.finalize(token).await.unwrap();
        sessions.push(session);
    }
    let names = |info: &tessera::retrieval::Info| -> Vec<String> {
        info.topics.iter().map(|topic| topic.view.head.name.path.to_string()).collect()
    };
    let all = house.retrieval.info(&Locator::Sequence(name.clone()), range(0, None)).await.unwrap();
    assert_eq!(names(&all), ["base/a", "base/b", "labels/a", "labels/b", "odometry/a", "odometry/b"]);
    let windows: Vec<u64> = all.topics.iter().map(|topic| topic.window.unwrap().rows).collect();
    assert_eq!(windows, [1, 0, 1, 0, 1, 0]);
    let one = Locator::Session { sequence: name, session: sessions[1].id };
    let one = house.retrieval.info(&one, TimeRange::ALL).await.unwrap();
    assert_eq!(names(&one), ["labels/a", "labels/b"]);
    assert_eq!(one.sequence.sessions.len(), 1);
    house.stop();
}

/// Goal: the window and the rows of a range are exact at every edge, also where chunks overlap.
/// Method: compare with the timestamps themselves, for ranges around the edges of the chunks.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_exact_at_every_edge() {
    let root = directory();
    let chunk = ChunkConfig { rows_max: 1, ..ChunkConfig::default() };
    let house = House::with(root.path(), SessionConfig::default(), chunk).await;
    let (_, token) = house.session("drive").await;
    let topic = house.topic(token, "drive/imu").await;
    let mut put = house.begin(&topic).await.unwrap();
    let mut all: Vec<i64> = Vec::new();
    // Large enough to be row groups, and so chunks, of their own; the second overlaps the first.
    for start in [-300_000, -100_000, 500_000] {
        let times: Vec<i64> = (start..start + 300_000).collect();
        push(&mut put, &times).await.unwrap();
        all.extend(times);
    }
    put.close().await.unwrap();
    house.sessions.finalize(token).await.unwrap();
    all.sort_unstable();
    let locator = Locator::Topic(topic.0.name.clone());
    for range in [
        range(-300_000, None),
        range(None, -300_000),
        range(None, -299_999),
        range(-100_001, -99_999),
        range(-1, 1),
        range(199_999, 500_001),
        range(200_000, 500_000),
        range(799_999, 800_000),
        range(800_000, None),
        range(i64::MIN, i64::MAX),
    ] {
        let inside: Vec<i64> = all.iter().copied().filter(|time| range.contains(*time)).collect();
        let info = house.retrieval.info(&locator, range).await.unwrap();
        let bounds = inside.first().zip(inside.last()).map(|(first, last)| TimeBounds { first: *first, last: *last });
        assert_eq!(info.topics[0].window, Some(Window { bounds, rows: inside.len() as u64 }), "{range:?}");
        assert!(house.times(&topic.0, range).await == inside, "{range:?}: other rows");
    }
    house.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_are_listed_by_name_in_pages() {
    let root = directory();
    let house = House::open(root.path()).await;
    for index in 0..300 {
        house.sequence(&format!("drive{index:03}")).await;
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = house.retrieval.sequences(after).await.unwrap();
        names.extend(page.items.iter().map(|head| head.name.to_string()));
        after = page.items.last().map(|head| head.name.clone());
        if page.next.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..300).map(|index| format!("drive{index:03}")).collect();
    assert_eq!(names, expected);
    let last = SequenceName::parse("drive299").unwrap();
    assert_eq!(house.retrieval.sequences(Some(last)).await.unwrap().items, []);
    house.stop();
}
