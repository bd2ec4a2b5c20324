//! Sequences and topics as queries ask for them, in the order in which they were made.
//!
//! Rows ascend as they are made, but the number of the newest one is given again once it is gone. So whoever goes on behind a
//! row says whose it was: while that one is there, everything made after it has a larger number.

use rusqlite::Connection;
use rusqlite::Row;
use rusqlite::params;

use super::convert::parsed;
use super::convert::uuid;
use super::fault::Outcome;
use super::sequences;
use super::topics;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::HeadMark;
use crate::catalog::HeadPage;
use crate::catalog::HeadText;
use crate::catalog::PAGE_BYTES;
use crate::catalog::Page;
use crate::catalog::SequenceContents;
use crate::catalog::Sieve;
use crate::catalog::TopicMark;
use crate::catalog::page_items;
use crate::model::OntologyTag;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::TopicId;
use crate::model::TopicPath;
use crate::model::UserMetadata;

pub fn page(connection: &Connection, after: HeadMark, limit: u32) -> Outcome<HeadPage> {
    let limit = page_items(limit)? as usize;
    let gone = |table: &str, mark: Option<(i64, [u8; 16])>| -> Outcome<bool> {
        let Some((row, id)) = mark else { return Ok(false) };
        let mut select = connection.prepare_cached(&format!("SELECT 1 FROM {table} WHERE row = ?1 AND id = ?2"))?;
        Ok(!select.exists(params![row, id])?)
    };
    let sequence = gone("sequence", after.sequence.map(|(row, id)| (row, id.0.into_bytes())))?;
    let topic = gone("topic", after.topic.map(|(row, id)| (row, id.0.into_bytes())))?;
    if sequence || topic {
        return Ok(HeadPage::Gone { sequence, topic });
    }
    let (sequences, more) = sequences::behind(connection, after.sequence.map_or(0, |(row, _)| row), limit)?;
    // A topic is told behind its sequence, which is older.
    if more {
        return Ok(HeadPage::Heads { sequences, topics: Vec::new(), more });
    }
    let (topics, more) = behind(connection, after.topic.map_or(0, |(row, _)| row), limit)?;
    Ok(HeadPage::Heads { sequences, topics, more })
}

/// And whether there may be more.
fn behind(connection: &Connection, after: i64, limit: usize) -> Outcome<(Vec<TopicMark>, bool)> {
    let mut select = connection.prepare_cached(
        "SELECT row, id, sequence, path, tag, format, metadata, created_at FROM topic WHERE row > ?1 AND deleted = 0
         ORDER BY row LIMIT ?2",
    )?;
    let (mut rows, mut topics, mut bytes) = (select.query(params![after, limit as i64])?, Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if bytes >= PAGE_BYTES {
            return Ok((topics, true));
        }
        let topic = TopicMark {
            number: row.get("row")?,
            id: TopicId(uuid(row, "id")?),
            sequence: row.get("sequence")?,
            path: parsed(row, "path", TopicPath::parse)?,
            tag: parsed(row, "tag", OntologyTag::parse)?,
            format: parsed(row, "format", SerializationFormat::parse)?,
            metadata: parsed(row, "metadata", UserMetadata::parse)?,
            created_at_ns: row.get("created_at")?,
        };
        bytes += topic.metadata.as_str().len();
        topics.push(topic);
    }
    let more = topics.len() == limit;
    Ok((topics, more))
}

/// Sequences by name with topics of final sessions, as the sieve lets them through: none but these is taken apart.
pub fn sifted(
    connection: &Connection,
    after: Option<&SequenceName>,
    limit: u32,
    sieve: &Sieve,
) -> Outcome<Page<SequenceContents>> {
    let limit = page_items(limit)?;
    let mut select = connection.prepare_cached(
        "SELECT name, metadata, created_at, row FROM sequence WHERE deleted = 0 AND name > ?1 ORDER BY name LIMIT ?2",
    )?;
    let mut rows = select.query(params![after.map_or("", SequenceName::as_str), limit])?;
    let (mut items, mut bytes, mut looked, mut last) = (Vec::new(), 0, 0, String::new());
    while bytes < PAGE_BYTES {
        let Some(row) = rows.next()? else { break };
        looked += 1;
        let name = text(row, 0)?;
        last.clear();
        last.push_str(name);
        let head = HeadText { name, tag: "", format: "", created_at_ns: row.get(2)?, metadata: text(row, 1)? };
        let number = row.get(3)?;
        // Also what does not pass takes its time.
        bytes += head.metadata.len();
        if !sieve.lets_sequence(&head) || !any_topic(connection, number, sieve, &mut bytes)? {
            continue;
        }
        let topics = topics::final_of(connection, number)?;
        if let Some(head) = sequences::by_row(connection, number)?.filter(|_| !topics.is_empty()) {
            let contents = SequenceContents { head, topics };
            bytes += contents.bytes();
            items.push(contents);
        }
    }
    let more = looked == limit || bytes >= PAGE_BYTES;
    let name = |last: &str| SequenceName::parse(last).map_err(|error| CatalogError::corrupt("column name", error));
    let next = more.then(|| name(&last)).transpose()?.map(Cursor::Sequence);
    Ok(Page { items, next })
}

/// Whether the sieve lets a topic of the sequence through; adds the bytes of metadata that were looked at.
fn any_topic(connection: &Connection, sequence: i64, sieve: &Sieve, bytes: &mut usize) -> Outcome<bool> {
    if sieve.topic.is_none() {
        return Ok(true);
    }
    let mut select = connection.prepare_cached(
        "SELECT path, tag, format, created_at, metadata FROM topic WHERE sequence = ?1 AND deleted = 0",
    )?;
    let mut rows = select.query([sequence])?;
    while let Some(row) = rows.next()? {
        let (name, tag, format, metadata) = (text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 4)?);
        *bytes += metadata.len();
        if sieve.lets_topic(&HeadText { name, tag, format, created_at_ns: row.get(3)?, metadata }) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A column, as it lies in the page.
fn text<'a>(row: &'a Row<'_>, column: usize) -> Outcome<&'a str> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

/// With topics of final sessions, without those that have none, in the order of the numbers; and how many of these were
/// looked at.
pub fn contents_of(connection: &Connection, numbers: &[i64]) -> Outcome<(Vec<SequenceContents>, usize)> {
    let (mut found, mut bytes) = (Vec::with_capacity(numbers.len()), 0);
    for (at, number) in numbers.iter().enumerate() {
        if bytes >= PAGE_BYTES {
            return Ok((found, at));
        }
        let Some(head) = sequences::by_row(connection, *number)? else { continue };
        let topics = topics::final_of(connection, *number)?;
        if !topics.is_empty() {
            let contents = SequenceContents { head, topics };
            bytes += contents.bytes();
            found.push(contents);
        }
    }
    Ok((found, numbers.len()))
}
