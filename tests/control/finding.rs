//! What queries find through what is kept in memory for them: the same as without it, whatever came and went.

use serde_json::Value;
use serde_json::json;
use tessera::model::SequenceName;
use tessera::model::UserMetadata;
use tessera::query;
use tessera::retrieval::Retrieval;
use tessera::retrieval::RetrievalConfig;
use tessera::retrieval::RetrievalError;

use crate::fixture::House;
use crate::fixture::directory;

async fn found(retrieval: &Retrieval, asked: Value) -> Vec<String> {
    let query = query::parse(asked.to_string().as_bytes()).unwrap();
    let (found, _) = retrieval.search(&query).await.unwrap();
    found.iter().map(|sequence| sequence.name.to_string()).collect()
}

/// A finalized sequence with one topic of these times.
async fn record(house: &House, name: &str, run: u64, times: &[i64]) {
    let metadata = UserMetadata::parse(&json!({"run": run, "odd": run % 2 == 1}).to_string()).unwrap();
    let sequence = SequenceName::parse(name).unwrap();
    house.sessions.create_sequence(sequence.clone(), metadata).await.unwrap();
    let (_, token) = house.sessions.create_session(&sequence).await.unwrap();
    house.write(token, &format!("{name}/imu"), times).await;
    house.sessions.finalize(token).await.unwrap();
}

async fn delete(house: &House, name: &str) {
    house.sessions.delete_sequence(&SequenceName::parse(name).unwrap()).await.unwrap();
}

/// Goal: what was there when a query came is found, and nothing else, though the catalog gives the number of a purged sequence
/// to the next. Method: sequences come and go between queries, the newest among them; one reader has no memory for any of it,
/// one has a little, one enough.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_whatever_comes_and_goes() {
    let root = directory();
    let house = House::open(root.path()).await;
    let with = |index_bytes_max| {
        let config = RetrievalConfig { index_bytes_max, ..RetrievalConfig::default() };
        Retrieval::new(house.catalog.clone(), house.shards.clone(), config)
    };
    let readers = [with(0), with(4 << 10), with(16 << 20)];
    let mut live: Vec<(String, u64)> = Vec::new();
    let mut noise = 7u64;
    for run in 0..60 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if noise >> 60 < 8 && !live.is_empty() {
            // The newest one, or any.
            let at = if noise >> 59 & 1 == 0 { live.len() - 1 } else { (noise >> 33) as usize % live.len() };
            delete(&house, &live.remove(at).0).await;
            house.swept().await;
        }
        let name = format!("drive-{}", noise >> 40 & 0xffff);
        if live.iter().all(|(known, _)| *known != name) {
            record(&house, &name, run, &[run as i64]).await;
            live.push((name, run));
        }
        let mut all: Vec<String> = live.iter().map(|(name, _)| name.clone()).collect();
        all.sort_unstable();
        let newest = live.iter().filter(|(_, own)| *own == run).map(|(name, _)| name.clone()).collect::<Vec<_>>();
        for reader in &readers {
            assert_eq!(found(reader, json!({"sequence": {"name": {"$match": "*"}}})).await, all);
            assert_eq!(found(reader, json!({"sequence": {"user_metadata": {"run": {"$eq": run}}}})).await, newest);
            assert_eq!(found(reader, json!({"ontology": {"Custom.value": {"$geq": run}}})).await, newest);
        }
    }
    drop(readers);
    house.stop();
}

/// Goal: what is not final is not found, though it is known; once it is final it is found.
#[tokio::test(flavor = "multi_thread")]
async fn open_sessions_stay_hidden() {
    let root = directory();
    let house = House::open(root.path()).await;
    house.retrieval.prepare().await;
    let (_, token) = house.session("drive").await;
    let all = || found(&house.retrieval, json!({"topic": {"ontology_tag": {"$eq": "Custom"}}}));
    let high = || found(&house.retrieval, json!({"ontology": {"Custom.value": {"$gt": 5}}}));
    house.write(token, "drive/imu", &[1, 9]).await;
    assert!(all().await.is_empty() && high().await.is_empty());
    house.sessions.finalize(token).await.unwrap();
    assert_eq!((all().await, high().await), (vec!["drive".to_owned()], vec!["drive".to_owned()]));
    // A second layer with rows that the first has not.
    let (_, token) = house.sessions.create_session(&SequenceName::parse("drive").unwrap()).await.unwrap();
    house.write(token, "drive/late", &[100]).await;
    let late = || found(&house.retrieval, json!({"ontology": {"Custom.value": {"$gt": 50}}}));
    assert!(late().await.is_empty());
    house.sessions.finalize(token).await.unwrap();
    assert_eq!(late().await, ["drive"]);
    house.stop();
}

/// Goal: a sequence is found as it was at one moment, never a part of it. Method: sequences of several topics that all match
/// are deleted while somebody asks.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_meanwhile_is_found_whole_or_not_at_all() {
    const TOPICS: usize = 12;
    let root = directory();
    let house = House::open(root.path()).await;
    let names: Vec<SequenceName> = (0..20).map(|n| SequenceName::parse(&format!("drive-{n:02}")).unwrap()).collect();
    for name in &names {
        let (_, token) = house.session(name.as_str()).await;
        for topic in 0..TOPICS {
            house.write(token, &format!("{name}/t{topic}"), &[1, 9]).await;
        }
        house.sessions.finalize(token).await.unwrap();
    }
    let sessions = house.sessions.clone();
    let deleting = tokio::spawn(async move {
        for name in &names {
            sessions.delete_sequence(name).await.unwrap();
        }
    });
    let asked = json!({"ontology": {"Custom.value": {"$gt": 5}}}).to_string();
    let query = query::parse(asked.as_bytes()).unwrap();
    while !deleting.is_finished() {
        // Nothing is remembered of rows: each topic is asked for.
        let config = RetrievalConfig { index_bytes_max: 0, ..RetrievalConfig::default() };
        let retrieval = Retrieval::new(house.catalog.clone(), house.shards.clone(), config);
        for found in retrieval.search(&query).await.unwrap().0 {
            assert_eq!(found.topics.len(), TOPICS, "of {}", found.name);
        }
    }
    deleting.await.unwrap();
    house.stop();
}

/// Goal: conditions that take long are evaluated in turns, with the same result.
#[tokio::test(flavor = "multi_thread")]
async fn many_patterns_over_large_metadata_find_the_same() {
    let root = directory();
    let house = House::open(root.path()).await;
    for (name, word) in [("a", "apple"), ("b", "pear")] {
        let text = format!("{}{word}", "x".repeat(60_000));
        let metadata = UserMetadata::parse(&json!({"texts": vec![text; 8], "word": word}).to_string()).unwrap();
        let sequence = SequenceName::parse(name).unwrap();
        house.sessions.create_sequence(sequence.clone(), metadata).await.unwrap();
        let (_, token) = house.sessions.create_session(&sequence).await.unwrap();
        house.write(token, &format!("{name}/imu"), &[1]).await;
        house.sessions.finalize(token).await.unwrap();
    }
    let config = RetrievalConfig { index_bytes_max: 0, ..RetrievalConfig::default() };
    let retrieval = Retrieval::new(house.catalog.clone(), house.shards.clone(), config);
    let any = |last: &str| {
        let others = (0..20).map(|n| format!("*fruit{n}"));
        let parts: Vec<Value> = others
            .chain([format!("*{last}")])
            .map(|glob| json!({"user_metadata": {"texts": {"$match": glob}}}))
            .collect();
        json!({"$or": parts})
    };
    assert_eq!(found(&retrieval, json!({"sequence": any("apple")})).await, ["a"]);
    assert_eq!(found(&retrieval, json!({"sequence": {"$not": any("apple")}})).await, ["b"]);
    assert_eq!(
        found(&retrieval, json!({"sequence": {"$and": [any("r"), {"user_metadata": {"word": {"$eq": "pear"}}}]}}))
            .await,
        ["b"]
    );
    assert!(found(&retrieval, json!({"sequence": any("plum")})).await.is_empty());
    drop(retrieval);
    house.stop();
}

/// Goal: explain tells of all chunks that were considered, whether memory, the catalog or rows left them out.
#[tokio::test(flavor = "multi_thread")]
async fn explain_counts_what_memory_left_out() {
    let root = directory();
    let house = House::open(root.path()).await;
    for n in 0..5 {
        record(&house, &format!("drive-{n}"), n, &[10 * n as i64, 10 * n as i64 + 5]).await;
    }
    let asked = json!({"ontology": {"Custom.value": {"$between": [29, 36]}}, "explain": true}).to_string();
    let query = query::parse(asked.as_bytes()).unwrap();
    for round in ["cold", "warm"] {
        let (found, cost) = house.retrieval.search(&query).await.unwrap();
        assert_eq!(found.len(), 1, "{round}");
        assert_eq!((cost.topics, cost.chunks, cost.chunks_skipped_by_segment), (5, 5, 4), "{round}: {cost:?}");
        assert_eq!((cost.chunks_read, cost.chunks_matched), (1, 1), "{round}: {cost:?}");
    }
    house.stop();
}

/// Goal: an answer has a size and a time that it stays below, and says which one it met.
#[tokio::test(flavor = "multi_thread")]
async fn size_and_time_of_an_answer_are_bounded() {
    let root = directory();
    let house = House::open(root.path()).await;
    for n in 0..3 {
        record(&house, &format!("drive-{n}"), n, &[n as i64]).await;
    }
    let asked = |config| {
        let retrieval = Retrieval::new(house.catalog.clone(), house.shards.clone(), config);
        async move {
            let query =
                query::parse(json!({"ontology": {"Custom.value": {"$geq": 0}}}).to_string().as_bytes()).unwrap();
            retrieval.search(&query).await.map(|(found, _)| found.len())
        }
    };
    let most = |query_topics_max| RetrievalConfig { query_topics_max, ..RetrievalConfig::default() };
    assert_eq!(asked(most(3)).await.unwrap(), 3);
    assert!(matches!(asked(most(2)).await, Err(RetrievalError::TooManyTopics { max: 2 })));
    let now = RetrievalConfig { query_seconds_max: 0, ..RetrievalConfig::default() };
    assert!(matches!(asked(now).await, Err(RetrievalError::QueryTime { seconds: 0 })));
    house.stop();
}
