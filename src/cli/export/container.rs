//! An MCAP file (<https://mcap.dev/spec>, version 0): chunks of messages, their indexes, and a summary at the end.
//!
//! | part         | records                                                                       |
//! |--------------|-------------------------------------------------------------------------------|
//! | data         | header, metadata, schemas, channels, (chunk, message indexes)*, data end       |
//! | summary      | schemas, channels, statistics, chunk indexes, metadata indexes, their offsets |
//! | footer       | where the summary is, and its checksum                                        |
//!
//! Held in memory: one chunk and its indexes, and for the whole file some 100 bytes a chunk and 10 for each channel in it.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;

use flate2::Crc;
use zstd::bulk::Compressor;

use super::record::Record;
use super::record::op;

const MAGIC: [u8; 8] = [0x89, b'M', b'C', b'A', b'P', b'0', b'\r', b'\n'];

/// Bytes of messages after which a chunk is closed.
const CHUNK_BYTES: usize = 4 << 20;
/// Fast: pictures are compressed already, and numbers lose most of their size at any level.
const ZSTD_LEVEL: i32 = 1;

/// What is written, counted and summed up.
struct Output<W> {
    file: W,
    bytes: u64,
    crc: Crc,
}

impl<W: Write> Output<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Begins another sum.
    fn take_crc(&mut self) -> u32 {
        let sum = self.crc.sum();
        self.crc.reset();
        sum
    }
}

/// A schema as the summary repeats it.
pub struct Schema<'a> {
    pub name: &'a str,
    /// `ros2msg`, `jsonschema`.
    pub encoding: &'a str,
    pub text: &'a str,
}

/// A chunk that is filled.
#[derive(Default)]
struct Chunk {
    records: Vec<u8>,
    times: Option<(u64, u64)>,
    /// Of each channel, when its messages are and where.
    index: BTreeMap<u16, Vec<(u64, u64)>>,
}

/// Writes messages in the order in which they come. Without [`Self::finish`] the file is not whole.
pub struct Container<W> {
    out: Output<W>,
    compressor: Compressor<'static>,
    chunk: Chunk,
    schemas: Vec<Vec<u8>>,
    channels: Vec<Vec<u8>>,
    chunk_indexes: Vec<Vec<u8>>,
    metadata_indexes: Vec<Vec<u8>>,
    counts: BTreeMap<u16, u64>,
    times: Option<(u64, u64)>,
}

impl<W: Write> Container<W> {
    /// * `profile`: `ros2` for files whose messages are all of ROS 2; may be empty.
    pub fn new(file: W, profile: &str) -> io::Result<Self> {
        let mut own = Self {
            out: Output { file, bytes: 0, crc: Crc::new() },
            compressor: Compressor::new(ZSTD_LEVEL)?,
            chunk: Chunk::default(),
            schemas: Vec::new(),
            channels: Vec::new(),
            chunk_indexes: Vec::new(),
            metadata_indexes: Vec::new(),
            counts: BTreeMap::new(),
            times: None,
        };
        own.out.put(&MAGIC)?;
        let library = concat!("tessera ", env!("CARGO_PKG_VERSION"));
        own.out.put(&Record::new(op::HEADER).bytes(profile.as_bytes()).bytes(library.as_bytes()).end())?;
        Ok(own)
    }

    pub fn metadata(&mut self, name: &str, pairs: &BTreeMap<String, String>) -> io::Result<()> {
        let record = Record::new(op::METADATA).bytes(name.as_bytes()).texts(pairs).end();
        let index = Record::new(op::METADATA_INDEX).long(self.out.bytes).long(record.len() as u64);
        self.metadata_indexes.push(index.bytes(name.as_bytes()).end());
        self.out.put(&record)
    }

    /// The number of a schema that messages are made by.
    pub fn schema(&mut self, schema: &Schema<'_>) -> io::Result<u16> {
        let number = number(self.schemas.len() + 1, "schemas")?;
        let record = Record::new(op::SCHEMA).short(number).bytes(schema.name.as_bytes());
        let record = record.bytes(schema.encoding.as_bytes()).bytes(schema.text.as_bytes()).end();
        self.out.put(&record)?;
        self.schemas.push(record);
        Ok(number)
    }

    /// The number of a channel that messages go to.
    pub fn channel(
        &mut self,
        schema: u16,
        topic: &str,
        encoding: &str,
        pairs: &BTreeMap<String, String>,
    ) -> io::Result<u16> {
        let number = number(self.channels.len(), "channels")?;
        let record = Record::new(op::CHANNEL).short(number).short(schema).bytes(topic.as_bytes());
        let record = record.bytes(encoding.as_bytes()).texts(pairs).end();
        self.out.put(&record)?;
        self.channels.push(record);
        Ok(number)
    }

    /// One message, in the order of their times.
    pub fn message(&mut self, channel: u16, time: u64, data: &[u8]) -> io::Result<()> {
        let count = self.counts.entry(channel).or_default();
        *count += 1;
        let at = self.chunk.records.len() as u64;
        let record = &mut self.chunk.records;
        record.push(op::MESSAGE);
        record.extend_from_slice(&(22 + data.len() as u64).to_le_bytes());
        record.extend_from_slice(&channel.to_le_bytes());
        record.extend_from_slice(&((*count - 1) as u32).to_le_bytes()); // counts on from 0 after 2^32
        record.extend_from_slice(&time.to_le_bytes()); // recorded
        record.extend_from_slice(&time.to_le_bytes()); // sent
        record.extend_from_slice(data);
        self.chunk.times = Some(around(self.chunk.times, time));
        self.chunk.index.entry(channel).or_default().push((time, at));
        match self.chunk.records.len() >= CHUNK_BYTES {
            true => self.close_chunk(),
            false => Ok(()),
        }
    }

    fn close_chunk(&mut self) -> io::Result<()> {
        let Some((first, last)) = self.chunk.times.take() else { return Ok(()) };
        self.times = Some(around(Some(around(self.times, first)), last));
        let records = std::mem::take(&mut self.chunk.records);
        let mut crc = Crc::new();
        crc.update(&records);
        let packed = self.compressor.compress(&records)?;
        // What does not get smaller need not be unpacked.
        let (compression, stored) = match packed.len() < records.len() / 20 * 19 {
            true => ("zstd", &packed),
            false => ("", &records),
        };
        let at = self.out.bytes;
        let head = Record::new(op::CHUNK).long(first).long(last).long(records.len() as u64).word(crc.sum());
        let head = head.bytes(compression.as_bytes()).long(stored.len() as u64);
        // The bulk is not copied behind its head.
        self.out.put(&head.end_before(stored.len()))?;
        self.out.put(stored)?;
        let (chunk_bytes, indexes_at) = (self.out.bytes - at, self.out.bytes);
        let mut offsets = BTreeMap::new();
        for (channel, messages) in std::mem::take(&mut self.chunk.index) {
            offsets.insert(channel, self.out.bytes);
            let mut pairs = Record::part();
            for (time, at) in messages {
                pairs = pairs.long(time).long(at);
            }
            let pairs = pairs.take();
            self.out.put(&Record::new(op::MESSAGE_INDEX).short(channel).bytes(&pairs).end())?;
        }
        let index = Record::new(op::CHUNK_INDEX).long(first).long(last).long(at).long(chunk_bytes).counts(&offsets);
        let index = index.long(self.out.bytes - indexes_at).bytes(compression.as_bytes());
        self.chunk_indexes.push(index.long(stored.len() as u64).long(records.len() as u64).end());
        self.chunk.records = records;
        self.chunk.records.clear();
        Ok(())
    }

    /// Writes what readers look for first, and gives the file back.
    pub fn finish(mut self) -> io::Result<W> {
        self.close_chunk()?;
        let crc = self.out.take_crc();
        self.out.put(&Record::new(op::DATA_END).word(crc).end())?;
        let (summary_at, _) = (self.out.bytes, self.out.take_crc());
        let (first, last) = self.times.unwrap_or_default();
        let count = |list: &[Vec<u8>]| u32::try_from(list.len()).unwrap_or(u32::MAX);
        let statistics = Record::new(op::STATISTICS)
            .long(self.counts.values().sum())
            .short(u16::try_from(self.schemas.len()).unwrap_or(u16::MAX))
            .word(count(&self.channels))
            .word(0) // attachments
            .word(count(&self.metadata_indexes))
            .word(count(&self.chunk_indexes))
            .long(first)
            .long(last)
            .counts(&self.counts)
            .end();
        let groups = [
            (op::SCHEMA, std::mem::take(&mut self.schemas)),
            (op::CHANNEL, std::mem::take(&mut self.channels)),
            (op::STATISTICS, vec![statistics]),
            (op::CHUNK_INDEX, std::mem::take(&mut self.chunk_indexes)),
            (op::METADATA_INDEX, std::mem::take(&mut self.metadata_indexes)),
        ];
        let mut offsets = Vec::new();
        for (kind, records) in groups.iter().filter(|(_, records)| !records.is_empty()) {
            let at = self.out.bytes;
            for record in records {
                self.out.put(record)?;
            }
            offsets.push(Record::new(op::SUMMARY_OFFSET).byte(*kind).long(at).long(self.out.bytes - at).end());
        }
        let offsets_at = self.out.bytes;
        for record in &offsets {
            self.out.put(record)?;
        }
        // The sum ends where it stands itself.
        let footer = Record::new(op::FOOTER).long(summary_at).long(offsets_at).word(0).end();
        let (before, _) = footer.split_at(footer.len() - 4);
        self.out.put(before)?;
        let crc = self.out.take_crc();
        self.out.put(&crc.to_le_bytes())?;
        self.out.put(&MAGIC)?;
        self.out.file.flush()?;
        Ok(self.out.file)
    }
}

fn around(times: Option<(u64, u64)>, time: u64) -> (u64, u64) {
    times.map_or((time, time), |(first, last)| (first.min(time), last.max(time)))
}

fn number(count: usize, what: &str) -> io::Result<u16> {
    let many = || io::Error::other(format!("more than {} {what} in one MCAP file: export single topics", u16::MAX));
    u16::try_from(count).map_err(|_| many())
}

#[cfg(test)]
mod tests;
