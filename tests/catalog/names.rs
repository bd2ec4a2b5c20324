//! Who gets a name, and what an id or a token finds.

use std::sync::Barrier;

use tessera::catalog::CatalogError;
use tessera::catalog::Entity;
use tessera::catalog::NewSequence;
use tessera::catalog::Visibility;
use tessera::model::SequenceId;
use tessera::model::SessionId;
use uuid::Uuid;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

const RACERS: usize = 64;

/// Runs `attempt` on 64 threads at once. Exactly one may win; all others must see its id.
fn race<T: Send>(stage: &Stage, attempt: impl Fn(&Stage, usize) -> (Uuid, Result<T, CatalogError>) + Sync) -> Uuid {
    let barrier = Barrier::new(RACERS);
    let run = |racer| {
        barrier.wait();
        attempt(stage, racer)
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..RACERS).map(|racer| scope.spawn(move || run(racer))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let winners: Vec<Uuid> = answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(id, _)| *id).collect();
    assert_eq!(winners.len(), 1, "winners");
    for (_, answer) in answers {
        match answer {
            Ok(_) => {}
            Err(CatalogError::AlreadyExists { id, .. }) => assert_eq!(id, winners[0]),
            Err(other) => panic!("{other}"),
        }
    }
    winners[0]
}

pub fn one_of_64_racers_gets_a_sequence_name(make: Make) {
    let stage = Stage::new(make);
    let winner = race(&stage, |stage, _| {
        let new = stage.new_sequence("drive");
        (new.id.0, wait(stage.catalog().create_sequence(new)))
    });
    let view = wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::Final)).unwrap();
    assert_eq!(view.head.id, SequenceId(winner));
}

pub fn one_of_64_racers_gets_a_topic_path(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let sessions: Vec<_> = (0..4).map(|_| stage.session("drive")).collect();
    let winner = race(&stage, |stage, racer| {
        let new = stage.new_topic(&sessions[racer % 4], "camera/front");
        (new.id.0, wait(stage.catalog().create_topic(new)))
    });
    let view = wait(stage.catalog().topic(&topic_name("drive", "camera/front"), Visibility::All)).unwrap();
    assert_eq!(view.head.id.0, winner);
}

pub fn every_create_can_be_repeated(make: Make) {
    let mut stage = Stage::new(make);
    let sequence = stage.new_sequence("drive");
    let sequence_head = wait(stage.catalog().create_sequence(sequence.clone())).unwrap();
    let session = stage.new_session("drive");
    let session_head = wait(stage.catalog().create_session(session.clone())).unwrap();
    let topic = stage.new_topic(&session_head, "imu");
    let topic_head = wait(stage.catalog().create_topic(topic.clone())).unwrap();
    for _ in 0..2 {
        assert_eq!(wait(stage.catalog().create_sequence(sequence.clone())).as_ref(), Ok(&sequence_head));
        assert_eq!(wait(stage.catalog().create_session(session.clone())).as_ref(), Ok(&session_head));
        assert_eq!(wait(stage.catalog().create_topic(topic.clone())).as_ref(), Ok(&topic_head));
        stage.reopen();
    }
    let view = wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::All)).unwrap();
    assert_eq!((view.sessions.len(), view.sessions[0].topics.len()), (1, 1));
}

pub fn an_id_names_one_thing(make: Make) {
    let stage = Stage::new(make);
    let head = stage.sequence("drive");
    stage.sequence("other");
    let same_id = NewSequence { id: head.id, ..stage.new_sequence("third") };
    let answer = wait(stage.catalog().create_sequence(same_id));
    assert!(matches!(answer, Err(CatalogError::AlreadyExists { what: Entity::Sequence, id, .. }) if id == head.id.0));
    assert_not_found(wait(stage.catalog().sequence(&sequence_name("third"), Visibility::All)));

    let session = stage.new_session("drive");
    let session_head = wait(stage.catalog().create_session(session.clone())).unwrap();
    let mut moved = session;
    moved.sequence = sequence_name("other");
    assert!(matches!(wait(stage.catalog().create_session(moved)), Err(CatalogError::AlreadyExists { .. })));

    let topic = stage.new_topic(&session_head, "imu");
    wait(stage.catalog().create_topic(topic.clone())).unwrap();
    let mut renamed = topic;
    renamed.name = topic_name("drive", "gps");
    assert!(matches!(wait(stage.catalog().create_topic(renamed)), Err(CatalogError::AlreadyExists { .. })));
}

pub fn tokens_find_what_they_prove(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.new_session("drive");
    let session_head = wait(stage.catalog().create_session(session.clone())).unwrap();
    let topic = stage.new_topic(&session_head, "imu");
    let topic_head = wait(stage.catalog().create_topic(topic.clone())).unwrap();
    stage.reopen();
    assert_eq!(wait(stage.open().session_by_token(session.token)), Ok(session_head.clone()));
    assert_eq!(wait(stage.open().topic_by_token(topic.token)), Ok(topic_head));
    // One is no key to the other, and unknown ones find nothing.
    assert_not_found(wait(stage.open().session_by_token(topic.token)));
    assert_not_found(wait(stage.open().topic_by_token(session.token)));
    assert_not_found(wait(stage.open().session_by_token(stage.token())));

    let mut double = stage.new_session("drive");
    double.token = session.token;
    assert!(matches!(wait(stage.catalog().create_session(double)), Err(CatalogError::Invalid { .. })));
    let mut double = stage.new_topic(&session_head, "gps");
    double.token = topic.token;
    assert!(matches!(wait(stage.catalog().create_topic(double)), Err(CatalogError::Invalid { .. })));

    wait(stage.catalog().delete_session(session.id)).unwrap();
    assert_not_found(wait(stage.open().session_by_token(session.token)));
    assert_not_found(wait(stage.open().topic_by_token(topic.token)));
}

pub fn a_topic_outside_its_sequence_is_refused(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    stage.sequence("other");
    let mut new = stage.new_topic(&stage.session("drive"), "imu");
    new.name = topic_name("other", "imu");
    assert!(matches!(wait(stage.catalog().create_topic(new)), Err(CatalogError::ForeignSequence { .. })));
    assert_not_found(wait(stage.catalog().topic(&topic_name("other", "imu"), Visibility::All)));
}

pub fn nothing_is_made_inside_nothing(make: Make) {
    let stage = Stage::new(make);
    assert_not_found(wait(stage.catalog().create_session(stage.new_session("drive"))));
    stage.sequence("drive");
    let mut new = stage.new_topic(&stage.session("drive"), "imu");
    new.session = SessionId::new(&stage.ids);
    let absent = new.session;
    let absent_topic = new.id;
    assert_not_found(wait(stage.catalog().create_topic(new)));
    assert_not_found(wait(stage.catalog().session(absent)));
    assert_not_found(wait(stage.catalog().finalize(absent, 1)));
    assert_not_found(wait(stage.open().committed_chunks(absent)));
    assert_not_found(wait(stage.open().begin_put(absent_topic, Vec::new())));
    assert_not_found(wait(stage.open().commit(absent_topic, Vec::new(), None)));
}
