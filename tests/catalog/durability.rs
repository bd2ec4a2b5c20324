//! Write, drop, reopen, compare; and what a start does.

use tessera::catalog::KnownStart;
use tessera::catalog::Visibility;
use tessera::model::DeviceId;
use tessera::model::DeviceNumber;
use tessera::model::NotificationTarget;
use tessera::model::StartId;
use tessera::model::TimeRange;
use tessera::model::TopicState;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::complete;
use crate::stage::interrupted;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

pub fn everything_is_there_after_reopening(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let (last, open) = (stage.session("drive"), stage.session("drive"));
    stage.written(&last, "imu", stage.records(300));
    wait(stage.catalog().finalize(last.id, 500)).unwrap();
    stage.topic(&open, "created");
    stage.written(&open, "complete", stage.records(1));
    for (path, end) in [("receiving", None), ("interrupted", interrupted("cable"))] {
        let topic = stage.topic(&open, path);
        wait(stage.open().begin_put(topic.id, path.as_bytes().to_vec())).unwrap();
        wait(stage.open().commit(topic.id, stage.records(258), None)).unwrap();
        wait(stage.open().commit(topic.id, stage.records(3), end)).unwrap();
    }
    let look = |stage: &Stage| {
        let views = [Visibility::Final, Visibility::All]
            .map(|visibility| wait(stage.catalog().sequence(&sequence_name("drive"), visibility)).unwrap());
        let topics = &views[1].sessions[1].topics;
        let segments: Vec<_> = topics
            .iter()
            .map(|topic| wait(stage.catalog().segments(topic.head.id, TimeRange::ALL, None, 9)).unwrap())
            .collect();
        let chunks = [&last, &open].map(|session| wait(stage.open().committed_chunks(session.id)).unwrap());
        (views, segments, chunks)
    };
    let before = look(&stage);
    assert_eq!(before.2[1].len(), 1 + 261 + 261);
    stage.reopen();
    assert_eq!(look(&stage), before);
    stage.reopen();
    assert_eq!(look(&stage), before);
}

pub fn a_start_interrupts_what_was_received(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let records = stage.records(300);
    stage.topic(&session, "created");
    stage.written(&session, "complete", Vec::new());
    for (path, count) in [("receiving", 300), ("empty", 0)] {
        let topic = stage.topic(&session, path);
        wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
        wait(stage.open().commit(topic.id, records[..count].to_vec(), None)).unwrap();
    }
    stage.reopen();
    let first = wait(stage.open().boot([1; 32], 4_000)).unwrap();
    for _ in 0..2 {
        let view = wait(stage.catalog().session(session.id)).unwrap();
        let states: Vec<_> = view.topics.iter().map(|topic| topic.head.state).collect();
        use TopicState::*;
        assert_eq!(states, [Created, Complete, Interrupted, Interrupted]);
        assert_eq!(view.topics[2].head.completed_at_ns, Some(4_000));
        assert_eq!((view.topics[2].totals.chunks, view.topics[3].totals.chunks), (300, 0));
        assert_eq!(wait(stage.open().committed_chunks(session.id)), Ok(records.clone()));
        // Opening twice and starting again changes nothing more.
        stage.reopen();
        assert_eq!(wait(stage.open().boot([2; 32], 5_000)).unwrap().ticket_key, first.ticket_key);
    }
    wait(stage.catalog().delete_topic(wait(stage.catalog().session(session.id)).unwrap().topics[0].head.id)).unwrap();
    wait(stage.catalog().finalize(session.id, 6_000)).unwrap();
    let target = NotificationTarget::Topic(topic_name("drive", "receiving"));
    let notifications = wait(stage.catalog().notifications(&target)).unwrap();
    assert_eq!((notifications.len(), notifications[0].created_at_ns), (1, 4_000));
}

/// Goal: the tail in memory is rebuilt from the journal, so that the same segments come out as without a restart.
pub fn a_put_goes_on_without_a_start(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let topic = stage.topic(&session, "imu");
    let records = stage.records(700);
    wait(stage.open().begin_put(topic.id, Vec::new())).unwrap();
    for part in records.chunks(70) {
        wait(stage.open().commit(topic.id, part.to_vec(), None)).unwrap();
        stage.reopen();
    }
    wait(stage.open().commit(topic.id, Vec::new(), complete())).unwrap();
    stage.reopen();
    let segments = wait(stage.catalog().segments(topic.id, TimeRange::ALL, None, 9)).unwrap().items;
    assert_eq!(segments.iter().map(|segment| segment.chunks).collect::<Vec<_>>(), [256, 256, 188]);
    assert_eq!(wait(stage.open().committed_chunks(session.id)), Ok(records));
}

pub fn starts_are_counted_and_the_key_stays(make: Make) {
    let mut stage = Stage::new(make);
    for (incarnation, seed) in [(1, [5; 32]), (2, [6; 32]), (3, [7; 32])] {
        let boot = wait(stage.open().boot(seed, 1)).unwrap();
        assert_eq!((boot.incarnation, boot.ticket_key), (incarnation, [5; 32]));
        assert!(!format!("{boot:?}").contains("5, 5"), "a key is never printed");
        stage.reopen();
    }
}

/// Goal: a catalog that is older than the files, or a copy of theirs, knows it; one that is ahead of them does not mind.
pub fn starts_of_another_catalog_are_told(make: Make) {
    let mut stage = Stage::new(make);
    let ids: Vec<_> = (0..3).map(|_| StartId::new(&stage.ids)).collect();
    let known = |stage: &Stage, number, id| wait(stage.open().known_start(number, id, 0)).unwrap();
    assert_eq!(known(&stage, 1, ids[0]), KnownStart::Later { last: 0 }, "never booted");
    // The third start ended before it named itself.
    for (number, id) in [(1, Some(ids[0])), (2, Some(ids[1])), (3, None)] {
        assert_eq!(wait(stage.open().boot([5; 32], 1)).unwrap().incarnation, number);
        if let Some(id) = id {
            wait(stage.open().name_start(number, id)).unwrap();
        }
        stage.reopen();
    }
    for (number, id, expected) in [
        (1, ids[0], KnownStart::Own),
        (2, ids[1], KnownStart::Own),
        (2, ids[0], KnownStart::Foreign),
        (3, ids[2], KnownStart::Own),
        (4, ids[2], KnownStart::Later { last: 3 }),
    ] {
        assert_eq!(known(&stage, number, id), expected, "{number}");
    }
}

/// Goal: a catalog that was copied while a start ran knows less of it than the files do; of other starts it says nothing.
pub fn moments_that_a_copy_lacks_are_told(make: Make) {
    let mut stage = Stage::new(make);
    let ids: Vec<_> = (0..3).map(|_| StartId::new(&stage.ids)).collect();
    for (number, moments) in [(1, 3), (2, 1), (3, 0)] {
        wait(stage.open().boot([5; 32], 1)).unwrap();
        wait(stage.open().name_start(number, ids[number as usize - 1])).unwrap();
        for count in 1..=moments {
            assert_eq!(wait(stage.open().count_moment()), Ok(count));
        }
        stage.reopen();
    }
    let known = |number: u64, moment| wait(stage.open().known_start(number, ids[number as usize - 1], moment)).unwrap();
    for (number, counted) in [(1, 3), (2, 1), (3, 0)] {
        assert_eq!((known(number, 0), known(number, counted)), (KnownStart::Own, KnownStart::Own), "{number}");
        assert_eq!(known(number, counted + 1), KnownStart::Behind, "{number}");
    }
    assert_eq!(wait(stage.open().known_start(1, ids[1], 1)).unwrap(), KnownStart::Foreign);
}

pub fn data_directories_keep_their_numbers(make: Make) {
    let mut stage = Stage::new(make);
    let ids: Vec<_> = (0..3).map(|_| DeviceId::new(&stage.ids)).collect();
    for _ in 0..2 {
        for (number, id) in (0..).map(DeviceNumber).zip(&ids) {
            assert_eq!(wait(stage.open().device(*id)), Ok(number));
        }
        stage.reopen();
    }
    let expected: Vec<_> = (0..).map(DeviceNumber).zip(ids).collect();
    assert_eq!(wait(stage.open().devices()), Ok(expected));
}
