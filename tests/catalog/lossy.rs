//! A wire between a node and the cluster that loses answers.
//!
//! Goal: no call lies about what it did, whichever answer is lost behind a statement that ran. Method: a first history counts the
//! answers; then it runs once per answer, which is kept back and its connection cut. Another node looks on over a whole wire.

use std::collections::HashSet;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tessera::catalog::CatalogError;
use tessera::catalog::ClusterUrl;
use tessera::catalog::Fut;
use tessera::catalog::Standing;
use tessera::catalog::Visibility;
use tessera::model::Refusal;
use tessera::model::SessionState;

use crate::cluster;
use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::Subject;
use crate::stage::assert_not_found;
use crate::stage::complete;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

/// Frames of the CQL protocol, version 4: of the header of 9 bytes these are read.
const HEADER_LEN: usize = 9;
const STREAM_AT: usize = 2;
const OPCODE_AT: usize = 4;
const LENGTH_AT: usize = 5;
const EXECUTE: u8 = 0x0a;
const RESULT: u8 = 0x08;

/// After which a call that is repeated is taken to have failed.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Answers {
    /// To statements, so far.
    count: AtomicU64,
    /// The one that is lost.
    lost: AtomicU64,
}

struct Wire {
    address: String,
    answers: Arc<Answers>,
}

fn wire() -> &'static Wire {
    static WIRE: OnceLock<Wire> = OnceLock::new();
    WIRE.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = Arc::new(Answers::default());
        let own = Arc::clone(&answers);
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let there = TcpStream::connect(cluster::first_address()).unwrap();
                let asked = Arc::new(Mutex::new(HashSet::new()));
                let (up, down) = ((here.try_clone().unwrap(), there.try_clone().unwrap()), (there, here));
                let (noted, answers) = (Arc::clone(&asked), Arc::clone(&own));
                pump(up, move |frame| {
                    if frame[OPCODE_AT] == EXECUTE {
                        noted.lock().unwrap().insert(stream(frame));
                    }
                    true
                });
                pump(down, move |frame| {
                    let answer = frame[OPCODE_AT] == RESULT && asked.lock().unwrap().remove(&stream(frame));
                    !answer || answers.count.fetch_add(1, SeqCst) + 1 != answers.lost.load(SeqCst)
                });
            }
        });
        Wire { address, answers }
    })
}

fn stream(frame: &[u8]) -> [u8; 2] {
    frame[STREAM_AT..OPCODE_AT].try_into().unwrap()
}

/// Carries frames from one to the other until one is not to pass.
fn pump((mut from, mut to): (TcpStream, TcpStream), mut passes: impl FnMut(&[u8]) -> bool + Send + 'static) {
    thread::spawn(move || {
        while let Some(frame) = frame(&mut from) {
            if !passes(&frame) || to.write_all(&frame).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

fn frame(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; HEADER_LEN];
    from.read_exact(&mut frame).ok()?;
    let len = frame[LENGTH_AT..].iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    frame.resize(HEADER_LEN + len, 0);
    from.read_exact(&mut frame[HEADER_LEN..]).ok()?;
    Some(frame)
}

fn behind_the_wire(directory: &Path) -> Subject {
    cluster::node(&ClusterUrl { nodes: vec![wire().address.clone()], ..cluster::keyspace(directory) }, directory)
}

/// What a call ends with, repeated for as long as nobody knows, and whether that was its first answer.
fn settled<'a, T>(call: impl Fn() -> Fut<'a, T>) -> (Result<T, CatalogError>, bool) {
    let (began, mut first) = (Instant::now(), true);
    loop {
        match wait(call()) {
            Err(CatalogError::Unavailable { .. }) if began.elapsed() < PATIENCE => first = false,
            known => return (known, first),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A delete that is repeated may find that it was done.
fn deleted((answer, first): (Result<(), CatalogError>, bool)) {
    match answer {
        Err(CatalogError::NotFound { .. }) if !first => {}
        other => other.unwrap(),
    }
}

/// A life of a sequence, over the wire, that another node looks at.
fn life(a: &Stage, b: &Stage, name: &str) {
    let new = a.new_sequence(name);
    assert_eq!(settled(|| a.catalog().create_sequence(new.clone())).0.unwrap().id, new.id);
    let new = a.new_session(name);
    let session = settled(|| a.catalog().create_session(new.clone())).0.unwrap();
    let new = a.new_topic(&session, "imu");
    let topic = settled(|| a.catalog().create_topic(new.clone())).0.unwrap();
    wait(a.open().begin_put(topic.id, b"schema".to_vec())).unwrap();
    wait(a.open().commit(topic.id, a.records(300), complete())).unwrap();
    assert_not_found(wait(b.catalog().topic(&topic.name, Visibility::Final)));
    if let Err(CatalogError::Unavailable { .. }) = wait(a.catalog().finalize(session.id, 500)) {
        // Nobody knows. What would be acknowledged now must not be left out of what is final.
        let new = a.new_topic(&session, "late");
        match settled(|| a.catalog().create_topic(new.clone())).0 {
            Ok(late) => {
                assert_not_found(wait(b.catalog().topic(&topic.name, Visibility::Final)));
                deleted(settled(|| a.catalog().delete_topic(late.id)));
            }
            Err(CatalogError::Refused { refusal: Refusal::SessionFinal, .. }) => {
                assert_eq!(wait(a.open().standing(session.id)), Ok(Standing::Final));
                wait(a.catalog().delete_topic(topic.id)).unwrap_err();
            }
            Err(other) => panic!("{other}"),
        }
    }
    let done = settled(|| a.catalog().finalize(session.id, 500)).0.unwrap();
    assert_eq!((done.state, done.completed_at_ns), (SessionState::Final, Some(500)));
    let view = wait(b.catalog().sequence(&sequence_name(name), Visibility::Final)).unwrap();
    assert_eq!((view.sessions.len(), view.sessions[0].topics.len()), (1, 1));
    assert_eq!(view.sessions[0].topics[0].totals.chunks, 300);
    deleted(settled(|| a.catalog().delete_session(session.id)));
    assert_not_found(wait(b.catalog().topic(&topic_name(name, "imu"), Visibility::All)));
    deleted(settled(|| a.catalog().delete_sequence(view.head.id)));
    assert_not_found(wait(b.catalog().sequence(&sequence_name(name), Visibility::All)));
    let tombstones = settled(|| a.catalog().tombstones(0, 9)).0.unwrap();
    assert_eq!(tombstones.len(), 1, "of its session");
    for tombstone in tombstones {
        settled(|| a.catalog().purged(tombstone.number)).0.unwrap();
    }
    // The name is free, and nothing of the old one hangs on it.
    let again = b.sequence(name);
    assert_eq!(wait(b.catalog().sequence(&sequence_name(name), Visibility::All)).unwrap().sessions, []);
    wait(b.catalog().delete_sequence(again.id)).unwrap();
}

#[test]
fn no_call_lies_whichever_answer_is_lost() {
    if !cluster::is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let beside = directory.path().join("b");
    std::fs::create_dir(&beside).unwrap();
    let a = Stage::within(behind_the_wire as Make, directory.path());
    let mut b = Stage::within(crate::fleet::second as Make, &beside);
    b.ids = tessera::model::IdSource::from_seed([2; 32]);
    let answers = &wire().answers;
    let before = answers.count.load(SeqCst);
    life(&a, &b, "drive-0");
    let count = answers.count.load(SeqCst) - before;
    assert!(count > 30, "{count} statements are no life");
    for lost in 1..=count {
        answers.lost.store(answers.count.load(SeqCst) + lost, SeqCst);
        life(&a, &b, &format!("drive-{lost}"));
        assert!(answers.count.load(SeqCst) >= answers.lost.load(SeqCst), "answer {lost} came");
    }
    assert_eq!(wait(b.catalog().sequences(None, 9)).unwrap().items, []);
    drop((a, b));
    cluster::forget(directory.path());
}
