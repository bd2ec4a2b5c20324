//! Goal: any history of calls leaves what a few maps in memory would hold, and each call answers as they would.
//! Method: random calls (proptest, shrunk to a short script when one fails) against both; after every restart and at
//! the end everything that can be asked is compared.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use tessera::catalog::CatalogError;
use tessera::catalog::Visibility;
use tessera::model::ChunkRecord;
use tessera::model::Notification;
use tessera::model::NotificationTarget;
use tessera::model::SequenceId;
use tessera::model::SessionHead;
use tessera::model::SessionId;
use tessera::model::SessionMove;
use tessera::model::SessionState;
use tessera::model::TimeRange;
use tessera::model::TopicId;
use tessera::model::TopicMove;
use tessera::model::TopicState;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::complete;
use crate::stage::interrupted;
use crate::stage::sequence_name;
use crate::stage::topic_name;
use crate::stage::wait;

/// Numbers choose among few names, and among all sessions and topics that ever were.
#[derive(Clone, Debug)]
enum Call {
    CreateSequence(usize),
    CreateSession(usize),
    CreateTopic { session: usize, path: usize },
    BeginPut(usize),
    Commit { topic: usize, chunks: usize, end: End },
    Finalize(usize),
    DeleteTopic(usize),
    DeleteSession(usize),
    DeleteSequence(usize),
    Notify { sequence: usize, path: Option<usize> },
    Purge,
    Reopen,
    Boot,
}

#[derive(Clone, Copy, Debug)]
enum End {
    NotYet,
    Complete,
    Interrupted,
}

fn call() -> impl Strategy<Value = Call> {
    let (few, any) = (0..3_usize, 0..40_usize);
    let end = prop_oneof![3 => Just(End::NotYet), 2 => Just(End::Complete), 1 => Just(End::Interrupted)];
    prop_oneof![
        3 => few.clone().prop_map(Call::CreateSequence),
        4 => few.clone().prop_map(Call::CreateSession),
        8 => (any.clone(), few.clone()).prop_map(|(session, path)| Call::CreateTopic { session, path }),
        8 => any.clone().prop_map(Call::BeginPut),
        10 => (any.clone(), prop_oneof![0..4_usize, Just(256), Just(300)], end)
            .prop_map(|(topic, chunks, end)| Call::Commit { topic, chunks, end }),
        6 => any.clone().prop_map(Call::Finalize),
        2 => any.clone().prop_map(Call::DeleteTopic),
        2 => any.clone().prop_map(Call::DeleteSession),
        1 => any.prop_map(Call::DeleteSequence),
        2 => (few.clone(), proptest::option::of(few)).prop_map(|(sequence, path)| Call::Notify { sequence, path }),
        1 => Just(Call::Purge),
        1 => Just(Call::Reopen),
        1 => Just(Call::Boot),
    ]
}

#[derive(Default)]
struct Model {
    /// Live ones by name; all that ever were by number.
    names: BTreeMap<String, SequenceId>,
    sequences: Vec<SequenceId>,
    sessions: Vec<Session>,
    topics: Vec<Topic>,
    notifications: BTreeMap<String, usize>,
}

struct Session {
    head: SessionHead,
    live: bool,
}

struct Topic {
    id: TopicId,
    session: usize,
    path: String,
    live: bool,
    state: TopicState,
    records: Vec<ChunkRecord>,
}

/// An answer, as far as the model can say it.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    NotFound,
    AlreadyExists,
    Refused(tessera::model::Refusal),
}

fn answer<T>(result: Result<T, CatalogError>) -> Answer {
    match result {
        Ok(_) => Answer::Done,
        Err(CatalogError::NotFound { .. }) => Answer::NotFound,
        Err(CatalogError::AlreadyExists { .. }) => Answer::AlreadyExists,
        Err(CatalogError::Refused { refusal, .. }) => Answer::Refused(refusal),
        Err(other) => panic!("{other}"),
    }
}

pub fn any_history_matches_the_model(make: Make) {
    // Eight histories of 250 calls; the failing one is printed in its shortest form.
    let config = Config { cases: 8, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let histories = proptest::collection::vec(call(), 250);
    let run = |calls: Vec<Call>| {
        let (mut stage, mut model) = (Stage::new(make), Model::default());
        for call in calls {
            model.step(&mut stage, call);
        }
        model.compare(&stage);
        stage.reopen();
        model.compare(&stage);
        Ok(())
    };
    TestRunner::new(config).run(&histories, run).unwrap();
}

impl Model {
    fn step(&mut self, stage: &mut Stage, call: Call) {
        match call {
            Call::CreateSequence(n) => self.create_sequence(stage, &format!("s{n}")),
            Call::CreateSession(n) => self.create_session(stage, &format!("s{n}")),
            Call::CreateTopic { session, path } => self.create_topic(stage, session, &format!("t/{path}")),
            Call::BeginPut(n) => self.begin_put(stage, n),
            Call::Commit { topic, chunks, end } => self.commit(stage, topic, chunks, end),
            Call::Finalize(n) => self.finalize(stage, n),
            Call::DeleteTopic(n) => self.delete_topic(stage, n),
            Call::DeleteSession(n) => {
                let Some(index) = n.checked_rem(self.sessions.len()) else { return };
                let expected = if self.sessions[index].live { Answer::Done } else { Answer::NotFound };
                assert_eq!(answer(wait(stage.catalog().delete_session(self.sessions[index].head.id))), expected);
                self.bury(index);
            }
            Call::DeleteSequence(n) => {
                let Some(id) = n.checked_rem(self.sequences.len()).map(|n| self.sequences[n]) else { return };
                let live = self.names.values().any(|live| *live == id);
                let expected = if live { Answer::Done } else { Answer::NotFound };
                assert_eq!(answer(wait(stage.catalog().delete_sequence(id))), expected);
                if let Some((name, _)) = self.names.iter().find(|(_, live)| **live == id) {
                    let name = name.clone();
                    self.notifications.retain(|target, _| *target != name);
                    self.names.remove(&name);
                }
                let inside = (0..self.sessions.len()).filter(|n| self.sessions[*n].head.sequence == id);
                inside.collect::<Vec<_>>().into_iter().for_each(|session| self.bury(session));
            }
            Call::Notify { sequence, path } => self.notify(stage, &format!("s{sequence}"), path),
            Call::Purge => {
                for tombstone in wait(stage.catalog().tombstones(0, 2)).unwrap() {
                    wait(stage.catalog().purged(tombstone.number)).unwrap();
                }
            }
            Call::Reopen => {
                stage.reopen();
                self.compare(stage);
            }
            Call::Boot => {
                stage.reopen();
                wait(stage.open().boot([0; 32], 1)).unwrap();
                for topic in self.topics.iter_mut().filter(|topic| topic.state == TopicState::Receiving) {
                    topic.state = TopicState::Interrupted;
                }
                self.compare(stage);
            }
        }
    }

    fn create_sequence(&mut self, stage: &Stage, name: &str) {
        let new = stage.new_sequence(name);
        let expected = if self.names.contains_key(name) { Answer::AlreadyExists } else { Answer::Done };
        assert_eq!(answer(wait(stage.catalog().create_sequence(new.clone()))), expected);
        if expected == Answer::Done {
            self.names.insert(name.to_owned(), new.id);
            self.sequences.push(new.id);
        }
    }

    fn create_session(&mut self, stage: &Stage, name: &str) {
        let result = wait(stage.catalog().create_session(stage.new_session(name)));
        let expected = if self.names.contains_key(name) { Answer::Done } else { Answer::NotFound };
        if let Ok(head) = &result {
            assert_eq!(Some(&head.sequence), self.names.get(name));
            self.sessions.push(Session { head: head.clone(), live: true });
        }
        assert_eq!(answer(result), expected);
    }

    fn create_topic(&mut self, stage: &Stage, n: usize, path: &str) {
        let Some(index) = n.checked_rem(self.sessions.len()) else { return };
        let session = &self.sessions[index];
        let new = stage.new_topic(&session.head, path);
        let taken = self.topics.iter().any(|topic| {
            topic.live && topic.path == path && self.sessions[topic.session].head.sequence == session.head.sequence
        });
        let step = session.head.state.after(SessionMove::CreateTopic, []);
        let expected = match (session.live, step, taken) {
            (false, _, _) => Answer::NotFound,
            (true, Err(refusal), _) => Answer::Refused(refusal),
            (true, Ok(_), true) => Answer::AlreadyExists,
            (true, Ok(_), false) => Answer::Done,
        };
        assert_eq!(answer(wait(stage.catalog().create_topic(new.clone()))), expected);
        if expected == Answer::Done {
            let (path, state) = (path.to_owned(), TopicState::Created);
            self.topics.push(Topic { id: new.id, session: index, path, live: true, state, records: Vec::new() });
        }
    }

    fn begin_put(&mut self, stage: &Stage, n: usize) {
        let Some(index) = n.checked_rem(self.topics.len()) else { return };
        let topic = &mut self.topics[index];
        let step = topic.state.after(TopicMove::BeginPut, self.sessions[topic.session].head.state);
        let expected = match (topic.live, step) {
            (false, _) => Answer::NotFound,
            (true, Err(refusal)) => Answer::Refused(refusal),
            (true, Ok(next)) => {
                topic.state = next.unwrap();
                Answer::Done
            }
        };
        assert_eq!(answer(wait(stage.open().begin_put(topic.id, b"schema".to_vec()))), expected);
    }

    fn commit(&mut self, stage: &Stage, n: usize, chunks: usize, end: End) {
        let Some(index) = n.checked_rem(self.topics.len()) else { return };
        let topic = &mut self.topics[index];
        if topic.live && topic.state != TopicState::Receiving {
            return; // a promise that only a bug of ours breaks
        }
        let records = stage.records(chunks as i64);
        let (end, state) = match end {
            End::NotYet => (None, TopicState::Receiving),
            End::Complete => (complete(), TopicState::Complete),
            End::Interrupted => (interrupted("cable"), TopicState::Interrupted),
        };
        let expected = if topic.live { Answer::Done } else { Answer::NotFound };
        assert_eq!(answer(wait(stage.open().commit(topic.id, records.clone(), end))), expected);
        if topic.live {
            topic.records.extend(records);
            topic.state = state;
        }
    }

    fn finalize(&mut self, stage: &Stage, n: usize) {
        let Some(index) = n.checked_rem(self.sessions.len()) else { return };
        let inside = self.topics.iter().filter(|topic| topic.live && topic.session == index);
        let step =
            self.sessions[index].head.state.after(SessionMove::Finalize, inside.clone().map(|topic| topic.state));
        let expected = match (self.sessions[index].live, step) {
            (false, _) => Answer::NotFound,
            (true, Err(refusal)) => Answer::Refused(refusal),
            (true, Ok(_)) => Answer::Done,
        };
        let session = &mut self.sessions[index].head;
        assert_eq!(answer(wait(stage.catalog().finalize(session.id, 500))), expected);
        if expected == Answer::Done && session.state == SessionState::Open {
            (session.state, session.completed_at_ns) = (SessionState::Final, Some(500));
            for topic in inside.filter(|topic| topic.state == TopicState::Interrupted) {
                *self.notifications.entry(format!("{}/{}", session.sequence_name, topic.path)).or_default() += 1;
            }
        }
    }

    fn delete_topic(&mut self, stage: &Stage, n: usize) {
        let Some(index) = n.checked_rem(self.topics.len()) else { return };
        let topic = &mut self.topics[index];
        let session = &self.sessions[topic.session].head;
        let expected = match (topic.live, session.state) {
            (false, _) => Answer::NotFound,
            (true, SessionState::Final) => Answer::Refused(tessera::model::Refusal::SessionFinal),
            (true, SessionState::Open) => Answer::Done,
        };
        assert_eq!(answer(wait(stage.catalog().delete_topic(topic.id))), expected);
        if expected == Answer::Done {
            topic.live = false;
            self.notifications.remove(&format!("{}/{}", session.sequence_name, topic.path));
        }
    }

    fn bury(&mut self, session: usize) {
        self.sessions[session].live = false;
        for topic in self.topics.iter_mut().filter(|topic| topic.live && topic.session == session) {
            topic.live = false;
            self.notifications.remove(&format!("{}/{}", self.sessions[session].head.sequence_name, topic.path));
        }
    }

    fn notify(&mut self, stage: &Stage, sequence: &str, path: Option<usize>) {
        let path = path.map(|path| format!("t/{path}"));
        let sequence_id = self.names.get(sequence);
        let inside = |topic: &&Topic| topic.live && Some(&self.sessions[topic.session].head.sequence) == sequence_id;
        let (target, name, live) = match path {
            None => {
                let target = NotificationTarget::Sequence(sequence_name(sequence));
                (target, sequence.to_owned(), sequence_id.is_some())
            }
            Some(path) => {
                let target = NotificationTarget::Topic(topic_name(sequence, &path));
                let live = self.topics.iter().filter(inside).any(|topic| topic.path == path);
                (target, format!("{sequence}/{path}"), live)
            }
        };
        let notification = Notification { message: "error".to_owned(), created_at_ns: 1 };
        let expected = if live { Answer::Done } else { Answer::NotFound };
        assert_eq!(answer(wait(stage.catalog().notify(&target, notification))), expected);
        if live {
            *self.notifications.entry(name).or_default() += 1;
        }
    }

    /// Everything that can be asked, live and deleted.
    fn compare(&self, stage: &Stage) {
        let page = wait(stage.catalog().sequences(None, 100)).unwrap();
        let listed: BTreeMap<_, _> = page.items.into_iter().map(|head| (head.name.to_string(), head.id)).collect();
        assert_eq!(listed, self.names);
        let live: Vec<SessionId> = self.sessions.iter().filter(|s| s.live).map(|s| s.head.id).collect();
        assert_eq!(wait(stage.open().sessions()), Ok(live));
        for (name, id) in &self.names {
            let view = wait(stage.catalog().sequence(&sequence_name(name), Visibility::All)).unwrap();
            let heads: Vec<_> = view.sessions.iter().map(|session| session.head.clone()).collect();
            let expected = self.sessions.iter().filter(|session| session.live && session.head.sequence == *id);
            assert_eq!(heads, expected.map(|session| session.head.clone()).collect::<Vec<_>>());
            let target = NotificationTarget::Sequence(sequence_name(name));
            let count = wait(stage.catalog().notifications(&target)).unwrap().len();
            assert_eq!(count, self.notifications.get(name).copied().unwrap_or(0), "{name}");
        }
        for (index, session) in self.sessions.iter().enumerate().filter(|(_, session)| session.live) {
            let view = wait(stage.catalog().session(session.head.id)).unwrap();
            let ids: Vec<_> = view.topics.iter().map(|topic| topic.head.id).collect();
            let inside = || self.topics.iter().filter(|topic| topic.live && topic.session == index);
            assert_eq!(ids, inside().map(|topic| topic.id).collect::<Vec<_>>());
            let chunks: Vec<_> = inside().flat_map(|topic| topic.records.clone()).collect();
            assert_eq!(wait(stage.open().committed_chunks(session.head.id)), Ok(chunks));
        }
        self.topics.iter().for_each(|topic| self.compare_topic(stage, topic));
    }

    fn compare_topic(&self, stage: &Stage, topic: &Topic) {
        let session = &self.sessions[topic.session].head;
        for visibility in [Visibility::Final, Visibility::All] {
            let view = wait(stage.catalog().topic_by_id(topic.id, visibility));
            let visible = topic.live && (visibility == Visibility::All || session.state == SessionState::Final);
            assert_eq!(view.is_ok(), visible, "{:?}", view);
            let Ok(view) = view else { continue };
            assert_eq!((view.head.state, view.schema.is_some()), (topic.state, topic.state != TopicState::Created));
            assert_eq!(view.totals.chunks, topic.records.len() as u64);
            let bounds = topic.records.iter().map(|record| record.bounds).reduce(|a, b| a.union(b));
            assert_eq!(view.totals.bounds, bounds);
            let segments = wait(stage.catalog().segments(topic.id, TimeRange::ALL, None, 100)).unwrap().items;
            let packed = segments.iter().flat_map(|segment| wait(stage.catalog().directory(segment.key)).unwrap());
            assert_eq!(packed.collect::<Vec<_>>(), topic.records);
            let name = format!("{}/{}", session.sequence_name, topic.path);
            let target = NotificationTarget::Topic(view.head.name);
            let count = wait(stage.catalog().notifications(&target)).unwrap().len();
            assert_eq!(count, self.notifications.get(&name).copied().unwrap_or(0), "{name}");
        }
    }
}
