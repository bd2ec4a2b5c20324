//! A topic's put in the file: its begin, its chunks, its end. Chunks go to the journal; 256 of them, or the end of the
//! put, make a segment.

use rusqlite::params;

use super::config::Admission;
use super::convert::state;
use super::convert::stored;
use super::fault::Outcome;
use super::notifications::cut;
use super::tail::Tail;
use super::tail::sum;
use super::topics;
use super::writer::Work;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::catalog::SEGMENT_CHUNKS_MAX;
use crate::catalog::ZoneMap;
use crate::catalog::encode_directory;
use crate::catalog::encode_record;
use crate::catalog::segment::DIRECTORY_LEN_MAX;
use crate::catalog::segment::directory_len;
use crate::model::ChunkRecord;
use crate::model::SessionState;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicMove;
use crate::model::TopicState;
use crate::model::TopicTotals;

/// Longest schema message, in bytes.
pub const SCHEMA_LEN_MAX: usize = 1 << 20;

pub fn begin(work: &mut Work<'_>, topic: TopicId, schema: &[u8]) -> Outcome<TopicHead> {
    if schema.len() > SCHEMA_LEN_MAX && work.admission == Admission::Limited {
        let (limit, found) = (SCHEMA_LEN_MAX as u64, schema.len() as u64);
        return Err(CatalogError::TooLarge { what: "bytes of a schema", limit, found }.into());
    }
    let found = find(work, topic)?;
    let next = step(topic, &found, TopicMove::BeginPut)?;
    let mut select = work.connection.prepare_cached("SELECT sequence FROM topic WHERE row = ?1")?;
    let sequence = select.query_row([found.row], |row| row.get(0))?;
    topics::check_heads(work, sequence, schema.len())?;
    let mut update = work.connection.prepare_cached("UPDATE topic SET state = ?2, schema = ?3 WHERE row = ?1")?;
    update.execute(params![found.row, next as i64, schema])?;
    work.tails.0.insert(found.row, Tail::new(topic));
    topics::head(work.connection, topic)
}

pub fn commit(work: &mut Work<'_>, topic: TopicId, records: Vec<ChunkRecord>, end: Option<PutEnd>) -> Outcome<()> {
    let found = find(work, topic)?;
    let next = match &end {
        Some(PutEnd { outcome: PutOutcome::Complete, .. }) => Some(step(topic, &found, TopicMove::Complete)?),
        Some(PutEnd { outcome: PutOutcome::Interrupted { .. }, .. }) => {
            Some(step(topic, &found, TopicMove::Interrupt)?)
        }
        None => {
            assert!(found.state == TopicState::Receiving, "chunks for topic {topic}, which is {:?}", found.state);
            None
        }
    };
    let mut encoded = Vec::with_capacity(records.len());
    for record in records {
        let stored = encode_record(&record)
            .map_err(|error| CatalogError::Invalid { field: "chunk record", why: error.to_string() })?;
        encoded.push((record, stored));
    }
    // Nothing refuses from here on.
    let mut tail = work.tails.0.remove(&found.row);
    let tail_now = tail.as_mut().ok_or_else(|| CatalogError::corrupt(format!("topic {topic}"), "it has no tail"))?;
    for (record, stored) in encoded {
        if !has_room(tail_now, stored.len()) {
            seal(work, found.row, tail_now)?;
        }
        tail_now.push(None, record, stored);
    }
    match end.zip(next) {
        Some((end, state)) => finish(work, found.row, tail_now, state, end)?,
        None => {
            if tail_now.entries.len() == SEGMENT_CHUNKS_MAX {
                seal(work, found.row, tail_now)?;
            }
            journal(work, found.row, tail_now)?;
            work.tails.0.extend(tail.map(|tail| (found.row, tail)));
        }
    }
    Ok(())
}

/// Ends the put of a topic whose tail was taken out of the tails.
pub fn finish(work: &Work<'_>, topic: i64, tail: &mut Tail, state: TopicState, end: PutEnd) -> Outcome<()> {
    let totals = settle(work, topic, tail)?;
    let why = match end.outcome {
        PutOutcome::Complete => None,
        PutOutcome::Interrupted { why } => Some(cut(why)),
    };
    let mut update = work.connection.prepare_cached(
        "UPDATE topic SET state = ?2, completed_at = ?3, why = ?4, rows = ?5, file_bytes = ?6, chunks = ?7, first = ?8,
         last = ?9 WHERE row = ?1",
    )?;
    let (first, last) = (totals.bounds.map(|b| b.first), totals.bounds.map(|b| b.last));
    let (rows, bytes, chunks) = (stored(totals.rows), stored(totals.file_bytes), stored(totals.chunks));
    update.execute(params![topic, state as i64, end.at_ns, why, rows, bytes, chunks, first, last])?;
    Ok(())
}

/// Puts what is left of a tail into a segment; returns the totals of the topic.
pub fn settle(work: &Work<'_>, topic: i64, tail: &mut Tail) -> Outcome<TopicTotals> {
    if !tail.entries.is_empty() {
        seal(work, topic, tail)?;
    }
    Ok(tail.sealed)
}

fn has_room(tail: &Tail, len: usize) -> bool {
    tail.entries.len() < SEGMENT_CHUNKS_MAX && directory_len(tail.bytes + len) <= DIRECTORY_LEN_MAX
}

/// Makes a segment of all entries of a tail.
fn seal(work: &Work<'_>, topic: i64, tail: &mut Tail) -> Outcome<()> {
    let records = tail.records();
    let bug = |detail: String| CatalogError::corrupt(format!("the tail of topic {}", tail.key.topic), detail);
    let packed = encode_directory(tail.key, &records).map_err(|error| bug(error.to_string()))?;
    let zone = ZoneMap::of(&records).ok_or_else(|| bug(format!("{} chunks", records.len())))?;
    let mut insert = work
        .connection
        .prepare_cached("INSERT INTO segment (topic, number, first, last, zone) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    insert.execute(params![topic, tail.key.number, zone.bounds.first, zone.bounds.last, zone.encode()])?;
    let mut insert =
        work.connection.prepare_cached("INSERT INTO segment_directory (topic, number, packed) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![topic, tail.key.number, packed])?;
    let mut delete = work.connection.prepare_cached("DELETE FROM journal WHERE n = ?1")?;
    for number in tail.entries.iter().filter_map(|entry| entry.number) {
        delete.execute([number])?;
    }
    tail.sealed = sum(tail.sealed, tail.unsealed());
    tail.key.number += 1;
    tail.entries.clear();
    tail.bytes = 0;
    Ok(())
}

/// Writes the entries that are nowhere yet.
fn journal(work: &Work<'_>, topic: i64, tail: &mut Tail) -> Outcome<()> {
    let mut insert = work.connection.prepare_cached("INSERT INTO journal (topic, record) VALUES (?1, ?2)")?;
    for entry in tail.entries.iter_mut().filter(|entry| entry.number.is_none()) {
        entry.number = Some(insert.insert(params![topic, entry.stored])?);
        entry.stored = Vec::new();
    }
    Ok(())
}

struct Found {
    row: i64,
    state: TopicState,
    session: SessionState,
}

fn find(work: &Work<'_>, topic: TopicId) -> Outcome<Found> {
    let mut select = work.connection.prepare_cached(
        "SELECT t.row AS row, t.state AS state, s.state AS session_state FROM topic t JOIN session s ON s.row = t.session
         WHERE t.id = ?1 AND t.deleted = 0",
    )?;
    let mut rows = select.query([topic.0.as_bytes()])?;
    let row = rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Topic, topic))?;
    Ok(Found {
        row: row.get("row")?,
        state: state(row, "state", TopicState::from_number)?,
        session: state(row, "session_state", SessionState::from_number)?,
    })
}

fn step(topic: TopicId, found: &Found, step: TopicMove) -> Outcome<TopicState> {
    let next = found.state.after(step, found.session);
    let next = next.map_err(|refusal| CatalogError::refused(Entity::Topic, topic, refusal))?;
    Ok(next.ok_or_else(|| CatalogError::not_found(Entity::Topic, topic))?)
}
