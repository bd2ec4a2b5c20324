//! The one moment at which a session's topics become visible.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use tessera::catalog::CatalogError;
use tessera::catalog::Visibility;
use tessera::model::NotificationTarget;
use tessera::model::TimeRange;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::interrupted;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

const TOPICS: usize = 50;
const READERS: usize = 16;

/// Goal: no reader ever sees a part of a session, and none sees less than another saw before.
/// Method: 16 readers look in turn at the sequence, at a topic by name and at one by id while the session is finalized.
pub fn readers_see_all_topics_or_none(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let topics: Vec<_> =
        (0..TOPICS).map(|n| stage.written(&session, &format!("topic/{n}"), stage.records(300))).collect();
    let (visible, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reader = |index: usize| {
        for round in 0.. {
            let before = visible.load(Ordering::SeqCst);
            let topic = &topics[(index + round) % TOPICS];
            let found = match round % 3 {
                0 => {
                    let view = wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::Final)).unwrap();
                    let count = view.sessions[0].topics.len();
                    assert!(count == 0 || count == TOPICS, "{count} of {TOPICS} topics");
                    assert!(view.sessions[0].topics.iter().all(|topic| topic.totals.chunks == 300));
                    Ok(count == TOPICS)
                }
                1 => wait(stage.catalog().topic(&topic.name, Visibility::Final)).map(|view| view.totals.chunks == 300),
                _ => {
                    wait(stage.catalog().topic_by_id(topic.id, Visibility::Final)).map(|view| view.totals.rows == 3000)
                }
            };
            let seen = match found {
                Ok(seen) => seen,
                Err(CatalogError::NotFound { .. }) => false,
                Err(other) => panic!("{other}"),
            };
            assert!(seen || !before, "a topic that was visible is gone");
            visible.fetch_or(seen, Ordering::SeqCst);
            looks.fetch_add(1, Ordering::SeqCst);
            if before && round % 3 == 2 {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let reader = &reader;
        let readers: Vec<_> = (0..READERS).map(|index| scope.spawn(move || reader(index))).collect();
        // Until all are at it, or have found a fault already.
        while looks.load(Ordering::SeqCst) < 4 * READERS && readers.iter().any(|reader| !reader.is_finished()) {
            std::thread::yield_now();
        }
        wait(stage.catalog().finalize(session.id, 500)).unwrap();
        visible.store(true, Ordering::SeqCst);
    });
}

pub fn repeating_it_answers_the_same(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    stage.written(&session, "imu", stage.records(1));
    let first = wait(stage.catalog().finalize(session.id, 500));
    assert_eq!(first.as_ref().unwrap().completed_at_ns, Some(500));
    assert_eq!(wait(stage.catalog().finalize(session.id, 501)), first);
    stage.reopen();
    assert_eq!(wait(stage.catalog().finalize(session.id, 502)), first);
}

pub fn an_interrupted_topic_leaves_one_notification(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    stage.written(&session, "gps", stage.records(1));
    let topic = stage.topic(&session, "imu");
    wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
    wait(stage.open().commit(topic.id, stage.records(2), interrupted("the cable broke"))).unwrap();
    let target = NotificationTarget::Topic(topic.name);
    assert_eq!(wait(stage.catalog().notifications(&target)), Ok(Vec::new()));
    for at in [500, 501] {
        wait(stage.catalog().finalize(session.id, at)).unwrap();
        stage.reopen();
    }
    let notifications = wait(stage.catalog().notifications(&target)).unwrap();
    assert_eq!(notifications.len(), 1);
    assert_eq!(notifications[0].created_at_ns, 400);
    assert!(notifications[0].message.contains("the cable broke"), "{}", notifications[0].message);
    assert!(notifications[0].message.contains("20 rows"), "{}", notifications[0].message);
    let whole = NotificationTarget::Topic(topic_name("drive", "gps"));
    assert_eq!(wait(stage.catalog().notifications(&whole)), Ok(Vec::new()));
}

pub fn open_sessions_hide_their_topics(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let (open, last) = (stage.session("drive"), stage.session("drive"));
    let hidden = stage.written(&open, "imu", stage.records(2));
    let seen = stage.written(&last, "gps", stage.records(3));
    wait(stage.catalog().finalize(last.id, 500)).unwrap();
    let view = wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::Final)).unwrap();
    let topics: Vec<_> = view.sessions.iter().map(|session| (session.head.id, session.topics.len())).collect();
    assert_eq!(topics, [(open.id, 0), (last.id, 1)]);
    assert_not_found(wait(stage.catalog().topic(&hidden.name, Visibility::Final)));
    assert_not_found(wait(stage.catalog().topic_by_id(hidden.id, Visibility::Final)));
    let view = wait(stage.catalog().topic(&hidden.name, Visibility::All)).unwrap();
    assert_eq!((view.totals.rows, view.totals.chunks, view.totals.file_bytes), (20, 2, 10_000));
    assert!(wait(stage.catalog().topic(&seen.name, Visibility::Final)).is_ok());
    let chunks = wait(stage.catalog().segments(hidden.id, TimeRange::ALL, None, 9)).unwrap().items[0].chunks;
    assert_eq!(chunks, 2);
}
