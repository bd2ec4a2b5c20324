//! The values of one leaf, gathered from its pages into memory aligned for Arrow.

use std::sync::Arc;

use arrow::array::ArrayData;
use arrow::array::ArrayRef;
use arrow::array::BooleanArray;
use arrow::array::BooleanBufferBuilder;
use arrow::array::GenericByteArray;
use arrow::array::NullBufferBuilder;
use arrow::array::make_array;
use arrow::buffer::Buffer;
use arrow::buffer::OffsetBuffer;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::ArrowNativeType;
use arrow::datatypes::BinaryType;
use arrow::datatypes::ByteArrayType;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::LargeBinaryType;
use arrow::datatypes::LargeUtf8Type;
use arrow::datatypes::Utf8Type;

use super::levels::Run;
use super::lift::Column;
use super::lift::Path;
use super::lift::append;
use super::sparse::Span;
use super::values::plain_width;
use crate::io::Recycled;
use crate::io::Recycler;

/// Values that are narrowed at a time.
const NARROWED: usize = 256;

/// Whether [`lift`] knows the type of a leaf.
pub(super) fn may_lift(data_type: &DataType) -> bool {
    let bytes = matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary | DataType::Boolean
    );
    bytes || widths(data_type).is_some()
}

/// Bytes per value in a page and in an array: narrow integers are stored as 32 bits.
fn widths(data_type: &DataType) -> Option<(usize, usize)> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some((4, 1)),
        DataType::Int16 | DataType::UInt16 => Some((4, 2)),
        other => plain_width(other).map(|width| (width, width)),
    }
}

/// The values of `column`, whose field stands at `path`. `None` when something is not as `page` writes it.
///
/// * `bytes_max`: of the array.
pub(super) fn lift(
    field: &Field,
    column: &Column,
    path: Path,
    bytes_max: usize,
    memory: &Recycler,
) -> Option<ArrayRef> {
    let leaf = Leaf { column, path, nullable: field.is_nullable(), bytes_max, memory };
    match field.data_type() {
        DataType::Boolean => leaf.bits(),
        DataType::Utf8 => leaf.bytes::<Utf8Type>(),
        DataType::LargeUtf8 => leaf.bytes::<LargeUtf8Type>(),
        DataType::Binary => leaf.bytes::<BinaryType>(),
        DataType::LargeBinary => leaf.bytes::<LargeBinaryType>(),
        flat => leaf.flat(flat),
    }
}

struct Leaf<'s, 'a> {
    column: &'s Column<'a>,
    path: Path,
    nullable: bool,
    bytes_max: usize,
    memory: &'s Recycler,
}

/// Some places of the array, all with a value or all without.
struct Places {
    count: usize,
    valid: bool,
}

impl Leaf<'_, '_> {
    fn places(&self, run: &Run) -> Option<Places> {
        let count = self.path.places(run.level).checked_mul(run.count)?;
        Some(Places { count, valid: run.level == self.column.max.definition })
    }

    fn nulls(&self) -> Nulls {
        Nulls(self.nullable.then(|| NullBufferBuilder::new(0)))
    }

    fn flat(&self, data_type: &DataType) -> Option<ArrayRef> {
        let (stored_width, width) = widths(data_type)?;
        let stored: usize = self.column.pages.iter().map(|page| page.values.len()).sum();
        let mut values = self.memory.take((stored / stored_width).saturating_mul(width).min(self.bytes_max));
        let (mut nulls, mut count) = (self.nulls(), 0);
        for page in &self.column.pages {
            let mut from = page.plain()?;
            for run in &page.definitions {
                let places = self.places(run)?;
                let len = places.count.checked_mul(width)?;
                (values.len().checked_add(len)? <= self.bytes_max).then_some(())?;
                if places.valid {
                    let taken = from.take(places.count.checked_mul(stored_width)?)?;
                    copy(&mut values, taken, stored_width, width);
                } else {
                    values.push_zeros(len);
                }
                nulls.append(&places);
                count += places.count;
            }
        }
        let data = ArrayData::builder(data_type.clone()).len(count).add_buffer(Buffer::from(values.freeze()));
        Some(make_array(data.nulls(nulls.finish()).build().ok()?))
    }

    fn bits(&self) -> Option<ArrayRef> {
        let (mut values, mut nulls) = (BooleanBufferBuilder::new(0), self.nulls());
        for page in &self.column.pages {
            let from = page.plain()?;
            let (packed, mut at) = (from.peek(from.len()), 0);
            for run in &page.definitions {
                let places = self.places(run)?;
                (values.len().checked_add(places.count)? / 8 <= self.bytes_max).then_some(())?;
                if places.valid {
                    let end = at + places.count;
                    (end <= packed.len().checked_mul(8)?).then_some(())?;
                    values.append_packed_range(at..end, &packed);
                    at = end;
                } else {
                    values.append_n(places.count, false);
                }
                nulls.append(&places);
            }
        }
        Some(Arc::new(BooleanArray::new(values.finish(), nulls.finish())))
    }

    fn bytes<T: ByteArrayType>(&self) -> Option<ArrayRef> {
        let stored: usize = self.column.pages.iter().map(|page| page.values.len()).sum();
        let mut values = self.memory.take(stored.min(self.bytes_max));
        let mut offsets: Vec<T::Offset> = vec![T::Offset::from_usize(0)?];
        let (mut nulls, mut end) = (self.nulls(), 0usize);
        for page in &self.column.pages {
            let valid = page.definitions.iter().filter(|run| run.level == self.column.max.definition);
            let (lengths, bytes) = page.lengths(valid.map(|run| run.count).sum())?;
            let mut lengths = lengths.into_iter();
            for run in &page.definitions {
                let places = self.places(run)?;
                let room = offsets.len().checked_add(places.count)?.checked_mul(size_of::<T::Offset>())?;
                (room <= self.bytes_max.saturating_add(size_of::<T::Offset>())).then_some(())?;
                for _ in 0..places.count {
                    end = end.checked_add(if places.valid { lengths.next()? } else { 0 })?;
                    offsets.push(T::Offset::from_usize(end)?);
                }
                nulls.append(&places);
            }
            (values.len() + bytes.len() == end).then_some(())?;
            bytes.slices().for_each(|slice| values.push(slice));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let values = Buffer::from(values.freeze());
        Some(Arc::new(GenericByteArray::<T>::try_new(offsets, values, nulls.finish()).ok()?))
    }
}

/// Copies values, of a page's width into those of an array.
fn copy(values: &mut Recycled, from: Span, stored_width: usize, width: usize) {
    if stored_width == width {
        from.slices().for_each(|slice| values.push(slice));
        return;
    }
    let mut rest = from;
    while let Some(some) = rest.take(rest.len().min(NARROWED * stored_width)).filter(|some| !some.is_empty()) {
        let stored = some.peek(some.len());
        let mut narrow = [0; NARROWED * 2];
        // Little-endian: the low bytes come first.
        for (target, value) in narrow.chunks_exact_mut(width).zip(stored.chunks_exact(stored_width)) {
            target.copy_from_slice(value.get(..width).unwrap_or(value));
        }
        values.push(narrow.get(..stored.len() / stored_width * width).unwrap_or_default());
    }
}

/// Validity, where the field has any.
struct Nulls(Option<NullBufferBuilder>);

impl Nulls {
    fn append(&mut self, places: &Places) {
        if let Some(nulls) = &mut self.0 {
            append(nulls, places.count, places.valid);
        }
    }

    fn finish(self) -> Option<arrow::buffer::NullBuffer> {
        self.0.and_then(|mut nulls| nulls.finish())
    }
}
