//! Arrays inside arrays: taken out, changed, and put back.

use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::FixedSizeListArray;
use arrow::array::LargeListArray;
use arrow::array::ListArray;
use arrow::array::MapArray;
use arrow::array::OffsetSizeTrait;
use arrow::array::StructArray;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::column::children;

/// The arrays inside a struct, list or map, in the order of [`children`], of just the values that its rows have; empty for
/// others.
pub(super) fn inside(array: &ArrayRef) -> Vec<ArrayRef> {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().to_vec(),
        DataType::List(_) => vec![spanned(array.as_list::<i32>().offsets(), array.as_list::<i32>().values())],
        DataType::LargeList(_) => vec![spanned(array.as_list::<i64>().offsets(), array.as_list::<i64>().values())],
        DataType::FixedSizeList(..) => vec![Arc::clone(array.as_fixed_size_list().values())],
        DataType::Map(..) => vec![spanned(array.as_map().offsets(), array.as_map().entries())],
        _ => Vec::new(),
    }
}

fn spanned<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, values: &dyn Array) -> ArrayRef {
    let offsets: &[O] = offsets;
    let ends = offsets.first().zip(offsets.last()).map(|(first, last)| (first.as_usize(), last.as_usize()));
    let (first, last) = ends.unwrap_or_default();
    values.slice(first, last - first)
}

/// The same lengths, from 0 on.
fn rebased<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> OffsetBuffer<O> {
    OffsetBuffer::from_lengths(offsets.lengths())
}

/// `array` as `data_type`, which has other fields inside, with their values as [`inside`] gave them.
///
/// # Errors
/// When the values do not fit the type.
pub(super) fn rebuilt(array: &ArrayRef, data_type: &DataType, values: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
    let nulls = array.nulls().cloned();
    if let DataType::Struct(fields) = data_type {
        return Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), values, nulls, array.len())?));
    }
    let mut fields = children(data_type).into_iter();
    let (Some(field), Some(values)) = (fields.next(), values.into_iter().next()) else {
        return Ok(Arc::clone(array));
    };
    Ok(match data_type {
        DataType::List(_) => {
            Arc::new(ListArray::try_new(field, rebased(array.as_list::<i32>().offsets()), values, nulls)?)
        }
        DataType::LargeList(_) => {
            Arc::new(LargeListArray::try_new(field, rebased(array.as_list::<i64>().offsets()), values, nulls)?)
        }
        DataType::FixedSizeList(_, size) => {
            Arc::new(FixedSizeListArray::try_new_with_length(field, *size, values, nulls, array.len())?)
        }
        DataType::Map(_, sorted) => {
            let offsets = rebased(array.as_map().offsets());
            Arc::new(MapArray::try_new(field, offsets, values.as_struct().clone(), nulls, *sorted)?)
        }
        _ => Arc::clone(array),
    })
}
