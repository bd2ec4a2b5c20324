//! Sequences and topics as queries ask for them, in the order in which they were made.
//!
//! Rows ascend as they are made, but the number of the newest one is given again once it is gone. So whoever goes on behind a
//! row says whose it was: while that one is there, everything made after it has a larger number.

use rusqlite::Connection;
use rusqlite::params;

use super::convert::parsed;
use super::convert::uuid;
use super::fault::Outcome;
use super::sequences;
use super::topics;
use crate::catalog::HeadMark;
use crate::catalog::HeadPage;
use crate::catalog::PAGE_BYTES;
use crate::catalog::SequenceContents;
use crate::catalog::TopicMark;
use crate::catalog::page_items;
use crate::model::OntologyTag;
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
