//! Records of an MCAP file: a kind, a length, fields in little-endian, texts and lists with their lengths in front.

use std::collections::BTreeMap;

/// Kinds of records.
pub mod op {
    pub const HEADER: u8 = 0x01;
    pub const FOOTER: u8 = 0x02;
    pub const SCHEMA: u8 = 0x03;
    pub const CHANNEL: u8 = 0x04;
    pub const MESSAGE: u8 = 0x05;
    pub const CHUNK: u8 = 0x06;
    pub const MESSAGE_INDEX: u8 = 0x07;
    pub const CHUNK_INDEX: u8 = 0x08;
    pub const STATISTICS: u8 = 0x0b;
    pub const METADATA: u8 = 0x0c;
    pub const METADATA_INDEX: u8 = 0x0d;
    pub const SUMMARY_OFFSET: u8 = 0x0e;
    pub const DATA_END: u8 = 0x0f;
}

/// A kind and a length.
const HEAD_BYTES: usize = 9;

/// One record, built up field by field.
#[derive(Default)]
pub struct Record(Vec<u8>);

impl Record {
    pub fn new(op: u8) -> Self {
        Self([&[op][..], &[0; 8]].concat())
    }

    pub fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub fn short(mut self, value: u16) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn word(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn long(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// With its length in front.
    pub fn bytes(self, value: &[u8]) -> Self {
        let mut own = self.word(length(value));
        own.0.extend_from_slice(value);
        own
    }

    pub fn texts(self, pairs: &BTreeMap<String, String>) -> Self {
        let one = |(key, value): (&String, &String)| Self::part().bytes(key.as_bytes()).bytes(value.as_bytes()).take();
        let all: Vec<u8> = pairs.iter().flat_map(one).collect();
        self.bytes(&all)
    }

    pub fn counts(self, pairs: &BTreeMap<u16, u64>) -> Self {
        let all: Vec<u8> = pairs.iter().flat_map(|(key, value)| Self::part().short(*key).long(*value).take()).collect();
        self.bytes(&all)
    }

    /// Fields of a part of a record.
    pub fn part() -> Self {
        Self::default()
    }

    pub fn take(self) -> Vec<u8> {
        self.0
    }

    /// The record with its length where it belongs.
    pub fn end(self) -> Vec<u8> {
        self.end_before(0)
    }

    /// As [`Self::end`], of a record whose last bytes follow by themselves.
    pub fn end_before(mut self, more: usize) -> Vec<u8> {
        let length = (self.0.len() - HEAD_BYTES + more) as u64;
        self.0.iter_mut().skip(1).zip(length.to_le_bytes()).for_each(|(byte, value)| *byte = value);
        self.0
    }
}

/// Chunks and what describes them stay far below 4 GiB: a message is at most what a server sends at once.
fn length(value: &[u8]) -> u32 {
    u32::try_from(value.len()).unwrap_or(u32::MAX)
}
