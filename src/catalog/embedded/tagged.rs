//! Topics by their tag, and what is known of the values in many of them.

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use super::convert::bounds;
use super::convert::narrow;
use super::convert::parsed;
use super::convert::uuid;
use super::fault::Outcome;
use super::segments;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::PAGE_BYTES;
use crate::catalog::PAGE_ITEMS_MAX;
use crate::catalog::Page;
use crate::catalog::SEGMENT_CHUNKS_MAX;
use crate::catalog::TaggedTopic;
use crate::catalog::TopicZones;
use crate::catalog::page_items;
use crate::model::OntologyTag;
use crate::model::SequenceName;
use crate::model::SessionState;
use crate::model::TopicId;
use crate::model::TopicTotals;

/// A topic of more has too many segments, surely.
const CHUNKS_MAX: u64 = PAGE_ITEMS_MAX as u64 * SEGMENT_CHUNKS_MAX as u64;

/// In the order of their rows, which the index keeps: a topic that comes while somebody reads is behind all others.
pub const TAGGED: &str = "SELECT t.row AS row, t.id AS id, t.sequence AS sequence, q.name AS name FROM topic t
     CROSS JOIN session s ON s.row = t.session CROSS JOIN sequence q ON q.row = t.sequence
     WHERE t.tag = ?1 AND t.row > ?2 AND t.deleted = 0 AND s.state = ?3 AND s.deleted = 0 AND q.deleted = 0
     ORDER BY t.row LIMIT ?4";

pub fn page(
    connection: &Connection,
    tag: &OntologyTag,
    cursor: Option<&Cursor>,
    limit: u32,
) -> Outcome<Page<TaggedTopic>> {
    let limit = page_items(limit)? as usize;
    let after = match cursor {
        None => 0,
        Some(Cursor::Topic(row)) => *row,
        Some(Cursor::Sequence(_) | Cursor::Segment(_)) => {
            let why = "it is of another list than topics by their tag".to_owned();
            return Err(CatalogError::Invalid { field: "cursor", why }.into());
        }
    };
    let mut select = connection.prepare_cached(TAGGED)?;
    let mut rows = select.query(params![tag.as_str(), after, SessionState::Final as i64, limit as i64])?;
    let (mut items, mut last) = (Vec::new(), after);
    while let Some(row) = rows.next()? {
        last = row.get("row")?;
        items.push(TaggedTopic {
            id: TopicId(uuid(row, "id")?),
            sequence: parsed(row, "name", SequenceName::parse)?,
            number: Some(row.get("sequence")?),
        });
    }
    let next = (items.len() == limit).then_some(Cursor::Topic(last));
    Ok(Page { items, next })
}

/// And how many of the topics were looked at.
pub fn zones_of(connection: &Connection, topics: &[TopicId]) -> Outcome<(Vec<TopicZones>, usize)> {
    let mut select = connection.prepare_cached(
        "SELECT t.row AS row, t.rows AS rows, t.file_bytes AS file_bytes, t.chunks AS chunks, t.first AS first,
         t.last AS last, t.schema AS schema FROM topic t JOIN session s ON s.row = t.session
         WHERE t.id = ?1 AND t.deleted = 0 AND s.state = ?2 AND s.deleted = 0",
    )?;
    let (mut found, mut bytes) = (Vec::with_capacity(topics.len()), 0);
    for (at, topic) in topics.iter().enumerate() {
        if bytes >= PAGE_BYTES {
            return Ok((found, at));
        }
        let mut rows = select.query(params![topic.0.as_bytes(), SessionState::Final as i64])?;
        let Some(row) = rows.next()? else { continue };
        let totals = totals(row)?;
        if totals.chunks > CHUNKS_MAX {
            continue;
        }
        let zones = segments::sealed(connection, *topic, row.get("row")?, 0, PAGE_ITEMS_MAX as usize + 1)?;
        if zones.len() > PAGE_ITEMS_MAX as usize {
            continue;
        }
        let schema: Option<Vec<u8>> = row.get("schema")?;
        bytes += schema.as_ref().map_or(0, Vec::len);
        bytes += zones.iter().map(|(_, known)| known.bytes.len()).sum::<usize>();
        found.push(TopicZones { id: *topic, totals, schema, segments: zones });
    }
    Ok((found, topics.len()))
}

fn totals(row: &Row<'_>) -> Outcome<TopicTotals> {
    Ok(TopicTotals {
        rows: narrow(row, "rows")?,
        file_bytes: narrow(row, "file_bytes")?,
        chunks: narrow(row, "chunks")?,
        bounds: bounds(row)?,
    })
}
