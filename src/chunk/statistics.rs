//! Statistics of a chunk's rows: of all for its record, and of zones of them for the file (`zones`). One pass over each column
//! of a row group, just before its values are copied into the file. Binary payloads and long lists are never looked at.
//!
//! Numbers take two comparisons each, without branches (`extremes`). A text column that says the same in every row takes one
//! comparison of its bytes with themselves.
//!
//! Two things are looked at only while the shard has time to spare ([`Effort`]), and told only of chunks whose every row group
//! found it so: the trigrams of texts, and numbers in long lists, which is how far a cloud of points reaches.

use std::ops::Range;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::GenericStringArray;
use arrow::array::OffsetSizeTrait;
use arrow::array::RecordBatch;
use arrow::array::types::ArrowPrimitiveType;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::Float32Type;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Int8Type;
use arrow::datatypes::Int16Type;
use arrow::datatypes::Int32Type;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use arrow::datatypes::UInt8Type;
use arrow::datatypes::UInt16Type;
use arrow::datatypes::UInt32Type;
use arrow::datatypes::UInt64Type;

use super::extremes;
use super::extremes::Real;
use super::extremes::united;
use super::layout::TIME_COLUMN;
use super::profile::Effort;
use super::texts::Texts;
use super::texts::is_constant;
use super::zones::Ends;
use super::zones::Entry;
use super::zones::Kind;
use super::zones::Zoned;
use crate::model::ColumnSummary;
use crate::model::Statistics;
use crate::model::Values;
use crate::model::encode_skip_index;

/// Columns that are looked at.
const COLUMNS_MAX: usize = 256;

/// Elements of a list, in the mean, beyond which they are looked at only where there is time, and only when they are floats.
const ELEMENTS_MAX: usize = 64;

/// Collects over the row groups of one chunk.
pub(super) struct Collector {
    /// In the order of the schema's leaves.
    columns: Vec<Column>,
    zones: Ends,
}

#[derive(Default)]
struct Column {
    path: String,
    list: bool,
    /// `None`: it is not looked at.
    kind: Option<Kind>,
    /// Negative and other values apart: a longitude jumps from one end to the other at the date line.
    split: bool,
    nulls: u64,
    nans: u64,
    /// Of values below zero where they are split, and of all others; as [`Kind`] orders them.
    negative: Option<(u64, u64)>,
    other: Option<(u64, u64)>,
    /// Whether some list is empty.
    empty: bool,
    texts: Option<Texts>,
    /// Of the rows since the last zone ended, and of each zone.
    zone: Entry,
    zones: Vec<Entry>,
}

impl Collector {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut columns = Vec::new();
        for field in schema.fields().iter().filter(|field| field.name() != TIME_COLUMN) {
            leaves(field, field.name().clone(), false, &mut columns);
        }
        Self { columns, zones: Ends::new() }
    }

    /// Looks at nothing.
    pub(super) fn blind() -> Self {
        Self { columns: Vec::new(), zones: Ends::new() }
    }

    /// Looks at one row group.
    ///
    /// * `batches`: its rows in the order of the file.
    /// * `pages`: the first row of each page of the timestamps. Zones end with pages.
    ///
    /// Cost: one pass over the columns that are looked at.
    pub(super) fn add(&mut self, batches: &[RecordBatch], pages: impl Iterator<Item = usize>, effort: Effort) {
        if self.columns.is_empty() {
            return;
        }
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let mut start = 0;
        for end in pages.skip(1).chain([rows]) {
            if end - start < self.zones.rows_min && end < rows {
                continue;
            }
            self.add_zone(batches, start..end, effort);
            start = end;
        }
    }

    fn add_zone(&mut self, batches: &[RecordBatch], rows: Range<usize>, effort: Effort) {
        let (mut at, above) = (0, Above { nulls: 0, list: false, empty: false, effort });
        for batch in batches {
            let (start, end) = (rows.start.max(at), rows.end.min(at + batch.num_rows()));
            if start < end {
                let mut columns = self.columns.iter_mut();
                for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                    if field.name() != TIME_COLUMN {
                        match end - start == batch.num_rows() {
                            true => visit(array, above, &mut columns),
                            false => visit(&array.slice(start - at, end - start), above, &mut columns),
                        }
                    }
                }
            }
            at += batch.num_rows();
        }
        let known = self.columns.iter_mut().filter(|column| column.kind.is_some());
        let entries = known.map(|column| {
            column.zones.push(std::mem::take(&mut column.zone));
            &mut column.zones
        });
        self.zones.push(rows.len(), entries);
    }

    /// The bytes of the zones, of which there may be none.
    pub(super) fn zones(&self) -> Vec<u8> {
        let zoned = self.columns.iter().filter_map(|column| {
            let Column { path, list, kind, zones: entries, .. } = column;
            Some(Zoned { path, list: *list, kind: (*kind)?, entries })
        });
        self.zones.encode(zoned)
    }

    /// What the record says.
    pub(super) fn finish(self) -> Statistics {
        let done: Vec<ColumnSummary> = self.columns.into_iter().filter_map(Column::finish).take(COLUMNS_MAX).collect();
        encode_skip_index(&done)
    }
}

/// One column for each leaf of a field.
fn leaves(field: &Field, path: String, list: bool, columns: &mut Vec<Column>) {
    // With a '.' in a name the path could be another field's: nothing is kept of it.
    let path = if field.name().contains('.') { String::new() } else { path };
    let mut children = |children: &Fields| {
        for child in children {
            let below = if path.is_empty() { String::new() } else { format!("{path}.{}", child.name()) };
            leaves(child, below, list, columns);
        }
    };
    match field.data_type() {
        DataType::Struct(fields) => children(fields),
        // Lists of lists cannot be asked for.
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) if !list => {
            leaves(item, path, true, columns);
        }
        other => {
            let split = path == "position.y" || path.ends_with("longitude");
            let kind = kind(other).filter(|_| columns.len() < COLUMNS_MAX && !path.is_empty());
            let texts = (kind == Some(Kind::Text)).then(|| Texts::Few(Vec::new()));
            columns.push(Column { path, list, kind, split, texts, ..Column::default() });
        }
    }
}

fn kind(data_type: &DataType) -> Option<Kind> {
    use DataType as T;
    match data_type {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 => Some(Kind::Signed),
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Some(Kind::Unsigned),
        T::Float32 | T::Float64 => Some(Kind::Float),
        T::Boolean => Some(Kind::Boolean),
        T::Utf8 | T::LargeUtf8 => Some(Kind::Text),
        _ => None,
    }
}

/// What lies above a column.
#[derive(Clone, Copy)]
struct Above {
    /// Values that are null.
    nulls: u64,
    list: bool,
    /// Whether some list is empty.
    empty: bool,
    effort: Effort,
}

/// Takes the columns of one field, in the order of [`leaves`].
fn visit(array: &ArrayRef, above: Above, columns: &mut std::slice::IterMut<'_, Column>) {
    let own = Above { nulls: above.nulls + array.null_count() as u64, ..above };
    let mut elements = |values: &ArrayRef, start: usize, end: usize, empty: bool| {
        let inside = Above { list: true, empty, ..own };
        let few = end - start <= array.len() * ELEMENTS_MAX;
        match few || (own.effort == Effort::Compact && kind(values.data_type()) == Some(Kind::Float)) {
            true => visit(&values.slice(start, end - start), inside, columns),
            false => forget(values.data_type(), true, columns),
        }
    };
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|child| visit(child, own, columns)),
        DataType::List(_) if !above.list => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            let (start, end) = offsets.first().zip(offsets.last()).map_or((0, 0), |(a, b)| (*a as usize, *b as usize));
            elements(list.values(), start, end, has_equal_neighbours(offsets));
        }
        DataType::LargeList(_) if !above.list => {
            let list = array.as_list::<i64>();
            let offsets = list.value_offsets();
            let (start, end) = offsets.first().zip(offsets.last()).map_or((0, 0), |(a, b)| (*a as usize, *b as usize));
            elements(list.values(), start, end, has_equal_neighbours(offsets));
        }
        DataType::FixedSizeList(..) if !above.list => {
            let values = array.as_fixed_size_list().values();
            elements(values, 0, values.len(), false);
        }
        _ => {
            if let Some(column) = columns.next() {
                column.add(array, own);
            }
        }
    }
}

/// Whether a list is empty, by the offsets of all.
fn has_equal_neighbours<T: PartialEq>(offsets: &[T]) -> bool {
    offsets.iter().zip(offsets.iter().skip(1)).any(|(a, b)| a == b)
}

/// Nothing is known of these columns from here on.
fn forget(data_type: &DataType, list: bool, columns: &mut std::slice::IterMut<'_, Column>) {
    match data_type {
        DataType::Struct(fields) => fields.iter().for_each(|field| forget(field.data_type(), list, columns)),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) if !list => {
            forget(item.data_type(), true, columns);
        }
        _ => {
            if let Some(column) = columns.next() {
                (column.kind, column.zones) = (None, Vec::new());
            }
        }
    }
}

impl Column {
    fn add(&mut self, array: &ArrayRef, above: Above) {
        if self.kind.is_none() {
            return;
        }
        self.nulls += above.nulls;
        self.empty |= above.empty;
        self.zone.note(above.nulls > 0, Entry::NULLS);
        self.zone.note(above.empty, Entry::EMPTY);
        match array.data_type() {
            DataType::Int8 => self.signed::<Int8Type>(array),
            DataType::Int16 => self.signed::<Int16Type>(array),
            DataType::Int32 => self.signed::<Int32Type>(array),
            DataType::Int64 => self.signed::<Int64Type>(array),
            DataType::UInt8 => self.unsigned::<UInt8Type>(array),
            DataType::UInt16 => self.unsigned::<UInt16Type>(array),
            DataType::UInt32 => self.unsigned::<UInt32Type>(array),
            DataType::UInt64 => self.unsigned::<UInt64Type>(array),
            DataType::Float32 => self.real::<Float32Type>(array),
            DataType::Float64 => self.real::<Float64Type>(array),
            DataType::Boolean => {
                let array = array.as_boolean();
                let (no, yes) = (array.has_false(), array.has_true());
                self.widen((no || yes).then_some((u64::from(!no), u64::from(yes))));
            }
            DataType::Utf8 => self.texts(array.as_string::<i32>(), above.effort),
            DataType::LargeUtf8 => self.texts(array.as_string::<i64>(), above.effort),
            _ => (self.kind, self.zones) = (None, Vec::new()),
        }
    }

    /// * `range`: as [`Kind`] orders values.
    fn widen(&mut self, range: Option<(u64, u64)>) {
        self.other = united(self.other, range);
        self.zone.widen(range);
    }

    fn signed<T: ArrowPrimitiveType<Native: Into<i64> + Ord>>(&mut self, array: &ArrayRef) {
        let array = array.as_primitive::<T>();
        extremes::present(array.values(), array.nulls(), &mut |values| {
            let range = extremes::whole(values);
            self.widen(range.map(|(least, most)| (Kind::signed(least.into()), Kind::signed(most.into()))));
        });
    }

    fn unsigned<T: ArrowPrimitiveType<Native: Into<u64> + Ord>>(&mut self, array: &ArrayRef) {
        let array = array.as_primitive::<T>();
        extremes::present(array.values(), array.nulls(), &mut |values| {
            self.widen(extremes::whole(values).map(|(least, most)| (least.into(), most.into())));
        });
    }

    fn real<T: ArrowPrimitiveType<Native: Real>>(&mut self, array: &ArrayRef) {
        let array = array.as_primitive::<T>();
        extremes::present(array.values(), array.nulls(), &mut |values| {
            let found = extremes::reals(values, self.split);
            let key = |(least, most)| (Kind::float(least), Kind::float(most));
            let negative = found.negative.map(key);
            self.nans += found.nans;
            self.negative = united(self.negative, negative);
            self.zone.note(found.nans > 0, Entry::NANS);
            self.zone.widen(negative);
            self.widen(found.other.map(key));
        });
    }

    fn texts<O: OffsetSizeTrait>(&mut self, array: &GenericStringArray<O>, effort: Effort) {
        let mut last: Option<&str> = None;
        let constant = is_constant(array);
        for text in array.iter().flatten() {
            if last != Some(text) {
                self.text(text, effort);
                last = Some(text);
            }
            if constant {
                return;
            }
        }
    }

    fn text(&mut self, text: &str, effort: Effort) {
        let prefix = Kind::text(text);
        self.widen(Some((prefix, prefix)));
        if let Some(texts) = &mut self.texts {
            texts.add(text, effort);
        }
    }

    /// `None` when it was not looked at.
    fn finish(self) -> Option<ColumnSummary> {
        let kind = self.kind?;
        let range = match (self.negative, self.other) {
            (None, None) => Values::None,
            (Some(negative), Some(other)) => kind.ranges(&[negative, other]),
            (one, two) => one.or(two).map_or(Values::None, |range| kind.ranges(&[range])),
        };
        let values = match self.texts {
            Some(texts) => texts.finish(range),
            None => range,
        };
        let Self { path, list, nulls, nans, empty, .. } = self;
        Some(ColumnSummary { path, values, nulls, nans, list, empty })
    }
}
