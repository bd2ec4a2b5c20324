//! Tails: the chunks of topics that are being received and that no segment holds yet. They lie in the journal, and in
//! memory with their row numbers.

use std::collections::HashMap;

use rusqlite::Connection;

use super::convert::uuid;
use super::fault::Outcome;
use crate::catalog::CatalogError;
use crate::catalog::SegmentKey;
use crate::catalog::SegmentView;
use crate::catalog::ZoneMap;
use crate::catalog::decode_record;
use crate::model::ChunkRecord;
use crate::model::TimeBounds;
use crate::model::TopicId;
use crate::model::TopicTotals;

/// By the topic's row.
#[derive(Default)]
pub struct Tails(pub HashMap<i64, Tail>);

pub struct Tail {
    /// What its segment will be called.
    pub key: SegmentKey,
    /// Over the segments before it.
    pub sealed: TopicTotals,
    pub entries: Vec<TailEntry>,
    /// Of the entries' records as they are stored.
    pub bytes: usize,
}

pub struct TailEntry {
    /// Row number in the journal; `None` while the transaction that brings it has not decided where it goes.
    pub number: Option<i64>,
    pub record: ChunkRecord,
    /// What the journal will have; empty once it has it.
    pub stored: Vec<u8>,
}

impl Tails {
    /// Reads the journal once. Every topic found receiving gets a tail, be it empty.
    pub fn load(connection: &Connection) -> Outcome<Self> {
        let mut tails = Self::default();
        let mut topics = connection.prepare("SELECT row, id FROM topic WHERE state = 1 AND deleted = 0")?;
        let mut rows = topics.query([])?;
        while let Some(row) = rows.next()? {
            let (topic, id) = (row.get("row")?, TopicId(uuid(row, "id")?));
            tails.0.insert(topic, Tail::behind_segments(connection, topic, id)?);
        }
        let mut journal = connection.prepare("SELECT n, topic, record FROM journal ORDER BY n")?;
        let mut rows = journal.query([])?;
        while let Some(row) = rows.next()? {
            let (number, topic, stored): (i64, i64, Vec<u8>) = (row.get("n")?, row.get("topic")?, row.get("record")?);
            let place = || format!("journal row {number}");
            let record = decode_record(&stored).map_err(|error| CatalogError::corrupt(place(), error))?;
            let tail = tails.0.get_mut(&topic);
            let tail = tail.ok_or_else(|| CatalogError::corrupt(place(), "its topic is not being received"))?;
            tail.push(Some(number), record, stored);
        }
        Ok(tails)
    }
}

impl Tail {
    /// Of a topic that has no chunks yet.
    pub fn new(topic: TopicId) -> Self {
        let key = SegmentKey { topic, number: 0 };
        Self { key, sealed: TopicTotals::default(), entries: Vec::new(), bytes: 0 }
    }

    pub fn push(&mut self, number: Option<i64>, record: ChunkRecord, stored: Vec<u8>) {
        self.bytes += stored.len();
        let stored = if number.is_none() { stored } else { Vec::new() };
        self.entries.push(TailEntry { number, record, stored });
    }

    pub fn records(&self) -> Vec<ChunkRecord> {
        self.entries.iter().map(|entry| entry.record.clone()).collect()
    }

    /// The tail as a segment; `None` while it is empty.
    pub fn view(&self) -> Option<SegmentView> {
        let totals = self.unsealed();
        let bounds = totals.bounds?;
        let chunks = self.entries.len() as u32;
        Some(SegmentView { key: self.key, bounds, chunks, rows: totals.rows, bytes: totals.file_bytes })
    }

    /// Over all chunks of the topic.
    pub fn totals(&self) -> TopicTotals {
        sum(self.sealed, self.unsealed())
    }

    /// The totals once the entries lie in a segment.
    pub fn unsealed(&self) -> TopicTotals {
        self.entries.iter().map(|entry| of_record(&entry.record)).fold(TopicTotals::default(), sum)
    }

    fn behind_segments(connection: &Connection, topic: i64, id: TopicId) -> Outcome<Self> {
        let mut tail = Self::new(id);
        let mut segments =
            connection.prepare_cached("SELECT number, zone FROM segment WHERE topic = ?1 ORDER BY number")?;
        let mut rows = segments.query([topic])?;
        while let Some(row) = rows.next()? {
            let (number, zone): (u32, Vec<u8>) = (row.get("number")?, row.get("zone")?);
            let place = || format!("segment {number} of topic {id}");
            if number != tail.key.number {
                return Err(CatalogError::corrupt(place(), "the segment before it is missing").into());
            }
            let zone = ZoneMap::decode(&zone).map_err(|error| CatalogError::corrupt(place(), error))?;
            tail.sealed = sum(tail.sealed, of_zone(&zone));
            tail.key.number = number + 1;
        }
        Ok(tail)
    }
}

pub fn sum(a: TopicTotals, b: TopicTotals) -> TopicTotals {
    TopicTotals {
        rows: a.rows.saturating_add(b.rows),
        file_bytes: a.file_bytes.saturating_add(b.file_bytes),
        chunks: a.chunks + b.chunks,
        bounds: TimeBounds::union_option(a.bounds, b.bounds),
    }
}

fn of_record(record: &ChunkRecord) -> TopicTotals {
    TopicTotals { rows: record.rows, file_bytes: record.file_bytes, chunks: 1, bounds: Some(record.bounds) }
}

fn of_zone(zone: &ZoneMap) -> TopicTotals {
    let chunks = u64::from(zone.chunks);
    TopicTotals { rows: zone.rows, file_bytes: zone.file_bytes, chunks, bounds: Some(zone.bounds) }
}
