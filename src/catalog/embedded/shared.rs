//! What a catalog that is shared with other servers asks of this one, when it is their own store.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;

use super::EmbeddedCatalog;
use super::convert::uuid;
use super::fault::Outcome;
use super::notifications;
use super::sessions;
use crate::catalog::Fut;
use crate::model::Notification;
use crate::model::SequenceId;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::TopicId;

/// What a tombstone stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buried {
    pub sequence: SequenceId,
    pub session: SessionId,
    /// All that go with it, those that were deleted before it too.
    pub topics: Vec<TopicId>,
    /// Of a whole session, how many segments its topics have.
    pub whole_session: Option<i64>,
}

impl EmbeddedCatalog {
    /// A session without its topics. `NotFound` when it was deleted.
    pub fn session_head(&self, id: SessionId) -> Fut<'_, SessionHead> {
        self.engine.read(move |connection| Ok(sessions::find(connection, id)?.head))
    }

    /// `None` when there is no such tombstone, or no longer.
    pub fn buried(&self, tombstone: i64) -> Fut<'_, Option<Buried>> {
        self.engine.read(move |connection| buried(connection, tombstone))
    }

    /// What a finalize at this time tells of the interrupted topics of a session.
    pub fn interruptions(&self, session: SessionId, now_ns: i64) -> Fut<'_, Vec<(TopicId, Notification)>> {
        self.engine.read(move |connection| notifications::interruptions(connection, session, now_ns))
    }
}

fn buried(connection: &Connection, number: i64) -> Outcome<Option<Buried>> {
    let mut select = connection.prepare_cached(
        "SELECT b.session AS session, b.topic AS topic, s.id AS session_id, q.id AS sequence_id FROM tombstone b
         JOIN session s ON s.row = b.session JOIN sequence q ON q.row = s.sequence WHERE b.number = ?1",
    )?;
    let mut rows = select.query([number])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (session, topic): (i64, Option<i64>) = (row.get("session")?, row.get("topic")?);
    let mut select = connection
        .prepare_cached("SELECT id FROM topic WHERE session = ?1 AND (?2 IS NULL OR row = ?2) ORDER BY row")?;
    let (mut found, mut topics) = (select.query(params![session, topic])?, Vec::new());
    while let Some(row) = found.next()? {
        topics.push(TopicId(uuid(row, "id")?));
    }
    let whole_session = match topic {
        Some(_) => None,
        None => {
            let mut count = connection.prepare_cached(
                "SELECT count(*) FROM segment g JOIN topic t ON t.row = g.topic WHERE t.session = ?1",
            )?;
            count.query_row([session], |row| row.get(0)).optional()?
        }
    };
    let (sequence, session) = (SequenceId(uuid(row, "sequence_id")?), SessionId(uuid(row, "session_id")?));
    Ok(Some(Buried { sequence, session, topics, whole_session }))
}
