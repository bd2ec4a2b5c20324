//! Statistics of a chunk's rows, for its record: one pass over each column right after rows came in, while they are in the
//! cache. Binary payloads and long lists are never looked at.
//!
//! Numbers take two comparisons each, without branches. A text column that says the same in every row takes one comparison of
//! its bytes with themselves.

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::GenericStringArray;
use arrow::array::OffsetSizeTrait;
use arrow::array::PrimitiveArray;
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

use super::layout::TIME_COLUMN;
use crate::model::CATEGORIES_MAX;
use crate::model::CATEGORY_LEN_MAX;
use crate::model::ColumnSummary;
use crate::model::Statistics;
use crate::model::Values;
use crate::model::encode_skip_index;
use crate::model::text_prefix;

/// Columns that are looked at.
const COLUMNS_MAX: usize = 256;

/// Elements of a list, in the mean, beyond which nobody asks for them: a cloud of points has too many to look at.
const ELEMENTS_MAX: usize = 64;

/// Values looked at side by side.
const LANES: usize = 8;

/// Collects over the batches of one chunk.
pub(super) struct Collector {
    /// In the order of the schema's leaves.
    columns: Vec<Column>,
}

struct Column {
    summary: ColumnSummary,
    /// Whether it is still looked at.
    live: bool,
    /// Negative and other values apart: a longitude jumps from one end to the other at the date line.
    split: bool,
    /// Floats so far.
    negative: (f64, f64),
    other: (f64, f64),
}

/// Nothing yet: any value makes it a range.
const NOTHING: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);

impl Collector {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut columns = Vec::new();
        for field in schema.fields().iter().filter(|field| field.name() != TIME_COLUMN) {
            leaves(field, field.name().clone(), false, &mut columns);
        }
        Self { columns }
    }

    /// Cost: one pass over the columns that it looks at.
    pub(super) fn add(&mut self, batches: &[RecordBatch]) {
        for batch in batches {
            let mut columns = self.columns.iter_mut();
            for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                if field.name() != TIME_COLUMN {
                    visit(array, Above::default(), &mut columns);
                }
            }
        }
    }

    pub(super) fn finish(self) -> Statistics {
        let done: Vec<ColumnSummary> =
            self.columns.into_iter().filter(|c| c.live).map(Column::finish).take(COLUMNS_MAX).collect();
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
            let live = is_summed(other) && columns.len() < COLUMNS_MAX && !path.is_empty();
            let summary = ColumnSummary { path, values: Values::None, nulls: 0, nans: 0, list, empty: false };
            columns.push(Column { summary, live, split, negative: NOTHING, other: NOTHING });
        }
    }
}

fn is_summed(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Int8
            | T::Int16
            | T::Int32
            | T::Int64
            | T::UInt8
            | T::UInt16
            | T::UInt32
            | T::UInt64
            | T::Float32
            | T::Float64
            | T::Boolean
            | T::Utf8
            | T::LargeUtf8
    )
}

/// What lies above a column.
#[derive(Clone, Copy, Default)]
struct Above {
    /// Values that are null.
    nulls: u64,
    list: bool,
    /// Whether some list is empty.
    empty: bool,
}

/// Takes the columns of one field, in the order of [`leaves`].
fn visit(array: &ArrayRef, above: Above, columns: &mut std::slice::IterMut<'_, Column>) {
    let own = Above { nulls: above.nulls + array.null_count() as u64, ..above };
    let mut elements = |values: &ArrayRef, start: usize, end: usize, empty: bool| {
        let inside = Above { list: true, empty, ..own };
        match end - start <= array.len() * ELEMENTS_MAX {
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
                column.live = false;
            }
        }
    }
}

impl Column {
    fn add(&mut self, array: &ArrayRef, above: Above) {
        if !self.live {
            return;
        }
        self.summary.nulls += above.nulls;
        self.summary.empty |= above.empty;
        match array.data_type() {
            DataType::Int8 => self.whole::<Int8Type>(array),
            DataType::Int16 => self.whole::<Int16Type>(array),
            DataType::Int32 => self.whole::<Int32Type>(array),
            DataType::Int64 => self.whole::<Int64Type>(array),
            DataType::UInt8 => self.natural::<UInt8Type>(array),
            DataType::UInt16 => self.natural::<UInt16Type>(array),
            DataType::UInt32 => self.natural::<UInt32Type>(array),
            DataType::UInt64 => self.natural::<UInt64Type>(array),
            DataType::Float32 => self.real(array.as_primitive::<Float32Type>()),
            DataType::Float64 => self.real(array.as_primitive::<Float64Type>()),
            DataType::Boolean => {
                let array = array.as_boolean();
                let (mut yes, mut no) = (array.has_true(), array.has_false());
                if let Values::Booleans { yes: also, no: nor } = self.summary.values {
                    (yes, no) = (yes || also, no || nor);
                }
                if yes || no {
                    self.summary.values = Values::Booleans { yes, no };
                }
            }
            DataType::Utf8 => self.texts(array.as_string::<i32>()),
            DataType::LargeUtf8 => self.texts(array.as_string::<i64>()),
            _ => self.live = false,
        }
    }

    fn whole<T: ArrowPrimitiveType<Native: Into<i64> + Ord>>(&mut self, array: &ArrayRef) {
        if let Some((least, most)) = bounds(array.as_primitive::<T>()) {
            let (least, most) = (least.into(), most.into());
            self.summary.values = match self.summary.values {
                Values::Signed(a, b) => Values::Signed(a.min(least), b.max(most)),
                _ => Values::Signed(least, most),
            };
        }
    }

    fn natural<T: ArrowPrimitiveType<Native: Into<u64> + Ord>>(&mut self, array: &ArrayRef) {
        if let Some((least, most)) = bounds(array.as_primitive::<T>()) {
            let (least, most) = (least.into(), most.into());
            self.summary.values = match self.summary.values {
                Values::Unsigned(a, b) => Values::Unsigned(a.min(least), b.max(most)),
                _ => Values::Unsigned(least, most),
            };
        }
    }

    fn real<T: ArrowPrimitiveType<Native: Into<f64> + PartialOrd>>(&mut self, array: &PrimitiveArray<T>) {
        if !self.split && array.null_count() == 0 {
            let (range, nans) = float_bounds(array.values());
            widen(&mut self.other, range);
            if nans {
                let count = array.values().iter().filter(|value| (**value).into().is_nan()).count();
                self.summary.nans += count as u64;
            }
            return;
        }
        for value in array.iter().flatten() {
            let value: f64 = value.into();
            if value.is_nan() {
                self.summary.nans += 1;
            } else if self.split && value < 0.0 {
                widen(&mut self.negative, (value, value));
            } else {
                widen(&mut self.other, (value, value));
            }
        }
    }

    fn texts<O: OffsetSizeTrait>(&mut self, array: &GenericStringArray<O>) {
        let mut last: Option<&str> = None;
        let constant = is_constant(array);
        for text in array.iter().flatten() {
            if last != Some(text) {
                self.text(text);
                last = Some(text);
            }
            if constant {
                return;
            }
        }
    }

    fn text(&mut self, text: &str) {
        if matches!(self.summary.values, Values::None) {
            self.summary.values = Values::Categories(Vec::new());
        }
        if let Values::Categories(known) = &mut self.summary.values {
            if known.iter().any(|known| known == text) {
                return;
            }
            if known.len() < CATEGORIES_MAX && text.len() <= CATEGORY_LEN_MAX {
                known.push(text.to_owned());
                return;
            }
            let all = || known.iter().map(|text| text_prefix(text.as_bytes()));
            let own = text_prefix(text.as_bytes());
            self.summary.values = Values::Prefixes(all().min().unwrap_or(own), all().max().unwrap_or(own));
        }
        if let Values::Prefixes(least, most) = &mut self.summary.values {
            let own = text_prefix(text.as_bytes());
            (*least, *most) = ((*least).min(own), (*most).max(own));
        }
    }

    fn finish(self) -> ColumnSummary {
        let mut summary = self.summary;
        let ranges: Vec<(f64, f64)> =
            [self.negative, self.other].into_iter().filter(|(least, most)| least <= most).collect();
        if !ranges.is_empty() {
            summary.values = Values::Floats(ranges);
        }
        summary
    }
}

fn widen(range: &mut (f64, f64), (least, most): (f64, f64)) {
    *range = (range.0.min(least), range.1.max(most));
}

/// Least and most of the values that are not null.
fn bounds<T: ArrowPrimitiveType<Native: Ord>>(array: &PrimitiveArray<T>) -> Option<(T::Native, T::Native)> {
    if array.null_count() > 0 {
        let values = || array.iter().flatten();
        return values().min().zip(values().max());
    }
    // Several at once in one pass: the ordinary minimum and maximum cost five times as much.
    let first = *array.values().first()?;
    let (mut least, mut most) = ([first; LANES], [first; LANES]);
    let (blocks, rest) = array.values().as_chunks::<LANES>();
    let mut take = |block: &[T::Native]| {
        for ((value, least), most) in block.iter().zip(&mut least).zip(&mut most) {
            *least = if *value < *least { *value } else { *least };
            *most = if *value > *most { *value } else { *most };
        }
    };
    blocks.iter().for_each(|block| take(block));
    take(rest);
    least.into_iter().min().zip(most.into_iter().max())
}

/// Least and most, and whether there is a NaN, which is neither. One pass, several values at once.
fn float_bounds<N: Copy + Into<f64> + PartialOrd>(values: &[N]) -> ((f64, f64), bool) {
    let Some(first) = values.iter().copied().find(|value| !Into::<f64>::into(*value).is_nan()) else {
        return (NOTHING, !values.is_empty());
    };
    let (mut least, mut most, mut odd) = ([first; LANES], [first; LANES], [false; LANES]);
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut take = |block: &[N]| {
        // Comparisons with NaN are false, so it replaces nothing.
        for (((value, least), most), odd) in block.iter().zip(&mut least).zip(&mut most).zip(&mut odd) {
            *least = if *value < *least { *value } else { *least };
            *most = if *value > *most { *value } else { *most };
            *odd |= value.partial_cmp(value).is_none();
        }
    };
    blocks.iter().for_each(|block| take(block));
    take(rest);
    let all = least.into_iter().zip(most).map(|(least, most)| (least.into(), most.into()));
    (all.reduce(|(a, b), (c, d): (f64, f64)| (f64::min(a, c), f64::max(b, d))).unwrap_or(NOTHING), odd.contains(&true))
}

/// Whether every row has the same text, by one comparison of the bytes with themselves.
fn is_constant<O: OffsetSizeTrait>(array: &GenericStringArray<O>) -> bool {
    let offsets = array.value_offsets();
    let (Some(first), Some(second), Some(last)) = (offsets.first(), offsets.get(1), offsets.last()) else {
        return true;
    };
    let len = *second - *first;
    let even = offsets.iter().zip(offsets.iter().skip(1)).all(|(a, b)| *b - *a == len);
    let bytes = array.value_data().get(first.as_usize()..last.as_usize()).unwrap_or_default();
    let (from, to) = (bytes.get(len.as_usize()..), bytes.get(..bytes.len().saturating_sub(len.as_usize())));
    even && array.null_count() == 0 && from == to
}
