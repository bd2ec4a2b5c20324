//! Some columns of a chunk: the fields that are asked for, down into structs and lists, and the leaf columns that hold them.

use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::FixedSizeListArray;
use arrow::array::GenericListArray;
use arrow::array::RecordBatch;
use arrow::array::RecordBatchOptions;
use arrow::array::StructArray;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::FieldRef;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::layout::TIME_COLUMN;

/// Columns of one schema. Has `timestamp_ns` always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    schema: SchemaRef,
    /// Ascending.
    leaves: Vec<usize>,
}

impl Projection {
    /// * `paths`: names of fields from the top down, each with all below it; lists have no name of their own. A path that the
    ///   schema does not have adds nothing.
    pub fn of(schema: &Schema, paths: &[Vec<String>]) -> Self {
        let time = [TIME_COLUMN.to_owned()];
        let wanted: Vec<&[String]> = paths.iter().map(Vec::as_slice).chain([time.as_slice()]).collect();
        let (mut leaf, mut leaves) = (0, Vec::new());
        let fields: Vec<FieldRef> =
            schema.fields().iter().filter_map(|field| below(field, &wanted, &mut leaf, &mut leaves)).collect();
        Self { schema: Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())), leaves }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn has(&self, leaf: usize) -> bool {
        self.leaves.binary_search(&leaf).is_ok()
    }
}

/// The rows with the fields of `target` alone, which are fields of theirs. Shares all buffers.
///
/// # Errors
/// When the batch lacks one.
pub fn project(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &FieldRef| {
        let missing = || ArrowError::SchemaError(format!("no column {}", field.name()));
        projected(batch.column_by_name(field.name()).ok_or_else(missing)?, field)
    };
    let columns = target.fields().iter().map(column).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(target.clone(), columns, &options)
}

fn projected(array: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == field.data_type() {
        return Ok(Arc::clone(array));
    }
    let nulls = array.nulls().cloned();
    Ok(match field.data_type() {
        DataType::Struct(fields) => {
            let own = array.as_struct();
            let child = |field: &FieldRef| {
                let missing = || ArrowError::SchemaError(format!("no field {}", field.name()));
                projected(own.column_by_name(field.name()).ok_or_else(missing)?, field)
            };
            let children = fields.iter().map(child).collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), children, nulls)?)
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = projected(list.values(), item)?;
            Arc::new(GenericListArray::<i32>::try_new(item.clone(), list.offsets().clone(), values, nulls)?)
        }
        DataType::LargeList(item) => {
            let list = array.as_list::<i64>();
            let values = projected(list.values(), item)?;
            Arc::new(GenericListArray::<i64>::try_new(item.clone(), list.offsets().clone(), values, nulls)?)
        }
        DataType::FixedSizeList(item, size) => {
            let values = projected(array.as_fixed_size_list().values(), item)?;
            Arc::new(FixedSizeListArray::try_new(item.clone(), *size, values, nulls)?)
        }
        other => return Err(ArrowError::SchemaError(format!("{} is no {other}", array.data_type()))),
    })
}

/// The field, if one of the paths begins with its name.
fn below(field: &FieldRef, paths: &[&[String]], leaf: &mut usize, kept: &mut Vec<usize>) -> Option<FieldRef> {
    let own = |path: &&[String]| path.split_first().filter(|(name, _)| *name == field.name()).is_some();
    let rest: Vec<&[String]> = paths.iter().filter(|path| own(path)).map(|path| path.get(1..).unwrap_or(&[])).collect();
    inside(field, &rest, leaf, kept)
}

/// What of the field the paths lead to; an empty path leads to all of it.
fn inside(field: &FieldRef, paths: &[&[String]], leaf: &mut usize, kept: &mut Vec<usize>) -> Option<FieldRef> {
    if paths.is_empty() || paths.iter().any(|path| path.is_empty()) {
        let (first, count) = (*leaf, leaf_count(field));
        *leaf += count;
        return (!paths.is_empty()).then(|| {
            kept.extend(first..*leaf);
            Arc::clone(field)
        });
    }
    let with = |data_type| Arc::new(field.as_ref().clone().with_data_type(data_type));
    let mut child = |child: &FieldRef| inside(child, paths, leaf, kept);
    match field.data_type() {
        DataType::Struct(children) => {
            let children: Vec<FieldRef> = children.iter().filter_map(|child| below(child, paths, leaf, kept)).collect();
            (!children.is_empty()).then(|| with(DataType::Struct(children.into())))
        }
        DataType::List(item) => child(item).map(|item| with(DataType::List(item))),
        DataType::LargeList(item) => child(item).map(|item| with(DataType::LargeList(item))),
        DataType::ListView(item) => child(item).map(|item| with(DataType::ListView(item))),
        DataType::LargeListView(item) => child(item).map(|item| with(DataType::LargeListView(item))),
        DataType::FixedSizeList(item, size) => child(item).map(|item| with(DataType::FixedSizeList(item, *size))),
        // The path goes on where nothing is.
        _ => {
            *leaf += leaf_count(field);
            None
        }
    }
}

/// Leaf columns that hold a field in the file.
fn leaf_count(field: &Field) -> usize {
    match field.data_type() {
        DataType::Struct(children) => children.iter().map(|child| leaf_count(child)).sum(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => leaf_count(item),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_structs_and_lists() {
        let float = |name: &str| Field::new(name, DataType::Float64, true);
        let vector = DataType::Struct(vec![float("x"), float("y")].into());
        let list = DataType::List(Arc::new(Field::new("item", vector.clone(), true)));
        let schema = Schema::new(vec![
            Field::new("image", DataType::Binary, true),
            Field::new("pose", vector, true),
            Field::new("timestamp_ns", DataType::Int64, false),
            Field::new("path", list, true),
        ]);
        let of = |paths: &[&[&str]]| {
            let paths: Vec<Vec<String>> =
                paths.iter().map(|path| path.iter().map(|name| (*name).to_owned()).collect()).collect();
            let projection = Projection::of(&schema, &paths);
            let names: Vec<String> = projection.schema.fields().iter().map(|field| field.name().clone()).collect();
            (names.join(" "), projection.leaves)
        };
        assert_eq!(of(&[]), ("timestamp_ns".to_owned(), vec![3]));
        assert_eq!(of(&[&["pose", "y"]]), ("pose timestamp_ns".to_owned(), vec![2, 3]));
        assert_eq!(of(&[&["path", "x"], &["image"]]), ("image timestamp_ns path".to_owned(), vec![0, 3, 4]));
        assert_eq!(of(&[&["path"]]), ("timestamp_ns path".to_owned(), vec![3, 4, 5]));
        assert_eq!(of(&[&["path", "z"], &["image", "x"], &["none"]]), ("timestamp_ns".to_owned(), vec![3]));
    }
}
