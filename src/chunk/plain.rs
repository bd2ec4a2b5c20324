//! The plain form of a schema: without dictionaries, each row with its own value, as rows are stored.
//!
//! A dictionary may be ordered: the place of a value in it means something then. The plain form of such a field is a struct of
//! the [`RANK`] and the [`VALUE`].

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::FieldRef;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;

/// The fields of an ordered dictionary's plain form.
pub const RANK: &str = "rank";
pub const VALUE: &str = "value";

/// Whether the places of a field's dictionary mean something.
pub fn is_ranked(field: &Field) -> bool {
    field.dict_is_ordered() == Some(true)
}

/// * `key`, `value`: of the dictionary, both plain.
pub fn plain_type(ranked: bool, key: &DataType, value: &DataType) -> DataType {
    match ranked {
        false => value.clone(),
        true => {
            DataType::Struct(vec![Field::new(RANK, key.clone(), true), Field::new(VALUE, value.clone(), true)].into())
        }
    }
}

/// The field with another type. Not `Field::with_data_type`: that keeps the flag of an ordered dictionary.
pub fn retyped(field: &Field, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(field.metadata().clone()))
}

/// A schema as its writer sent it, in the form that its rows are stored in.
pub fn plain(wire: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = wire.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new_with_metadata(fields, wire.metadata().clone()))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let inside = inside(field.data_type());
    match (field.data_type(), inside) {
        (DataType::Dictionary(key, value), inside) => {
            retyped(field, plain_type(is_ranked(field), key, inside.as_ref().unwrap_or(value)))
        }
        (_, Some(data_type)) => retyped(field, data_type),
        (_, None) => Arc::clone(field),
    }
}

/// The type with plain fields inside, of a dictionary its values'; `None` when that changes nothing.
fn inside(data_type: &DataType) -> Option<DataType> {
    let changed = |field: &FieldRef| Some(plain_field(field)).filter(|plain| plain != field);
    match data_type {
        DataType::Dictionary(_, value) => inside(value),
        DataType::Struct(fields) => {
            let plain: Vec<FieldRef> = fields.iter().map(plain_field).collect();
            plain.iter().ne(fields.iter()).then(|| DataType::Struct(plain.into()))
        }
        DataType::List(item) => changed(item).map(DataType::List),
        DataType::LargeList(item) => changed(item).map(DataType::LargeList),
        DataType::FixedSizeList(item, size) => changed(item).map(|item| DataType::FixedSizeList(item, *size)),
        DataType::Map(entries, sorted) => changed(entries).map(|entries| DataType::Map(entries, *sorted)),
        _ => None,
    }
}
