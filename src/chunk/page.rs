//! One data page of a directly written column: header, levels, values.

use arrow::array::ArrayRef;
use parquet::basic::Encoding;

use super::hybrid::encode_runs;
use super::hybrid::zigzag;
use super::levels::Levels;
use super::levels::Run;
use super::levels::push;
use super::sink::Pieces;
use super::sink::Sink;
use super::values;
use super::values::Part;

/// Longest page Parquet can say, and most entries.
pub(super) const PAGE_MAX: u64 = i32::MAX as u64;

// Thrift's compact protocol: types of fields, and numbers of Parquet's enums.
pub(super) const STOP: u8 = 0;
pub(super) const I32: u8 = 5;
pub(super) const STRUCT: u8 = 12;
pub(super) const DATA_PAGE: i64 = 0;
pub(super) const RLE: i64 = 3;

/// What goes into one page of one column; rows may come from several batches.
#[derive(Default)]
pub(super) struct Page {
    definitions: Vec<Run>,
    repetitions: Vec<Run>,
    parts: Vec<Part>,
}

/// Highest levels of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LevelsMax {
    pub(super) definition: u16,
    pub(super) repetition: u16,
}

/// What the column chunk's metadata needs to know of a written page.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) entries: u64,
    pub(super) encoding: Encoding,
}

impl Page {
    /// Appends rows of another batch.
    pub(super) fn append(&mut self, array: &ArrayRef, levels: Levels) {
        levels.definitions.iter().for_each(|run| push(&mut self.definitions, run.level, run.count));
        levels.repetitions.iter().for_each(|run| push(&mut self.repetitions, run.level, run.count));
        self.parts.push((array.clone(), levels.values));
    }

    /// Appends the page to the file. `Err` with the bytes it would have when Parquet cannot say so many.
    pub(super) fn write(&self, sink: &mut Sink, max: LevelsMax) -> Result<Written, u64> {
        let entries: u64 = self.definitions.iter().map(|run| run.count as u64).sum();
        let mut levels = Vec::new();
        if max.repetition > 0 {
            prefixed(&mut levels, &self.repetitions, max.repetition);
        }
        if max.definition > 0 {
            prefixed(&mut levels, &self.definitions, max.definition);
        }
        let mut body = Pieces::default();
        let encoding = values::encode(&mut body, &self.parts);
        let body_bytes = levels.len() as u64 + body.len();
        let bytes = body_bytes.max(entries);
        if bytes > PAGE_MAX {
            return Err(bytes);
        }
        let start = sink.offset();
        sink.bytes(&header(entries, body_bytes, encoding));
        sink.bytes(&levels);
        body.take().into_iter().for_each(|buffer| sink.buffer(buffer));
        Ok(Written { bytes: sink.offset() - start, entries, encoding })
    }
}

/// Levels of a version 1 page: their length, then the hybrid.
fn prefixed(out: &mut Vec<u8>, runs: &[Run], max: u16) {
    let mut encoded = Vec::new();
    encode_runs(&mut encoded, runs, max);
    out.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
    out.append(&mut encoded);
}

/// `PageHeader` of an uncompressed version 1 data page.
fn header(entries: u64, bytes: u64, encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    let mut field = |step: u8, kind: u8, value: i64| {
        // Fields are numbered by the step from the one before.
        out.push(step << 4 | kind);
        zigzag(&mut out, value);
    };
    field(1, I32, DATA_PAGE); // 1: type
    field(1, I32, bytes as i64); // 2: uncompressed_page_size
    field(1, I32, bytes as i64); // 3: compressed_page_size
    out.push(2 << 4 | STRUCT); // 5: data_page_header
    let mut field = |value: i64| {
        out.push(1 << 4 | I32);
        zigzag(&mut out, value);
    };
    field(entries as i64); // 1: num_values
    field(encoding as i64); // 2: encoding
    field(RLE); // 3: definition_level_encoding
    field(RLE); // 4: repetition_level_encoding
    out.extend([STOP, STOP]);
    out
}
