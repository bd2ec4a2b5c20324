//! What is stored is read again in the background, and damage is told.

use std::fs;

use tessera::config::ScrubConfig;
use tessera::daemon::Scrub;
use tessera::daemon::ScrubState;
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

/// Flips one bit of the first place where a file has these bytes.
fn flip(path: &std::path::Path, what: &[u8]) {
    let mut content = fs::read(path).unwrap();
    let at = content.windows(what.len()).position(|window| window == what).expect("the file has these bytes");
    content[at + 1] ^= 1;
    fs::write(path, content).unwrap();
}

async fn finalized(house: &House, name: &str) -> tessera::model::SessionHead {
    let (head, token) = house.session(name).await;
    let topic = house.topic(token, &format!("{name}/a")).await;
    let mut put = house.begin(&topic).await.unwrap();
    push(&mut put, &[1, 2, 3]).await.unwrap();
    put.close().await.unwrap();
    house.sessions.finalize(token).await.unwrap();
    head
}

/// Goal: a bit of a manifest that changes is found, told with its sequence once, and kept for who asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_is_found_and_told() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, damaged, lost) = (finalized(&house, "a").await, finalized(&house, "b").await, finalized(&house, "c").await);
    let clean = scrub(&house, root.path()).pass().await.unwrap();
    assert_eq!((clean.manifests, clean.damaged), (3, 0), "{clean:?}");
    flip(&house.manifest(damaged.id), b"created_at_ns");
    fs::remove_file(house.manifest(lost.id)).unwrap();
    for _ in 0..2 {
        let found = scrub(&house, root.path()).pass().await.unwrap();
        assert_eq!((found.manifests, found.damaged), (3, 2), "{found:?}");
        let kept = ScrubState::read(root.path()).unwrap();
        assert_eq!(kept.last.unwrap(), found);
        for (finding, head) in found.findings.iter().zip([&damaged, &lost]) {
            assert_eq!(finding.name, head.sequence_name.to_string());
            assert!(finding.part.contains(&head.id.to_string()), "{finding:?}");
            let target = NotificationTarget::Sequence(head.sequence_name.clone());
            let told = house.sessions.notifications(target).await.unwrap();
            assert_eq!(told.len(), 1, "once: {told:?}");
            assert!(told[0].message.contains("damaged"), "{told:?}");
        }
    }
    house.stop();
}

/// Goal: a bit of the catalog's file that changes is found by a pass, and the rest of the pass goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_catalog_is_found() {
    let root = directory();
    let house = House::open(root.path()).await;
    finalized(&house, "some_recognizable_name").await;
    finalized(&house, "another").await;
    let clean = scrub(&house, root.path()).pass().await.unwrap();
    assert_eq!((clean.chunks, clean.damaged), (2, 0), "{clean:?}");
    house.stop();
    // The row and the index over names then say different things.
    flip(&root.path().join("catalog.db"), b"some_recognizable_name");
    let house = House::open(root.path()).await;
    let found = scrub(&house, root.path()).pass().await.unwrap();
    let catalog: Vec<_> = found.findings.iter().filter(|finding| finding.name == "catalog").collect();
    assert!(catalog.iter().any(|finding| finding.part == "sequence"), "{found:?}");
    assert!(catalog.iter().all(|finding| finding.problem.contains("tessera catalog rebuild")), "{found:?}");
    assert!(found.chunks >= 1, "{found:?}");
    house.stop();
}
