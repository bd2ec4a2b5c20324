//! How many bytes rows have, in constant time per column: offsets say what a range of values spans.

use arrow::array::Array;
use arrow::array::AsArray;
use arrow::array::OffsetSizeTrait;
use arrow::array::RecordBatch;
use arrow::datatypes::BinaryType;
use arrow::datatypes::BinaryViewType;
use arrow::datatypes::ByteArrayType;
use arrow::datatypes::ByteViewType;
use arrow::datatypes::DataType;
use arrow::datatypes::LargeBinaryType;
use arrow::datatypes::LargeUtf8Type;
use arrow::datatypes::StringViewType;
use arrow::datatypes::Utf8Type;

/// Arrow bytes of rows `start..end` of a batch: values, offsets and validity, without padding.
///
/// Touches two offsets per nested or variable column, except for view types, whose rows are all looked at.
pub fn batch_bytes(batch: &RecordBatch, start: usize, end: usize) -> u64 {
    batch.columns().iter().map(|column| array_bytes(column, start, end)).sum()
}

/// Arrow bytes of a row when all rows of such a batch have the same; `None` when they differ.
pub fn row_bytes(batch: &RecordBatch) -> Option<u64> {
    let fixed = batch.columns().iter().all(|column| is_fixed(column.data_type()));
    // Eight rows share a byte of validity.
    fixed.then(|| batch_bytes(batch, 0, batch.num_rows()).div_ceil(batch.num_rows().max(1) as u64))
}

/// Bits that a value of this type takes whatever it is, null too. At least as many are in [`batch_bytes`].
pub fn least_bits(data_type: &DataType) -> u128 {
    match data_type {
        DataType::Boolean => 1,
        DataType::FixedSizeBinary(width) => 8 * u128::from(width.unsigned_abs()),
        DataType::FixedSizeList(field, len) => {
            least_bits(field.data_type()).saturating_mul(u128::from(len.unsigned_abs()))
        }
        DataType::Struct(fields) => {
            fields.iter().map(|field| least_bits(field.data_type())).fold(0, u128::saturating_add)
        }
        other => 8 * other.primitive_width().unwrap_or(0) as u128,
    }
}

fn is_fixed(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Boolean | DataType::FixedSizeBinary(_) => true,
        DataType::FixedSizeList(field, _) => is_fixed(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_fixed(field.data_type())),
        other => other.primitive_width().is_some(),
    }
}

/// Arrow bytes of rows `start..end` of a column, without padding.
pub(super) fn array_bytes(array: &dyn Array, start: usize, end: usize) -> u64 {
    let count = (end - start) as u64;
    let validity = if array.nulls().is_some() { count.div_ceil(8) } else { 0 };
    validity
        + match array.data_type() {
            DataType::Null => 0,
            DataType::Boolean => count.div_ceil(8),
            DataType::Utf8 => text_bytes::<Utf8Type>(array, start, end),
            DataType::LargeUtf8 => text_bytes::<LargeUtf8Type>(array, start, end),
            DataType::Binary => text_bytes::<BinaryType>(array, start, end),
            DataType::LargeBinary => text_bytes::<LargeBinaryType>(array, start, end),
            DataType::Utf8View => view_bytes::<StringViewType>(array, start, end),
            DataType::BinaryView => view_bytes::<BinaryViewType>(array, start, end),
            DataType::FixedSizeBinary(width) => count * u64::from(width.unsigned_abs()),
            DataType::List(_) => list_bytes::<i32>(array, start, end),
            DataType::LargeList(_) => list_bytes::<i64>(array, start, end),
            DataType::FixedSizeList(..) => {
                let list = array.as_fixed_size_list();
                let width = list.value_length().unsigned_abs() as usize;
                array_bytes(list.values(), start * width, end * width)
            }
            DataType::Struct(_) => array.as_struct().columns().iter().map(|child| array_bytes(child, start, end)).sum(),
            DataType::Map(..) => {
                let map = array.as_map();
                let offsets = map.value_offsets();
                spanned(offsets, start, end, |a, b| array_bytes(map.entries(), a, b))
            }
            other => match other.primitive_width() {
                Some(width) => count * width as u64,
                None => array.slice(start, end - start).to_data().get_slice_memory_size().unwrap_or(0) as u64,
            },
        }
}

fn text_bytes<T: ByteArrayType>(array: &dyn Array, start: usize, end: usize) -> u64 {
    spanned(array.as_bytes::<T>().value_offsets(), start, end, |a, b| (b - a) as u64)
}

fn list_bytes<O: OffsetSizeTrait>(array: &dyn Array, start: usize, end: usize) -> u64 {
    let list = array.as_list::<O>();
    spanned(list.value_offsets(), start, end, |a, b| array_bytes(list.values(), a, b))
}

/// The offsets of rows `start..end` and what `inside` says of the values they span.
fn spanned<O: OffsetSizeTrait>(offsets: &[O], start: usize, end: usize, inside: impl Fn(usize, usize) -> u64) -> u64 {
    let own = (end - start) * size_of::<O>();
    match (offsets.get(start), offsets.get(end)) {
        (Some(first), Some(last)) => own as u64 + inside(first.as_usize(), last.as_usize()),
        _ => own as u64,
    }
}

fn view_bytes<T: ByteViewType>(array: &dyn Array, start: usize, end: usize) -> u64 {
    let views = array.as_byte_view::<T>().views().get(start..end).unwrap_or(&[]);
    // The low 32 bits of a view are the length; up to 12 bytes lie in the view itself.
    let outside = |view: &u128| u64::from(*view as u32) * u64::from(*view as u32 > 12);
    views.iter().map(|view| size_of::<u128>() as u64 + outside(view)).sum()
}
