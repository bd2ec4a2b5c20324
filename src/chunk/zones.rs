//! # Zones, version 1 (little-endian)
//!
//! What lies in stretches of a chunk's rows, column by column, so that a reader who looks for something skips pages. Written
//! behind the last page, where no column chunk is; the key `tessera:zones` says where, as `version,offset,bytes`. Checksums
//! cover it as they cover pages. Files without it are read whole.
//!
//! | bytes | field        | a reader must                                                           |
//! |------:|--------------|-------------------------------------------------------------------------|
//! |     4 | zone count n |                                                                         |
//! |     2 | column count |                                                                         |
//! |   8·n | end of each  | in rows of the chunk; require that they ascend, the last one is all rows |
//!
//! then per column, without a gap to the end:
//!
//! | bytes | field        | a reader must                                                           |
//! |------:|--------------|-------------------------------------------------------------------------|
//! |     1 | path length  | require UTF-8                                                           |
//! |     n | path         | as in the record's statistics                                           |
//! |     1 | kind         | take the whole as unknown when it does not know it                      |
//! |     1 | flags        | bit 0: elements of lists                                                |
//! |  17·n | entries      | one for each zone: 1 byte flags, 8 bytes least, 8 bytes most            |
//!
//! Kinds: 1 signed · 2 unsigned · 3 float · 4 boolean · 6 text, of which the first eight bytes count. Least and most are numbers
//! that order as the values do ([`Kind`]). Flags of an entry: 1 it has values (else least and most are 0) · 2 a null, of the
//! column or above it · 4 a NaN · 8 an empty list.
//!
//! A zone ends with pages of the timestamps, and has so many rows that a column of eight bytes fills a block that is read. Where
//! all zones together become too many bytes, neighbours are made one: memory and file hold at most [`BYTES_MAX`], but for
//! the names.

use std::ops::Range;

use crate::model::ColumnSummary;
use crate::model::Predicate;
use crate::model::Rest;
use crate::model::Values;
use crate::model::columns_may_hold;
use crate::model::text_prefix;

pub(super) const VERSION: u16 = 1;

/// Rows of a zone at the least, but for the last one of a row group.
const ROWS_MIN: usize = 8 << 10;

/// Bytes of all zones of a chunk.
const BYTES_MAX: usize = 256 << 10;

/// The same with names, which are no longer than the statistics' own.
pub(super) const SECTION_BYTES_MAX: u64 = 512 << 10;

const HEAD_BYTES: usize = size_of::<u32>() + size_of::<u16>();
const ENTRY_BYTES: usize = 17;
const LIST: u8 = 1;

/// How values become numbers that order alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Signed = 1,
    Unsigned = 2,
    Float = 3,
    Boolean = 4,
    Text = 6,
}

const SIGN: u64 = 1 << 63;

impl Kind {
    const ALL: [Self; 5] = [Self::Signed, Self::Unsigned, Self::Float, Self::Boolean, Self::Text];

    pub(super) fn signed(value: i64) -> u64 {
        value.cast_unsigned() ^ SIGN
    }

    /// Not of NaN. The two zeros are one.
    pub(super) fn float(value: f64) -> u64 {
        let bits = (value + 0.0).to_bits();
        if bits & SIGN == 0 { bits | SIGN } else { !bits }
    }

    pub(super) fn text(value: &str) -> u64 {
        // The first byte counts most.
        u64::from_le_bytes(text_prefix(value.as_bytes())).swap_bytes()
    }

    /// What values lie in these ranges.
    pub(super) fn ranges(self, ranges: &[(u64, u64)]) -> Values {
        let signed = |key: u64| (key ^ SIGN).cast_signed();
        let float = |key: u64| f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN });
        let Some(&(least, most)) = ranges.first() else { return Values::None };
        match self {
            Self::Signed => Values::Signed(signed(least), signed(most)),
            Self::Unsigned => Values::Unsigned(least, most),
            Self::Float => Values::Floats(ranges.iter().map(|(a, b)| (float(*a), float(*b))).collect()),
            Self::Boolean => Values::Booleans { yes: most == 1, no: least == 0 },
            Self::Text => Values::Prefixes(least.swap_bytes().to_le_bytes(), most.swap_bytes().to_le_bytes(), None),
        }
    }
}

/// What lies in one column of one zone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Entry {
    flags: u8,
    least: u64,
    most: u64,
}

impl Entry {
    pub(super) const VALUES: u8 = 1;
    pub(super) const NULLS: u8 = 2;
    pub(super) const NANS: u8 = 4;
    pub(super) const EMPTY: u8 = 8;

    pub(super) fn note(&mut self, is: bool, flag: u8) {
        self.flags |= if is { flag } else { 0 };
    }

    pub(super) fn widen(&mut self, range: Option<(u64, u64)>) {
        let Some((least, most)) = range else { return };
        let own = self.range().unwrap_or((least, most));
        (self.least, self.most) = (own.0.min(least), own.1.max(most));
        self.flags |= Self::VALUES;
    }

    fn range(&self) -> Option<(u64, u64)> {
        (self.flags & Self::VALUES != 0).then_some((self.least, self.most))
    }

    fn united(mut self, other: &Self) -> Self {
        self.widen(other.range());
        self.flags |= other.flags;
        self
    }
}

/// One column of all zones.
pub(super) struct Zoned<'a> {
    pub(super) path: &'a str,
    pub(super) list: bool,
    pub(super) kind: Kind,
    pub(super) entries: &'a [Entry],
}

/// Where the zones of a chunk being written end.
pub(super) struct Ends {
    /// In rows of the chunk.
    rows: Vec<u64>,
    /// Rows that the next zone should have.
    pub(super) rows_min: usize,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), rows_min: ROWS_MIN }
    }

    /// Ends a zone of so many rows.
    ///
    /// * `columns`: entries of each column, one for every zone, the new one included.
    pub(super) fn push<'a>(&mut self, rows: usize, columns: impl Iterator<Item = &'a mut Vec<Entry>>) {
        self.rows.push(self.rows.last().unwrap_or(&0) + rows as u64);
        let columns: Vec<&mut Vec<Entry>> = columns.collect();
        let each = size_of::<u64>() + columns.len() * size_of::<Entry>();
        if self.rows.len() * each <= BYTES_MAX {
            return;
        }
        for entries in columns {
            let pair =
                |pair: &[Entry]| pair.iter().skip(1).fold(pair.first().copied().unwrap_or_default(), Entry::united);
            *entries = entries.chunks(2).map(pair).collect();
        }
        self.rows = self.rows.chunks(2).filter_map(<[u64]>::last).copied().collect();
        self.rows_min *= 2;
    }

    /// The bytes of the section; none where one zone is all.
    pub(super) fn encode<'a>(&self, columns: impl Iterator<Item = Zoned<'a>>) -> Vec<u8> {
        if self.rows.len() < 2 {
            return Vec::new();
        }
        let (mut out, mut count) = (vec![0; HEAD_BYTES], 0u16);
        self.rows.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()));
        for column in columns.filter(|column| column.path.len() <= u8::MAX.into()) {
            assert!(column.entries.len() == self.rows.len(), "{} entries of {}", column.entries.len(), column.path);
            out.push(column.path.len() as u8);
            out.extend_from_slice(column.path.as_bytes());
            out.extend_from_slice(&[column.kind as u8, if column.list { LIST } else { 0 }]);
            for Entry { flags, least, most } in column.entries {
                out.push(*flags);
                out.extend_from_slice(&least.to_le_bytes());
                out.extend_from_slice(&most.to_le_bytes());
            }
            count += 1;
        }
        let head = (self.rows.len() as u32).to_le_bytes().into_iter().chain(count.to_le_bytes());
        head.zip(&mut out).for_each(|(from, to)| *to = from);
        out
    }
}

/// Rows of the chunk in zones that may have a row which satisfies the predicate: ascending, zones that touch made one. `None`
/// when the section makes no sense: then every row may.
pub(super) fn rows_that_may_hold(section: &[u8], rows: u64, predicate: &Predicate) -> Option<Vec<Range<u64>>> {
    let mut rest = Rest(section);
    let (count, columns) = (u32::from_le_bytes(rest.take()?) as usize, u16::from_le_bytes(rest.take()?));
    let ends: Vec<u64> = numbers(&mut rest, count)?;
    let ascend = ends.iter().zip(ends.iter().skip(1)).all(|(a, b)| a < b);
    (ascend && *ends.first()? > 0 && *ends.last()? == rows).then_some(())?;
    let (mut known, mut entries) = (Vec::new(), Vec::new());
    for _ in 0..columns {
        let [len] = rest.take()?;
        let path = String::from_utf8(rest.bytes(len.into())?.to_vec()).ok()?;
        let [kind, flags] = rest.take()?;
        let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind)?;
        let own = rest.bytes(count.checked_mul(ENTRY_BYTES)?)?;
        let named = predicate.leaves().any(|leaf| path.split('.').eq(leaf.path.iter().map(|step| step.name.as_str())));
        if named {
            let list = flags & LIST != 0;
            known.push(ColumnSummary { path, values: Values::None, nulls: 0, nans: 0, list, empty: false });
            entries.push((kind, own));
        }
    }
    rest.0.is_empty().then_some(())?;
    let mut out: Vec<Range<u64>> = Vec::new();
    for (zone, end) in ends.iter().enumerate() {
        let start = zone.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
        for (summary, (kind, entries)) in known.iter_mut().zip(&entries) {
            let entry = Entry::parse(entries.get(zone * ENTRY_BYTES..)?)?;
            let has = |flag: u8| entry.flags & flag != 0;
            summary.values = entry.range().map_or(Values::None, |range| kind.ranges(&[range]));
            (summary.nulls, summary.nans) = (has(Entry::NULLS).into(), has(Entry::NANS).into());
            summary.empty = has(Entry::EMPTY);
        }
        if columns_may_hold(predicate, &known) {
            match out.last_mut() {
                Some(last) if last.end == start => last.end = *end,
                _ => out.push(start..*end),
            }
        }
    }
    Some(out)
}

impl Entry {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let [flags] = rest.take()?;
        Some(Self { flags, least: u64::from_le_bytes(rest.take()?), most: u64::from_le_bytes(rest.take()?) })
    }
}

fn numbers(rest: &mut Rest, count: usize) -> Option<Vec<u64>> {
    let bytes = rest.bytes(count.checked_mul(size_of::<u64>())?)?;
    Some(bytes.chunks_exact(size_of::<u64>()).filter_map(|n| n.try_into().ok().map(u64::from_le_bytes)).collect())
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;
    use crate::model::ColumnTest;
    use crate::model::Expression;
    use crate::model::Number;
    use crate::model::Step;
    use crate::model::Test;

    fn holds(test: Test) -> Predicate {
        Expression::Leaf(ColumnTest { path: vec![Step { name: "x".to_owned(), item: None }], test })
    }

    fn equals(value: i64) -> Predicate {
        let own = Bound::Included(Number::Integer(value.into()));
        holds(Test::Numbers { ranges: vec![(own, own)], nan: false })
    }

    fn entry(range: Option<(i64, i64)>, flags: u8) -> Entry {
        let mut entry = Entry { flags, ..Entry::default() };
        entry.widen(range.map(|(least, most)| (Kind::signed(least), Kind::signed(most))));
        entry
    }

    fn section(entries: &[Entry], rows: usize) -> (Vec<u8>, Ends) {
        let (mut ends, mut own) = (Ends::new(), Vec::new());
        for entry in entries {
            own.push(*entry);
            ends.push(rows, std::iter::once(&mut own));
        }
        let zoned = Zoned { path: "x", list: false, kind: Kind::Signed, entries: &own };
        (ends.encode(std::iter::once(zoned)), ends)
    }

    #[test]
    fn zones_are_found_again_and_damage_is_no_answer() {
        let entries =
            [entry(Some((0, 9)), 0), entry(None, Entry::NULLS), entry(Some((-5, 9)), 0), entry(Some((7, 7)), 0)];
        let (bytes, _) = section(&entries, 10);
        assert_eq!(rows_that_may_hold(&bytes, 40, &equals(7)), Some(vec![0..10, 20..40]));
        assert_eq!(rows_that_may_hold(&bytes, 40, &equals(-5)), Some(vec![Range { start: 20, end: 30 }]));
        assert_eq!(rows_that_may_hold(&bytes, 40, &equals(10)), Some(vec![]));
        assert_eq!(rows_that_may_hold(&bytes, 41, &equals(7)), None, "of another chunk");
        for len in 0..bytes.len() {
            assert_eq!(rows_that_may_hold(&bytes[..len], 40, &equals(7)), None, "{len} bytes of it");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(rows_that_may_hold(&longer, 40, &equals(7)), None);
        assert!(section(&entries[..1], 10).0.is_empty(), "one zone says no more than the record");
    }

    /// Goal: however many zones, memory and file are bounded and no row is lost. Method: more zones than there is room for, the
    /// value of each its number.
    #[test]
    fn many_zones_become_fewer() {
        let flags = |n: i64| if n == 12_345 { Entry::NULLS } else { 0 };
        let entries: Vec<Entry> = (0..30_000).map(|n| entry(Some((n, n)), flags(n))).collect();
        let (bytes, ends) = section(&entries, 3);
        assert!(bytes.len() <= BYTES_MAX && ends.rows_min > ROWS_MIN, "{} bytes", bytes.len());
        for n in [0u64, 1, 12_345, 29_998, 29_999] {
            let found = rows_that_may_hold(&bytes, 90_000, &equals(n as i64)).unwrap();
            let rows: u64 = found.iter().map(|rows| rows.end - rows.start).sum();
            assert!(
                found.len() == 1 && found[0].contains(&(n * 3)) && found[0].contains(&(n * 3 + 2)),
                "{n}: {found:?}"
            );
            // Six times two neighbours became one; the zones of one number have three rows.
            assert!(rows <= 3 << 6, "{n}: {rows} rows");
        }
        let found = rows_that_may_hold(&bytes, 90_000, &holds(Test::Missing)).unwrap();
        assert!(found.len() == 1 && found[0].contains(&37_035), "the zone with a null: {found:?}");
    }

    proptest! {
        #[test]
        fn numbers_order_as_values_do(a in any::<f64>(), b in any::<f64>(), c in any::<i64>(), d in any::<i64>(), e in ".{0,9}", f in ".{0,9}") {
            if let Some(order) = a.partial_cmp(&b) {
                prop_assert_eq!(Kind::float(a).cmp(&Kind::float(b)), order);
                prop_assert_eq!(Kind::Float.ranges(&[(Kind::float(a), Kind::float(b))]), Values::Floats(vec![(a + 0.0, b + 0.0)]));
            }
            prop_assert_eq!(Kind::signed(c).cmp(&Kind::signed(d)), c.cmp(&d));
            prop_assert_eq!(Kind::Signed.ranges(&[(Kind::signed(c), Kind::signed(d))]), Values::Signed(c, d));
            prop_assert!(e > f || Kind::text(&e) <= Kind::text(&f));
            let prefixes = Values::Prefixes(text_prefix(e.as_bytes()), text_prefix(f.as_bytes()), None);
            prop_assert_eq!(Kind::Text.ranges(&[(Kind::text(&e), Kind::text(&f))]), prefixes);
        }
    }
}
