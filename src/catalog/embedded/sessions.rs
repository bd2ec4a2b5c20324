//! Sessions in the file.

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use super::convert::parsed;
use super::convert::state;
use super::convert::uuid;
use super::fault::Outcome;
use super::notifications;
use super::puts;
use super::sequences;
use super::topics;
use super::writer::Work;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::NewSession;
use crate::catalog::judge::judge;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::TokenDigest;
use crate::model::TopicState;

const COLUMNS: &str = "s.row AS row, s.id AS id, s.state AS state, s.created_at AS created_at,
    s.completed_at AS completed_at, q.row AS sequence, q.id AS sequence_id, q.name AS sequence_name
    FROM session s JOIN sequence q ON q.row = s.sequence";

/// A session's head and the rows it hangs on.
pub struct Found {
    pub row: i64,
    pub sequence: i64,
    pub head: SessionHead,
}

pub fn create(work: &mut Work<'_>, new: &NewSession) -> Outcome<SessionHead> {
    match find(work.connection, new.id) {
        Ok(Found { head, .. }) if head.sequence_name == new.sequence => return Ok(head),
        Ok(Found { head, .. }) => {
            let name = format!("{} of sequence {}", head.id, head.sequence_name);
            return Err(CatalogError::AlreadyExists { what: Entity::Session, name, id: new.id.0 }.into());
        }
        Err(fault) if fault.is_not_found() => {}
        Err(fault) => return Err(fault),
    }
    let (sequence, sequence_head) = sequences::find(work.connection, &new.sequence)?;
    let mut taken = work.connection.prepare_cached("SELECT 1 FROM session WHERE id = ?1")?;
    if taken.exists([new.id.0.as_bytes()])? {
        return Err(CatalogError::not_found(Entity::Session, new.id).into()); // deleted, and stays so
    }
    let mut taken = work.connection.prepare_cached("SELECT 1 FROM session WHERE token = ?1")?;
    if taken.exists([new.token.0])? {
        let why = "it already proves authority over another session".to_owned();
        return Err(CatalogError::Invalid { field: "token", why }.into());
    }
    let mut insert = work
        .connection
        .prepare_cached("INSERT INTO session (id, sequence, token, state, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let open = SessionState::Open;
    insert.execute(params![new.id.0.as_bytes(), sequence, new.token.0, open as i64, new.created_at_ns])?;
    Ok(SessionHead {
        id: new.id,
        sequence: sequence_head.id,
        sequence_name: sequence_head.name,
        state: open,
        created_at_ns: new.created_at_ns,
        completed_at_ns: None,
    })
}

pub fn find(connection: &Connection, id: SessionId) -> Outcome<Found> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} WHERE s.id = ?1 AND s.deleted = 0"))?;
    let mut rows = select.query([id.0.as_bytes()])?;
    found(rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Session, id))?)
}

pub fn by_token(connection: &Connection, token: TokenDigest) -> Outcome<SessionHead> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} WHERE s.token = ?1 AND s.deleted = 0"))?;
    let mut rows = select.query([token.0])?;
    Ok(found(rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Session, "of this token"))?)?.head)
}

/// In the order of their creation.
pub fn of_sequence(connection: &Connection, sequence: i64) -> Outcome<Vec<Found>> {
    let sql = format!("SELECT {COLUMNS} WHERE s.sequence = ?1 AND s.deleted = 0 ORDER BY s.row");
    let mut select = connection.prepare_cached(&sql)?;
    let (mut rows, mut sessions) = (select.query([sequence])?, Vec::new());
    while let Some(row) = rows.next()? {
        sessions.push(found(row)?);
    }
    Ok(sessions)
}

/// All that live, open and final.
pub fn ids(connection: &Connection) -> Outcome<Vec<SessionId>> {
    let mut select = connection.prepare_cached("SELECT id FROM session WHERE deleted = 0 ORDER BY row")?;
    let (mut rows, mut ids) = (select.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        ids.push(SessionId(uuid(row, "id")?));
    }
    Ok(ids)
}

pub fn finalize(work: &mut Work<'_>, id: SessionId, completed_at_ns: i64) -> Outcome<SessionHead> {
    let Found { row, mut head, .. } = find(work.connection, id)?;
    let topics = topics::states(work.connection, row)?;
    let before = head.state;
    head.state = judge(&head, topics.iter().map(|topic| (&topic.name, topic.state)))?;
    if before == head.state {
        return Ok(head);
    }
    for topic in topics.iter().filter(|topic| topic.state == TopicState::Interrupted) {
        notifications::interrupted(work, topic.row, completed_at_ns)?;
    }
    let mut update =
        work.connection.prepare_cached("UPDATE session SET state = ?2, completed_at = ?3 WHERE row = ?1")?;
    update.execute(params![row, head.state as i64, completed_at_ns])?;
    head.completed_at_ns = Some(completed_at_ns);
    Ok(head)
}

pub fn delete(work: &mut Work<'_>, id: SessionId) -> Outcome<()> {
    let found = find(work.connection, id)?;
    bury(work, found.row)
}

/// Makes a session and its topics invisible and leaves one tombstone for all their files. Chunks that are only in the
/// journal go into segments first, so that the tombstone's chunks can be listed after the tails are gone.
pub fn bury(work: &mut Work<'_>, session: i64) -> Outcome<()> {
    for topic in topics::states(work.connection, session)? {
        if let Some(mut tail) = work.tails.0.remove(&topic.row) {
            puts::settle(work, topic.row, &mut tail)?;
        }
    }
    // Topics deleted one by one before are part of the session's files.
    work.connection.prepare_cached("DELETE FROM tombstone WHERE session = ?1")?.execute([session])?;
    work.connection.prepare_cached("UPDATE topic SET deleted = 1 WHERE session = ?1")?.execute([session])?;
    work.connection.prepare_cached("UPDATE session SET deleted = 1 WHERE row = ?1")?.execute([session])?;
    work.connection.prepare_cached("INSERT INTO tombstone (session) VALUES (?1)")?.execute([session])?;
    Ok(())
}

fn found(row: &Row<'_>) -> Outcome<Found> {
    let head = SessionHead {
        id: SessionId(uuid(row, "id")?),
        sequence: SequenceId(uuid(row, "sequence_id")?),
        sequence_name: parsed(row, "sequence_name", SequenceName::parse)?,
        state: state(row, "state", SessionState::from_number)?,
        created_at_ns: row.get("created_at")?,
        completed_at_ns: row.get("completed_at")?,
    };
    Ok(Found { row: row.get("row")?, sequence: row.get("sequence")?, head })
}
