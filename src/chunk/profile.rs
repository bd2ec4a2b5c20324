//! Which encoding a row group gets. Pure.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use parquet::basic::LogicalType;
use parquet::schema::types::ColumnDescriptor;
use parquet::schema::types::SchemaDescriptor;

use super::direct;
use super::size::array_bytes;

/// How much work a row group may cost: told by the shard, which knows whether others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// The shard has a queue: cheapest bytes.
    Direct,
    /// The shard has slack: small rows are packed (dictionary, ZSTD, delta timestamps).
    Compact,
}

/// Rows of this size are payloads: packing them costs far more than the bytes it saves.
const PAYLOAD_ROW_BYTES: u64 = 4 << 10;

/// Lists of numbers of one or two bytes, which Parquet stores as four, are not counted in that: packed, raw packets take about
/// what was received. But rows of this size have the shard pack for tens of milliseconds.
const WIDENED_ROW_BYTES: u64 = 1 << 20;

/// How one row group is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// Our own pages around the batch's buffers.
    Direct,
    /// The Arrow writer without dictionary or compression: types direct pages do not know.
    Plain,
    /// The Arrow writer with all it has.
    Packed,
}

impl Profile {
    /// * `batches`: of a row group, not empty.
    pub(super) fn choose(kind: &Kind, batches: &[RecordBatch], effort: Effort) -> Self {
        match (effort, effort == Effort::Compact && kind.is_payload(batches), kind.direct) {
            (Effort::Compact, false, _) => Self::Packed,
            (_, _, true) => Self::Direct,
            (_, _, false) => Self::Plain,
        }
    }
}

/// What matters of a schema.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    /// Every column can be written directly.
    direct: bool,
    /// Columns of which every leaf is widened.
    widened: Vec<bool>,
}

impl Kind {
    pub(super) fn of(schema: &Schema, parquet: &SchemaDescriptor) -> Self {
        let mut widened = vec![true; schema.fields().len()];
        for (leaf, column) in parquet.columns().iter().enumerate() {
            if let Some(all) = widened.get_mut(parquet.get_column_root_idx(leaf)) {
                *all &= is_widened(column);
            }
        }
        Self { direct: direct::supports(schema), widened }
    }

    fn is_payload(&self, batches: &[RecordBatch]) -> bool {
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let bytes = |widened: bool| -> u64 {
            let columns = |batch: &RecordBatch| -> u64 {
                let columns = batch.columns().iter().zip(&self.widened).filter(|(_, is)| **is == widened);
                columns.map(|(column, _)| array_bytes(column, 0, batch.num_rows())).sum()
            };
            batches.iter().map(columns).sum()
        };
        let (widened, others) = (bytes(true), bytes(false));
        others / rows.max(1) >= PAYLOAD_ROW_BYTES || (widened + others) / rows.max(1) >= WIDENED_ROW_BYTES
    }
}

/// Whether these are numbers of one or two bytes in a list, stored as four.
pub(super) fn is_widened(leaf: &ColumnDescriptor) -> bool {
    let narrow = matches!(leaf.logical_type_ref(), Some(LogicalType::Integer(int)) if int.bit_width <= 16);
    narrow && leaf.max_rep_level() > 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use arrow::array::BinaryArray;
    use arrow::array::Int16Array;
    use arrow::array::Int64Array;
    use arrow::array::ListArray;
    use arrow::array::new_null_array;
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::DataType;
    use arrow::datatypes::Field;

    use super::super::support;
    use super::*;

    /// What rows of these columns are written as: with a queue, and with slack.
    fn chosen(columns: Vec<(&str, ArrayRef)>) -> [Profile; 2] {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, of)| (name, of, true)));
        let batch = batch.expect("columns of one length");
        let parquet = support::parquet_schema(&batch.schema()).expect("a schema that can be stored");
        let kind = Kind::of(&batch.schema(), &parquet);
        [Effort::Direct, Effort::Compact].map(|effort| Profile::choose(&kind, std::slice::from_ref(&batch), effort))
    }

    /// One row with a list of so many numbers.
    fn list(values: ArrayRef) -> ArrayRef {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([values.len()]), values, None))
    }

    fn narrow(count: usize) -> ArrayRef {
        list(Arc::new(Int16Array::from(vec![7; count])))
    }

    fn blob(bytes: usize) -> ArrayRef {
        Arc::new(BinaryArray::from_vec(vec![&vec![7; bytes]]))
    }

    #[test]
    fn payloads_are_never_packed_and_small_rows_only_with_slack() {
        use Profile::Direct;
        use Profile::Packed;
        use Profile::Plain;
        let wide = |count| list(Arc::new(Int64Array::from(vec![7; count])));
        assert_eq!(chosen(vec![("data", blob(56))]), [Direct, Packed]);
        assert_eq!(chosen(vec![("data", blob(5 << 10))]), [Direct, Direct]);
        assert_eq!(chosen(vec![("data", wide(1 << 10))]), [Direct, Direct]);
        let other = || new_null_array(&DataType::Null, 1);
        assert_eq!(chosen(vec![("data", blob(56)), ("other", other())]), [Plain, Packed]);
        assert_eq!(chosen(vec![("data", blob(5 << 10)), ("other", other())]), [Plain, Plain]);
    }

    #[test]
    fn lists_that_parquet_makes_four_times_as_large_are_packed_up_to_a_size() {
        use Profile::Direct;
        use Profile::Packed;
        assert_eq!(chosen(vec![("data", narrow(40_000))]), [Direct, Packed]);
        assert_eq!(chosen(vec![("data", narrow(40_000)), ("frame", blob(56))]), [Direct, Packed]);
        assert_eq!(chosen(vec![("data", list(narrow(40_000)))]), [Direct, Packed]);
        assert_eq!(chosen(vec![("data", narrow(1 << 20))]), [Direct, Direct]);
        // Beside a short list, a picture stays a picture.
        assert_eq!(chosen(vec![("distortion", narrow(5)), ("picture", blob(500_000))]), [Direct, Direct]);
    }
}
