//! A page that `page` wrote, taken apart.

use parquet::basic::Encoding;

use super::hybrid::decode_lengths;
use super::hybrid::decode_runs;
use super::hybrid::take_zigzag;
use super::levels::Run;
use super::levels::push;
use super::page::DATA_PAGE;
use super::page::I32;
use super::page::LevelsMax;
use super::page::RLE;
use super::page::STOP;
use super::page::STRUCT;
use super::sparse::Span;

/// No header is longer: nine fields of at most eleven bytes.
const HEADER_BYTES_MAX: usize = 100;

/// Bytes that one length may take in its encoding, and those that a block of them has besides.
const LENGTH_BYTES_MAX: usize = 5;
const LENGTHS_SLACK: usize = 1 << 10;

pub(super) struct StoredPage<'a> {
    encoding: Encoding,
    /// One run of the highest level where the column has no levels.
    pub(super) definitions: Vec<Run>,
    pub(super) repetitions: Vec<Run>,
    pub(super) values: Span<'a>,
}

impl<'a> StoredPage<'a> {
    /// `None` for anything that `page` does not make.
    pub(super) fn parse(mut page: Span<'a>, max: LevelsMax) -> Option<Self> {
        let (entries, len, encoding) = take_header(&mut page)?;
        (page.len() == len).then_some(())?;
        let repetitions = take_levels(&mut page, entries, max.repetition)?;
        let definitions = take_levels(&mut page, entries, max.definition)?;
        Some(Self { encoding, definitions, repetitions, values: page })
    }

    /// Values one behind the other.
    pub(super) fn plain(&self) -> Option<Span<'a>> {
        (self.encoding == Encoding::PLAIN).then_some(self.values)
    }

    /// Lengths of `count` byte strings, and their bytes.
    pub(super) fn lengths(&self, count: usize) -> Option<(Vec<usize>, Span<'a>)> {
        let mut values = self.values;
        match (self.encoding, count) {
            (Encoding::PLAIN, 0) => Some((Vec::new(), values)),
            (Encoding::PLAIN, 1) => {
                let len = take_u32(&mut values)?;
                Some((vec![len], values))
            }
            (Encoding::DELTA_LENGTH_BYTE_ARRAY, 2..) => {
                let head = values.peek(count.saturating_mul(LENGTH_BYTES_MAX).saturating_add(LENGTHS_SLACK));
                let (lengths, rest) = decode_lengths(&head, count)?;
                values.take(head.len() - rest.len())?;
                Some((lengths, values))
            }
            _ => None,
        }
    }
}

/// Entries, length of what follows, and encoding of the values. See `page::header`.
fn take_header(page: &mut Span) -> Option<(usize, usize, Encoding)> {
    let head = page.peek(HEADER_BYTES_MAX);
    let mut rest = &*head;
    let mut field = |step: u8, kind: u8| {
        let (head, behind) = rest.split_first()?;
        rest = behind;
        (*head == step << 4 | kind).then_some(())?;
        if kind == STRUCT { Some(0) } else { take_zigzag(&mut rest) }
    };
    (field(1, I32)? == DATA_PAGE).then_some(())?;
    let (bytes, compressed) = (field(1, I32)?, field(1, I32)?);
    field(2, STRUCT)?;
    let (entries, encoding, levels) = (field(1, I32)?, field(1, I32)?, (field(1, I32)?, field(1, I32)?));
    (bytes == compressed && levels == (RLE, RLE)).then_some(())?;
    let encodings = [Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY];
    let encoding = encodings.into_iter().find(|known| *known as i64 == encoding)?;
    let rest = rest.strip_prefix(&[STOP, STOP])?;
    page.take(head.len() - rest.len())?;
    Some((usize::try_from(entries).ok()?, usize::try_from(bytes).ok()?, encoding))
}

fn take_levels(body: &mut Span, entries: usize, max: u16) -> Option<Vec<Run>> {
    if max == 0 {
        let mut runs = Vec::new();
        push(&mut runs, 0, entries);
        return Some(runs);
    }
    let len = take_u32(body)?;
    let levels = body.take(len)?;
    decode_runs(&levels.peek(len), entries, max)
}

fn take_u32(from: &mut Span) -> Option<usize> {
    let bytes = from.take(size_of::<u32>())?.peek(size_of::<u32>());
    Some(u32::from_le_bytes(bytes.as_ref().try_into().ok()?) as usize)
}
