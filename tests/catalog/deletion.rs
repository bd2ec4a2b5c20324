//! Deleted is gone at once, for good, and down to the last file.

use tessera::catalog::SEGMENT_CHUNKS_MAX;
use tessera::catalog::Tombstone;
use tessera::catalog::Visibility;
use tessera::model::Notification;
use tessera::model::NotificationTarget;
use tessera::model::TimeRange;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::complete;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

fn tombstones(stage: &Stage) -> Vec<Tombstone> {
    wait(stage.catalog().tombstones(0, 100)).unwrap()
}

pub fn a_deleted_session_frees_its_names_at_once(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let (doomed, kept) = (stage.session("drive"), stage.session("drive"));
    let old = stage.written(&doomed, "imu", stage.records(3));
    stage.written(&kept, "gps", stage.records(1));
    wait(stage.catalog().finalize(doomed.id, 500)).unwrap();
    wait(stage.catalog().delete_session(doomed.id)).unwrap();
    assert_not_found(wait(stage.catalog().delete_session(doomed.id)));
    assert_not_found(wait(stage.catalog().session(doomed.id)));
    assert_not_found(wait(stage.catalog().topic(&old.name, Visibility::All)));
    assert_not_found(wait(stage.catalog().topic_by_id(old.id, Visibility::All)));
    assert_not_found(wait(stage.catalog().segments(old.id, TimeRange::ALL, None, 9)));
    let again = stage.topic(&kept, "imu");
    let view = wait(stage.catalog().topic(&old.name, Visibility::All)).unwrap();
    assert_eq!((view.head.id, view.schema, view.totals.rows), (again.id, None, 0));
    let view = wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::All)).unwrap();
    assert_eq!(view.sessions.len(), 1);
    assert_eq!(wait(stage.open().sessions()), Ok(vec![kept.id]));
}

pub fn a_sequence_with_a_session_is_not_empty(make: Make) {
    let stage = Stage::new(make);
    let sequence = stage.sequence("drive");
    let session = stage.session("drive");
    assert_eq!(wait(stage.catalog().delete_empty_sequence(sequence.id)), Ok(false));
    let topic = stage.written(&session, "imu", stage.records(1));
    wait(stage.catalog().finalize(session.id, 500)).unwrap();
    assert_eq!(wait(stage.catalog().delete_empty_sequence(sequence.id)), Ok(false));
    assert!(wait(stage.catalog().topic(&topic.name, Visibility::Final)).is_ok());
    wait(stage.catalog().delete_session(session.id)).unwrap();
    assert_eq!(wait(stage.catalog().delete_empty_sequence(sequence.id)), Ok(true));
    assert_not_found(wait(stage.catalog().delete_empty_sequence(sequence.id)));
    assert_not_found(wait(stage.catalog().sequence(&sequence.name, Visibility::All)));
}

pub fn a_deleted_sequence_takes_open_sessions_along(make: Make) {
    let mut stage = Stage::new(make);
    let sequence = stage.sequence("drive");
    stage.sequence("other");
    let sessions = [stage.session("drive"), stage.session("drive"), stage.session("drive")];
    let bystander = stage.session("other");
    stage.written(&sessions[0], "imu", stage.records(1));
    wait(stage.catalog().finalize(sessions[0].id, 500)).unwrap();
    let receiving = stage.topic(&sessions[1], "gps");
    wait(stage.open().begin_put(receiving.id, Vec::new())).unwrap();
    wait(stage.open().commit(receiving.id, stage.records(2), None)).unwrap();
    wait(stage.catalog().delete_sequence(sequence.id)).unwrap();
    assert_not_found(wait(stage.catalog().delete_sequence(sequence.id)));
    assert_not_found(wait(stage.catalog().sequence(&sequence.name, Visibility::All)));
    assert_not_found(wait(stage.catalog().create_session(stage.new_session("drive"))));
    assert_not_found(wait(stage.open().commit(receiving.id, stage.records(1), None)));
    for session in &sessions {
        assert_not_found(wait(stage.catalog().session(session.id)));
    }
    let again = stage.sequence("drive");
    assert_ne!(again.id, sequence.id);
    stage.reopen();
    assert_eq!(wait(stage.open().sessions()), Ok(vec![bystander.id]));
    let buried = tombstones(&stage);
    assert_eq!(buried.iter().map(|tombstone| tombstone.session).collect::<Vec<_>>(), sessions.clone().map(|s| s.id));
    for tombstone in buried {
        wait(stage.catalog().purged(tombstone.number)).unwrap();
    }
    let view = wait(stage.catalog().sequence(&again.name, Visibility::All)).unwrap();
    assert_eq!((view.head, view.sessions.len()), (again, 0));
}

pub fn a_deleted_topic_leaves_its_neighbours(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let (old_records, kept_records) = (stage.records(2), stage.records(300));
    let old = stage.topic(&session, "imu");
    wait(stage.open().begin_put(old.id, Vec::new())).unwrap();
    wait(stage.open().commit(old.id, old_records.clone(), None)).unwrap();
    let kept = stage.written(&session, "gps", kept_records.clone());
    wait(stage.catalog().delete_topic(old.id)).unwrap();
    assert_not_found(wait(stage.catalog().delete_topic(old.id)));
    let expected = Some((old.id, old_records));
    for _ in 0..2 {
        assert_eq!(wait(stage.open().committed_chunks(session.id)), Ok(kept_records.clone()));
        let buried = tombstones(&stage);
        assert_eq!((buried.len(), buried[0].session, &buried[0].topic), (1, session.id, &expected));
        stage.reopen();
    }
    stage.written(&session, "imu", Vec::new());
    wait(stage.catalog().purged(tombstones(&stage)[0].number)).unwrap();
    assert_eq!(tombstones(&stage), []);
    wait(stage.catalog().finalize(session.id, 500)).unwrap();
    let view = wait(stage.catalog().session(session.id)).unwrap();
    assert_eq!(view.topics.iter().map(|topic| topic.totals.chunks).collect::<Vec<_>>(), [300, 0]);
    assert_eq!(view.topics[0].head.id, kept.id);
}

/// Goal: neither a restart, nor a repeated create, nor the purge brings back or takes away anything else.
pub fn nothing_resurrects(make: Make) {
    let mut stage = Stage::new(make);
    let sequence = stage.new_sequence("drive");
    wait(stage.catalog().create_sequence(sequence.clone())).unwrap();
    let session = stage.new_session("drive");
    let head = wait(stage.catalog().create_session(session.clone())).unwrap();
    let topic = stage.new_topic(&head, "imu");
    wait(stage.catalog().create_topic(topic.clone())).unwrap();
    let target = NotificationTarget::Topic(topic.name.clone());
    let notification = Notification { message: "old".to_owned(), created_at_ns: 1 };
    wait(stage.catalog().notify(&target, notification.clone())).unwrap();
    wait(stage.catalog().notify(&NotificationTarget::Sequence(sequence.name.clone()), notification)).unwrap();
    wait(stage.catalog().delete_sequence(sequence.id)).unwrap();
    for _ in 0..2 {
        assert_not_found(wait(stage.catalog().create_topic(topic.clone())));
        assert_not_found(wait(stage.catalog().create_sequence(sequence.clone())));
        assert_not_found(wait(stage.catalog().create_session(session.clone())));
        assert_not_found(wait(stage.catalog().finalize(session.id, 1)));
        assert_not_found(wait(stage.open().begin_put(topic.id, Vec::new())));
        stage.reopen();
    }
    let again = stage.sequence("drive");
    let new = stage.session("drive");
    stage.topic(&new, "imu");
    for _ in 0..2 {
        let view = wait(stage.catalog().sequence(&again.name, Visibility::All)).unwrap();
        assert_eq!((view.sessions.len(), view.sessions[0].topics.len()), (1, 1));
        assert_eq!(wait(stage.catalog().notifications(&target)), Ok(Vec::new()));
        let of_sequence = NotificationTarget::Sequence(again.name.clone());
        assert_eq!(wait(stage.catalog().notifications(&of_sequence)), Ok(Vec::new()));
        for tombstone in tombstones(&stage) {
            wait(stage.catalog().purged(tombstone.number)).unwrap();
        }
        stage.reopen();
    }
}

pub fn tombstones_list_exactly_the_files_to_remove(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let (doomed, kept) = (stage.session("drive"), stage.session("drive"));
    let mut files = stage.records(300);
    let early = stage.written(&doomed, "early", files.clone());
    wait(stage.catalog().delete_topic(early.id)).unwrap();
    let (whole, part) = (stage.records(4), stage.records(257));
    stage.written(&doomed, "whole", whole.clone());
    let open = stage.topic(&doomed, "part");
    wait(stage.open().begin_put(open.id, Vec::new())).unwrap();
    wait(stage.open().commit(open.id, part.clone(), None)).unwrap();
    files.extend(whole);
    files.extend(part);
    let kept_files = stage.records(2);
    stage.written(&kept, "kept", kept_files.clone());
    wait(stage.catalog().delete_session(doomed.id)).unwrap();
    let number = tombstones(&stage)[0].number;
    for _ in 0..2 {
        // One tombstone speaks for the session and for the topic that was deleted before it.
        assert_eq!(tombstones(&stage), [Tombstone { number, session: doomed.id, topic: None }]);
        assert_eq!(wait(stage.open().committed_chunks(doomed.id)), Ok(files.clone()));
        assert_eq!(wait(stage.open().committed_chunks(kept.id)), Ok(kept_files.clone()));
        stage.reopen();
    }
    for _ in 0..2 {
        wait(stage.catalog().purged(number)).unwrap();
        assert_eq!(tombstones(&stage), []);
        assert_not_found(wait(stage.open().committed_chunks(doomed.id)));
        stage.reopen();
    }
    // A number is never used again: a late repeat must not hit another tombstone.
    wait(stage.catalog().delete_session(kept.id)).unwrap();
    wait(stage.catalog().purged(number)).unwrap();
    assert_eq!(tombstones(&stage).len(), 1);
    assert_eq!(wait(stage.open().committed_chunks(kept.id)), Ok(kept_files));
    assert_eq!(wait(stage.catalog().tombstones(0, 0)), Ok(Vec::new()));
}

pub fn a_put_that_lost_its_topic_is_told(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let topic = stage.topic(&session, "imu");
    wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
    wait(stage.open().commit(topic.id, stage.records(1), None)).unwrap();
    wait(stage.catalog().delete_topic(topic.id)).unwrap();
    assert_not_found(wait(stage.open().commit(topic.id, stage.records(1), None)));
    assert_not_found(wait(stage.open().commit(topic.id, stage.records(1), complete())));
    let (_, listed) = tombstones(&stage)[0].topic.clone().unwrap();
    assert_eq!(listed.len(), 1, "what came too late is in no list");
}

pub fn a_purge_of_many_segments_takes_everything(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    for name in ["a", "b", "c"] {
        stage.written(&session, name, stage.records(25 * SEGMENT_CHUNKS_MAX as i64));
    }
    wait(stage.catalog().finalize(session.id, 500)).unwrap();
    wait(stage.catalog().delete_session(session.id)).unwrap();
    wait(stage.catalog().purged(tombstones(&stage)[0].number)).unwrap();
    stage.reopen();
    assert_eq!(tombstones(&stage), []);
    assert_not_found(wait(stage.open().committed_chunks(session.id)));
    assert_not_found(wait(stage.catalog().topic(&topic_name("drive", "a"), Visibility::All)));
}
