//! Which encoding a row group gets. Pure.

use arrow::array::Array;
use arrow::array::AsArray;
use arrow::array::GenericListArray;
use arrow::array::OffsetSizeTrait;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use parquet::basic::LogicalType;
use parquet::schema::types::ColumnDescriptor;

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

/// But lists of numbers of one or two bytes are stored as four by Parquet; packed, raw packets take about what was received. So
/// where the rest of a row is less than this part of them, they are not counted.
const REST_PART: u64 = 8;

/// Rows of this size have the shard pack for tens of milliseconds, whatever they are.
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
    /// * `direct`: whether every column can be written directly.
    /// * `batches`: of a row group, not empty.
    pub(super) fn choose(direct: bool, batches: &[RecordBatch], effort: Effort) -> Self {
        match effort {
            Effort::Compact if !is_payload(batches) => Self::Packed,
            _ if direct => Self::Direct,
            _ => Self::Plain,
        }
    }
}

fn is_payload(batches: &[RecordBatch]) -> bool {
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>().max(1);
    let columns = || batches.iter().flat_map(|batch| batch.columns());
    let bytes: u64 = columns().map(|column| array_bytes(column, 0, column.len())).sum();
    let widened: u64 = columns().map(|column| widened_bytes(column, false)).sum();
    let rest = bytes.saturating_sub(widened);
    rest / rows >= PAYLOAD_ROW_BYTES && rest >= widened / REST_PART || bytes / rows >= WIDENED_ROW_BYTES
}

/// Arrow bytes of the numbers that are widened. Looks at types, not at rows.
fn widened_bytes(array: &dyn Array, in_list: bool) -> u64 {
    match array.data_type() {
        DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16 if in_list => {
            array_bytes(array, 0, array.len())
        }
        DataType::List(_) => widened_elements(array.as_list::<i32>()),
        DataType::LargeList(_) => widened_elements(array.as_list::<i64>()),
        DataType::FixedSizeList(..) => widened_bytes(array.as_fixed_size_list().values(), true),
        DataType::Struct(_) => array.as_struct().columns().iter().map(|child| widened_bytes(child, in_list)).sum(),
        _ => 0,
    }
}

fn widened_elements<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> u64 {
    let (first, last) = (list.value_offsets().first(), list.value_offsets().last());
    let (first, last) = (first.map_or(0, |at| at.as_usize()), last.map_or(0, |at| at.as_usize()));
    widened_bytes(&list.values().slice(first, last - first), true)
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
    use arrow::array::StructArray;
    use arrow::array::UInt8Array;
    use arrow::array::new_null_array;
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::DataType;
    use arrow::datatypes::Field;

    use super::super::direct;
    use super::*;

    /// What rows of these columns are written as: with a queue, and with slack.
    fn chosen(columns: Vec<(&str, ArrayRef)>) -> [Profile; 2] {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, of)| (name, of, true)));
        let batch = batch.expect("columns of one length");
        let direct = direct::supports(&batch.schema());
        [Effort::Direct, Effort::Compact].map(|effort| Profile::choose(direct, std::slice::from_ref(&batch), effort))
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
        // As drivers of lidars have them: packets with the time of each.
        let stamp = Arc::new(Int64Array::from(vec![7; 600])) as ArrayRef;
        let packets = ListArray::new(
            Arc::new(Field::new("item", DataType::UInt8, true)),
            OffsetBuffer::from_lengths([1206; 600]),
            Arc::new(UInt8Array::from(vec![7; 600 * 1206])),
            None,
        );
        let field = |name, of: &ArrayRef| Arc::new(Field::new(name, of.data_type().clone(), true));
        let packets = Arc::new(packets) as ArrayRef;
        let packets = StructArray::from(vec![(field("stamp", &stamp), stamp), (field("data", &packets), packets)]);
        assert_eq!(chosen(vec![("packets", list(Arc::new(packets)))]), [Direct, Packed]);
        // Beside a short list, a picture stays a picture.
        assert_eq!(chosen(vec![("distortion", narrow(5)), ("picture", blob(500_000))]), [Direct, Direct]);
    }
}
