//! Which schemas can be stored and come back exactly. Asked before a put is accepted, so that nothing fails later.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::IntervalUnit;
use arrow::datatypes::Schema;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::encode_arrow_schema;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::KeyValue;
use parquet::schema::types::SchemaDescriptor;

use super::encoder::EncodeError;
use super::layout::TIME_COLUMN;

/// Nested types deeper than this are refused: every level costs stack in encoders and readers.
const DEPTH_MAX: usize = 64;

/// Whether rows of `schema` can be stored and come back exactly.
///
/// # Errors
/// [`EncodeError::TimeColumn`], [`EncodeError::DuplicateField`] or [`EncodeError::UnsupportedType`], each naming the field;
/// [`EncodeError::Inexact`] when the stored schema would read back as another one.
pub fn supports(schema: &Schema) -> Result<(), EncodeError> {
    match schema.column_with_name(TIME_COLUMN) {
        Some((_, field)) if *field.data_type() == DataType::Int64 => {}
        Some((_, field)) => return Err(EncodeError::TimeColumn { found: Some(field.data_type().clone()) }),
        None => return Err(EncodeError::TimeColumn { found: None }),
    }
    check_fields(schema.fields(), "", 1)?;
    parquet_schema(schema).map(|_| ())
}

/// The Parquet schema that stands for `schema`, proven to read back as the same Arrow schema, metadata included.
pub(super) fn parquet_schema(schema: &Schema) -> Result<SchemaDescriptor, EncodeError> {
    let parquet = ArrowSchemaConverter::new().convert(schema).map_err(EncodeError::Parquet)?;
    let entry = KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(schema));
    let back = parquet_to_arrow_schema(&parquet, Some(&vec![entry])).map_err(EncodeError::Parquet)?;
    if back == *schema {
        return Ok(parquet);
    }
    let changed = schema.fields().iter().zip(back.fields()).find(|(ours, theirs)| ours != theirs);
    let field = changed.map_or_else(|| "(schema metadata)".to_owned(), |(ours, _)| ours.name().clone());
    Err(EncodeError::Inexact { field })
}

fn check_fields(fields: &Fields, path: &str, depth: usize) -> Result<(), EncodeError> {
    for (index, field) in fields.iter().enumerate() {
        let path = if path.is_empty() { field.name().clone() } else { format!("{path}.{}", field.name()) };
        if fields.iter().take(index).any(|other| other.name() == field.name()) {
            return Err(EncodeError::DuplicateField { field: path });
        }
        check_field(field, path, depth)?;
    }
    Ok(())
}

fn check_field(field: &Field, path: String, depth: usize) -> Result<(), EncodeError> {
    let refuse = |path: String, way_out| {
        Err(EncodeError::UnsupportedType { field: path, found: Box::new(field.data_type().clone()), way_out })
    };
    if depth > DEPTH_MAX {
        return refuse(path, "nest types less deep");
    }
    match field.data_type() {
        DataType::Null if !field.is_nullable() => refuse(path, "declare it nullable: it has nothing but nulls"),
        DataType::Dictionary(..) => refuse(path, "send the values themselves, with the dictionary's value type"),
        DataType::RunEndEncoded(..) => refuse(path, "send the values themselves, with the runs' value type"),
        DataType::Union(..) => refuse(path, "send a struct with one nullable field per alternative"),
        DataType::Interval(IntervalUnit::MonthDayNano) => refuse(path, "send a struct of months, days and nanoseconds"),
        DataType::FixedSizeBinary(width) if *width < 1 => refuse(path, "leave the field out: it has no bytes"),
        DataType::FixedSizeList(_, size) if *size < 1 => refuse(path, "leave the field out: it has no values"),
        DataType::Struct(children) if children.is_empty() => refuse(path, "leave the field out: it has no fields"),
        DataType::Struct(children) => check_fields(children, &path, depth + 1),
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => {
            let path = format!("{path}.{}", child.name());
            check_field(child, path, depth + 1)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::UnionFields;
    use arrow::datatypes::UnionMode;

    use super::*;

    #[test]
    fn what_would_not_come_back_is_refused_by_name() {
        let time = || Field::new("timestamp_ns", DataType::Int64, false);
        let refusal = |data_type: DataType| {
            let inner = Fields::from(vec![Field::new("inner", data_type, true)]);
            let list = DataType::List(Arc::new(Field::new("item", DataType::Struct(inner), true)));
            let schema = Schema::new(vec![time(), Field::new("outer", list, true)]);
            match supports(&schema) {
                Err(EncodeError::UnsupportedType { field, way_out, .. }) => {
                    assert!(!way_out.is_empty());
                    field
                }
                other => panic!("{other:?}"),
            }
        };
        let value = Arc::new(Field::new("values", DataType::Int32, true));
        let ends = Arc::new(Field::new("run_ends", DataType::Int32, false));
        let union = UnionFields::try_new([0], [Field::new("a", DataType::Int32, true)]).unwrap();
        for data_type in [
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            DataType::RunEndEncoded(ends, value.clone()),
            DataType::Union(union, UnionMode::Dense),
            DataType::Interval(IntervalUnit::MonthDayNano),
            DataType::FixedSizeBinary(0),
            DataType::FixedSizeList(value, 0),
            DataType::Struct(Fields::empty()),
        ] {
            assert_eq!(refusal(data_type), "outer.item.inner");
        }
        let mut deep = DataType::Int8;
        for _ in 0..100 {
            deep = DataType::List(Arc::new(Field::new("item", deep, true)));
        }
        let deep = Schema::new(vec![time(), Field::new("deep", deep, true)]);
        assert!(matches!(supports(&deep), Err(EncodeError::UnsupportedType { .. })));
        let null = Schema::new(vec![time(), Field::new("null", DataType::Null, false)]);
        assert!(matches!(supports(&null), Err(EncodeError::UnsupportedType { .. })));
    }

    #[test]
    fn schemas_without_time_or_with_twins_are_refused() {
        let time = |data_type| Field::new("timestamp_ns", data_type, false);
        let plain = |name: &str| Field::new(name, DataType::Int8, true);
        let found = |fields: Vec<Field>| supports(&Schema::new(fields)).unwrap_err().to_string();
        assert!(found(vec![plain("x")]).contains("there is none"));
        assert!(found(vec![time(DataType::UInt64)]).contains("it is UInt64"));
        assert!(found(vec![time(DataType::Int64), plain("x"), plain("x")]).contains("\"x\" occurs twice"));
        let twins = DataType::Struct(vec![plain("y"), plain("y")].into());
        assert!(found(vec![time(DataType::Int64), Field::new("s", twins, true)]).contains("\"s.y\" occurs twice"));
    }
}
