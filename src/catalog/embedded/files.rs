//! What the files of a data directory are worth: asked by a start, by the look at files in the background, and page by page.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::Statement;
use rusqlite::params;
use rusqlite::params_from_iter;

use super::convert::narrow;
use super::convert::state;
use super::convert::uuid;
use super::engine::Seen;
use super::fault::Outcome;
use super::segments;
use super::tail::Tails;
use crate::catalog::ChunkFate;
use crate::catalog::ChunkFile;
use crate::catalog::FileCursor;
use crate::catalog::FilePage;
use crate::catalog::OpenSession;
use crate::catalog::SegmentKey;
use crate::catalog::Standing;
use crate::model::ChunkRecord;
use crate::model::SequenceId;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::TopicId;
use crate::model::TopicState;

/// A page ends with the segment that brings it to this many files.
const PAGE_FILES: usize = 4096;

/// The index is named, or the planner takes the primary key and reads every final session on the way.
pub const OPEN_SESSIONS: &str = "
    SELECT s.row AS row, s.id AS id, q.id AS sequence,
    (SELECT count(*) FROM topic t WHERE t.session = s.row AND t.deleted = 0) AS topics
    FROM session s INDEXED BY session_open JOIN sequence q ON q.row = s.sequence
    WHERE s.state = 0 AND s.deleted = 0 AND s.row > ?1 ORDER BY s.row LIMIT ?2";

/// Behind every segment of a topic.
const TOPIC_END: i64 = i64::MAX;

pub fn standing(connection: &Connection, session: SessionId) -> Outcome<Standing> {
    let mut select = connection.prepare_cached("SELECT state, deleted FROM session WHERE id = ?1")?;
    let mut rows = select.query([session.0.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(Standing::Unknown) };
    if row.get("deleted")? {
        return Ok(Standing::Deleted);
    }
    Ok(match state(row, "state", SessionState::from_number)? {
        SessionState::Open => Standing::Open,
        SessionState::Final => Standing::Final,
    })
}

/// Sessions that were not deleted, behind `after` in the order of their creation.
pub fn sessions(connection: &Connection, after: i64, limit: u32) -> Outcome<Vec<(i64, SessionId)>> {
    let mut select = connection
        .prepare_cached("SELECT row, id FROM session WHERE deleted = 0 AND row > ?1 ORDER BY row LIMIT ?2")?;
    let (mut rows, mut all) = (select.query(params![after, limit])?, Vec::new());
    while let Some(row) = rows.next()? {
        all.push((row.get("row")?, SessionId(uuid(row, "id")?)));
    }
    Ok(all)
}

/// Open sessions behind `after`. Their index makes this cost what is open, however many sessions are final.
pub fn open_sessions(connection: &Connection, after: i64, limit: u32) -> Outcome<Vec<OpenSession>> {
    let mut select = connection.prepare_cached(OPEN_SESSIONS)?;
    let (mut rows, mut all) = (select.query(params![after, limit])?, Vec::new());
    while let Some(row) = rows.next()? {
        all.push(OpenSession {
            number: row.get("row")?,
            id: SessionId(uuid(row, "id")?),
            sequence: SequenceId(uuid(row, "sequence")?),
            topics: narrow(row, "topics")?,
        });
    }
    Ok(all)
}

/// Every file that a record of this session speaks of, topic by topic; nothing for one that is unknown.
pub fn page(
    connection: &Connection,
    tails: Option<&Tails>,
    session: SessionId,
    from: FileCursor,
) -> Outcome<Seen<FilePage>> {
    let mut select = connection.prepare_cached(
        "SELECT t.row AS row, t.id AS id, t.state AS state, t.deleted AS deleted FROM topic t
         JOIN session s ON s.row = t.session WHERE s.id = ?1 AND t.row >= ?2 ORDER BY t.row",
    )?;
    let mut rows = select.query(params![session.0.as_bytes(), from.topic])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        let (topic, deleted): (i64, bool) = (row.get("row")?, row.get("deleted")?);
        let id = TopicId(uuid(row, "id")?);
        let fate = if deleted { ChunkFate::Purged } else { ChunkFate::Kept };
        let mut segment = if topic == from.topic { from.segment } else { 0 };
        if segment == TOPIC_END {
            continue;
        }
        while files.len() < PAGE_FILES {
            let Some((number, records)) = next_segment(connection, topic, id, segment)? else {
                if state(row, "state", TopicState::from_number)? == TopicState::Receiving && !deleted {
                    let Some(tail) = tails.and_then(|tails| tails.0.get(&topic)) else { return Ok(Seen::NeedsTail) };
                    files.extend(tail.records().iter().map(|record| file(record, fate)));
                }
                segment = TOPIC_END;
                break;
            };
            files.extend(records.iter().map(|record| file(record, fate)));
            segment = number + 1;
        }
        if files.len() >= PAGE_FILES {
            return Ok(Seen::Whole(FilePage { files, next: Some(FileCursor { topic, segment }) }));
        }
    }
    Ok(Seen::Whole(FilePage { files, next: None }))
}

fn next_segment(
    connection: &Connection,
    topic: i64,
    id: TopicId,
    from: i64,
) -> Outcome<Option<(i64, Vec<ChunkRecord>)>> {
    let mut select = connection.prepare_cached(
        "SELECT number, packed FROM segment_directory WHERE topic = ?1 AND number >= ?2 ORDER BY number LIMIT 1",
    )?;
    let found = select.query_row(params![topic, from], |row| Ok((row.get("number")?, row.get("packed")?)));
    let Some((number, packed)): Option<(u32, Vec<u8>)> = found.optional()? else { return Ok(None) };
    Ok(Some((i64::from(number), segments::unpack(SegmentKey { topic: id, number }, &packed)?)))
}

fn file(record: &ChunkRecord, fate: ChunkFate) -> ChunkFile {
    ChunkFile { chunk: record.chunk, device: record.device, file_bytes: record.file_bytes, fate }
}

/// Damage that pages and references show.
pub fn check(connection: &Connection) -> Outcome<Vec<String>> {
    let pages = connection.prepare("PRAGMA integrity_check(20)")?;
    let references = connection.prepare("PRAGMA foreign_key_check")?;
    checked(pages, references, &[])
}

/// The same of one table and its indexes.
pub fn check_table(connection: &Connection, table: &str) -> Outcome<Vec<String>> {
    let pages = connection.prepare("SELECT * FROM pragma_integrity_check(?1) LIMIT 20")?;
    let references = connection.prepare("SELECT * FROM pragma_foreign_key_check(?1) LIMIT 20")?;
    checked(pages, references, &[table])
}

pub fn tables(connection: &Connection) -> Outcome<Vec<String>> {
    let mut select = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let names = select.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn checked(mut pages: Statement<'_>, mut references: Statement<'_>, of: &[&str]) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let mut rows = pages.query(params_from_iter(of))?;
    while let Some(row) = rows.next()? {
        found.push(row.get::<_, String>(0)?);
    }
    found.retain(|line| line != "ok");
    let mut rows = references.query(params_from_iter(of))?;
    while let Some(row) = rows.next()? {
        found.push(format!(
            "a row of {} refers to one of {} that is not there",
            row.get::<_, String>(0)?,
            row.get::<_, String>(2)?
        ));
    }
    Ok(found)
}
