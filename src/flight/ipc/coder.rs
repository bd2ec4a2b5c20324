//! Plain values as keys and dictionaries, where a reader's schema has them.
//!
//! Every batch gets dictionaries of its own, of just the values that its rows have: those of the batches that a client sent
//! are long merged and cut. They are in the order of their first row, or by rank where that means something.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::Int64Array;
use arrow::array::RecordBatch;
use arrow::array::UInt32Array;
use arrow::array::make_array;
use arrow::compute::cast;
use arrow::compute::take;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::SchemaRef;
use arrow::datatypes::UInt32Type;
use arrow::error::ArrowError;
use arrow::row::RowConverter;
use arrow::row::SortField;

use super::column::Order;
use super::column::children;
use super::column::order;
use super::nest;
use crate::chunk::VALUE;

#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// Fewer rows at once may do.
    #[error("column {column:?} has more values than its keys can name, or others of the same rank")]
    Keys { column: String },
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Whether batches of a schema have to be coded at all.
pub(super) fn has_dictionaries(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Dictionary(..))
        || children(field.data_type()).iter().any(|field| has_dictionaries(field))
}

/// A plain batch in the form of `schema`.
///
/// # Errors
/// [`CodeError::Keys`] when it has too many rows for that; [`CodeError::Arrow`] when it is no plain form of the schema.
pub(super) fn coded(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, CodeError> {
    let pairs = schema.fields().iter().zip(batch.columns());
    let columns = pairs.map(|(field, plain)| column(field, plain)).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn column(field: &Field, plain: &ArrayRef) -> Result<ArrayRef, CodeError> {
    if let DataType::Dictionary(key, value) = field.data_type() {
        return dictionary(field, key, value, plain);
    }
    if !has_dictionaries(field) {
        return Ok(Arc::clone(plain));
    }
    let (fields, inside) = (children(field.data_type()), nest::inside(plain));
    let inside = fields.iter().zip(&inside).map(|(field, plain)| column(field, plain));
    Ok(nest::rebuilt(plain, field.data_type(), inside.collect::<Result<_, _>>()?)?)
}

fn dictionary(field: &Field, key: &DataType, value: &DataType, plain: &ArrayRef) -> Result<ArrayRef, CodeError> {
    let (ranks, values) = match (order(field), plain.as_struct_opt().map(|ranked| ranked.columns())) {
        (Order::Ranked, Some([ranks, values])) => (Some(cast(ranks, &DataType::UInt32)?), values),
        _ => (None, plain),
    };
    // A value that is null in its dictionary keeps its rank; without ranks it is a null like any other.
    let nulls = if ranks.is_some() { plain.nulls().cloned() } else { values.logical_nulls() };
    let entries = Entries::of(values, ranks.as_ref(), |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)))?;
    let too_many = || CodeError::Keys { column: field.name().clone() };
    let (rows, keys) = entries.in_order().ok_or_else(too_many)?;
    if rows.len() as u64 > values_max(key) {
        return Err(too_many());
    }
    let distinct = take(values, &UInt32Array::from(rows), None)?;
    let distinct = column(&Field::new(VALUE, value.clone(), true), &distinct)?;
    let keys = cast(&keys, key)?.to_data().into_builder().data_type(field.data_type().clone());
    Ok(make_array(keys.add_child_data(distinct.to_data()).build()?))
}

/// The distinct values of a column.
struct Entries {
    /// Rank, if there are any, and the first row with the value.
    found: Vec<(u32, u32)>,
    /// For each row its place in `found`.
    places: Vec<Option<u32>>,
}

impl Entries {
    fn of(values: &ArrayRef, ranks: Option<&ArrayRef>, is_null: impl Fn(usize) -> bool) -> Result<Self, ArrowError> {
        let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(values))?;
        let ranks = ranks.map(|ranks| ranks.as_primitive::<UInt32Type>().values());
        let mut known = HashMap::new();
        let (mut found, mut places) = (Vec::new(), Vec::with_capacity(values.len()));
        for (row, value) in rows.iter().enumerate() {
            if is_null(row) {
                places.push(None);
                continue;
            }
            let rank = ranks.and_then(|ranks| ranks.get(row)).copied().unwrap_or(0);
            let place = *known.entry((rank, value)).or_insert_with(|| {
                found.push((rank, row as u32));
                found.len() as u32 - 1
            });
            places.push(Some(place));
        }
        // Without ranks the order is that of the rows.
        if ranks.is_none() {
            found.iter_mut().zip(0..).for_each(|((rank, _), place)| *rank = place);
        }
        Ok(Self { found, places })
    }

    /// The first row of each value, and each row's key; `None` when two values have one rank.
    fn in_order(&self) -> Option<(Vec<u32>, Int64Array)> {
        let mut order: Vec<usize> = (0..self.found.len()).collect();
        order.sort_by_key(|place| self.found.get(*place));
        let found: Vec<(u32, u32)> = order.iter().filter_map(|place| self.found.get(*place)).copied().collect();
        if found.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b)) {
            return None;
        }
        let mut keys = vec![0; order.len()];
        for (key, place) in (0..).zip(order) {
            *keys.get_mut(place)? = key;
        }
        let key = |place: &Option<u32>| place.and_then(|place| keys.get(place as usize).copied());
        Some((found.into_iter().map(|(_, row)| row).collect(), self.places.iter().map(key).collect()))
    }
}

/// How many values a key type can name.
fn values_max(key: &DataType) -> u64 {
    match key {
        DataType::Int8 => 1 << 7,
        DataType::UInt8 => 1 << 8,
        DataType::Int16 => 1 << 15,
        DataType::UInt16 => 1 << 16,
        _ => 1 << 31,
    }
}
