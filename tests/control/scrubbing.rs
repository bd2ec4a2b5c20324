//! What is stored is read again in the background, and damage is told.

use std::fs;

use tessera::config::ScrubConfig;
use tessera::daemon::Scrub;
use tessera::model::NotificationTarget;
use tessera::session::SessionConfig;
use tessera::shard::ChunkConfig;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;

const CHUNKS: i64 = 12;

fn scrub(house: &House, place: &std::path::Path) -> Scrub {
    let config = ScrubConfig { period_days: 1, bytes_per_s: 1 << 40 };
    Scrub::new(house.catalog.clone(), house.catalog.open_store(), house.shards.clone(), config, place)
}

/// Goal: a pass finds every planted error, tells it with its topic once, and goes on where a restart cut it off.
#[tokio::test(flavor = "multi_thread")]
async fn planted_errors_are_found_and_told() {
    let root = directory();
    let chunk = ChunkConfig { rows_max: 10, ..ChunkConfig::default() };
    let house = House::with(root.path(), SessionConfig::default(), chunk).await;
    let mut topics = Vec::new();
    for name in ["first", "second"] {
        let (_, token) = house.session(name).await;
        let topic = house.topic(token, &format!("{name}/a")).await;
        let mut put = house.begin(&topic).await.unwrap();
        for n in 0..CHUNKS {
            push(&mut put, &(n * 10..n * 10 + 10).collect::<Vec<_>>()).await.unwrap();
        }
        put.close().await.unwrap();
        house.sessions.finalize(token).await.unwrap();
        topics.push(topic.0);
    }
    let clean = scrub(&house, root.path()).pass().await.unwrap();
    assert_eq!((clean.chunks, clean.damaged), (2 * CHUNKS as u64, 0));

    let place = root.path().join(format!("chunks/{}", topics[1].session));
    let mut files: Vec<_> = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for (nth, file) in files.iter().take(3).enumerate() {
        let mut content = fs::read(file).unwrap();
        // In a page, in the checksums, in the footer.
        let at = [20, content.len() / 2, content.len() - 100][nth];
        content[at] ^= 16;
        fs::write(file, content).unwrap();
    }
    fs::remove_file(&files[3]).unwrap();
    let found = scrub(&house, root.path()).pass().await.unwrap();
    assert_eq!((found.chunks, found.damaged), (2 * CHUNKS as u64, 4));
    scrub(&house, root.path()).pass().await.unwrap();
    let told = house.sessions.notifications(NotificationTarget::Topic(topics[1].name.clone())).await.unwrap();
    assert_eq!(told.len(), 4, "each once: {told:?}");
    assert!(told.iter().all(|notification| notification.message.contains("damaged")), "{told:?}");
    let told = house.sessions.notifications(NotificationTarget::Topic(topics[0].name.clone())).await.unwrap();
    assert!(told.is_empty());

    fs::write(root.path().join("scrub.json"), r#"{"session":2,"chunks":9}"#).unwrap();
    let rest = scrub(&house, root.path()).pass().await.unwrap();
    assert_eq!(rest.chunks, CHUNKS as u64 - 9, "what a restart had done is not done again");
    fs::write(root.path().join("scrub.json"), "no position").unwrap();
    let whole = scrub(&house, root.path()).pass().await.unwrap();
    assert_eq!(whole.chunks, 2 * CHUNKS as u64);
    house.stop();
}
