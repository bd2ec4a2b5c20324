//! # Statistics of a chunk or a segment, version 1 (little-endian)
//!
//! | bytes | field        | a reader must                                                        |
//! |------:|--------------|----------------------------------------------------------------------|
//! |     2 | column count |                                                                      |
//!
//! then per column, without a gap to the end:
//!
//! | bytes | field        | a reader must                                                        |
//! |------:|--------------|----------------------------------------------------------------------|
//! |     1 | path length  | require UTF-8                                                        |
//! |     n | path         | names from the top down, joined by '.'; lists have none              |
//! |     1 | kind         | take the whole as unknown when it does not know it                   |
//! |     1 | flags        | bit 0: elements of lists; bit 1: some list is empty                  |
//! |     8 | nulls        | of the column or above it                                            |
//! |     8 | NaNs         |                                                                      |
//! |       | values       | by kind, below                                                       |
//!
//! Kinds: 0 no value · 1 signed: least, most as i64 · 2 unsigned: as u64 · 3 float: a count byte, then so many pairs of f64 ·
//! 4 boolean: bit 0 true occurs, bit 1 false occurs · 5 categories: a count byte, then length byte and text of each ·
//! 6 text: first eight bytes, padded with zeros, of the least and the most ·
//! 7 the same, and the trigrams of all of them (`trigrams`).
//!
//! An index may only ever say that nothing can match. What it does not know may match.

use std::ops::Bound;

use super::ColumnTest;
use super::Expression;
use super::Item;
use super::Number;
use super::NumberRange;
use super::Predicate;
use super::Rest;
use super::Statistics;
use super::Test;
use super::TextRange;
use super::Trigrams;
use super::floats;
use super::integers;

/// Of what this program writes and evaluates.
pub const SKIP_INDEX_VERSION: u16 = 1;

/// Texts kept one by one; beyond, their range is.
pub const CATEGORIES_MAX: usize = 16;
/// Bytes of a text kept whole, and of a path.
pub const CATEGORY_LEN_MAX: usize = 64;
const PATH_LEN_MAX: usize = 255;
/// Bytes of all columns: those that find no room are left out. 256 chunks with so much fill a directory of 4 MiB.
const LEN_MAX: usize = 14 << 10;

const LIST: u8 = 1;
const EMPTY: u8 = 2;

/// What is known of the values of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSummary {
    pub path: String,
    pub values: Values,
    pub nulls: u64,
    pub nans: u64,
    /// Whether the values are elements of lists.
    pub list: bool,
    /// Whether some list is empty: it satisfies what all elements must.
    pub empty: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    None,
    Signed(i64, i64),
    Unsigned(u64, u64),
    /// Two ranges, where one would say nothing: a longitude next to the date line.
    Floats(Vec<(f64, f64)>),
    Booleans {
        yes: bool,
        no: bool,
    },
    Categories(Vec<String>),
    /// The first eight bytes of the least and the most, and what three bytes occur in a row.
    Prefixes([u8; 8], [u8; 8], Option<Trigrams>),
}

/// The first eight bytes of a text, padded with zeros: prefixes ascend where texts do.
pub fn text_prefix(text: &[u8]) -> [u8; 8] {
    let mut prefix = [0; 8];
    prefix.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    prefix
}

/// The bytes of the slot. Columns with a path that is too long, and those that find no room, are left out; before them the
/// trigrams of all.
pub fn encode_skip_index(columns: &[ColumnSummary]) -> Statistics {
    encode(columns, true).or_else(|| encode(columns, false)).unwrap_or_default()
}

/// * `trigrams`: with them; `None` when not everything finds room then.
fn encode(columns: &[ColumnSummary], with_trigrams: bool) -> Option<Statistics> {
    let (mut out, mut count) = (vec![0; size_of::<u16>()], 0u16);
    for column in columns.iter().filter(|column| column.path.len() <= PATH_LEN_MAX) {
        let whole = out.len();
        out.push(column.path.len() as u8);
        out.extend_from_slice(column.path.as_bytes());
        let flags = if column.list { LIST } else { 0 } | if column.empty { EMPTY } else { 0 };
        let mut head = |kind: u8| {
            out.extend_from_slice(&[kind, flags]);
            out.extend_from_slice(&column.nulls.to_le_bytes());
            out.extend_from_slice(&column.nans.to_le_bytes());
        };
        match &column.values {
            Values::None => head(0),
            Values::Signed(least, most) => {
                head(1);
                [least, most].into_iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
            }
            Values::Unsigned(least, most) => {
                head(2);
                [least, most].into_iter().for_each(|n| out.extend_from_slice(&n.to_le_bytes()));
            }
            Values::Floats(ranges) => {
                head(3);
                out.push(ranges.len() as u8);
                ranges.iter().flat_map(|(a, b)| [a, b]).for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
            }
            Values::Booleans { yes, no } => {
                head(4);
                out.push(u8::from(*yes) | u8::from(*no) << 1);
            }
            Values::Categories(texts) => {
                head(5);
                out.push(texts.len() as u8);
                for text in texts {
                    out.push(text.len() as u8);
                    out.extend_from_slice(text.as_bytes());
                }
            }
            Values::Prefixes(least, most, trigrams) => {
                let trigrams = trigrams.as_ref().filter(|_| with_trigrams);
                head(if trigrams.is_some() { 7 } else { 6 });
                out.extend_from_slice(least);
                out.extend_from_slice(most);
                out.extend(trigrams.into_iter().flat_map(Trigrams::bytes));
            }
        }
        if out.len() > LEN_MAX && with_trigrams {
            return None;
        } else if out.len() > LEN_MAX {
            out.truncate(whole);
        } else {
            count += 1;
        }
    }
    count.to_le_bytes().into_iter().zip(&mut out).for_each(|(from, to)| *to = from);
    Some(Statistics { version: SKIP_INDEX_VERSION, bytes: out })
}

/// The columns of a slot; `None` when it has another version, or makes no sense.
pub fn decode_skip_index(statistics: &Statistics) -> Option<Vec<ColumnSummary>> {
    (statistics.version == SKIP_INDEX_VERSION).then_some(())?;
    let mut rest = Rest(&statistics.bytes);
    let count = u16::from_le_bytes(rest.take()?);
    let mut columns = Vec::with_capacity(count.into());
    for _ in 0..count {
        columns.push(column(&mut rest)?);
    }
    rest.0.is_empty().then_some(columns)
}

/// Whether rows that these statistics are of could satisfy the predicate.
pub fn may_match(statistics: &Statistics, predicate: &Predicate) -> bool {
    match decode_skip_index(statistics) {
        Some(columns) => columns_may_hold(predicate, &columns),
        None => true,
    }
}

/// The same of columns that are taken apart already. What is not among them may hold.
pub fn columns_may_hold(predicate: &Predicate, columns: &[ColumnSummary]) -> bool {
    match predicate {
        Expression::All(parts) => parts.iter().all(|part| columns_may_hold(part, columns)),
        Expression::Any(parts) => parts.iter().any(|part| columns_may_hold(part, columns)),
        Expression::Not(_) => true,
        Expression::Leaf(leaf) => leaf_may_hold(leaf, columns),
    }
}

fn leaf_may_hold(ColumnTest { path, test }: &ColumnTest, columns: &[ColumnSummary]) -> bool {
    let is_own = |column: &&ColumnSummary| column.path.split('.').eq(path.iter().map(|step| step.name.as_str()));
    let mut own = columns.iter().filter(is_own);
    // A field with a '.' in its name may share its path with another one: which of them is meant is not known.
    let (Some(column), None) = (own.next(), own.next()) else { return true };
    let items: Vec<Item> = path.iter().filter_map(|step| step.item).collect();
    match (items.is_empty(), column.list, test) {
        (true, true, _) | (false, false, _) | (_, true, Test::Missing) | (_, _, Test::List { .. }) => true,
        (_, false, Test::Missing) => column.nulls > 0,
        (_, list, test) => (list && column.empty && items.contains(&Item::All)) || value_may_hold(test, column),
    }
}

/// Whether some value satisfies the test.
fn value_may_hold(test: &Test, column: &ColumnSummary) -> bool {
    match (test, &column.values) {
        (Test::Missing | Test::List { .. }, _) => true,
        (Test::Exists, Values::None) => column.nans > 0,
        (Test::Exists, _) => true,
        (Test::Numbers { nan: true, .. }, _) if column.nans > 0 => true,
        (Test::Numbers { ranges, .. }, Values::Signed(least, most)) => {
            let (least, most) = ((*least).into(), (*most).into());
            let near = between(ranges, Number::Integer(least), Number::Integer(most));
            near.iter().filter_map(integers).any(|(a, b)| a <= most && b >= least)
        }
        (Test::Numbers { ranges, .. }, Values::Unsigned(least, most)) => {
            let (least, most) = ((*least).into(), (*most).into());
            let near = between(ranges, Number::Integer(least), Number::Integer(most));
            near.iter().filter_map(integers).any(|(a, b)| a <= most && b >= least)
        }
        (Test::Numbers { ranges, .. }, Values::Floats(own)) => own.iter().any(|(least, most)| {
            let near = match least.is_finite() && most.is_finite() {
                true => between(ranges, Number::Float(*least), Number::Float(*most)),
                false => ranges,
            };
            near.iter().filter_map(floats).any(|(a, b)| a <= *most && b >= *least)
        }),
        (Test::Booleans { .. }, Values::Booleans { yes, no }) => {
            (*yes && test.boolean(true)) || (*no && test.boolean(false))
        }
        (Test::Texts(_) | Test::Match(_), Values::Categories(texts)) => texts.iter().any(|text| test.text(text)),
        (Test::Texts(ranges), Values::Prefixes(least, most, trigrams)) => {
            ranges.iter().any(|range| texts_may_lie_in(range, (*least, *most), trigrams.as_ref()))
        }
        (Test::Match(pattern), Values::Prefixes(least, most, trigrams)) => {
            let prefix = pattern.prefix();
            let mut last = [u8::MAX; 8];
            last.iter_mut().zip(prefix.as_bytes()).for_each(|(to, from)| *to = *from);
            let occurs = |trigrams: &Trigrams| pattern.parts().iter().all(|part| trigrams.may_have(part));
            text_prefix(prefix.as_bytes()) <= *most && last >= *least && trigrams.as_ref().is_none_or(occurs)
        }
        // Values of another kind, or none at all.
        (Test::Numbers { .. } | Test::Booleans { .. } | Test::Texts(_) | Test::Match(_), _) => false,
    }
}

/// Those of many ranges that reach into this one: what a chunk costs does not grow with them.
fn between(ranges: &[NumberRange], least: Number, most: Number) -> &[NumberRange] {
    let ends_before = |range: &NumberRange| match range.1 {
        Bound::Unbounded => false,
        Bound::Included(high) | Bound::Excluded(high) => high.total_cmp(least).is_lt(),
    };
    let begins_within = |range: &NumberRange| match range.0 {
        Bound::Unbounded => true,
        Bound::Included(low) | Bound::Excluded(low) => low.total_cmp(most).is_le(),
    };
    let behind = ranges.get(ranges.partition_point(ends_before)..).unwrap_or_default();
    behind.get(..behind.partition_point(begins_within)).unwrap_or_default()
}

fn texts_may_lie_in((low, high): &TextRange, (least, most): ([u8; 8], [u8; 8]), trigrams: Option<&Trigrams>) -> bool {
    let begins = match low {
        Bound::Unbounded => true,
        Bound::Included(low) | Bound::Excluded(low) => text_prefix(low.as_bytes()) <= most,
    };
    let ends = match high {
        Bound::Unbounded => true,
        Bound::Included(high) | Bound::Excluded(high) => text_prefix(high.as_bytes()) >= least,
    };
    let occurs = match (low, high, trigrams) {
        (Bound::Included(low), Bound::Included(high), Some(trigrams)) if low == high => trigrams.may_have(low),
        _ => true,
    };
    begins && ends && occurs
}

/// The statistics of several chunks together; none when one of them has none. Columns that one of them lacks, or has of
/// another kind, are left out.
pub fn merge_skip_indices<'a>(all: impl Iterator<Item = &'a Statistics>) -> Statistics {
    let mut merged: Option<Vec<ColumnSummary>> = None;
    for statistics in all {
        let Some(columns) = decode_skip_index(statistics) else { return Statistics::default() };
        merged = Some(match merged {
            None => columns,
            Some(merged) => merged
                .into_iter()
                .filter_map(|own| {
                    let other = columns.iter().find(|column| column.path == own.path && column.list == own.list)?;
                    own.united(other)
                })
                .collect(),
        });
    }
    merged.map_or_else(Statistics::default, |columns| encode_skip_index(&columns))
}

impl ColumnSummary {
    fn united(self, other: &Self) -> Option<Self> {
        let values = match (self.values, &other.values) {
            (Values::None, values) => values.clone(),
            (values, Values::None) => values,
            (Values::Signed(a, b), Values::Signed(c, d)) => Values::Signed(a.min(*c), b.max(*d)),
            (Values::Unsigned(a, b), Values::Unsigned(c, d)) => Values::Unsigned(a.min(*c), b.max(*d)),
            (Values::Floats(a), Values::Floats(b)) => Values::Floats(united_floats(a, b)),
            (Values::Booleans { yes, no }, Values::Booleans { yes: also, no: nor }) => {
                Values::Booleans { yes: yes || *also, no: no || *nor }
            }
            (Values::Categories(mut texts), Values::Categories(more)) => {
                texts.extend(more.iter().cloned());
                texts.sort_unstable();
                texts.dedup();
                if texts.len() > CATEGORIES_MAX {
                    prefixes(&Values::Categories(texts))?
                } else {
                    Values::Categories(texts)
                }
            }
            (own @ (Values::Categories(_) | Values::Prefixes(..)), other) => {
                match (prefixes(&own)?, prefixes(other)?) {
                    (Values::Prefixes(a, b, all), Values::Prefixes(c, d, more)) => {
                        let all = all.zip(more).map(|(mut all, more)| {
                            all.add_all(&more);
                            all
                        });
                        Values::Prefixes(a.min(c), b.max(d), all.filter(|all| !all.is_full()))
                    }
                    _ => return None,
                }
            }
            _ => return None,
        };
        let (nulls, nans) = (self.nulls.saturating_add(other.nulls), self.nans.saturating_add(other.nans));
        Some(Self { path: self.path, values, nulls, nans, list: self.list, empty: self.empty || other.empty })
    }
}

/// The range of texts that are known one by one.
fn prefixes(values: &Values) -> Option<Values> {
    match values {
        Values::Categories(texts) => {
            let all = || texts.iter().map(|text| text_prefix(text.as_bytes()));
            let mut trigrams = Trigrams::default();
            texts.iter().for_each(|text| trigrams.add(text));
            Some(Values::Prefixes(all().min()?, all().max()?, Some(trigrams)))
        }
        own @ Values::Prefixes(..) => Some(own.clone()),
        _ => None,
    }
}

/// Two ranges of the same number of parts are united part by part.
fn united_floats(a: Vec<(f64, f64)>, b: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let both = |(a, b): (f64, f64), (c, d): (f64, f64)| (a.min(c), b.max(d));
    match (a.as_slice(), b) {
        ([a, c], [b, d]) => vec![both(*a, *b), both(*c, *d)],
        _ => a.iter().chain(b).copied().reduce(both).into_iter().collect(),
    }
}

fn text(rest: &mut Rest) -> Option<String> {
    let [len] = rest.take()?;
    String::from_utf8(rest.bytes(len.into())?.to_vec()).ok()
}

fn column(rest: &mut Rest) -> Option<ColumnSummary> {
    let path = text(rest)?;
    let [kind, flags] = rest.take()?;
    let (nulls, nans) = (u64::from_le_bytes(rest.take()?), u64::from_le_bytes(rest.take()?));
    let values = match kind {
        0 => Values::None,
        1 => Values::Signed(i64::from_le_bytes(rest.take()?), i64::from_le_bytes(rest.take()?)),
        2 => Values::Unsigned(u64::from_le_bytes(rest.take()?), u64::from_le_bytes(rest.take()?)),
        3 => {
            let [count] = rest.take()?;
            let pair = |_| Some((f64::from_le_bytes(rest.take()?), f64::from_le_bytes(rest.take()?)));
            Values::Floats((0..count).map(pair).collect::<Option<_>>()?)
        }
        4 => {
            let [bits] = rest.take()?;
            Values::Booleans { yes: bits & 1 != 0, no: bits & 2 != 0 }
        }
        5 => {
            let [count] = rest.take()?;
            Values::Categories((0..count).map(|_| text(rest)).collect::<Option<_>>()?)
        }
        6 => Values::Prefixes(rest.take()?, rest.take()?, None),
        7 => {
            let (least, most) = (rest.take()?, rest.take()?);
            Values::Prefixes(least, most, Some(Trigrams::of_bytes(rest.bytes(Trigrams::BYTES)?)?))
        }
        _ => return None,
    };
    Some(ColumnSummary { path, values, nulls, nans, list: flags & LIST != 0, empty: flags & EMPTY != 0 })
}
