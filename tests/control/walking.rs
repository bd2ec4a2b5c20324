//! What queries find without an index of heads: the same as with it, and without waiting for it.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tessera::model::OntologyTag;
use tessera::model::SequenceName;
use tessera::model::UserMetadata;
use tessera::query;
use tessera::retrieval::Retrieval;
use tessera::retrieval::RetrievalConfig;
use tessera::session::TopicRequest;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;
use crate::fixture::topic;

fn metadata(value: &Value) -> UserMetadata {
    UserMetadata::parse(&value.to_string()).unwrap()
}

/// Sequence n has topics of two tags whose values begin at n and at 100 n; every fifth has but one of them.
async fn record(house: &House, n: i64) {
    let name = format!("drive-{:02}", n * 7 % 30);
    let sequence = SequenceName::parse(&name).unwrap();
    let own = json!({"run": n, "odd": n % 2 == 1, "who": format!("w\"{}", n % 3), "deep": [{"k": n % 4}]});
    house.sessions.create_sequence(sequence.clone(), metadata(&own)).await.unwrap();
    let (_, token) = house.sessions.create_session(&sequence).await.unwrap();
    for (path, tag, factor) in [("imu", "Custom", 1), ("rear/gps", "Other", 100)] {
        if n % 5 == 0 && tag == "Other" {
            continue;
        }
        let request = TopicRequest {
            tag: OntologyTag::parse(tag).unwrap(),
            metadata: metadata(&json!({"mount": n % 3})),
            ..topic(token, &format!("{name}/{path}"))
        };
        let topic = house.sessions.create_topic(request).await.unwrap();
        let mut put = house.begin(&topic).await.unwrap();
        push(&mut put, &[n * factor, n * factor + 5]).await.unwrap();
        put.close().await.unwrap();
    }
    house.sessions.finalize(token).await.unwrap();
}

fn asked() -> Vec<Value> {
    let run = |condition: Value| json!({"sequence": {"user_metadata": {"run": condition}}});
    let value =
        |tag: &str, low: i64, high: i64| json!({"ontology": {format!("{tag}.value"): {"$between": [low, high]}}});
    let mount = |n: i64| json!({"topic": {"user_metadata": {"mount": {"$eq": n}}}});
    let both = |a: Value, b: Value| {
        let mut all = a.as_object().unwrap().clone();
        all.extend(b.as_object().unwrap().clone());
        Value::from(all)
    };
    vec![
        run(json!({"$eq": 7})),
        run(json!({"$geq": 12.5})),
        json!({"sequence": {"user_metadata": {"who": {"$eq": "w\"1"}}}}),
        json!({"sequence": {"user_metadata": {"deep.k": {"$in": [1, 3]}, "odd": {"$eq": true}}}}),
        json!({"sequence": {"$not": {"user_metadata": {"run": {"$lt": 20}}}}}),
        json!({"sequence": {"user_metadata": {"nothing": {"$nex": null}}}}),
        json!({"sequence": {"name": {"$match": "drive-1*"}}}),
        mount(2),
        json!({"topic": {"ontology_tag": {"$eq": "Other"}}}),
        json!({"topic": {"name": {"$match": "/rear/*"}, "user_metadata": {"mount": {"$gt": 0}}}}),
        value("Custom", 3, 6),
        value("Other", 3, 6),
        value("Other", 600, 1500),
        value("Nobody", 0, 9),
        both(value("Custom", 3, 9), run(json!({"$lt": 6}))),
        both(value("Custom", 3, 9), mount(1)),
        json!({"ontology": {"Custom.value": {"$between": [4, 20]}, "Other.value": {"$gt": 1000}}}),
        json!({"$or": [value("Custom", 3, 4), value("Other", 2000, 2100)]}),
        json!({"$or": [value("Custom", 3, 4), run(json!({"$eq": 25}))]}),
        json!({"$or": [run(json!({"$eq": 25})), mount(0)]}),
        json!({"$and": [value("Custom", 3, 12), value("Other", 1000, 2100)]}),
        json!({"$and": [run(json!({"$gt": 3})), run(json!({"$lt": 9}))]}),
        both(value("Custom", 3, 20), json!({"$not": value("Other", 0, 1000)})),
        both(json!({"limit": 3}), value("Custom", 0, 1000)),
    ]
}

async fn found(retrieval: &Retrieval, asked: &Value) -> Vec<String> {
    let query = query::parse(asked.to_string().as_bytes()).unwrap();
    let (found, _) = retrieval.search(&query).await.unwrap();
    let told = |own: &tessera::model::FoundSequence| {
        let topics: Vec<String> =
            own.topics.iter().map(|topic| format!("{} {}", topic.name, topic.tag.as_str())).collect();
        format!("{}: {}", own.name, topics.join(", "))
    };
    found.iter().map(told).collect()
}

/// Goal: before the index is made the answers are those that come behind it. Method: one reader has no memory, one makes its
/// index bit by bit, one has it; each is asked twice, so that what the first question leaves behind is met by the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_finds_what_the_index_does() {
    let root = directory();
    let house = House::open(root.path()).await;
    for n in 0..30 {
        record(&house, n).await;
    }
    // Open, so nobody finds it.
    house.write(house.session("hidden").await.1, "hidden/imu", &[5]).await;
    let with = |index_bytes_max| {
        let config = RetrievalConfig { index_bytes_max, ..RetrievalConfig::default() };
        Retrieval::new(house.catalog.clone(), house.shards.clone(), config)
    };
    let (without, little, whole) = (with(0), with(16 << 10), with(16 << 20));
    whole.prepare().await;
    let mut some = 0;
    for asked in asked() {
        let expected = found(&whole, &asked).await;
        some += usize::from(!expected.is_empty());
        for reader in [&without, &little, &whole] {
            for _ in 0..2 {
                assert_eq!(found(reader, &asked).await, expected, "{asked}");
            }
        }
    }
    assert!(some > 18, "{some} questions have an answer");
    drop((without, little, whole));
    house.stop();
}

/// Goal: nobody waits for an index that is being made. Method: its making stops in the middle of a page, for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_does_not_wait_for_the_index() {
    let root = directory();
    let house = House::open(root.path()).await;
    for n in 0..3 {
        record(&house, n).await;
    }
    // The catalog answers on another thread, perhaps before it is asked for the answer.
    let making = loop {
        let mut making = Box::pin(house.retrieval.prepare());
        if futures::poll!(&mut making).is_pending() {
            break making;
        }
    };
    for asked in
        [json!({"sequence": {"user_metadata": {"run": {"$eq": 2}}}}), json!({"ontology": {"Custom.value": {"$eq": 2}}})]
    {
        let found = tokio::time::timeout(Duration::from_secs(60), found(&house.retrieval, &asked)).await;
        assert_eq!(found.expect("an answer while the index is being made").len(), 1, "{asked}");
    }
    making.await;
    assert_eq!(found(&house.retrieval, &json!({"topic": {"ontology_tag": {"$eq": "Other"}}})).await.len(), 2);
    house.stop();
}
