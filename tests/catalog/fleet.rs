//! Two nodes on one shared catalog, each with a store of its own.

use tempfile::TempDir;
use tessera::catalog::CatalogError;
use tessera::catalog::Member;
use tessera::catalog::Replication;
use tessera::catalog::ScyllaCatalog;
use tessera::catalog::Standing;
use tessera::catalog::Visibility;
use tessera::model::NodeId;
use tessera::model::Notification;
use tessera::model::NotificationTarget;
use tessera::model::SessionState;
use tessera::model::StartId;
use tessera::model::TimeRange;
use tessera::model::TopicId;

use crate::cluster;
use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

/// The keyspace of the first one. Its directory lies in that one's, so both go together.
pub fn second(directory: &std::path::Path) -> crate::stage::Subject {
    cluster::node(&cluster::keyspace(directory.parent().unwrap()), directory)
}

struct Fleet {
    a: Stage,
    b: Stage,
    _directory: TempDir,
}

fn fleet() -> Fleet {
    let directory = tempfile::tempdir().unwrap();
    let beside = directory.path().join("b");
    std::fs::create_dir(&beside).unwrap();
    let a = Stage::within(cluster::make as Make, directory.path());
    let mut b = Stage::within(second as Make, &beside);
    b.ids = tessera::model::IdSource::from_seed([2; 32]);
    Fleet { a, b, _directory: directory }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        cluster::forget(self._directory.path());
    }
}

fn names(stage: &Stage) -> Vec<String> {
    wait(stage.catalog().sequences(None, 100)).unwrap().items.iter().map(|head| head.name.to_string()).collect()
}

fn keyspace(directory: &TempDir) -> String {
    cluster::keyspace(directory.path()).keyspace
}

/// Goal: who upgrades is told what to do, and loses nothing by it.
#[test]
fn a_keyspace_of_the_layout_before_is_told_and_completed() {
    if !cluster::is_there() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let url = cluster::keyspace(directory.path());
    let stage = Stage::within(cluster::make as Make, directory.path());
    stage.sequence("drive");
    drop(stage);
    let name = keyspace(&directory);
    for table in ["fleet", "node"] {
        cluster::run(&format!("DROP TABLE {name}.{table}"));
    }
    cluster::run(&format!("UPDATE {name}.layout SET version = 1 WHERE one = 0 IF version = 2"));
    let Err(error) = cluster::try_node(&url, directory.path()) else { panic!("it starts") };
    assert!(error.to_string().contains("tessera catalog init"), "{error}");
    assert_eq!(wait(ScyllaCatalog::check(&url)).unwrap_err(), error);
    for _ in 0..2 {
        wait(ScyllaCatalog::init(&url, Replication { copies: None })).unwrap();
    }
    let stage = Stage::within(cluster::make as Make, directory.path());
    assert_eq!(names(&stage), ["drive"]);
    drop(stage);
    // One of a later version is left alone.
    cluster::run(&format!("UPDATE {name}.layout SET version = 3 WHERE one = 0 IF version = 2"));
    for refused in [wait(ScyllaCatalog::init(&url, Replication { copies: None })), wait(ScyllaCatalog::check(&url))] {
        assert!(matches!(refused, Err(CatalogError::SchemaMismatch { found: 3, wanted: 2 })), "{refused:?}");
    }
    cluster::forget(directory.path());
}

#[test]
fn nodes_tell_each_other_where_they_are() {
    if !cluster::is_there() {
        return;
    }
    let fleet = fleet();
    let (a, b) = (fleet.a.catalog(), fleet.b.catalog());
    let id = std::fs::read(fleet._directory.path().join("node")).unwrap();
    let id = NodeId(uuid::Uuid::from_slice(&id).unwrap());
    assert_eq!(wait(b.member(id)), Ok(None));
    let ids = tessera::model::IdSource::from_seed([3; 32]);
    for place in ["grpc://one:1", "grpc://one:1", "grpc://two:2"] {
        let member = Member { start: StartId::new(&ids), address: place.to_owned() };
        for _ in 0..2 {
            wait(a.announce(member.clone())).unwrap();
            assert_eq!(wait(b.member(id)), Ok(Some(member.clone())));
        }
    }
}

#[test]
fn a_name_goes_to_one_of_two_nodes() {
    if !cluster::is_there() {
        return;
    }
    let fleet = fleet();
    let both = [&fleet.a, &fleet.b];
    for round in 0..10 {
        let name = format!("drive-{round}");
        let calls: Vec<_> =
            (0..16).map(|n| both[n % 2].catalog().create_sequence(both[n % 2].new_sequence(&name))).collect();
        let answers: Vec<_> = calls.into_iter().map(wait).collect();
        let winner: Vec<_> = answers.iter().flatten().map(|head| head.id).collect();
        assert_eq!(winner.len(), 1, "{answers:?}");
        let told = |answer: &Result<_, _>| match answer {
            Ok(_) => true,
            Err(CatalogError::AlreadyExists { id, .. }) => *id == winner[0].0,
            Err(_) => false,
        };
        assert!(answers.iter().all(told), "{answers:?}");
        // The same for a path, each node in a session of its own.
        let sessions = both.map(|stage| stage.session(&name));
        let calls: Vec<_> = (0..16)
            .map(|n| both[n % 2].catalog().create_topic(both[n % 2].new_topic(&sessions[n % 2], "camera/front")))
            .collect();
        let answers: Vec<_> = calls.into_iter().map(wait).collect();
        let winner: Vec<_> = answers.iter().flatten().map(|head| head.id).collect();
        assert_eq!(winner.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|a| matches!(a, Ok(_) | Err(CatalogError::AlreadyExists { .. }))), "{answers:?}");
        for stage in both {
            let seen = wait(stage.catalog().topic(&topic_name(&name, "camera/front"), Visibility::All)).unwrap();
            assert_eq!(seen.head.id, winner[0]);
        }
    }
    assert_eq!(names(&fleet.a), names(&fleet.b));
    assert_eq!(names(&fleet.a).len(), 10);
}

#[test]
fn what_one_node_finalizes_the_other_reads() {
    if !cluster::is_there() {
        return;
    }
    let Fleet { a, b, .. } = &fleet();
    a.sequence("drive");
    let (session, open) = (a.session("drive"), b.session("drive"));
    let records = a.records(300);
    let topic = a.written(&session, "imu", records.clone());
    let hidden = b.written(&open, "gps", b.records(1));
    for visibility in [Visibility::Final, Visibility::All] {
        let view = wait(b.catalog().sequence(&sequence_name("drive"), visibility)).unwrap();
        let topics: Vec<_> = view.sessions.iter().map(|session| session.topics.len()).collect();
        // Of another node's open session it is known what is in it, and no more.
        assert_eq!(topics, if visibility == Visibility::All { [1, 1] } else { [0, 0] });
        assert_eq!(view.sessions[0].head.id, session.id, "in the order of their creation");
    }
    assert_not_found(wait(b.catalog().topic(&topic.name, Visibility::Final)));
    assert_not_found(wait(b.catalog().topic_by_id(topic.id, Visibility::All)));
    wait(a.catalog().finalize(session.id, 500)).unwrap();
    let target = NotificationTarget::Topic(topic.name.clone());
    wait(b.catalog().notify(&target, Notification { message: "from b".to_owned(), created_at_ns: 1 })).unwrap();
    assert_eq!(wait(a.catalog().notifications(&target)).unwrap().len(), 1);
    let [of_a, of_b] = [(a, false), (b, true)].map(|(stage, elsewhere)| {
        let mut view = wait(stage.catalog().topic(&topic.name, Visibility::Final)).unwrap();
        assert_eq!(wait(stage.catalog().topic_by_id(topic.id, Visibility::Final)), Ok(view.clone()));
        assert_eq!(view.node.take().is_some(), elsewhere, "who has the files");
        let segments = wait(stage.catalog().segments(topic.id, TimeRange::ALL, None, 9)).unwrap();
        let chunks: Vec<_> =
            segments.items.iter().flat_map(|segment| wait(stage.catalog().directory(segment.key)).unwrap()).collect();
        assert_eq!(chunks, records);
        let mut contents = wait(stage.catalog().contents(None, 9)).unwrap();
        contents.items[0].topics[0].node = None;
        let mut whole = wait(stage.catalog().session(session.id)).unwrap();
        whole.topics[0].node = None;
        (view, segments, contents, whole)
    });
    assert_eq!(of_a, of_b);
    assert_eq!((of_a.0.totals.chunks, of_a.3.head.state), (300, SessionState::Final));
    assert_not_found(wait(a.catalog().topic_by_id(hidden.id, Visibility::Final)));
}

#[test]
fn what_one_node_deletes_the_other_purges() {
    if !cluster::is_there() {
        return;
    }
    let mut fleet = fleet();
    let Fleet { a, b, .. } = &mut fleet;
    a.sequence("drive");
    let (session, open) = (a.session("drive"), a.session("drive"));
    let topic = a.written(&session, "imu", a.records(2));
    a.written(&open, "gps", a.records(3));
    wait(a.catalog().finalize(session.id, 500)).unwrap();
    wait(b.catalog().delete_session(session.id)).unwrap();
    assert_not_found(wait(b.catalog().delete_session(session.id)));
    for stage in [&*a, &*b] {
        assert_not_found(wait(stage.catalog().topic(&topic.name, Visibility::All)));
        assert_not_found(wait(stage.catalog().segments(topic.id, TimeRange::ALL, None, 9)));
    }
    // Its name is free for both at once, also where the old one's files still lie.
    let third = a.session("drive");
    let again = a.written(&third, "imu", a.records(1));
    assert_ne!(again.id, topic.id);
    assert!(wait(b.catalog().tombstones(0, 9)).unwrap().is_empty(), "the files lie with the other one");
    let buried = wait(a.catalog().tombstones(0, 9)).unwrap();
    assert_eq!(buried.iter().map(|tombstone| tombstone.session).collect::<Vec<_>>(), [session.id]);
    wait(a.catalog().purged(buried[0].number)).unwrap();
    assert!(wait(a.catalog().tombstones(0, 9)).unwrap().is_empty());

    // A whole sequence, while its node is down. The name goes to a new one at once.
    let old = wait(b.catalog().sequence(&sequence_name("drive"), Visibility::All)).unwrap();
    wait(b.catalog().delete_sequence(old.head.id)).unwrap();
    assert_eq!(names(a), Vec::<String>::new());
    let new = b.sequence("drive");
    a.reopen();
    assert_eq!(wait(a.open().sessions()), Ok(Vec::new()), "a start buries what others deleted");
    let mine = a.session("drive");
    assert_eq!(mine.sequence, new.id, "the own store follows");
    a.written(&mine, "imu", a.records(1));
    wait(a.catalog().finalize(mine.id, 600)).unwrap();
    for tombstone in wait(a.catalog().tombstones(0, 9)).unwrap() {
        wait(a.catalog().purged(tombstone.number)).unwrap();
    }
    let seen = wait(b.catalog().topic(&topic_name("drive", "imu"), Visibility::Final)).unwrap();
    assert_eq!((seen.totals.chunks, seen.head.session), (1, mine.id));
}

/// Goal: what a node did not come to tell its own store, its next start does.
/// Method: another process of the same node, with a copy of its store, does what the first one then does not know of.
#[test]
fn a_start_follows_the_shared_catalog() {
    if !cluster::is_there() {
        return;
    }
    let mut fleet = fleet();
    let Fleet { a, _directory, .. } = &mut fleet;
    a.sequence("drive");
    let (done, dropped) = (a.session("drive"), a.session("drive"));
    a.written(&done, "imu", a.records(3));
    let topic = a.written(&dropped, "gps", a.records(1));
    let lost = a.topic(&dropped, "lost");
    let directory = _directory.path();
    let copy = directory.join("copy");
    std::fs::create_dir(&copy).unwrap();
    a.close();
    for file in ["catalog.sqlite", "node"] {
        std::fs::copy(directory.join(file), copy.join(file)).unwrap();
    }
    let twin = Stage::within(second as Make, &copy);
    wait(twin.catalog().finalize(done.id, 500)).unwrap();
    wait(twin.catalog().delete_topic(lost.id)).unwrap();
    wait(twin.catalog().session(dropped.id)).unwrap();
    drop(twin);
    a.reopen();
    let view = wait(a.catalog().session(done.id)).unwrap();
    assert_eq!((view.head.state, view.head.completed_at_ns), (SessionState::Final, Some(500)));
    assert_eq!(wait(a.catalog().finalize(done.id, 777)).unwrap().completed_at_ns, Some(500));
    assert_eq!(wait(a.open().open_sessions(0, 9)).unwrap().len(), 1);
    let left = wait(a.catalog().session(dropped.id)).unwrap().topics;
    assert_eq!(left.iter().map(|topic| topic.head.id).collect::<Vec<TopicId>>(), [topic.id]);
}

/// Goal: a shared catalog that was put back from a backup, or lost what it acknowledged, takes no rows along.
/// Method: it forgets a sequence in which a node has an open session with rows.
#[test]
fn a_start_keeps_what_the_shared_catalog_forgot() {
    if !cluster::is_there() {
        return;
    }
    let mut fleet = fleet();
    let url = cluster::keyspace(fleet._directory.path());
    let a = &mut fleet.a;
    let sequence = a.sequence("drive");
    let session = a.session("drive");
    a.written(&session, "imu", a.records(3));
    cluster::run(&format!("DELETE FROM {}.sequence WHERE sequence_id = {}", url.keyspace, sequence.id.0));
    assert_not_found(wait(a.catalog().session(session.id)));
    a.reopen();
    assert_eq!(wait(a.open().standing(session.id)), Ok(Standing::Open));
    assert_eq!(wait(a.catalog().tombstones(0, 9)), Ok(Vec::new()));
    // Whatever else is recorded goes on.
    a.sequence("other");
    let other = a.session("other");
    a.written(&other, "imu", a.records(1));
    wait(a.catalog().finalize(other.id, 500)).unwrap();
    a.close();
    let own = crate::stage::embedded(fleet._directory.path());
    assert_eq!(wait(own.catalog.session(session.id)).unwrap().topics.len(), 1);
}

/// Goal: likewise where the name of a forgotten sequence is given away again.
/// Method: it forgets a sequence with a final session, and another node makes one of that name.
#[test]
fn a_new_sequence_of_a_forgotten_name_takes_no_rows_along() {
    if !cluster::is_there() {
        return;
    }
    let Fleet { a, b, _directory } = &fleet();
    let keyspace = cluster::keyspace(_directory.path()).keyspace;
    let sequence = a.sequence("drive");
    let session = a.session("drive");
    a.written(&session, "imu", a.records(3));
    wait(a.catalog().finalize(session.id, 500)).unwrap();
    cluster::run(&format!("DELETE FROM {keyspace}.sequence WHERE sequence_id = {}", sequence.id.0));
    b.sequence("drive");
    let refused = wait(a.catalog().create_session(a.new_session("drive")));
    assert!(
        matches!(&refused, Err(CatalogError::Corrupt { detail, .. }) if detail.contains("nothing was removed")),
        "{refused:?}"
    );
    assert_eq!(wait(a.open().standing(session.id)), Ok(Standing::Final));
    assert_eq!(wait(a.catalog().tombstones(0, 9)), Ok(Vec::new()));
}

/// Goal: likewise for the name of a topic that has rows: it gets its name again, at a start or when somebody wants it.
/// Method: it forgets the name.
#[test]
fn a_topic_with_rows_gets_its_forgotten_name_again() {
    if !cluster::is_there() {
        return;
    }
    let mut fleet = fleet();
    let keyspace = cluster::keyspace(fleet._directory.path()).keyspace;
    let Fleet { a, b, .. } = &mut fleet;
    let sequence = a.sequence("drive");
    let (session, other) = (a.session("drive"), b.session("drive"));
    let topic = a.written(&session, "imu", a.records(3));
    for wanted in [false, true] {
        cluster::run(&format!(
            "DELETE FROM {keyspace}.sequence WHERE sequence_id = {} AND kind = 2 AND key = 'imu' IF EXISTS",
            sequence.id.0
        ));
        match wanted {
            true => drop(wait(a.catalog().create_topic(a.new_topic(&session, "imu"))).unwrap_err()),
            false => a.reopen(),
        }
        let seen = wait(b.catalog().create_topic(b.new_topic(&other, "imu")));
        assert!(matches!(seen, Err(CatalogError::AlreadyExists { id, .. }) if id == topic.id.0), "{seen:?}");
        assert_eq!(wait(a.catalog().session(session.id)).unwrap().topics.len(), 1);
    }
    wait(a.catalog().finalize(session.id, 500)).unwrap();
    assert_eq!(wait(b.catalog().topic(&topic.name, Visibility::Final)).unwrap().totals.chunks, 3);
}

/// Goal: a name that many sequences had, of which one lives, is found.
/// Method: rows of the list that lead nowhere, as deletes that were cut off leave them.
#[test]
fn what_leads_nowhere_hides_no_sequence() {
    if !cluster::is_there() {
        return;
    }
    let Fleet { a, b, _directory } = &fleet();
    let keyspace = cluster::keyspace(_directory.path()).keyspace;
    ["a", "drive", "z"].iter().for_each(|name| drop(a.sequence(name)));
    let list = |columns: &str| cluster::run(&format!("SELECT {columns} FROM {keyspace}.name_list"));
    let part: serde_json::Value = list("JSON *")
        .iter()
        .map(|row| serde_json::from_str(row).unwrap())
        .find(|row: &serde_json::Value| row["name"] == "drive")
        .unwrap();
    // Ids of all orders, so that some lie before the one that lives.
    for _ in 0..600 {
        let mut stray = part.clone();
        stray["id"] = cluster::ids().uuid().to_string().into();
        cluster::run(&format!("INSERT INTO {keyspace}.name_list JSON '{stray}'"));
    }
    assert_eq!(names(b), ["a", "drive", "z"]);
    assert_eq!(list("JSON *").len(), 3, "what led nowhere is gone");
}

/// Goal: a topic that a finalize published before it failed, and that was deleted before the next one, is nobody's.
/// Method: its row is put there by hand.
#[test]
fn a_topic_deleted_between_two_finalizes_does_not_count() {
    if !cluster::is_there() {
        return;
    }
    let Fleet { a, b, _directory } = &fleet();
    let keyspace = cluster::keyspace(_directory.path()).keyspace;
    let sequence = a.sequence("drive");
    let session = a.session("drive");
    let topic = a.written(&session, "imu", a.records(3));
    wait(a.catalog().finalize(session.id, 500)).unwrap();
    let rows = cluster::run(&format!("SELECT JSON * FROM {keyspace}.topic WHERE sequence_id = {}", sequence.id.0));
    let stray = rows[0].replace(&topic.id.0.to_string(), &TopicId::new(&b.ids).0.to_string()).replace("imu", "gone");
    cluster::run(&format!("INSERT INTO {keyspace}.topic JSON '{stray}'"));
    for stage in [a, b] {
        let view = wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::Final)).unwrap();
        let topics: Vec<_> = view.sessions[0].topics.iter().map(|topic| topic.head.id).collect();
        assert_eq!(topics, [topic.id]);
    }
    // A topic that is wanting is damage, however many there are.
    cluster::run(&format!(
        "DELETE FROM {keyspace}.topic WHERE sequence_id = {} AND topic_id = {}",
        sequence.id.0, topic.id.0
    ));
    let fewer = wait(b.catalog().sequence(&sequence_name("drive"), Visibility::Final));
    assert!(matches!(fewer, Err(CatalogError::Corrupt { .. })), "{fewer:?}");
}

/// Goal: a create that was cut off, and came through behind the next start, keeps nobody from its name.
/// Method: the name is given to a topic that no store has, as that create would.
#[test]
fn a_name_whose_topic_is_nowhere_is_taken_over() {
    if !cluster::is_there() {
        return;
    }
    let Fleet { a, b, _directory } = &fleet();
    let keyspace = cluster::keyspace(_directory.path()).keyspace;
    let sequence = a.sequence("drive");
    let (session, other) = (a.session("drive"), b.session("drive"));
    cluster::run(&format!(
        "UPDATE {keyspace}.sequence SET topic_id = {}, topic_session = {}, tag = 'imu', format = 'default', topic_created = 1
         WHERE sequence_id = {} AND kind = 2 AND key = 'imu' IF topic_id = null",
        TopicId::new(&b.ids).0,
        session.id.0,
        sequence.id.0
    ));
    // Only whose session it is can know that.
    let taken = wait(b.catalog().create_topic(b.new_topic(&other, "imu")));
    assert!(matches!(taken, Err(CatalogError::AlreadyExists { .. })), "{taken:?}");
    let topic = a.written(&session, "imu", a.records(1));
    wait(a.catalog().finalize(session.id, 500)).unwrap();
    let seen = wait(b.catalog().topic(&topic_name("drive", "imu"), Visibility::Final)).unwrap();
    assert_eq!(seen.head.id, topic.id);
}

/// Goal: a session that is final in a store made again from its files, and open for all others, can be finalized.
/// Method: it is finalized in the own store alone.
#[test]
fn what_was_made_again_from_files_can_be_finalized() {
    if !cluster::is_there() {
        return;
    }
    let mut fleet = fleet();
    let Fleet { a, b, _directory } = &mut fleet;
    a.sequence("drive");
    let session = a.session("drive");
    let topic = a.written(&session, "imu", a.records(3));
    a.close();
    let own = crate::stage::embedded(_directory.path());
    wait(own.catalog.finalize(session.id, 500)).unwrap();
    drop(own);
    a.reopen();
    assert_eq!(wait(a.catalog().session(session.id)).unwrap().head.state, SessionState::Open);
    assert_not_found(wait(b.catalog().topic(&topic.name, Visibility::Final)));
    let refused = wait(b.catalog().finalize(session.id, 700));
    assert!(matches!(refused, Err(CatalogError::Refused { .. })), "{refused:?}");
    let done = wait(a.catalog().finalize(session.id, 700)).unwrap();
    assert_eq!((done.state, done.completed_at_ns), (SessionState::Final, Some(500)));
    assert_eq!(wait(b.catalog().topic(&topic.name, Visibility::Final)).unwrap().totals.chunks, 3);
    wait(b.catalog().delete_session(session.id)).unwrap();
    assert_not_found(wait(a.catalog().finalize(session.id, 900)));
}
