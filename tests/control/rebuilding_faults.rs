//! Goal: whatever fails while a catalog is made again, and wherever it is killed, the old one or the new one is there whole, or
//! none; and the next run brings everything back.
//!
//! Method: the calls to disk and host of a clean run are counted. Then one of them fails once, with EIO or with ENOSPC, or it and
//! all behind it, as at a kill: by default at every change of a catalog's place and at some others, with `TESSERA_FAULTS=all`
//! at each.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use futures::executor::block_on;
use tessera::catalog::Catalog;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::NewSequence;
use tessera::daemon::RebuildPlan;
use tessera::io::FaultScript;
use tessera::io::Faults;
use tessera::io::Host;
use tessera::io::Operation;
use tessera::model::SequenceId;
use tessera::model::SequenceName;
use tessera::model::UserMetadata;

use crate::fixture::House;
use crate::fixture::directory;
use crate::rebuilding::again;
use crate::rebuilding::on;
use crate::rebuilding::open;
use crate::rebuilding::settle;
use crate::rebuilding::told;

/// Sessions that are final, open, and deleted but not purged; beside a catalog whose last commits are in its log alone.
async fn record(root: &Path) {
    let house = House::open(root).await;
    for name in ["first", "second", "gone"] {
        let (_, token) = house.session(name).await;
        house.write(token, &format!("{name}/a"), &[1, 2, 3]).await;
        house.sessions.finalize(token).await.unwrap();
    }
    let (_, token) = house.session("open").await;
    house.write(token, "open/a", &[1, 2]).await;
    house.write(token, "open/b", &[1]).await;
    house.sessions.delete_sequence(&SequenceName::parse("gone").unwrap()).await.unwrap();
    let name = tessera::model::TopicName::parse("open/b").unwrap();
    house.sessions.delete_topic(&name).await.unwrap();
    house.stop();
    settle(root);
    let config = EmbeddedConfig { checkpoint_ms: 3_600_000, ..EmbeddedConfig::default() };
    let catalog = EmbeddedCatalog::open(&config, &root.join("catalog/catalog.db")).unwrap();
    let (id, name) = (SequenceId(uuid::Uuid::from_u128(77)), SequenceName::parse("late").unwrap());
    let new = NewSequence { id, name, metadata: UserMetadata::empty(), created_at_ns: 1 };
    catalog.create_sequence(new).await.unwrap();
    let kept = root.join("kept");
    fs::create_dir(&kept).unwrap();
    for name in ["catalog.db", "catalog.db-wal"] {
        fs::copy(root.join("catalog").join(name), kept.join(name)).unwrap();
    }
    catalog.close();
    fs::remove_dir_all(root.join("catalog")).unwrap();
    fs::rename(&kept, root.join("catalog")).unwrap();
    assert!(fs::metadata(root.join("catalog/catalog.db-wal")).unwrap().len() > 0);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// What the catalog says, without the sequences that no final session makes known; and whether it is the old one, with its log.
async fn seen(root: &Path) -> (Vec<String>, bool) {
    let catalog = open(root);
    let lines = told(&catalog).await;
    catalog.close();
    let is_old = lines.iter().any(|line| line.contains("late"));
    (lines.into_iter().filter(|line| !["late", "open"].iter().any(|name| line.contains(name))).collect(), is_old)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_fails_anywhere_is_begun_again() {
    let source = directory();
    record(source.path()).await;
    let whole = {
        let root = directory();
        copy(source.path(), root.path());
        let (whole, is_old) = seen(root.path()).await;
        assert!(is_old);
        whole
    };
    assert!(whole.len() >= 10, "{whole:?}");
    let script = FaultScript::new(Faults::None);
    let root = directory();
    copy(source.path(), root.path());
    let rebuilt = on(root.path(), RebuildPlan::default(), &Host::faulty(script.clone())).await.unwrap();
    assert_eq!((rebuilt.open, rebuilt.purged, rebuilt.problems.len()), (1, 2, 0), "{rebuilt:?}");
    assert_eq!(seen(root.path()).await, (whole.clone(), false));
    let trace = script.trace();
    assert!(trace.len() > 60, "{trace:?}");
    let all = std::env::var("TESSERA_FAULTS").is_ok_and(|asked| asked == "all");
    let moves = |n: usize| trace.get(n).is_some_and(|operation| *operation == Operation::Rename);
    let chosen = |n: &usize| all || moves(*n) || (*n > 0 && moves(n - 1)) || n.is_multiple_of(12);
    // Each call fails once, with one error or the other, and each is the last one before a kill.
    let once = |n: usize| if n.is_multiple_of(2) { Faults::One(n) } else { Faults::Full(n) };
    let cases: Vec<Faults> = (0..trace.len()).filter(chosen).flat_map(|n| [once(n), Faults::From(n)]).collect();
    let (next, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Most of a run waits for the disk.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(faults) = cases.get(next.fetch_add(1, Relaxed)) {
                    refused.fetch_add(usize::from(block_on(run(source.path(), &whole, *faults))), Relaxed);
                }
            });
        }
    });
    let refused = refused.into_inner();
    assert!(2 * refused > cases.len(), "{refused} of {}", cases.len());
}

/// Whether the old catalog was moved aside, at whichever attempt.
fn is_aside(root: &Path) -> bool {
    (1..4).any(|n| root.join(format!("catalog/before-rebuild-{n}/catalog.db")).exists())
}

/// One run and another one behind it. Returns whether the first was refused.
async fn run(source: &Path, whole: &[String], faults: Faults) -> bool {
    let root = directory();
    copy(source, root.path());
    let failed = on(root.path(), RebuildPlan::default(), &Host::faulty(FaultScript::new(faults))).await;
    // A manifest that cannot be read is told of, and stops nothing.
    let is_told = failed.as_ref().is_ok_and(|rebuilt| !rebuilt.problems.is_empty());
    // What a start would open is the old one, with its log, or the new one.
    if root.path().join("catalog/catalog.db").exists() {
        let there = !is_aside(root.path());
        let (lines, is_old) = seen(root.path()).await;
        assert_eq!(is_old, there, "{faults:?} {failed:?}");
        assert!(is_told || lines == whole, "{faults:?} {failed:?}");
    }
    let rebuilt = again(root.path(), RebuildPlan::default()).await.unwrap();
    assert_eq!(rebuilt.problems.len(), 0, "{faults:?}: {rebuilt:?}");
    assert!(seen(root.path()).await == (whole.to_vec(), false), "{faults:?}");
    let names = fs::read_dir(root.path().join("manifests")).unwrap().count();
    assert_eq!(names, 2, "{faults:?}: the manifests of what is final, and no tombstone");
    // The old one is aside, with its log.
    assert!(is_aside(root.path()), "{faults:?}");
    failed.is_err()
}
