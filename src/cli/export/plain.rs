//! Rows with their values in place of dictionaries: the only form that files of Parquet are written of.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::datatypes::FieldRef;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use crate::chunk::retyped;

/// A schema with the types of the values where it has dictionaries.
pub fn schema(coded: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = coded.fields().iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, coded.metadata().clone()))
}

/// * `schema`: of the batch's own, by [`schema`].
///
/// # Errors
/// When the batch has another schema.
pub fn rows(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let pairs = batch.columns().iter().zip(schema.fields());
    let columns = pairs.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn field(coded: &FieldRef) -> FieldRef {
    let own = of(coded.data_type());
    if own == *coded.data_type() { Arc::clone(coded) } else { retyped(coded, own) }
}

fn of(coded: &DataType) -> DataType {
    match coded {
        DataType::Dictionary(_, value) => of(value),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}
