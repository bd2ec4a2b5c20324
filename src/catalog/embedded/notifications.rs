//! Notifications in the file.

use rusqlite::Connection;
use rusqlite::params;

#[cfg(feature = "scylla")]
use super::convert::uuid;
use super::fault::Outcome;
use super::sequences;
use super::topics;
use super::writer::Work;
use crate::catalog::CatalogError;
use crate::model::Notification;
use crate::model::NotificationTarget;
#[cfg(feature = "scylla")]
use crate::model::SessionId;
#[cfg(feature = "scylla")]
use crate::model::TopicId;
#[cfg(feature = "scylla")]
use crate::model::TopicState;

/// The rows a notification hangs on; one of them.
struct Target {
    sequence: Option<i64>,
    topic: Option<i64>,
}

pub fn add(work: &mut Work<'_>, target: &NotificationTarget, notification: Notification) -> Outcome<()> {
    let Target { sequence, topic } = resolve(work.connection, target)?;
    let mut count = work.connection.prepare_cached(
        "SELECT (SELECT count(*) FROM notification WHERE sequence = ?1 AND ?1 IS NOT NULL)
              + (SELECT count(*) FROM notification WHERE topic = ?2 AND ?2 IS NOT NULL)",
    )?;
    let found: i64 = count.query_row(params![sequence, topic], |row| row.get(0))?;
    if found >= i64::from(Notification::COUNT_MAX) {
        let (limit, found) = (Notification::COUNT_MAX.into(), found.unsigned_abs() + 1);
        return Err(CatalogError::TooLarge { what: Notification::LIMITED, limit, found }.into());
    }
    insert(work, Target { sequence, topic }, notification)
}

pub fn of(connection: &Connection, target: &NotificationTarget) -> Outcome<Vec<Notification>> {
    let Target { sequence, topic } = resolve(connection, target)?;
    let sql = match sequence {
        Some(_) => "SELECT message, created_at FROM notification WHERE sequence = ?1 ORDER BY number",
        None => "SELECT message, created_at FROM notification WHERE topic = ?1 ORDER BY number",
    };
    let mut select = connection.prepare_cached(sql)?;
    let (mut rows, mut all) = (select.query([sequence.or(topic)])?, Vec::new());
    while let Some(row) = rows.next()? {
        all.push(Notification { message: row.get("message")?, created_at_ns: row.get("created_at")? });
    }
    Ok(all)
}

pub fn purge(work: &mut Work<'_>, target: &NotificationTarget) -> Outcome<()> {
    let Target { sequence, topic } = resolve(work.connection, target)?;
    let sql = match sequence {
        Some(_) => "DELETE FROM notification WHERE sequence = ?1",
        None => "DELETE FROM notification WHERE topic = ?1",
    };
    work.connection.prepare_cached(sql)?.execute([sequence.or(topic)])?;
    Ok(())
}

/// What finalize tells about an interrupted topic. Above the limit per target too: it is one, and nobody repeats it.
pub fn interrupted(work: &Work<'_>, topic: i64, now_ns: i64) -> Outcome<()> {
    let notification = interruption(work.connection, topic, now_ns)?;
    insert(work, Target { sequence: None, topic: Some(topic) }, notification)
}

fn interruption(connection: &Connection, topic: i64, now_ns: i64) -> Outcome<Notification> {
    let mut select = connection.prepare_cached("SELECT why, rows, completed_at FROM topic WHERE row = ?1")?;
    let (why, rows, at): (Option<String>, i64, Option<i64>) =
        select.query_row([topic], |row| Ok((row.get("why")?, row.get("rows")?, row.get("completed_at")?)))?;
    let why = why.unwrap_or_else(|| "for an unknown reason".to_owned());
    let message = format!("recording was interrupted, the first {rows} rows are kept: {why}");
    Ok(Notification { message, created_at_ns: at.unwrap_or(now_ns) })
}

/// The same of all interrupted topics of a session, for a catalog that keeps notifications itself.
#[cfg(feature = "scylla")]
pub fn interruptions(
    connection: &Connection,
    session: SessionId,
    now_ns: i64,
) -> Outcome<Vec<(TopicId, Notification)>> {
    let mut select = connection.prepare_cached(
        "SELECT t.row AS row, t.id AS id FROM topic t JOIN session s ON s.row = t.session
         WHERE s.id = ?1 AND t.state = ?2 AND t.deleted = 0 ORDER BY t.row",
    )?;
    let mut rows = select.query(params![session.0.as_bytes(), TopicState::Interrupted as i64])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push((TopicId(uuid(row, "id")?), interruption(connection, row.get("row")?, now_ns)?));
    }
    Ok(all)
}

/// The part of a message that is kept, in whole characters.
pub fn cut(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(Notification::MESSAGE_LEN_MAX));
    message
}

fn insert(work: &Work<'_>, target: Target, notification: Notification) -> Outcome<()> {
    let mut insert = work
        .connection
        .prepare_cached("INSERT INTO notification (sequence, topic, message, created_at) VALUES (?1, ?2, ?3, ?4)")?;
    let (message, at) = (cut(notification.message), notification.created_at_ns);
    insert.execute(params![target.sequence, target.topic, message, at])?;
    Ok(())
}

fn resolve(connection: &Connection, target: &NotificationTarget) -> Outcome<Target> {
    match target {
        NotificationTarget::Sequence(name) => {
            Ok(Target { sequence: Some(sequences::find(connection, name)?.0), topic: None })
        }
        NotificationTarget::Topic(name) => {
            Ok(Target { sequence: None, topic: Some(topics::by_name(connection, name)?.row) })
        }
    }
}
