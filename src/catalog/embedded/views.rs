//! Sequences, sessions and topics as a reader sees them. Each function is one snapshot. Without the tails it says so
//! when it would need one: only the writer has them.

use rusqlite::Connection;

use super::engine::Seen;
use super::fault::Outcome;
use super::sequences;
use super::sessions;
use super::tail::Tails;
use super::topics;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::Entity;
use crate::catalog::Page;
use crate::catalog::SequenceContents;
use crate::catalog::Visibility;
use crate::model::SequenceName;
use crate::model::SequenceView;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::SessionView;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicState;
use crate::model::TopicView;

pub fn session(connection: &Connection, tails: Option<&Tails>, id: SessionId) -> Outcome<Seen<SessionView>> {
    view(connection, tails, sessions::find(connection, id)?, Visibility::All)
}

pub fn sequence(
    connection: &Connection,
    tails: Option<&Tails>,
    name: &SequenceName,
    visibility: Visibility,
) -> Outcome<Seen<SequenceView>> {
    let (row, head) = sequences::find(connection, name)?;
    let mut sessions = Vec::new();
    for session in sessions::of_sequence(connection, row)? {
        match view(connection, tails, session, visibility)? {
            Seen::Whole(view) => sessions.push(view),
            Seen::NeedsTail => return Ok(Seen::NeedsTail),
        }
    }
    Ok(Seen::Whole(SequenceView { head, sessions }))
}

pub fn topic(
    connection: &Connection,
    tails: Option<&Tails>,
    name: &TopicName,
    visibility: Visibility,
) -> Outcome<Seen<TopicView>> {
    visible(tails, topics::by_name(connection, name)?, visibility)
}

pub fn topic_by_id(
    connection: &Connection,
    tails: Option<&Tails>,
    id: TopicId,
    visibility: Visibility,
) -> Outcome<Seen<TopicView>> {
    visible(tails, topics::by_id(connection, id)?, visibility)
}

fn visible(tails: Option<&Tails>, found: topics::Found, visibility: Visibility) -> Outcome<Seen<TopicView>> {
    match (visibility, found.session_state) {
        (Visibility::Final, SessionState::Open) => {
            Err(CatalogError::not_found(Entity::Topic, found.view.head.name).into())
        }
        (Visibility::Final, SessionState::Final) | (Visibility::All, _) => Ok(with_tail(tails, found)),
    }
}

fn view(
    connection: &Connection,
    tails: Option<&Tails>,
    session: sessions::Found,
    visibility: Visibility,
) -> Outcome<Seen<SessionView>> {
    let mut topics = Vec::new();
    if visibility == Visibility::All || session.head.state == SessionState::Final {
        for topic in topics::of_session(connection, session.row)? {
            match with_tail(tails, topic) {
                Seen::Whole(view) => topics.push(view),
                Seen::NeedsTail => return Ok(Seen::NeedsTail),
            }
        }
    }
    Ok(Seen::Whole(SessionView { head: session.head, topics }))
}

/// A page of sequences, with the topics of their final sessions. Topics of those have no tails.
pub fn contents(connection: &Connection, after: Option<&SequenceName>, limit: u32) -> Outcome<Page<SequenceContents>> {
    let Page { items: mut heads, mut next } = sequences::page(connection, after, limit)?;
    let Some(last) = heads.last() else { return Ok(Page { items: Vec::new(), next }) };
    let (topics, is_all) = topics::final_between(connection, after, &last.name)?;
    if !is_all && let Some(last) = topics.last() {
        let last = last.head.name.sequence.clone();
        heads.retain(|head| head.name <= last);
        next = Some(Cursor::Sequence(last));
    }
    let mut topics = topics.into_iter().peekable();
    let mut items = Vec::with_capacity(heads.len());
    for head in heads {
        let own = std::iter::from_fn(|| topics.next_if(|topic| topic.head.name.sequence == head.name));
        let topics: Vec<TopicView> = own.collect();
        if !topics.is_empty() {
            items.push(SequenceContents { head, topics });
        }
    }
    Ok(Page { items, next })
}

/// The totals of a topic that is being received lie in its tail.
fn with_tail(tails: Option<&Tails>, mut found: topics::Found) -> Seen<TopicView> {
    if found.view.head.state == TopicState::Receiving {
        match tails.and_then(|tails| tails.0.get(&found.row)) {
            Some(tail) => found.view.totals = tail.totals(),
            None => return Seen::NeedsTail,
        }
    }
    Seen::Whole(found.view)
}
