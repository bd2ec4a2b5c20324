//! Topics in the file.

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use super::config::Admission;
use super::convert::bounds;
use super::convert::narrow;
use super::convert::parsed;
use super::convert::state;
use super::convert::uuid;
use super::fault::Outcome;
use super::puts;
use super::sessions;
use super::writer::Work;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::NewTopic;
use crate::catalog::PAGE_BYTES;
use crate::model::DeviceNumber;
use crate::model::OntologyTag;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::SessionMove;
use crate::model::SessionState;
use crate::model::ShardIndex;
use crate::model::TokenDigest;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicMove;
use crate::model::TopicName;
use crate::model::TopicPath;
use crate::model::TopicState;
use crate::model::TopicTotals;
use crate::model::TopicView;
use crate::model::UserMetadata;

/// Bytes of metadata and schemas that the topics of one sequence may have together.
const HEAD_BYTES_MAX: u64 = 16 << 20;

/// Bytes of one topic's metadata or schema from which they are counted.
const HEAD_BYTES_COUNTED: usize = 4 << 10;

/// A topic, and what stands beside it in the file.
pub struct Found {
    pub row: i64,
    pub session_state: SessionState,
    /// With the totals of an ended put; those of a running one are in its tail.
    pub view: TopicView,
}

/// What a session's finalize and delete look at.
pub struct Standing {
    pub row: i64,
    pub name: TopicPath,
    pub state: TopicState,
}

const COLUMNS: &str = "t.row AS row, t.id AS id, s.id AS session, s.state AS session_state, q.name AS sequence_name,
    t.path AS path, t.tag AS tag, t.format AS format, t.metadata AS metadata, t.state AS state, t.shard AS shard,
    t.device AS device, t.created_at AS created_at, t.completed_at AS completed_at, t.schema AS schema, t.rows AS rows,
    t.file_bytes AS file_bytes, t.chunks AS chunks, t.first AS first, t.last AS last
    FROM topic t JOIN session s ON s.row = t.session JOIN sequence q ON q.row = t.sequence";

pub fn create(work: &mut Work<'_>, new: &NewTopic) -> Outcome<TopicHead> {
    match by_id(work.connection, new.id) {
        Ok(Found { view, .. }) if view.head.session == new.session && view.head.name == new.name => {
            return Ok(view.head);
        }
        Ok(Found { view, .. }) => return Err(taken(&view.head.name, new.id)),
        Err(fault) if fault.is_not_found() => {}
        Err(fault) => return Err(fault),
    }
    let session = sessions::find(work.connection, new.session)?;
    if session.head.sequence_name != new.name.sequence {
        let (topic, sequence) = (new.name.to_string(), session.head.sequence_name.to_string());
        return Err(CatalogError::ForeignSequence { topic, sequence }.into());
    }
    let step = session.head.state.after(SessionMove::CreateTopic, []);
    step.map_err(|refusal| CatalogError::refused(Entity::Session, new.session, refusal))?;
    match by_name(work.connection, &new.name) {
        Ok(found) => return Err(taken(&new.name, found.view.head.id)),
        Err(fault) if fault.is_not_found() => {}
        Err(fault) => return Err(fault),
    }
    let mut taken = work.connection.prepare_cached("SELECT 1 FROM topic WHERE id = ?1")?;
    if taken.exists([new.id.0.as_bytes()])? {
        return Err(CatalogError::not_found(Entity::Topic, new.id).into()); // deleted, and stays so
    }
    let mut taken = work.connection.prepare_cached("SELECT 1 FROM topic WHERE token = ?1")?;
    if taken.exists([new.token.0])? {
        let why = "it already proves authority over another topic".to_owned();
        return Err(CatalogError::Invalid { field: "token", why }.into());
    }
    check_heads(work, session.sequence, new.metadata.as_str().len())?;
    let mut insert = work.connection.prepare_cached(
        "INSERT INTO topic (id, session, sequence, path, token, tag, format, metadata, state, shard, device, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    insert.execute(params![
        new.id.0.as_bytes(),
        session.row,
        session.sequence,
        new.name.path.as_str(),
        new.token.0,
        new.tag.as_str(),
        new.format.as_str(),
        new.metadata.as_str(),
        TopicState::Created as i64,
        new.shard.0,
        new.device.0,
        new.created_at_ns,
    ])?;
    head(work.connection, new.id)
}

/// Refuses more metadata and schemas in one sequence than answers and manifests, which have all of them, may take of memory.
///
/// * `more`: bytes that are to come; few are not counted, for their number is bounded elsewhere.
pub fn check_heads(work: &Work<'_>, sequence: i64, more: usize) -> Outcome<()> {
    if more < HEAD_BYTES_COUNTED || work.admission == Admission::Recalled {
        return Ok(());
    }
    let mut select = work.connection.prepare_cached(
        "SELECT coalesce(sum(octet_length(metadata) + coalesce(octet_length(schema), 0)), 0) FROM topic
         WHERE sequence = ?1 AND deleted = 0",
    )?;
    let there: i64 = select.query_row([sequence], |row| row.get(0))?;
    let found = there.unsigned_abs() + more as u64;
    match found > HEAD_BYTES_MAX {
        true => {
            let what = "bytes of metadata and schemas of all topics of a sequence";
            Err(CatalogError::TooLarge { what, limit: HEAD_BYTES_MAX, found }.into())
        }
        false => Ok(()),
    }
}

pub fn head(connection: &Connection, id: TopicId) -> Outcome<TopicHead> {
    Ok(by_id(connection, id)?.view.head)
}

pub fn by_id(connection: &Connection, id: TopicId) -> Outcome<Found> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} WHERE t.id = ?1 AND t.deleted = 0"))?;
    let mut rows = select.query([id.0.as_bytes()])?;
    found(rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Topic, id))?)
}

pub fn by_name(connection: &Connection, name: &TopicName) -> Outcome<Found> {
    let sql = format!("SELECT {COLUMNS} WHERE q.name = ?1 AND q.deleted = 0 AND t.path = ?2 AND t.deleted = 0");
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query([name.sequence.as_str(), name.path.as_str()])?;
    found(rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Topic, name))?)
}

pub fn by_token(connection: &Connection, token: TokenDigest) -> Outcome<TopicHead> {
    let mut select = connection.prepare_cached(&format!("SELECT {COLUMNS} WHERE t.token = ?1 AND t.deleted = 0"))?;
    let mut rows = select.query([token.0])?;
    Ok(found(rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Topic, "of this token"))?)?.view.head)
}

/// In the order of their creation.
pub fn of_session(connection: &Connection, session: i64) -> Outcome<Vec<Found>> {
    let sql = format!("SELECT {COLUMNS} WHERE t.session = ?1 AND t.deleted = 0 ORDER BY t.row");
    let mut select = connection.prepare_cached(&sql)?;
    let (mut rows, mut topics) = (select.query([session])?, Vec::new());
    while let Some(row) = rows.next()? {
        topics.push(found(row)?);
    }
    Ok(topics)
}

/// Topics of final sessions by the name of their sequence, behind `after` and up to `last`; without their schemas. `false`:
/// they fill a page, and end with those of another sequence than the last that has some.
pub fn final_between(
    connection: &Connection,
    after: Option<&SequenceName>,
    last: &SequenceName,
) -> Outcome<(Vec<TopicView>, bool)> {
    let columns = COLUMNS.replace("t.schema AS schema", "NULL AS schema");
    let sql = format!(
        "SELECT {columns} WHERE q.name > ?1 AND q.name <= ?2 AND q.deleted = 0 AND s.state = ?3 AND s.deleted = 0
         AND t.deleted = 0 ORDER BY q.name, t.row"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let after = after.map_or("", SequenceName::as_str);
    let mut rows = select.query(params![after, last.as_str(), SessionState::Final as i64])?;
    let (mut topics, mut bytes): (Vec<TopicView>, usize) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let topic = found(row)?.view;
        let begins = topics.last().is_some_and(|last| last.head.name.sequence != topic.head.name.sequence);
        if begins && bytes >= PAGE_BYTES {
            return Ok((topics, false));
        }
        bytes += topic.bytes();
        topics.push(topic);
    }
    Ok((topics, true))
}

/// Topics of the final sessions of one sequence, without their schemas, in the order of their creation.
pub fn final_of(connection: &Connection, sequence: i64) -> Outcome<Vec<TopicView>> {
    let columns = COLUMNS.replace("t.schema AS schema", "NULL AS schema");
    let sql = format!(
        "SELECT {columns} WHERE t.sequence = ?1 AND q.deleted = 0 AND s.state = ?2 AND s.deleted = 0 AND t.deleted = 0
         ORDER BY t.row"
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(params![sequence, SessionState::Final as i64])?;
    let mut topics = Vec::new();
    while let Some(row) = rows.next()? {
        topics.push(found(row)?.view);
    }
    Ok(topics)
}

/// In the order of their creation.
pub fn states(connection: &Connection, session: i64) -> Outcome<Vec<Standing>> {
    let mut select = connection
        .prepare_cached("SELECT row, path, state FROM topic WHERE session = ?1 AND deleted = 0 ORDER BY row")?;
    let (mut rows, mut topics) = (select.query([session])?, Vec::new());
    while let Some(row) = rows.next()? {
        let name = parsed(row, "path", TopicPath::parse)?;
        topics.push(Standing { row: row.get("row")?, name, state: state(row, "state", TopicState::from_number)? });
    }
    Ok(topics)
}

/// Deletes one topic of an open session and leaves a tombstone for its files.
pub fn delete(work: &mut Work<'_>, id: TopicId) -> Outcome<()> {
    let Found { row, session_state, view } = by_id(work.connection, id)?;
    let step = view.head.state.after(TopicMove::Delete, session_state);
    let next = step.map_err(|refusal| CatalogError::refused(Entity::Topic, &view.head.name, refusal))?;
    assert!(next.is_none(), "a deleted topic is gone, not {next:?}");
    if let Some(mut tail) = work.tails.0.remove(&row) {
        puts::settle(work, row, &mut tail)?;
    }
    work.connection.prepare_cached("UPDATE topic SET deleted = 1 WHERE row = ?1")?.execute([row])?;
    let mut insert = work
        .connection
        .prepare_cached("INSERT INTO tombstone (session, topic) SELECT session, row FROM topic WHERE row = ?1")?;
    insert.execute([row])?;
    Ok(())
}

fn taken(name: &TopicName, id: TopicId) -> super::fault::Fault {
    CatalogError::AlreadyExists { what: Entity::Topic, name: name.to_string(), id: id.0 }.into()
}

fn found(row: &Row<'_>) -> Outcome<Found> {
    let name = TopicName {
        sequence: parsed(row, "sequence_name", SequenceName::parse)?,
        path: parsed(row, "path", TopicPath::parse)?,
    };
    let head = TopicHead {
        id: TopicId(uuid(row, "id")?),
        session: SessionId(uuid(row, "session")?),
        name,
        tag: parsed(row, "tag", OntologyTag::parse)?,
        format: parsed(row, "format", SerializationFormat::parse)?,
        metadata: parsed(row, "metadata", UserMetadata::parse)?,
        state: state(row, "state", TopicState::from_number)?,
        shard: ShardIndex(narrow(row, "shard")?),
        device: DeviceNumber(narrow(row, "device")?),
        created_at_ns: row.get("created_at")?,
        completed_at_ns: row.get("completed_at")?,
    };
    let totals = TopicTotals {
        rows: narrow(row, "rows")?,
        file_bytes: narrow(row, "file_bytes")?,
        chunks: narrow(row, "chunks")?,
        bounds: bounds(row)?,
    };
    let session_state = state(row, "session_state", SessionState::from_number)?;
    Ok(Found {
        row: row.get("row")?,
        session_state,
        view: TopicView { head, schema: row.get("schema")?, totals, node: None },
    })
}
