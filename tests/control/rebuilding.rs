//! A catalog that is made again from the files alone.

use std::fs;
use std::path::Path;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::Visibility;
use tessera::config::Config;
use tessera::daemon::RebuildError;
use tessera::daemon::RebuildPlan;
use tessera::daemon::Rebuilt;
use tessera::daemon::rebuild;
use tessera::io::DirectoryLock;
use tessera::io::Host;
use tessera::model::SessionState;
use tessera::model::ShardIndex;
use tessera::model::TimeRange;
use tessera::model::UserMetadata;
use tessera::session::SessionConfig;
use tessera::shard::ChunkConfig;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;

/// Everything a catalog answers about what is final, but for what cannot come back.
pub async fn told(catalog: &EmbeddedCatalog) -> Vec<String> {
    let mut told = Vec::new();
    let page = catalog.sequences(None, 1000).await.unwrap();
    for head in page.items {
        told.push(format!("{head:?}"));
        let sequence = catalog.sequence(&head.name, Visibility::All).await.unwrap();
        for session in sequence.sessions.iter().filter(|session| session.head.state == SessionState::Final) {
            told.push(format!("{:?}", session.head));
            for topic in &session.topics {
                let mut topic = topic.clone();
                if topic.totals.chunks == 0 {
                    // No file says where a topic without rows was placed.
                    topic.head.shard = ShardIndex(0);
                }
                told.push(format!("{topic:?}"));
                for segment in catalog.segments(topic.head.id, TimeRange::ALL, None, 1000).await.unwrap().items {
                    told.push(format!("{segment:?}"));
                    let records = catalog.directory(segment.key).await.unwrap();
                    told.extend(records.iter().map(|record| format!("{record:?}")));
                }
            }
        }
    }
    told
}

/// Sequences of several sessions: many chunks, rows out of order, none, an interrupted topic, metadata; and what was deleted.
async fn record(root: &Path) -> House {
    let chunk = ChunkConfig { rows_max: 3, ..ChunkConfig::default() };
    let house = House::with(root, SessionConfig::default(), chunk).await;
    let (_, base) = house.session("drive").await;
    let many = house.topic(base, "drive/many").await;
    let mut put = house.begin(&many).await.unwrap();
    for n in 0..300 {
        push(&mut put, &[n * 30, n * 30 + 7, n * 30 + 20]).await.unwrap();
    }
    put.close().await.unwrap();
    house.write(base, "drive/mixed/up", &[5, 3, 9, 1, 1, -4, 100]).await;
    house.write(base, "drive/empty", &[]).await;
    let broken = house.topic(base, "drive/broken").await;
    let mut put = house.begin(&broken).await.unwrap();
    push(&mut put, &[1, 2, 3, 4]).await.unwrap();
    put.interrupt("a cable".to_owned()).await;
    house.sessions.finalize(base).await.unwrap();
    let name = tessera::model::SequenceName::parse("drive").unwrap();
    let (_, labels) = house.sessions.create_session(&name).await.unwrap();
    house.write(labels, "drive/labels", &[7]).await;
    house.sessions.finalize(labels).await.unwrap();
    let metadata = UserMetadata::parse(r#"{"driver": "Ada", "n": 1.250, "deep": {"e": ["é", null]}}"#).unwrap();
    let other = tessera::model::SequenceName::parse("other").unwrap();
    house.sessions.create_sequence(other.clone(), metadata).await.unwrap();
    let (_, token) = house.sessions.create_session(&other).await.unwrap();
    house.write(token, "other/a", &[i64::MIN, 0, i64::MAX]).await;
    house.sessions.finalize(token).await.unwrap();
    let (_, gone) = house.session("gone").await;
    house.write(gone, "gone/a", &[1]).await;
    house.sessions.finalize(gone).await.unwrap();
    house.sessions.delete_sequence(&tessera::model::SequenceName::parse("gone").unwrap()).await.unwrap();
    house.swept().await;
    house
}

/// Makes the fixture's directory what the daemon would have made of it.
pub fn settle(root: &Path) {
    fs::write(root.join("DEVICE"), format!("{}\n", uuid::Uuid::from_u128(1).as_simple())).unwrap();
    fs::create_dir_all(root.join("catalog")).unwrap();
    for end in ["", "-wal", "-shm"] {
        let from = root.join(format!("catalog.db{end}"));
        if from.exists() {
            fs::rename(from, root.join(format!("catalog/catalog.db{end}"))).unwrap();
        }
    }
}

pub async fn again(root: &Path, plan: RebuildPlan) -> Result<Rebuilt, RebuildError> {
    on(root, plan, &Host::default()).await
}

pub async fn on(root: &Path, plan: RebuildPlan, host: &Host) -> Result<Rebuilt, RebuildError> {
    let mut config = Config::default();
    config.storage.data_dirs = vec![root.to_owned()];
    rebuild(&config, &plan, host).await
}

pub fn open(root: &Path) -> EmbeddedCatalog {
    EmbeddedCatalog::open(&EmbeddedConfig::default(), &root.join("catalog/catalog.db")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_catalog_is_the_one_that_was_lost() {
    let root = directory();
    let house = record(root.path()).await;
    let before = told(&house.catalog).await;
    house.stop();
    settle(root.path());
    fs::remove_dir_all(root.path().join("catalog")).unwrap();
    let rebuilt = again(root.path(), RebuildPlan::default()).await.unwrap();
    assert_eq!((rebuilt.sequences, rebuilt.sessions, rebuilt.topics, rebuilt.open), (2, 3, 6, 0), "{rebuilt:?}");
    assert!(rebuilt.problems.is_empty() && rebuilt.old.is_none(), "{rebuilt:?}");
    let catalog = open(root.path());
    assert_eq!(told(&catalog).await, before);
    assert!(before.len() > 310, "{} lines", before.len());
    catalog.close();
    // Once more, over the one that is there, and to another place.
    let rebuilt = again(root.path(), RebuildPlan::default()).await.unwrap();
    assert!(rebuilt.old.is_some_and(|old| old.join("catalog.db").exists()));
    let elsewhere = directory();
    let plan = RebuildPlan { to: Some(elsewhere.path().to_owned()), ..RebuildPlan::default() };
    again(root.path(), plan.clone()).await.unwrap();
    assert!(matches!(again(root.path(), plan).await, Err(RebuildError::Exists(_))));
    let there = EmbeddedCatalog::open(&EmbeddedConfig::default(), &elsewhere.path().join("catalog.db")).unwrap();
    assert_eq!(told(&there).await, before);
    assert_eq!(told(&open(root.path())).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_is_in_the_way() {
    let root = directory();
    record(root.path()).await.stop();
    settle(root.path());
    let lock = DirectoryLock::take(root.path()).unwrap();
    let refused = again(root.path(), RebuildPlan::default()).await.unwrap_err().to_string();
    assert!(refused.contains("in use"), "{refused}");
    drop(lock);
    again(root.path(), RebuildPlan::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_and_no_row_vanishes_in_silence() {
    let root = directory();
    let house = record(root.path()).await;
    let view = house.catalog.sequence(&tessera::model::SequenceName::parse("drive").unwrap(), Visibility::All).await;
    let session = view.unwrap().sessions[0].head.id;
    let place = root.path().join(format!("chunks/{session}"));
    let mut files: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    house.stop();
    settle(root.path());
    fs::remove_file(&files[0]).unwrap();
    let mut content = fs::read(&files[1]).unwrap();
    let end = content.len() - 20;
    content[end] ^= 1;
    fs::write(&files[1], content).unwrap();
    let rebuilt = again(root.path(), RebuildPlan::default()).await.unwrap();
    assert_eq!(rebuilt.problems.len(), 2, "{rebuilt:?}");
    assert!(rebuilt.problems.iter().all(|problem| problem.name.starts_with("drive/")));
    assert_eq!(rebuilt.rows, 900 + 7 + 4 + 1 + 3, "what the manifest tells is expected of a reader");
    let catalog = open(root.path());
    let topics = catalog.session(session).await.unwrap().topics;
    let mut told = Vec::new();
    for topic in &topics {
        for segment in catalog.segments(topic.head.id, TimeRange::ALL, None, 1000).await.unwrap().items {
            told.extend(catalog.directory(segment.key).await.unwrap());
        }
    }
    let unread: Vec<_> = told.iter().filter(|record| record.is_from_manifest()).map(|r| r.chunk.to_string()).collect();
    assert_eq!(unread.len(), 2);
    assert!(files[..2].iter().all(|file| unread.contains(&file.file_stem().unwrap().to_str().unwrap().to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_manifest_comes_back_open_and_invisible() {
    let root = directory();
    let house = record(root.path()).await;
    let (head, token) = house.session("running").await;
    house.write(token, "running/a", &[1, 2, 3, 4, 5, 6, 7]).await;
    let put = house.topic(token, "running/b").await;
    let mut put = house.begin(&put).await.unwrap();
    push(&mut put, &[1, 2]).await.unwrap();
    put.interrupt("the test".to_owned()).await;
    house.stop();
    settle(root.path());
    let rebuilt = again(root.path(), RebuildPlan::default()).await.unwrap();
    assert_eq!((rebuilt.open, rebuilt.sessions), (1, 4), "{rebuilt:?}");
    let catalog = open(root.path());
    let session = catalog.session(head.id).await.unwrap();
    assert_eq!(session.head.state, SessionState::Open);
    let rows: Vec<u64> = session.topics.iter().map(|topic| topic.totals.rows).collect();
    assert_eq!(rows.iter().sum::<u64>(), 9);
    catalog.finalize(head.id, 5).await.unwrap();
}
