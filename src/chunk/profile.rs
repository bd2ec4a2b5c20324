//! Which encoding a row group gets. Pure.

use arrow::datatypes::DataType;
use arrow::datatypes::Schema;

use super::direct;

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

/// But for lists of numbers of one or two bytes, which Parquet stores as four: packed, raw packets take about what was received.
/// Above this size a row would hold up the shard for tens of milliseconds.
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
    /// * `bytes`: Arrow bytes of all `rows`.
    pub(super) fn choose(kind: Kind, rows: u64, bytes: u64, effort: Effort) -> Self {
        let payload = if kind.widens { WIDENED_ROW_BYTES } else { PAYLOAD_ROW_BYTES };
        match (effort, bytes / rows.max(1) >= payload, kind.direct) {
            (Effort::Compact, false, _) => Self::Packed,
            (_, _, true) => Self::Direct,
            (_, _, false) => Self::Plain,
        }
    }
}

/// What matters of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Every column can be written directly.
    pub direct: bool,
    /// Lists have elements that take more room in the file than in Arrow.
    pub widens: bool,
}

impl Kind {
    pub(super) fn of(schema: &Schema) -> Self {
        let widens = schema.fields().iter().any(|field| widens(field.data_type(), false));
        Self { direct: direct::supports(schema), widens }
    }
}

fn widens(data_type: &DataType, in_list: bool) -> bool {
    match data_type {
        DataType::Struct(children) => children.iter().any(|child| widens(child.data_type(), in_list)),
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::FixedSizeList(child, _) => widens(child.data_type(), true),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16 => in_list,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn payloads_are_never_packed_and_small_rows_only_with_slack() {
        let (direct, other) = (Kind { direct: true, widens: false }, Kind { direct: false, widens: false });
        assert_eq!(Profile::choose(direct, 10, 10 << 20, Effort::Compact), Profile::Direct);
        assert_eq!(Profile::choose(direct, 10, 560, Effort::Compact), Profile::Packed);
        assert_eq!(Profile::choose(direct, 10, 560, Effort::Direct), Profile::Direct);
        assert_eq!(Profile::choose(other, 10, 560, Effort::Direct), Profile::Plain);
        assert_eq!(Profile::choose(other, 10, 10 << 20, Effort::Compact), Profile::Plain);
    }

    #[test]
    fn lists_that_parquet_makes_four_times_as_large_are_packed_up_to_a_size() {
        let of = |data_type| Kind::of(&Schema::new(vec![Field::new("data", data_type, true)]));
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        let packets = of(list(DataType::UInt8));
        assert!(packets.direct && packets.widens && of(list(list(DataType::Int16))).widens);
        assert!(!of(DataType::UInt8).widens && !of(list(DataType::Float32)).widens && !of(DataType::Binary).widens);
        assert_eq!(Profile::choose(packets, 10, 84_600, Effort::Compact), Profile::Packed);
        assert_eq!(Profile::choose(packets, 10, 84_600, Effort::Direct), Profile::Direct);
        assert_eq!(Profile::choose(packets, 1, 25 << 20, Effort::Compact), Profile::Direct);
    }
}
