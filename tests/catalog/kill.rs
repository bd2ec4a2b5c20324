//! Goal: what a catalog acknowledged survives `kill -9`, without a hole.
//! Method: this test runs itself as a child that commits in a loop and prints a line per acknowledged commit; the parent
//! kills it after some lines, opens the catalog, and compares.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::Visibility;
use tessera::model::ChunkId;
use tessera::model::TopicState;
use uuid::Uuid;

use crate::stage::Stage;
use crate::stage::embedded;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

const DIRECTORY: &str = "TESSERA_TEST_KILL_DIRECTORY";
const TOPICS: usize = 3;

#[test]
fn no_acknowledged_commit_is_lost() {
    match std::env::var_os(DIRECTORY) {
        Some(directory) => commit_for_ever(Path::new(&directory)),
        // The last one lets a segment be sealed and a checkpoint begin.
        None => [1, 2, 10, 50, 300, 1200].into_iter().for_each(kill_after),
    }
}

fn kill_after(lines: usize) {
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::no_acknowledged_commit_is_lost", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = lines_until(&mut output, lines);
    kill(&mut child);
    // Those that were on their way when it died were acknowledged too.
    acknowledged.extend(lines_until(&mut output, usize::MAX));

    let subject = embedded(directory.path());
    for topic in 0..TOPICS {
        let expected: Vec<u128> = (0..).take(acknowledged.iter().filter(|(of, _)| *of == topic).count()).collect();
        let acked: Vec<u128> = acknowledged.iter().filter(|(of, _)| *of == topic).map(|(_, n)| *n).collect();
        assert_eq!(acked, expected, "the child acknowledged in order");
    }
    let boot = wait(subject.open.boot([0; 32], 1)).unwrap();
    assert_eq!(boot.incarnation, 2);
    let view = wait(subject.catalog.sequence(&sequence_name("drive"), Visibility::All)).unwrap();
    let chunks = wait(subject.open.committed_chunks(view.sessions[0].head.id)).unwrap();
    for topic in 0..TOPICS {
        let found = wait(subject.catalog.topic(&topic_name("drive", &topic.to_string()), Visibility::All)).unwrap();
        assert_eq!(found.head.state, TopicState::Interrupted);
        let numbers: Vec<u128> =
            chunks.iter().map(|record| record.chunk.0.as_u128()).filter(|id| id >> 64 == topic as u128).collect();
        let numbers: Vec<u128> = numbers.iter().map(|id| id & u128::from(u64::MAX)).collect();
        assert!(numbers.iter().copied().eq(0..numbers.len() as u128), "a prefix without a hole: {numbers:?}");
        let acked = acknowledged.iter().filter(|(of, _)| *of == topic).count();
        assert!(numbers.len() >= acked, "topic {topic}: {acked} acknowledged, {} found", numbers.len());
        assert_eq!(found.totals.chunks, numbers.len() as u64);
    }
}

/// `(topic, number)` of the lines that say so; the test runner prints others.
fn lines_until(output: &mut impl Iterator<Item = std::io::Result<String>>, count: usize) -> Vec<(usize, u128)> {
    let parse = |line: String| {
        let (topic, number) = line.strip_prefix("committed ")?.split_once(' ')?;
        Some((topic.parse().ok()?, number.parse().ok()?))
    };
    output.map_while(Result::ok).filter_map(parse).take(count).collect()
}

fn kill(child: &mut Child) {
    child.kill().unwrap(); // SIGKILL
    assert!(!child.wait().unwrap().success());
}

fn commit_for_ever(directory: &Path) {
    let make = |path: &Path| {
        let config = EmbeddedConfig { checkpoint_ms: 5, ..EmbeddedConfig::default() };
        let catalog = EmbeddedCatalog::open(&config, &path.join("catalog.sqlite")).unwrap();
        crate::stage::Subject { open: catalog.open_store(), catalog: std::sync::Arc::new(catalog) }
    };
    let stage = Stage::within(make, directory);
    wait(stage.open().boot([0; 32], 1)).unwrap();
    stage.sequence("drive");
    let session = stage.session("drive");
    let topics: [_; TOPICS] = std::array::from_fn(|n| stage.topic(&session, &n.to_string()).id);
    topics.iter().for_each(|topic| drop(wait(stage.open().begin_put(*topic, Vec::new())).unwrap()));
    for number in 0..u64::MAX {
        // All topics at once, so that they share commits.
        let commits: Vec<_> = (0_u128..)
            .zip(&topics)
            .map(|(n, topic)| {
                let mut record = stage.record(1, 2);
                record.chunk = ChunkId(Uuid::from_u128(n << 64 | u128::from(number)));
                stage.open().commit(*topic, vec![record], None)
            })
            .collect();
        for (topic, commit) in commits.into_iter().enumerate() {
            wait(commit).unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "committed {topic} {number}").unwrap();
            out.flush().unwrap();
        }
    }
}
