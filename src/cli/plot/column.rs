//! The numbers of one field out of batches.

use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::RecordBatch;
use arrow::array::UInt64Array;
use arrow::array::make_array;
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;

use super::super::field;
use super::super::field::Element;
use super::super::field::FieldStep;

/// A field whose values are numbers.
#[derive(Clone, Debug)]
pub struct Column {
    pub steps: Vec<FieldStep>,
}

impl Column {
    /// Whether values of this type can be drawn: numbers, and booleans as 0 and 1.
    pub fn draws(own: &DataType) -> bool {
        own.is_numeric() || *own == DataType::Boolean
    }

    /// The path as the server selects columns: without elements.
    pub fn selected(&self) -> String {
        self.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join(".")
    }

    /// Times and values of a batch with `timestamp_ns`, in the order of its rows; each element of a list that is meant with
    /// every element has the time of its row. Null where the value is, or something around it.
    ///
    /// # Errors
    /// Where the batch has no such columns.
    pub fn values(&self, batch: &RecordBatch) -> Result<(Int64Array, Float64Array), ArrowError> {
        let missing = || ArrowError::SchemaError(format!("no column {}", self.selected()));
        let mut times: ArrayRef = batch.column_by_name("timestamp_ns").ok_or_else(missing)?.clone();
        let mut own: Option<ArrayRef> = None;
        for FieldStep { name, element } in &self.steps {
            let next = match &own {
                None => batch.column_by_name(name).cloned(),
                Some(parent) => parent
                    .as_struct_opt()
                    .and_then(|parent| parent.column_by_name(name).map(|child| hidden_by(child, parent.nulls()))),
            };
            let next = next.ok_or_else(missing)?;
            own = Some(match element {
                None => next,
                Some(Element::Index(index)) => {
                    let list = lists(&next)?;
                    take(list.values(), &at_index(&list, *index), None)?
                }
                Some(Element::Every) => {
                    let list = lists(&next)?;
                    let (rows, items) = every(&list);
                    times = take(&times, &rows, None)?;
                    take(list.values(), &items, None)?
                }
            });
        }
        let values = cast(&own.ok_or_else(missing)?, &DataType::Float64)?;
        let times = times.as_primitive_opt::<Int64Type>().ok_or_else(missing)?.clone();
        Ok((times, values.as_primitive_opt::<Float64Type>().ok_or_else(missing)?.clone()))
    }
}

/// A child with the nulls of the struct around it.
pub fn hidden_by(child: &ArrayRef, nulls: Option<&NullBuffer>) -> ArrayRef {
    match NullBuffer::union(child.logical_nulls().as_ref(), nulls) {
        None => child.clone(),
        both => match child.to_data().into_builder().nulls(both).build() {
            Ok(data) => make_array(data),
            Err(_) => child.clone(),
        },
    }
}

/// Any kind of list as the plain one.
fn lists(array: &ArrayRef) -> Result<ListArray, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("{} is no list", array.data_type()));
    let item = field::item(array.data_type()).ok_or_else(missing)?;
    let plain = DataType::List(Arc::new(Field::new("item", item.data_type().clone(), true)));
    let plain = cast(array, &plain)?;
    plain.as_list_opt::<i32>().cloned().ok_or_else(missing)
}

/// For each list where its element lies; null behind its end.
fn at_index(list: &ListArray, index: usize) -> UInt64Array {
    let at = |(row, bounds): (usize, &[i32])| match bounds {
        [start, end] if list.is_valid(row) && index < end.abs_diff(*start) as usize => {
            u64::try_from(*start).ok().map(|start| start + index as u64)
        }
        _ => None,
    };
    list.value_offsets().windows(2).enumerate().map(at).collect()
}

/// For each element its row, and where it lies.
fn every(list: &ListArray) -> (UInt64Array, UInt64Array) {
    let bounds = list.value_offsets().windows(2).enumerate().filter(|(row, _)| list.is_valid(*row));
    let items = bounds.flat_map(|(row, bounds)| {
        let (start, end) = bounds.first().copied().zip(bounds.last().copied()).unwrap_or_default();
        (start..end).map(move |item| (row as u64, u64::try_from(item).unwrap_or_default()))
    });
    let (rows, items): (Vec<u64>, Vec<u64>) = items.unzip();
    (rows.into(), items.into())
}

#[cfg(test)]
mod tests {
    use arrow::array::BooleanArray;
    use arrow::array::StructArray;
    use arrow::buffer::OffsetBuffer;

    use super::*;

    fn of(batch: &RecordBatch, path: &str) -> Vec<(i64, Option<f64>)> {
        let (times, values) = Column { steps: field::steps(path) }.values(batch).unwrap();
        times.values().iter().copied().zip(values.iter()).collect()
    }

    #[test]
    fn numbers_come_out_of_structs_and_lists() {
        let x = Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), None])) as ArrayRef;
        let float = Arc::new(Field::new("x", DataType::Float64, true));
        let outer = NullBuffer::from(vec![true, false, true]);
        let point = StructArray::new(vec![float.clone()].into(), vec![x.clone()], Some(outer));
        let item = Arc::new(Field::new("item", DataType::Float64, true));
        let offsets = OffsetBuffer::new(vec![0, 2, 2, 3].into());
        let list = ListArray::new(item, offsets, x, None);
        let batch = RecordBatch::try_from_iter([
            ("timestamp_ns", Arc::new(Int64Array::from(vec![10, 20, 30])) as ArrayRef),
            ("p", Arc::new(point) as ArrayRef),
            ("l", Arc::new(list) as ArrayRef),
            ("b", Arc::new(BooleanArray::from(vec![true, false, true])) as ArrayRef),
        ])
        .unwrap();
        assert_eq!(of(&batch, "p.x"), [(10, Some(1.0)), (20, None), (30, None)]);
        assert_eq!(of(&batch, "l[1]"), [(10, Some(2.0)), (20, None), (30, None)]);
        assert_eq!(of(&batch, "l[?]"), [(10, Some(1.0)), (10, Some(2.0)), (30, None)]);
        assert_eq!(of(&batch, "b"), [(10, Some(1.0)), (20, Some(0.0)), (30, Some(1.0))]);
        assert_eq!(of(&batch.slice(1, 2), "l[0]"), [(20, None), (30, None)]);
        assert!(Column { steps: field::steps("p.y") }.values(&batch).is_err());
    }
}
