//! Columns lifted straight out of direct pages: one copy of their values, levels as runs.
//!
//! Knows what payloads and points are made of: fixed-width values, binary and text, and lists of fixed-width values, written by
//! `page`. Whatever else it meets it leaves to the Parquet reader, which makes a level per value (2 s/GB for point clouds).

use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayData;
use arrow::array::ArrayRef;
use arrow::array::GenericByteArray;
use arrow::array::GenericListArray;
use arrow::array::NullBufferBuilder;
use arrow::array::OffsetSizeTrait;
use arrow::array::make_array;
use arrow::buffer::Buffer;
use arrow::buffer::MutableBuffer;
use arrow::buffer::OffsetBuffer;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::ArrowNativeType;
use arrow::datatypes::BinaryType;
use arrow::datatypes::ByteArrayType;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::FieldRef;
use arrow::datatypes::LargeBinaryType;
use arrow::datatypes::LargeUtf8Type;
use arrow::datatypes::Utf8Type;
use bytes::Bytes;

use super::levels::Run;
use super::page::LevelsMax;
use super::page::PageBytes;
use super::values::plain_width;

/// Pages of one column that cover the rows wanted.
pub(super) struct Source {
    pub(super) max: LevelsMax,
    /// Each with the number of its rows.
    pub(super) pages: Vec<(usize, Bytes)>,
    /// Arrow bytes the row group had: no column of it needs more.
    pub(super) bytes_max: usize,
}

/// Whether [`lift`] may know the type.
pub(super) fn may_lift(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => true,
        DataType::List(child) | DataType::LargeList(child) => widths(child.data_type()).is_some(),
        other => widths(other).is_some(),
    }
}

/// Bytes per value in a page and in an array: narrow integers are stored as 32 bits.
fn widths(data_type: &DataType) -> Option<(usize, usize)> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some((4, 1)),
        DataType::Int16 | DataType::UInt16 => Some((4, 2)),
        other => plain_width(other).map(|width| (width, width)),
    }
}

/// The column `field` of all rows of the pages. `None` when something is not as `page` writes it.
pub(super) fn lift(field: &Field, source: &Source) -> Option<ArrayRef> {
    match field.data_type() {
        DataType::Utf8 => lift_bytes::<Utf8Type>(source),
        DataType::LargeUtf8 => lift_bytes::<LargeUtf8Type>(source),
        DataType::Binary => lift_bytes::<BinaryType>(source),
        DataType::LargeBinary => lift_bytes::<LargeBinaryType>(source),
        DataType::List(child) => lift_lists::<i32>(child, field.is_nullable(), source),
        DataType::LargeList(child) => lift_lists::<i64>(child, field.is_nullable(), source),
        flat => lift_flat(flat, source),
    }
}

fn lift_flat(data_type: &DataType, source: &Source) -> Option<ArrayRef> {
    let mut values = Values::new(data_type, source)?;
    for (rows, page) in &source.pages {
        let page = PageBytes::parse(page, source.max)?;
        (page.entries == *rows).then_some(())?;
        let mut from = page.plain()?;
        for run in &page.definitions {
            values.append(&mut from, run.count, run.level == source.max.definition)?;
        }
    }
    values.finish(data_type)
}

fn lift_lists<O: OffsetSizeTrait>(child: &FieldRef, nullable: bool, source: &Source) -> Option<ArrayRef> {
    let empty = u16::from(nullable);
    let expected = LevelsMax { definition: empty + 1 + u16::from(child.is_nullable()), repetition: 1 };
    (source.max == expected).then_some(())?;
    let mut values = Values::new(child.data_type(), source)?;
    let mut offsets: Vec<O> = Vec::new();
    let mut nulls = NullBufferBuilder::new(0);
    for (rows, page) in &source.pages {
        let page = PageBytes::parse(page, source.max)?;
        let mut from = page.plain()?;
        let before = offsets.len();
        for (repetition, run) in zipped(&page.repetitions, &page.definitions) {
            if repetition == 0 {
                // Every entry begins a list: one without values, or with its first one.
                let step = usize::from(run.level > empty);
                for number in 0..run.count {
                    offsets.push(O::from_usize(values.count + number * step)?);
                }
                append(&mut nulls, run.count, run.level >= empty);
            }
            match run.level > empty {
                true => values.append(&mut from, run.count, run.level == source.max.definition)?,
                false => (repetition == 0).then_some(())?,
            }
        }
        (offsets.len() - before == *rows).then_some(())?;
    }
    offsets.push(O::from_usize(values.count)?);
    // The first entry of a page begins a row, so no value lies before the first list.
    offsets.first().filter(|first| first.as_usize() == 0)?;
    let nulls = nulls.finish().filter(|_| nullable);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let values = values.finish(child.data_type())?;
    Some(Arc::new(GenericListArray::<O>::try_new(child.clone(), offsets, values, nulls).ok()?))
}

fn lift_bytes<T: ByteArrayType>(source: &Source) -> Option<ArrayRef> {
    let pages: Vec<_> = source
        .pages
        .iter()
        .map(|(rows, page)| Some((*rows, PageBytes::parse(page, source.max)?)))
        .collect::<Option<_>>()?;
    let mut values = MutableBuffer::with_capacity(pages.iter().map(|(_, page)| page.values.len()).sum());
    let mut offsets: Vec<T::Offset> = vec![T::Offset::from_usize(0)?];
    let mut nulls = NullBufferBuilder::new(0);
    for (rows, page) in &pages {
        (page.entries == *rows).then_some(())?;
        let valid = page.definitions.iter().filter(|run| run.level == source.max.definition);
        let (lengths, bytes) = page.lengths(valid.map(|run| run.count).sum())?;
        let mut lengths = lengths.into_iter();
        let mut end = values.len();
        for run in &page.definitions {
            let valid = run.level == source.max.definition;
            for _ in 0..run.count {
                end += if valid { lengths.next()? } else { 0 };
                offsets.push(T::Offset::from_usize(end)?);
            }
            append(&mut nulls, run.count, valid);
        }
        values.extend_from_slice(bytes);
        (values.len() == end).then_some(())?;
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Some(Arc::new(GenericByteArray::<T>::try_new(offsets, values.into(), nulls.finish()).ok()?))
}

/// Fixed-width values, gathered into aligned memory.
struct Values {
    stored_width: usize,
    width: usize,
    bytes_max: usize,
    bytes: MutableBuffer,
    nulls: NullBufferBuilder,
    count: usize,
}

impl Values {
    fn new(data_type: &DataType, source: &Source) -> Option<Self> {
        let ((stored_width, width), bytes_max) = (widths(data_type)?, source.bytes_max);
        let stored: usize = source.pages.iter().map(|(_, page)| page.len()).sum();
        let bytes = MutableBuffer::with_capacity(stored.min(bytes_max));
        Some(Self { stored_width, width, bytes_max, bytes, nulls: NullBufferBuilder::new(0), count: 0 })
    }

    /// The next `count` values: from the page, or null.
    fn append(&mut self, from: &mut &[u8], count: usize, valid: bool) -> Option<()> {
        let len = count.checked_mul(self.width).filter(|len| self.bytes.len() + len <= self.bytes_max)?;
        if valid {
            let (values, rest) = from.split_at_checked(count.checked_mul(self.stored_width)?)?;
            let stored = values.chunks_exact(self.stored_width);
            match self.width {
                // Little-endian: the low bytes come first.
                1 => self.bytes.extend(stored.map(|value| value.first().copied().unwrap_or(0))),
                2 if self.stored_width == 4 => {
                    self.bytes
                        .extend(stored.map(|value| value.first_chunk().map_or(0, |low| u16::from_le_bytes(*low))));
                }
                _ => self.bytes.extend_from_slice(values),
            }
            *from = rest;
        } else {
            self.bytes.extend_zeros(len);
        }
        append(&mut self.nulls, count, valid);
        self.count += count;
        Some(())
    }

    fn finish(mut self, data_type: &DataType) -> Option<ArrayRef> {
        let data = ArrayData::builder(data_type.clone()).len(self.count).add_buffer(Buffer::from(self.bytes));
        Some(make_array(data.nulls(self.nulls.finish()).build().ok()?))
    }
}

fn append(nulls: &mut NullBufferBuilder, count: usize, valid: bool) {
    match valid {
        true => nulls.append_n_non_nulls(count),
        false => nulls.append_n_nulls(count),
    }
}

/// Runs of both levels cut where either changes: repetition, and a run of definitions.
fn zipped<'a>(repetitions: &'a [Run], definitions: &'a [Run]) -> impl Iterator<Item = (u16, Run)> + 'a {
    let (mut repetitions, mut definitions) = (repetitions.iter().copied(), definitions.iter().copied());
    let (mut repetition, mut definition) = (Run { level: 0, count: 0 }, Run { level: 0, count: 0 });
    std::iter::from_fn(move || {
        if repetition.count == 0 {
            repetition = repetitions.next()?;
        }
        if definition.count == 0 {
            definition = definitions.next()?;
        }
        let count = repetition.count.min(definition.count);
        repetition.count -= count;
        definition.count -= count;
        Some((repetition.level, Run { level: definition.level, count }))
    })
}

/// Of pages that cover more, the rows wanted. `first` is the first row of the pages.
pub(super) fn cut(array: &ArrayRef, first: u64, rows: &Range<u64>) -> Option<ArrayRef> {
    let offset = usize::try_from(rows.start.checked_sub(first)?).ok()?;
    let len = usize::try_from(rows.end - rows.start).ok()?;
    (offset.checked_add(len)? <= array.len()).then(|| array.slice(offset, len))
}
