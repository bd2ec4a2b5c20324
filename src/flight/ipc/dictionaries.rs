//! The dictionaries of one stream, and plain values out of keys.
//!
//! What a client can ask for with few bytes is bounded: the dictionaries held at a time, of one stream and of all together,
//! and what a batch stands for once every row has its own value.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::array::StructArray;
use arrow::array::UInt32Array;
use arrow::array::new_null_array;
use arrow::compute::concat;
use arrow::compute::take;
use arrow::datatypes::ArrowPrimitiveType;
use arrow::datatypes::DataType;
use arrow::datatypes::Int8Type;
use arrow::datatypes::Int16Type;
use arrow::datatypes::Int32Type;
use arrow::datatypes::Int64Type;
use arrow::datatypes::UInt8Type;
use arrow::datatypes::UInt16Type;
use arrow::datatypes::UInt32Type;
use arrow::datatypes::UInt64Type;
use arrow::error::ArrowError;

use super::DecodeError;
use super::DecodeLimits;
use super::column::Column;
use super::column::Kind;
use super::column::Order;
use super::nest;
use crate::chunk::batch_bytes;
use crate::chunk::row_bytes;
use crate::runtime::Budget;
use crate::runtime::Permit;

/// What an entry costs beside its value, so that their number is limited too.
const ENTRY_BYTES: usize = 4;

/// By id, the last one that came. Each has its values in memory of its own: a body's would be of the receive budget.
#[derive(Clone, Debug)]
pub(super) struct Dictionaries {
    all: HashMap<i64, Dictionary>,
    /// Of the dictionaries of all streams.
    budget: Budget,
}

#[derive(Clone, Debug)]
struct Dictionary {
    /// One column of plain values.
    values: RecordBatch,
    bytes: usize,
    paid: Vec<Arc<Permit>>,
}

impl Default for Dictionaries {
    fn default() -> Self {
        Self { all: HashMap::new(), budget: Budget::new(DecodeLimits::DICTIONARY_BYTES_MAX) }
    }
}

impl Dictionaries {
    pub fn within(budget: Budget) -> Self {
        Self { all: HashMap::new(), budget }
    }

    /// Before a dictionary of so many bytes is copied out of its message. One that is replaced gives its memory back first.
    ///
    /// # Errors
    /// [`DecodeError::DictionaryMemory`].
    pub fn admit(&mut self, id: i64, bytes: usize, is_delta: bool) -> Result<Permit, DecodeError> {
        if !is_delta {
            self.all.remove(&id);
        }
        self.pay(bytes)
    }

    fn pay(&self, bytes: usize) -> Result<Permit, DecodeError> {
        let (held, total) = (self.budget.in_use(), self.budget.total());
        match self.budget.try_acquire(bytes) {
            Ok(Some(permit)) => Ok(permit),
            Ok(None) | Err(_) => Err(DecodeError::DictionaryMemory { bytes, held, total }),
        }
    }

    /// Keeps a dictionary that replaces the one before, or with `is_delta` continues it.
    ///
    /// * `paid`: what [`Self::admit`] gave for the message that it came in.
    ///
    /// # Errors
    /// [`DecodeError::Dictionary`], [`DecodeError::DictionariesTooLarge`], [`DecodeError::DictionaryMemory`].
    pub fn insert(&mut self, id: i64, values: ArrayRef, paid: Permit, is_delta: bool) -> Result<(), DecodeError> {
        let error = |error: ArrowError| DecodeError::Dictionary { id, what: error.to_string() };
        let piece = RecordBatch::try_from_iter_with_nullable([("values", values, true)]).map_err(error)?;
        let rows = piece.num_rows();
        let logical = usize::try_from(batch_bytes(&piece, 0, rows)).unwrap_or(usize::MAX);
        let own = paid.bytes().max(logical).saturating_add(rows.saturating_mul(ENTRY_BYTES));
        let base = match (is_delta, self.all.get(&id)) {
            (false, _) => None,
            (true, Some(base)) => Some(base),
            (true, None) => {
                let what = "a delta, and there is nothing yet that it could continue".to_owned();
                return Err(DecodeError::Dictionary { id, what });
            }
        };
        let others: usize = self.all.iter().filter(|(other, _)| **other != id).map(|(_, other)| other.bytes).sum();
        let bytes = own.saturating_add(base.map_or(0, |base| base.bytes));
        let total = bytes.saturating_add(others);
        if total > DecodeLimits::DICTIONARY_BYTES_MAX {
            return Err(DecodeError::DictionariesTooLarge { bytes: total });
        }
        let rest = self.pay(own - paid.bytes())?;
        let paid =
            base.into_iter().flat_map(|base| base.paid.clone()).chain([Arc::new(paid), Arc::new(rest)]).collect();
        let values = match base {
            Some(base) => {
                let joined = concat(&[base.values.column(0), piece.column(0)]).map_err(error)?;
                RecordBatch::try_new(piece.schema(), vec![joined]).map_err(error)?
            }
            None => piece,
        };
        self.all.insert(id, Dictionary { values, bytes, paid });
        Ok(())
    }

    /// Counts in `bytes` what [`Self::plain`] would write out.
    ///
    /// # Errors
    /// As [`Self::plain`].
    pub fn weigh(&self, column: &Column, keys: &ArrayRef, bytes: &mut u64, bytes_max: u64) -> Result<(), DecodeError> {
        match &column.kind {
            Kind::Plain => Ok(()),
            Kind::Nested(columns) => {
                let inside = nest::inside(keys);
                columns.iter().zip(&inside).try_for_each(|(column, keys)| self.weigh(column, keys, bytes, bytes_max))
            }
            Kind::Coded { id, .. } => match self.all.get(id) {
                Some(dictionary) => dictionary.weigh(&dictionary.places(*id, keys)?, bytes, bytes_max),
                None => Ok(()),
            },
        }
    }

    /// The plain values of a column of which the keys came. Each value written out is counted in `bytes`.
    ///
    /// # Errors
    /// [`DecodeError::Dictionary`] for keys without a value, [`DecodeError::TooManyLogicalBytes`], [`DecodeError::Batch`].
    pub fn plain(
        &self,
        column: &Column,
        keys: &ArrayRef,
        bytes: &mut u64,
        bytes_max: u64,
    ) -> Result<ArrayRef, DecodeError> {
        let error = |error: ArrowError| DecodeError::Batch(error.to_string().chars().take(400).collect());
        match &column.kind {
            Kind::Plain => Ok(Arc::clone(keys)),
            Kind::Nested(columns) => {
                let inside = nest::inside(keys);
                let inside =
                    columns.iter().zip(&inside).map(|(column, keys)| self.plain(column, keys, bytes, bytes_max));
                nest::rebuilt(keys, column.plain.data_type(), inside.collect::<Result<_, _>>()?).map_err(error)
            }
            Kind::Coded { id, order, values } => {
                let taken = match self.all.get(id) {
                    Some(dictionary) => dictionary.take(*id, keys, bytes, bytes_max)?,
                    None if keys.null_count() == keys.len() => new_null_array(values.plain.data_type(), keys.len()),
                    None => {
                        let what = "it has not come, and rows already name its values".to_owned();
                        return Err(DecodeError::Dictionary { id: *id, what });
                    }
                };
                match (order, column.plain.data_type()) {
                    (Order::Ranked, DataType::Struct(fields)) => {
                        let ranked = vec![Arc::clone(keys), taken];
                        let ranked = StructArray::try_new(fields.clone(), ranked, keys.nulls().cloned());
                        Ok(Arc::new(ranked.map_err(error)?))
                    }
                    _ => Ok(taken),
                }
            }
        }
    }
}

impl Dictionary {
    fn take(&self, id: i64, keys: &ArrayRef, bytes: &mut u64, bytes_max: u64) -> Result<ArrayRef, DecodeError> {
        let places = self.places(id, keys)?;
        self.weigh(&places, bytes, bytes_max)?;
        take(self.values.column(0), &places, None).map_err(|error| DecodeError::Batch(error.to_string()))
    }

    fn places(&self, id: i64, keys: &ArrayRef) -> Result<UInt32Array, DecodeError> {
        let len = self.values.num_rows();
        places(keys, len).map_err(|key| {
            let what = format!("key {key} of a row, and there are {len} values");
            DecodeError::Dictionary { id, what }
        })
    }

    fn weigh(&self, places: &UInt32Array, bytes: &mut u64, bytes_max: u64) -> Result<(), DecodeError> {
        let each = row_bytes(&self.values);
        for place in places.iter() {
            let value = match (place, each) {
                (None, _) => 1,
                (Some(_), Some(each)) => each,
                (Some(place), None) => batch_bytes(&self.values, place as usize, place as usize + 1),
            };
            *bytes = bytes.saturating_add(value.max(1));
            if *bytes > bytes_max {
                return Err(DecodeError::TooManyLogicalBytes { bytes: *bytes, max: bytes_max });
            }
        }
        Ok(())
    }
}

/// Keys of any integer type as places below `len`; the first key that is none otherwise.
fn places(keys: &ArrayRef, len: usize) -> Result<UInt32Array, String> {
    fn of<K: ArrowPrimitiveType>(keys: &ArrayRef, len: usize) -> Result<UInt32Array, String>
    where
        K::Native: TryInto<usize> + std::fmt::Display,
    {
        let place = |key: K::Native| match TryInto::<usize>::try_into(key) {
            Ok(place) if place < len => u32::try_from(place).map_err(|_| key.to_string()),
            _ => Err(key.to_string()),
        };
        keys.as_primitive::<K>().iter().map(|key| key.map(place).transpose()).collect()
    }
    match keys.data_type() {
        DataType::Int8 => of::<Int8Type>(keys, len),
        DataType::Int16 => of::<Int16Type>(keys, len),
        DataType::Int32 => of::<Int32Type>(keys, len),
        DataType::Int64 => of::<Int64Type>(keys, len),
        DataType::UInt8 => of::<UInt8Type>(keys, len),
        DataType::UInt16 => of::<UInt16Type>(keys, len),
        DataType::UInt32 => of::<UInt32Type>(keys, len),
        DataType::UInt64 => of::<UInt64Type>(keys, len),
        other => Err(format!("of type {other}")),
    }
}

#[cfg(test)]
mod tests;
