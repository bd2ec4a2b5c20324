//! Calls that are on their way at the same time.

use tessera::catalog::CatalogError;
use tessera::catalog::Visibility;
use tessera::model::TopicName;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::complete;
use crate::stage::sequence_name;
use crate::stage::wait;

/// Goal: calls that share a commit do not share a fate.
/// Method: send 600 calls at once, every second one to be refused in one of several ways, then look at each.
pub fn a_refused_call_leaves_its_neighbours(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    stage.written(&session, "taken", Vec::new());
    let put = stage.topic(&session, "put");
    wait(stage.open().begin_put(put.id, Vec::new())).unwrap();
    let (mut created, mut refused, mut commits): (Vec<_>, Vec<_>, Vec<_>) = Default::default();
    let records = stage.records(300);
    for (n, record) in records.iter().enumerate() {
        created.push(stage.catalog().create_topic(stage.new_topic(&session, &format!("topic/{n}"))));
        refused.push(match n % 3 {
            0 => stage.catalog().create_topic(stage.new_topic(&session, "taken")),
            1 => stage.open().begin_put(put.id, b"again".to_vec()),
            _ => stage.open().begin_put(tessera::model::TopicId::new(&stage.ids), Vec::new()),
        });
        commits.push(stage.open().commit(put.id, vec![record.clone()], None));
    }
    let names: Vec<TopicName> = created.into_iter().map(|call| wait(call).unwrap().name).collect();
    for (n, call) in refused.into_iter().enumerate() {
        let answer = wait(call);
        match n % 3 {
            0 => assert!(matches!(answer, Err(CatalogError::AlreadyExists { .. })), "{answer:?}"),
            1 => assert!(matches!(answer, Err(CatalogError::Refused { .. })), "{answer:?}"),
            _ => assert_not_found(answer),
        }
    }
    commits.into_iter().for_each(|call| wait(call).unwrap());
    stage.reopen();
    assert_eq!(names.iter().filter(|name| wait(stage.catalog().topic(name, Visibility::All)).is_ok()).count(), 300);
    wait(stage.open().commit(put.id, Vec::new(), complete())).unwrap();
    assert_eq!(wait(stage.open().committed_chunks(session.id)), Ok(records), "in the order they were sent");
}

pub fn dropping_an_answer_does_not_cancel(make: Make) {
    let stage = Stage::new(make);
    drop(stage.catalog().create_sequence(stage.new_sequence("drive")));
    // Calls that change something run in the order they were made.
    wait(stage.catalog().create_session(stage.new_session("drive"))).unwrap();
    assert!(wait(stage.catalog().sequence(&sequence_name("drive"), Visibility::Final)).is_ok());
}
