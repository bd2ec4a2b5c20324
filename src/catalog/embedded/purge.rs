//! Tombstones, and forgetting what they stand for. A delete leaves a tombstone in its own transaction; the rows behind
//! it go when the files are gone. A crash in between leaves the tombstone, and the next start resumes from it.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;

use super::convert::uuid;
use super::fault::Outcome;
use super::segments;
use super::sequences;
use super::writer::Work;
use crate::catalog::Tombstone;
use crate::model::ChunkRecord;
use crate::model::SessionId;
use crate::model::TopicId;

/// Segments dropped in one transaction, so that a large session does not hold up the commits of others.
const SEGMENTS_PER_STEP: u32 = 64;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    More,
    Done,
}

/// Oldest first, behind the one with the number `after`.
pub fn tombstones(connection: &Connection, after: i64, limit: u32) -> Outcome<Vec<Tombstone>> {
    let mut select = connection.prepare_cached(
        "SELECT b.number AS number, s.id AS session, t.row AS row, t.id AS topic FROM tombstone b
         JOIN session s ON s.row = b.session LEFT JOIN topic t ON t.row = b.topic WHERE b.number > ?1
         ORDER BY b.number LIMIT ?2",
    )?;
    let (mut rows, mut all) = (select.query(params![after, limit])?, Vec::new());
    while let Some(row) = rows.next()? {
        let topic = match row.get::<_, Option<i64>>("row")? {
            Some(topic) => {
                let id = TopicId(uuid(row, "topic")?);
                Some((id, chunks(connection, topic, id)?))
            }
            None => None,
        };
        all.push(Tombstone { number: row.get("number")?, session: SessionId(uuid(row, "session")?), topic });
    }
    Ok(all)
}

/// The chunks of a topic that was deleted. Where a row is damaged, its own are missing: their files go to `lost/` in time, and
/// no other tombstone waits for them.
fn chunks(connection: &Connection, topic: i64, id: TopicId) -> Outcome<Vec<ChunkRecord>> {
    let mut all = Vec::new();
    for segment in segments::of_topic(connection, topic, id)? {
        match segment {
            Ok(chunks) => all.extend(chunks),
            Err(error) => tracing::error!(topic = %id, ?error, "files of a deleted topic are not known any more"),
        }
    }
    Ok(all)
}

/// Drops some of the rows behind a tombstone, whose files are gone, and at last the tombstone.
pub fn step(work: &mut Work<'_>, number: i64) -> Outcome<Step> {
    let mut select = work.connection.prepare_cached("SELECT session, topic FROM tombstone WHERE number = ?1")?;
    let found = select.query_row([number], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((session, topic)): Option<(i64, Option<i64>)> = found else { return Ok(Step::Done) };
    let topics = match topic {
        Some(topic) => vec![topic],
        None => {
            let mut select = work.connection.prepare_cached("SELECT row FROM topic WHERE session = ?1")?;
            select.query_map([session], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?
        }
    };
    let mut left = SEGMENTS_PER_STEP;
    for topic in &topics {
        left = left.saturating_sub(drop_segments(work, *topic, left)?);
        if left == 0 {
            return Ok(Step::More);
        }
    }
    work.connection.prepare_cached("DELETE FROM tombstone WHERE number = ?1")?.execute([number])?;
    for topic in topics {
        work.connection.prepare_cached("DELETE FROM notification WHERE topic = ?1")?.execute([topic])?;
        work.connection.prepare_cached("DELETE FROM topic WHERE row = ?1")?.execute([topic])?;
    }
    if topic.is_none() {
        let mut select = work.connection.prepare_cached("SELECT sequence FROM session WHERE row = ?1")?;
        let sequence: i64 = select.query_row([session], |row| row.get(0))?;
        work.connection.prepare_cached("DELETE FROM session WHERE row = ?1")?.execute([session])?;
        sequences::forget_when_empty(work, sequence)?;
    }
    Ok(Step::Done)
}

/// Drops the last segments of a topic, at most `limit`; returns how many there were.
fn drop_segments(work: &Work<'_>, topic: i64, limit: u32) -> Outcome<u32> {
    let mut select =
        work.connection.prepare_cached("SELECT number FROM segment WHERE topic = ?1 ORDER BY number DESC LIMIT ?2")?;
    let numbers = select.query_map(params![topic, limit], |row| row.get(0))?.collect::<rusqlite::Result<Vec<u32>>>()?;
    for number in &numbers {
        for sql in [
            "DELETE FROM segment_directory WHERE topic = ?1 AND number = ?2",
            "DELETE FROM segment WHERE topic = ?1 AND number = ?2",
        ] {
            work.connection.prepare_cached(sql)?.execute(params![topic, number])?;
        }
    }
    Ok(numbers.len() as u32)
}
