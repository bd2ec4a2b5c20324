//! What was deleted does not come back with a catalog that is made again from the files, and what took its name does.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::Visibility;
use tessera::daemon::RebuildPlan;
use tessera::daemon::Rebuilt;
use tessera::model::SequenceName;
use tessera::model::SessionId;
use tessera::model::TopicName;
use tessera::session::SessionRef;

use crate::fixture::House;
use crate::fixture::directory;
use crate::rebuilding::again;
use crate::rebuilding::open;
use crate::rebuilding::settle;

/// Rows by topic, of open sessions too.
async fn rows(catalog: &EmbeddedCatalog) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for head in catalog.sequences(None, 100).await.unwrap().items {
        let view = catalog.sequence(&head.name, Visibility::All).await.unwrap();
        let topics = view.sessions.iter().flat_map(|session| &session.topics);
        all.extend(topics.map(|topic| (topic.head.name.to_string(), topic.totals.rows)));
    }
    all.sort();
    all
}

async fn lost_and_rebuilt(root: &Path, house: House) -> (Vec<(String, u64)>, Rebuilt) {
    house.stop();
    settle(root);
    fs::remove_dir_all(root.join("catalog")).unwrap();
    let rebuilt = again(root, RebuildPlan::default()).await.unwrap();
    let catalog = open(root);
    let rows = rows(&catalog).await;
    catalog.close();
    (rows, rebuilt)
}

fn name(text: &str) -> SequenceName {
    SequenceName::parse(text).unwrap()
}

fn expected(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect()
}

fn chunks(root: &Path, session: SessionId) -> Vec<PathBuf> {
    let place = root.join("chunks").join(session.to_string());
    fs::read_dir(place).map_or(Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
}

fn tombstones(root: &Path) -> usize {
    let names = fs::read_dir(root.join("manifests")).unwrap();
    names.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".deleted")).count()
}

/// Goal: a topic, sessions and sequences that were deleted and not purged stay away, whoever has their names.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_unpurged_things_do_not_come_back() {
    let root = directory();
    let house = House::open(root.path()).await;
    // Nothing is purged: nobody sweeps here.
    let (topics, token) = house.session("topics").await;
    house.write(token, "topics/cam", &[1, 2, 3, 4, 5]).await;
    house.write(token, "topics/other", &[1]).await;
    for topic in ["topics/cam", "topics/other"] {
        house.sessions.delete_topic(&TopicName::parse(topic).unwrap()).await.unwrap();
    }
    for (topic, rows) in [("cam", 7), ("b", 2), ("c", 3), ("d", 4)] {
        house.write(token, &format!("topics/{topic}"), &(0..rows).collect::<Vec<_>>()).await;
    }
    let (open_one, token) = house.session("open").await;
    house.write(token, "open/a", &[1]).await;
    house.sessions.delete_session(SessionRef::Token(token)).await.unwrap();
    let (done, token) = house.session("final").await;
    house.write(token, "final/a", &[1]).await;
    house.sessions.finalize(token).await.unwrap();
    house.sessions.delete_session(SessionRef::Id(done.id)).await.unwrap();
    let (_, again) = house.sessions.create_session(&name("final")).await.unwrap();
    house.write(again, "final/a", &[1, 2]).await;
    house.sessions.finalize(again).await.unwrap();
    for turn in 1..=3 {
        let (_, token) = house.session("sequence").await;
        house.write(token, "sequence/a", &(0..turn).collect::<Vec<_>>()).await;
        if turn < 3 {
            house.sessions.delete_sequence(&name("sequence")).await.unwrap();
        }
    }
    assert!(tombstones(root.path()) >= 5 && house.chunk_files(open_one.id) == 1);
    let (rows, rebuilt) = lost_and_rebuilt(root.path(), house).await;
    let left =
        [("final/a", 2), ("sequence/a", 3), ("topics/b", 2), ("topics/c", 3), ("topics/cam", 7), ("topics/d", 4)];
    assert_eq!(rows, expected(&left), "{rebuilt:?}");
    assert_eq!((rebuilt.open, rebuilt.purged, rebuilt.problems.len()), (2, 6, 0), "{rebuilt:?}");
    // The purge is done with: nothing of it is left, in no place.
    assert_eq!(chunks(root.path(), topics.id).len(), 4);
    assert!(chunks(root.path(), open_one.id).is_empty() && chunks(root.path(), done.id).is_empty());
    assert_eq!((tombstones(root.path()), fs::read_dir(root.path().join("lost")).unwrap().count()), (0, 0));
}

/// A purge takes the tombstones along, of topics too when their session goes.
#[tokio::test(flavor = "multi_thread")]
async fn tombstones_go_with_the_files() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("s").await;
    house.write(token, "s/a", &[1]).await;
    house.write(token, "s/b", &[1]).await;
    house.sessions.delete_topic(&TopicName::parse("s/a").unwrap()).await.unwrap();
    assert_eq!(tombstones(root.path()), 1);
    house.swept().await;
    assert_eq!(tombstones(root.path()), 0);
    house.sessions.delete_topic(&TopicName::parse("s/b").unwrap()).await.unwrap();
    house.sessions.delete_sequence(&name("s")).await.unwrap();
    assert_eq!(tombstones(root.path()), 2);
    house.swept().await;
    assert_eq!(tombstones(root.path()), 0);
    house.stop();
}

/// Takes the tombstones away, as a version that made none left it.
fn without_tombstones(root: &Path) {
    for entry in fs::read_dir(root.join("manifests")).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().unwrap().to_string_lossy().contains(".deleted") {
            true if path.is_dir() => fs::remove_dir_all(path).unwrap(),
            true => fs::remove_file(path).unwrap(),
            false => {}
        }
    }
}

/// The file of a session's one chunk was written this long ago. It may get its last name between two looks.
fn written(root: &Path, session: SessionId, seconds_ago: u64) {
    let at = SystemTime::now() - Duration::from_secs(seconds_ago);
    let mut looks = std::iter::repeat_with(|| fs::File::open(chunks(root, session).pop()?).ok());
    looks.find_map(|file| file).unwrap().set_modified(at).unwrap();
}

/// Goal: of files that claim one name the newer ones get it, and nothing else of their sessions is given up.
#[tokio::test(flavor = "multi_thread")]
async fn the_newer_of_two_with_one_name_comes_back() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (session, token) = house.session("s").await;
    house.write(token, "s/cam", &[1, 2, 3, 4, 5]).await;
    written(root.path(), session.id, 60);
    house.sessions.delete_topic(&TopicName::parse("s/cam").unwrap()).await.unwrap();
    for (topic, rows) in [("cam", 7), ("b", 2), ("c", 3), ("d", 4)] {
        house.write(token, &format!("s/{topic}"), &(0..rows).collect::<Vec<_>>()).await;
    }
    // A session of an earlier start, whose file somebody touched since; more than one, for ids are drawn by lot.
    for n in 0..4 {
        let (old, token) = house.session(&format!("q{n}")).await;
        house.write(token, &format!("q{n}/a"), &[1, 2, 3, 4, 5]).await;
        written(root.path(), old.id, 0);
        house.sessions.delete_sequence(&name(&format!("q{n}"))).await.unwrap();
    }
    house.stop();
    let house = House::open(root.path()).await;
    for n in 0..4 {
        let (new, token) = house.session(&format!("q{n}")).await;
        house.write(token, &format!("q{n}/a"), &[1]).await;
        written(root.path(), new.id, 30);
    }
    without_tombstones(root.path());
    let (rows, rebuilt) = lost_and_rebuilt(root.path(), house).await;
    let left = [("q0/a", 1), ("q1/a", 1), ("q2/a", 1), ("q3/a", 1), ("s/b", 2), ("s/c", 3), ("s/cam", 7), ("s/d", 4)];
    assert_eq!(rows, expected(&left), "{rebuilt:?}");
    assert_eq!((rebuilt.open, rebuilt.problems.len()), (5, 5), "{rebuilt:?}");
    // The next start knows that it is a later one.
    let catalog = open(root.path());
    assert_eq!(catalog.open_store().boot([0; 32], 1).await.unwrap().incarnation, 3);
    catalog.close();
}

/// Goal: a manifest whose removal did not reach the disk, or that holds what cannot be, costs nothing but itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_manifest_is_told_and_stops_nothing() {
    let root = directory();
    let house = House::open(root.path()).await;
    let (_, token) = house.session("before").await;
    house.write(token, "before/a", &[1, 2]).await;
    house.sessions.finalize(token).await.unwrap();
    let mut stale = Vec::new();
    for n in 0..4 {
        let sequence = format!("s{n}");
        let (old, token) = house.session(&sequence).await;
        house.write(token, &format!("{sequence}/t"), &[1, 2, 3]).await;
        house.sessions.finalize(token).await.unwrap();
        // Without a checksum it may say that it is a little older.
        let manifest: String = fs::read_to_string(house.manifest(old.id)).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        manifest.as_object_mut().unwrap().remove("checksum");
        manifest["format"] = 1.into();
        manifest["session"]["completed_at_ns"] = 5.into();
        stale.push((house.manifest(old.id), manifest.to_string()));
        house.sessions.delete_session(SessionRef::Id(old.id)).await.unwrap();
        let (_, token) = house.sessions.create_session(&name(&sequence)).await.unwrap();
        house.write(token, &format!("{sequence}/t"), &[1]).await;
        house.sessions.finalize(token).await.unwrap();
    }
    house.swept().await;
    for (path, manifest) in &stale {
        fs::write(path, manifest).unwrap();
    }
    let odd = stale[0].0.with_file_name(format!("{}.json", uuid::Uuid::from_u128(5).as_simple()));
    let mut manifest: serde_json::Value = serde_json::from_str(&stale[0].1).unwrap();
    manifest["session"]["id"] = uuid::Uuid::from_u128(5).as_simple().to_string().into();
    manifest["sequence"]["name"] = "odd".into();
    manifest["sequence"]["id"] = uuid::Uuid::from_u128(6).as_simple().to_string().into();
    manifest["topics"][0]["path"] = "/no/path//".into();
    fs::write(&odd, manifest.to_string()).unwrap();
    let (rows, rebuilt) = lost_and_rebuilt(root.path(), house).await;
    assert_eq!(rows, expected(&[("before/a", 2), ("s0/t", 1), ("s1/t", 1), ("s2/t", 1), ("s3/t", 1)]), "{rebuilt:?}");
    assert_eq!((rebuilt.sessions, rebuilt.open, rebuilt.problems.len()), (5, 0, 5), "{rebuilt:?}");
    // They are told of once.
    let rebuilt = again(root.path(), RebuildPlan::default()).await.unwrap();
    assert_eq!((rebuilt.sessions, rebuilt.problems.len()), (5, 0), "{rebuilt:?}");
    assert_eq!(fs::read_dir(root.path().join("lost")).unwrap().count(), 5);
}
