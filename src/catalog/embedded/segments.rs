//! Segments and chunks of topics, sealed and not.

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;

use super::convert::state;
use super::convert::uuid;
use super::engine::Seen;
use super::fault::Outcome;
use super::tail::Tails;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::Entity;
use crate::catalog::Page;
use crate::catalog::SegmentKey;
use crate::catalog::SegmentView;
use crate::catalog::ZoneMap;
use crate::catalog::decode_directory;
use crate::catalog::page_items;
use crate::model::ChunkRecord;
use crate::model::Predicate;
use crate::model::SessionId;
use crate::model::Statistics;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicState;
use crate::model::may_match;

pub fn page(
    connection: &Connection,
    tails: Option<&Tails>,
    topic: TopicId,
    range: &TimeRange,
    predicate: Option<&Predicate>,
    (cursor, limit): (Option<&Cursor>, u32),
) -> Outcome<Seen<Page<SegmentView>>> {
    let limit = page_items(limit)? as usize;
    let from = cursor.map_or(Ok(0), |cursor| cursor.segment_after(topic))?;
    let found = find(connection, topic)?;
    // Bounds beyond those of i64 are no bounds: a missing end lets every first time pass.
    let mut select = connection.prepare_cached(
        "SELECT number, first, last, zone FROM segment WHERE topic = ?1 AND number >= ?2
         AND (?3 IS NULL OR last >= ?3) AND (?4 IS NULL OR first < ?4) ORDER BY number LIMIT ?5",
    )?;
    // One more than the page, to know whether there is another.
    let mut rows = select.query(params![found.row, from, range.start(), range.end(), limit as i64 + 1])?;
    let (mut items, mut seen, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        let key = SegmentKey { topic, number: row.get("number")? };
        seen += 1;
        if seen > limit {
            let next = last.map(Cursor::Segment);
            return Ok(Seen::Whole(Page { items, next }));
        }
        last = Some(key);
        let zone = row.get_ref("zone")?.as_blob().map_err(rusqlite::Error::from)?;
        let (view, statistics) = view(key, (row.get("first")?, row.get("last")?), zone)?;
        if predicate.is_none_or(|predicate| may_match(&statistics, predicate)) {
            items.push(view);
        }
    }
    let mut next = None;
    if found.state == TopicState::Receiving {
        let Some(tail) = tails.and_then(|tails| tails.0.get(&found.row)) else { return Ok(Seen::NeedsTail) };
        let tail = tail.view().filter(|view| view.key.number >= from && range.overlaps(&view.bounds));
        match tail {
            Some(_) if seen == limit => next = last.map(Cursor::Segment),
            tail => items.extend(tail),
        }
    }
    Ok(Seen::Whole(Page { items, next }))
}

/// Sealed segments with what is known of their values.
pub fn zones(
    connection: &Connection,
    topic: TopicId,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Outcome<Page<(SegmentView, Statistics)>> {
    let limit = page_items(limit)? as usize;
    let from = cursor.map_or(Ok(0), |cursor| cursor.segment_after(topic))?;
    let found = find(connection, topic)?;
    // One more than the page, to know whether there is another.
    let mut items = sealed(connection, topic, found.row, from, limit + 1)?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|(view, _)| Cursor::Segment(view.key));
    Ok(Page { items, next })
}

/// So many of the sealed segments of a topic, from a number on.
pub fn sealed(
    connection: &Connection,
    topic: TopicId,
    row: i64,
    from: u32,
    limit: usize,
) -> Outcome<Vec<(SegmentView, Statistics)>> {
    let mut select = connection.prepare_cached(
        "SELECT number, first, last, zone FROM segment WHERE topic = ?1 AND number >= ?2 ORDER BY number LIMIT ?3",
    )?;
    let (mut rows, mut items) = (select.query(params![row, from, limit as i64])?, Vec::new());
    while let Some(row) = rows.next()? {
        let key = SegmentKey { topic, number: row.get("number")? };
        let zone = row.get_ref("zone")?.as_blob().map_err(rusqlite::Error::from)?;
        items.push(view(key, (row.get("first")?, row.get("last")?), zone)?);
    }
    Ok(items)
}

pub fn directory(connection: &Connection, tails: Option<&Tails>, key: SegmentKey) -> Outcome<Seen<Vec<ChunkRecord>>> {
    let found = find(connection, key.topic)?;
    let mut select =
        connection.prepare_cached("SELECT packed FROM segment_directory WHERE topic = ?1 AND number = ?2")?;
    let packed: Option<Vec<u8>> =
        select.query_row(params![found.row, key.number], |row| row.get("packed")).optional()?;
    if let Some(packed) = packed {
        return Ok(Seen::Whole(unpack(key, &packed)?));
    }
    if found.state == TopicState::Receiving {
        let Some(tail) = tails.and_then(|tails| tails.0.get(&found.row)) else { return Ok(Seen::NeedsTail) };
        if tail.key == key && !tail.entries.is_empty() {
            return Ok(Seen::Whole(tail.records()));
        }
    }
    let name = format!("{} of topic {}", key.number, key.topic);
    Err(CatalogError::not_found(Entity::Segment, name).into())
}

/// Every chunk that a file of this session may belong to, topic by topic, oldest first. Of a live session those of its
/// live topics; of a deleted one all, until it is purged.
pub fn of_session(
    connection: &Connection,
    tails: Option<&Tails>,
    session: SessionId,
) -> Outcome<Seen<Vec<ChunkRecord>>> {
    let mut select = connection.prepare_cached("SELECT row FROM session WHERE id = ?1")?;
    if !select.exists([session.0.as_bytes()])? {
        return Err(CatalogError::not_found(Entity::Session, session).into());
    }
    let mut select = connection.prepare_cached(
        "SELECT t.row AS row, t.id AS id, t.state AS state, t.deleted AS deleted FROM topic t
         JOIN session s ON s.row = t.session WHERE s.id = ?1 AND (t.deleted = 0 OR s.deleted = 1) ORDER BY t.row",
    )?;
    let (mut rows, mut all) = (select.query([session.0.as_bytes()])?, Vec::new());
    while let Some(row) = rows.next()? {
        let (topic, deleted): (i64, bool) = (row.get("row")?, row.get("deleted")?);
        for segment in of_topic(connection, topic, TopicId(uuid(row, "id")?))? {
            all.extend(segment?);
        }
        if state(row, "state", TopicState::from_number)? == TopicState::Receiving && !deleted {
            let Some(tail) = tails.and_then(|tails| tails.0.get(&topic)) else { return Ok(Seen::NeedsTail) };
            all.extend(tail.records());
        }
    }
    Ok(Seen::Whole(all))
}

/// The sealed chunks of a topic, also of a deleted one, segment by segment.
pub fn of_topic(connection: &Connection, topic: i64, id: TopicId) -> Outcome<Vec<Outcome<Vec<ChunkRecord>>>> {
    let mut select =
        connection.prepare_cached("SELECT number, packed FROM segment_directory WHERE topic = ?1 ORDER BY number")?;
    let (mut rows, mut all) = (select.query([topic])?, Vec::new());
    while let Some(row) = rows.next()? {
        let (number, packed): (u32, Vec<u8>) = (row.get("number")?, row.get("packed")?);
        all.push(unpack(SegmentKey { topic: id, number }, &packed));
    }
    Ok(all)
}

struct Found {
    row: i64,
    state: TopicState,
}

fn find(connection: &Connection, topic: TopicId) -> Outcome<Found> {
    let mut select = connection.prepare_cached("SELECT row, state FROM topic WHERE id = ?1 AND deleted = 0")?;
    let mut rows = select.query([topic.0.as_bytes()])?;
    let row = rows.next()?.ok_or_else(|| CatalogError::not_found(Entity::Topic, topic))?;
    Ok(Found { row: row.get("row")?, state: state(row, "state", TopicState::from_number)? })
}

fn view(key: SegmentKey, columns: (i64, i64), zone: &[u8]) -> Outcome<(SegmentView, Statistics)> {
    let place = || format!("segment {} of topic {}", key.number, key.topic);
    let zone = ZoneMap::decode(zone).map_err(|error| CatalogError::corrupt(place(), error))?;
    if columns != (zone.bounds.first, zone.bounds.last) {
        return Err(CatalogError::corrupt(place(), "its columns and its zone map disagree about its times").into());
    }
    let (bounds, chunks, rows, bytes) = (zone.bounds, zone.chunks.into(), zone.rows, zone.file_bytes);
    Ok((SegmentView { key, bounds, chunks, rows, bytes }, zone.statistics))
}

pub fn unpack(key: SegmentKey, packed: &[u8]) -> Outcome<Vec<ChunkRecord>> {
    let place = || format!("segment {} of topic {}", key.number, key.topic);
    Ok(decode_directory(key, packed).map_err(|error| CatalogError::corrupt(place(), error))?)
}
