//! Every row of the tables in `model::state`, through the transactions that ask them.

use tessera::catalog::CatalogError;
use tessera::catalog::Entity;
use tessera::catalog::Visibility;
use tessera::model::Refusal;
use tessera::model::SessionHead;
use tessera::model::SessionState;
use tessera::model::TopicHead;
use tessera::model::TopicState;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::complete;
use crate::stage::interrupted;
use crate::stage::wait;

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(answer: Result<T, CatalogError>, expected: Refusal) {
    match answer {
        Err(CatalogError::Refused { refusal, .. }) => assert_eq!(refusal, expected),
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

pub fn each_row_of_the_session_table(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    // open
    let open = stage.session("drive");
    assert_eq!(open.state, SessionState::Open);
    assert_refused(wait(stage.catalog().finalize(open.id, 1)), Refusal::SessionEmpty);
    stage.written(&open, "imu", Vec::new());
    let after = wait(stage.catalog().session(open.id)).unwrap();
    assert_eq!(after.head, open);
    let last = wait(stage.catalog().finalize(open.id, 9)).unwrap();
    assert_eq!((last.state, last.completed_at_ns), (SessionState::Final, Some(9)));
    let unwanted = stage.session("drive");
    wait(stage.catalog().delete_session(unwanted.id)).unwrap();
    // final
    assert_refused(wait(stage.catalog().create_topic(stage.new_topic(&open, "gps"))), Refusal::SessionFinal);
    assert_eq!(wait(stage.catalog().finalize(open.id, 77)), Ok(last));
    wait(stage.catalog().delete_session(open.id)).unwrap();
    assert_not_found(wait(stage.catalog().session(open.id)));
}

/// A topic in each state, in a session of its own.
fn standing(stage: &Stage, state: TopicState) -> (SessionHead, TopicHead) {
    let session = stage.session("drive");
    let topic = stage.topic(&session, &format!("topic-{}", session.id));
    if state != TopicState::Created {
        wait(stage.open().begin_put(topic.id, b"schema".to_vec())).unwrap();
    }
    match state {
        TopicState::Created | TopicState::Receiving => {}
        TopicState::Complete => wait(stage.open().commit(topic.id, stage.records(1), complete())).unwrap(),
        TopicState::Interrupted => wait(stage.open().commit(topic.id, Vec::new(), interrupted("cable"))).unwrap(),
    }
    let view = wait(stage.catalog().topic_by_id(topic.id, Visibility::All)).unwrap();
    assert_eq!(view.head.state, state);
    (session, view.head)
}

pub fn each_row_of_the_topic_table(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    use TopicState::*;
    for (state, begin, finalize) in [
        (Created, None, Some(Refusal::TopicWithoutPut)),
        (Receiving, Some(Refusal::TopicReceiving), Some(Refusal::TopicReceiving)),
        (Complete, Some(Refusal::TopicWritten), None),
        (Interrupted, Some(Refusal::TopicWritten), None),
    ] {
        let (_, topic) = standing(&stage, state);
        match begin {
            None => assert_eq!(wait(stage.open().begin_put(topic.id, Vec::new())).unwrap().state, Receiving),
            Some(refusal) => assert_refused(wait(stage.open().begin_put(topic.id, b"other".to_vec())), refusal),
        }
        let (_, topic) = standing(&stage, state);
        wait(stage.catalog().delete_topic(topic.id)).unwrap();
        assert_not_found(wait(stage.catalog().topic_by_id(topic.id, Visibility::All)));
        assert_not_found(wait(stage.catalog().delete_topic(topic.id)));

        let (session, topic) = standing(&stage, state);
        let answer = wait(stage.catalog().finalize(session.id, 5));
        match finalize {
            Some(refusal) => assert_refused(answer, refusal),
            None => {
                assert_eq!(answer.unwrap().state, SessionState::Final);
                assert_refused(wait(stage.catalog().delete_topic(topic.id)), Refusal::SessionFinal);
                assert_refused(wait(stage.open().begin_put(topic.id, Vec::new())), Refusal::SessionFinal);
                // What was written is as it was.
                let view = wait(stage.catalog().topic_by_id(topic.id, Visibility::Final)).unwrap();
                assert_eq!((view.head, view.schema), (topic, Some(b"schema".to_vec())));
            }
        }
    }
}

pub fn a_refused_finalize_names_the_topic(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    stage.written(&session, "imu", Vec::new());
    stage.topic(&session, "camera/front");
    let expected = CatalogError::Refused {
        what: Entity::Topic,
        name: "camera/front".to_owned(),
        refusal: Refusal::TopicWithoutPut,
    };
    assert_eq!(wait(stage.catalog().finalize(session.id, 5)), Err(expected));
    assert_eq!(wait(stage.catalog().session(session.id)).unwrap().head.state, SessionState::Open);
}
