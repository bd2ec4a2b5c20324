//! Decoded arrays as they came in: a field that must not be null carries no validity.
//!
//! Below a null of their parent the Parquet reader marks such values null as well. That is no lie, but strict readers refuse
//! it, and nobody sent it.

use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::FixedSizeListArray;
use arrow::array::GenericListArray;
use arrow::array::GenericListViewArray;
use arrow::array::MapArray;
use arrow::array::OffsetSizeTrait;
use arrow::array::StructArray;
use arrow::array::make_array;
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;

/// `array`, which has the type of `field`, without validity where the field and the fields below have none. Shares all buffers.
pub(super) fn exact(field: &Field, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(changed(field, array)?.unwrap_or_else(|| array.clone()))
}

/// `None` when the array is exact as it is.
fn changed(field: &Field, array: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    let drop = !field.is_nullable() && array.nulls().is_some();
    let nulls = array.nulls().filter(|_| field.is_nullable()).cloned();
    match field.data_type() {
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let children: Vec<Option<ArrayRef>> = fields
                .iter()
                .zip(array.columns())
                .map(|(field, child)| changed(field, child))
                .collect::<Result<_, _>>()?;
            if !drop && children.iter().all(Option::is_none) {
                return Ok(None);
            }
            let merged = children.into_iter().zip(array.columns()).map(|(new, old)| new.unwrap_or_else(|| old.clone()));
            Ok(Some(Arc::new(StructArray::try_new(fields.clone(), merged.collect(), nulls)?)))
        }
        DataType::List(child) => changed_list::<i32>(child, array, nulls, drop),
        DataType::LargeList(child) => changed_list::<i64>(child, array, nulls, drop),
        DataType::FixedSizeList(child, size) => {
            let values = array.as_fixed_size_list().values();
            match changed(child, values)? {
                None if !drop => Ok(None),
                new => {
                    let values = new.unwrap_or_else(|| values.clone());
                    let len = array.len();
                    Ok(Some(Arc::new(FixedSizeListArray::try_new_with_length(
                        child.clone(),
                        *size,
                        values,
                        nulls,
                        len,
                    )?)))
                }
            }
        }
        DataType::ListView(child) => changed_view::<i32>(child, array, nulls, drop),
        DataType::LargeListView(child) => changed_view::<i64>(child, array, nulls, drop),
        DataType::Map(child, ordered) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            match changed(child, &entries)? {
                None if !drop => Ok(None),
                new => {
                    let entries = new.unwrap_or(entries).as_struct().clone();
                    let offsets = map.offsets().clone();
                    Ok(Some(Arc::new(MapArray::try_new(child.clone(), offsets, entries, nulls, *ordered)?)))
                }
            }
        }
        _ if drop => Ok(Some(make_array(array.to_data().into_builder().nulls(None).build()?))),
        _ => Ok(None),
    }
}

fn changed_list<O: OffsetSizeTrait>(
    child: &FieldRef,
    array: &ArrayRef,
    nulls: Option<NullBuffer>,
    drop: bool,
) -> Result<Option<ArrayRef>, ArrowError> {
    let list = array.as_list::<O>();
    match changed(child, list.values())? {
        None if !drop => Ok(None),
        new => {
            let values = new.unwrap_or_else(|| list.values().clone());
            Ok(Some(Arc::new(GenericListArray::<O>::try_new(child.clone(), list.offsets().clone(), values, nulls)?)))
        }
    }
}

fn changed_view<O: OffsetSizeTrait>(
    child: &FieldRef,
    array: &ArrayRef,
    nulls: Option<NullBuffer>,
    drop: bool,
) -> Result<Option<ArrayRef>, ArrowError> {
    let list = array.as_list_view::<O>();
    match changed(child, list.values())? {
        None if !drop => Ok(None),
        new => {
            let values = new.unwrap_or_else(|| list.values().clone());
            let (offsets, sizes) = (list.offsets().clone(), list.sizes().clone());
            Ok(Some(Arc::new(GenericListViewArray::<O>::try_new(child.clone(), offsets, sizes, values, nulls)?)))
        }
    }
}
