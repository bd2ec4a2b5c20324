//! Sequences in the file.

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use super::convert::parsed;
use super::convert::uuid;
use super::fault::Outcome;
use super::sessions;
use super::writer::Work;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::Entity;
use crate::catalog::NewSequence;
use crate::catalog::PAGE_BYTES;
use crate::catalog::Page;
use crate::catalog::page_items;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::UserMetadata;

pub fn create(work: &mut Work<'_>, new: &NewSequence) -> Outcome<SequenceHead> {
    let mut select = work.connection.prepare_cached("SELECT name, deleted FROM sequence WHERE id = ?1")?;
    let mut rows = select.query([new.id.0.as_bytes()])?;
    if let Some(row) = rows.next()? {
        let (name, deleted): (String, bool) = (row.get("name")?, row.get("deleted")?);
        return match (name == new.name.as_str(), deleted) {
            (true, false) => Ok(find(work.connection, &new.name)?.1),
            (true, true) => Err(CatalogError::not_found(Entity::Sequence, &new.name).into()),
            (false, _) => Err(CatalogError::AlreadyExists { what: Entity::Sequence, name, id: new.id.0 }.into()),
        };
    }
    match find(work.connection, &new.name) {
        Ok((_, head)) => {
            let name = new.name.to_string();
            return Err(CatalogError::AlreadyExists { what: Entity::Sequence, name, id: head.id.0 }.into());
        }
        Err(fault) if fault.is_not_found() => {}
        Err(fault) => return Err(fault),
    }
    let mut insert = work
        .connection
        .prepare_cached("INSERT INTO sequence (id, name, metadata, created_at) VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute(params![new.id.0.as_bytes(), new.name.as_str(), new.metadata.as_str(), new.created_at_ns])?;
    let (name, metadata) = (new.name.clone(), new.metadata.clone());
    Ok(SequenceHead { id: new.id, name, metadata, created_at_ns: new.created_at_ns })
}

/// Its row and head.
pub fn find(connection: &Connection, name: &SequenceName) -> Outcome<(i64, SequenceHead)> {
    let mut select = connection
        .prepare_cached("SELECT row, id, name, metadata, created_at FROM sequence WHERE name = ?1 AND deleted = 0")?;
    let mut rows = select.query([name.as_str()])?;
    let row = rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Sequence, name))?;
    Ok((row.get("row")?, head(row)?))
}

pub fn page(connection: &Connection, after: Option<&SequenceName>, limit: u32) -> Outcome<Page<SequenceHead>> {
    let limit = page_items(limit)?;
    let mut select = connection.prepare_cached(
        "SELECT row, id, name, metadata, created_at FROM sequence WHERE deleted = 0 AND name > ?1 ORDER BY name LIMIT ?2",
    )?;
    // One more than the page, to know whether there is another.
    let mut rows = select.query(params![after.map_or("", SequenceName::as_str), i64::from(limit) + 1])?;
    let (mut items, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if items.len() == limit as usize || bytes >= PAGE_BYTES {
            let next = items.last().map(|head: &SequenceHead| Cursor::Sequence(head.name.clone()));
            return Ok(Page { items, next });
        }
        let head = head(row)?;
        bytes += head.metadata.as_str().len();
        items.push(head);
    }
    Ok(Page { items, next: None })
}

/// Those behind a row, in the order in which they were made, and whether there may be more.
pub fn behind(connection: &Connection, row: i64, limit: usize) -> Outcome<(Vec<(i64, SequenceHead)>, bool)> {
    let mut select = connection.prepare_cached(
        "SELECT row, id, name, metadata, created_at FROM sequence WHERE row > ?1 AND deleted = 0 ORDER BY row LIMIT ?2",
    )?;
    let (mut rows, mut found, mut bytes) = (select.query(params![row, limit as i64])?, Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let head = head(row)?;
        bytes += head.metadata.as_str().len();
        found.push((row.get("row")?, head));
        if bytes >= PAGE_BYTES {
            return Ok((found, true));
        }
    }
    let more = found.len() == limit;
    Ok((found, more))
}

pub fn by_row(connection: &Connection, row: i64) -> Outcome<Option<SequenceHead>> {
    let mut select = connection
        .prepare_cached("SELECT row, id, name, metadata, created_at FROM sequence WHERE row = ?1 AND deleted = 0")?;
    let mut rows = select.query([row])?;
    rows.next()?.map(head).transpose()
}

/// With all its sessions. The row stays until the last of them is purged.
pub fn delete(work: &mut Work<'_>, id: SequenceId) -> Outcome<()> {
    let (sequence, sessions) = live(work.connection, id)?;
    delete_with(work, sequence, sessions)
}

/// Returns whether it had no sessions and was deleted.
pub fn delete_empty(work: &mut Work<'_>, id: SequenceId) -> Outcome<bool> {
    let (sequence, sessions) = live(work.connection, id)?;
    match sessions.is_empty() {
        true => delete_with(work, sequence, sessions).map(|()| true),
        false => Ok(false),
    }
}

/// The row of a live sequence, and those of its live sessions.
fn live(connection: &Connection, id: SequenceId) -> Outcome<(i64, Vec<i64>)> {
    let mut select = connection.prepare_cached("SELECT row FROM sequence WHERE id = ?1 AND deleted = 0")?;
    let mut rows = select.query([id.0.as_bytes()])?;
    let row = rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Sequence, id))?;
    let sequence: i64 = row.get("row")?;
    let mut select =
        connection.prepare_cached("SELECT row FROM session WHERE sequence = ?1 AND deleted = 0 ORDER BY row")?;
    let sessions = select.query_map([sequence], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok((sequence, sessions))
}

fn delete_with(work: &mut Work<'_>, sequence: i64, sessions: Vec<i64>) -> Outcome<()> {
    for session in sessions {
        sessions::bury(work, session)?;
    }
    work.connection.prepare_cached("DELETE FROM notification WHERE sequence = ?1")?.execute([sequence])?;
    work.connection.prepare_cached("UPDATE sequence SET deleted = 1 WHERE row = ?1")?.execute([sequence])?;
    forget_when_empty(work, sequence)
}

/// Drops the row of a deleted sequence once it has no sessions.
pub fn forget_when_empty(work: &Work<'_>, sequence: i64) -> Outcome<()> {
    let mut delete = work.connection.prepare_cached(
        "DELETE FROM sequence WHERE row = ?1 AND deleted = 1
         AND NOT EXISTS (SELECT 1 FROM session WHERE session.sequence = ?1)",
    )?;
    delete.execute([sequence])?;
    Ok(())
}

fn head(row: &Row<'_>) -> Outcome<SequenceHead> {
    Ok(SequenceHead {
        id: SequenceId(uuid(row, "id")?),
        name: parsed(row, "name", SequenceName::parse)?,
        metadata: parsed(row, "metadata", UserMetadata::parse)?,
        created_at_ns: row.get("created_at")?,
    })
}
