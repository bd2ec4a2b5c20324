//! Goal: what a released version wrote is read forever.
//!
//! Method: files of each format lie in `tests/golden/` and are never written again; the rows they hold are made here once more
//! and compared. A new layout gets a new file and a new test.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::BinaryArray;
use arrow::array::BooleanArray;
use arrow::array::Decimal128Array;
use arrow::array::FixedSizeListArray;
use arrow::array::Float64Array;
use arrow::array::Int16Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use arrow::array::StructArray;
use arrow::array::UInt8Array;
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Schema;
use bytes::Bytes;
use tessera::chunk::ChunkLayout;
use tessera::chunk::Columns;
use tessera::chunk::SparseBytes;
use tessera::io::Recycler;
use tessera::model::ChunkId;
use tessera::model::ChunkRecord;
use tessera::model::DeviceNumber;
use tessera::model::ShardIndex;
use tessera::model::Statistics;
use tessera::model::TimeBounds;
use tessera::model::TimeRange;
use uuid::Uuid;

/// Rows `first..first + rows`, each with a payload of `payload` bytes.
fn rows(first: i64, rows: i64, payload: usize) -> RecordBatch {
    let numbers = || first..first + rows;
    let some = |keep: i64| move |row: i64| (row % keep != 0).then_some(row);
    let stamp = Fields::from(vec![Field::new("seconds", DataType::Int64, false)]);
    let header = Fields::from(vec![
        Field::new("stamp", DataType::Struct(stamp.clone()), false),
        Field::new("frame_id", DataType::Utf8, true),
    ]);
    let seconds = Arc::new(Int64Array::from_iter_values(numbers().map(|row| row / 2))) as ArrayRef;
    let frame = Arc::new(numbers().map(|row| some(3)(row).map(|row| format!("frame {row}"))).collect::<StringArray>());
    let headers = StructArray::new(
        header.clone(),
        vec![Arc::new(StructArray::new(stamp, vec![seconds], None)), frame],
        Some(numbers().map(|row| row % 5 != 4).collect::<NullBuffer>()),
    );
    let ranges = ListArray::from_iter_primitive::<Float64Type, _, _>(numbers().map(|row| {
        some(4)(row).map(|row| (0..row % 7).map(|at| some(3)(at).map(|at| at as f64 / 4.0)).collect::<Vec<_>>())
    }));
    let matrix = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(
        numbers().map(|row| some(6)(row).map(|row| [Some(row as f64), None, Some(f64::MIN)])),
        3,
    );
    let halves: Float64Array = numbers().map(|row| some(5)(row).map(|row| row as f64 / 8.0)).collect();
    let halves = cast(&halves, &DataType::Float16).unwrap();
    let columns: Vec<(Field, ArrayRef)> = vec![
        (
            Field::new("timestamp_ns", DataType::Int64, false)
                .with_metadata(HashMap::from([("description".to_owned(), "when it was seen".to_owned())])),
            Arc::new(Int64Array::from_iter_values(numbers().map(|row| row * 1_000))),
        ),
        (Field::new("header", DataType::Struct(header), true), Arc::new(headers)),
        (
            Field::new("data", DataType::Binary, false),
            Arc::new(BinaryArray::from_iter_values(numbers().map(|row| vec![row as u8; payload]))),
        ),
        (Field::new("ranges", ranges.data_type().clone(), true), Arc::new(ranges)),
        (Field::new("matrix", matrix.data_type().clone(), true), Arc::new(matrix)),
        (Field::new("half", DataType::Float16, true), halves),
        (
            Field::new("flag", DataType::Boolean, true),
            Arc::new(numbers().map(|row| some(2)(row).map(|row| row % 3 == 0)).collect::<BooleanArray>()),
        ),
        (
            Field::new("level", DataType::Int16, false),
            Arc::new(Int16Array::from_iter_values(numbers().map(|row| -(row as i16)))),
        ),
        (
            Field::new("beam", DataType::UInt8, true),
            Arc::new(numbers().map(|row| some(9)(row).map(|row| row as u8)).collect::<UInt8Array>()),
        ),
    ];
    batch(columns)
}

fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let metadata = HashMap::from([("origin".to_owned(), "golden".to_owned())]);
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, metadata)), arrays).unwrap()
}

/// The same with a column that only the Arrow writer knows.
fn with_decimals(rows: &RecordBatch) -> RecordBatch {
    let mut columns: Vec<(Field, ArrayRef)> =
        rows.schema().fields().iter().map(|field| field.as_ref().clone()).zip(rows.columns().iter().cloned()).collect();
    let values = Decimal128Array::from_iter_values(0..rows.num_rows() as i128).with_precision_and_scale(20, 2).unwrap();
    columns.push((Field::new("price", values.data_type().clone(), false), Arc::new(values)));
    batch(columns)
}

fn check(file: &'static [u8], record: &ChunkRecord, expected: &[RecordBatch]) {
    let layout = ChunkLayout::parse(record, &file[record.body_bytes as usize..]).unwrap();
    let blocks = file[..record.body_bytes as usize].chunks(64 << 10);
    blocks.enumerate().for_each(|(block, bytes)| layout.verify_block(block as u64, bytes).unwrap());
    assert_eq!(layout.schema(), &expected[0].schema());
    assert_eq!(layout.row_groups().len(), expected.len());
    for (group, (info, expected)) in layout.row_groups().iter().zip(expected).enumerate() {
        let selection = layout.select(group, 0..info.rows, &TimeRange::ALL, Columns::All).unwrap();
        let mut sparse = SparseBytes::new();
        for range in layout.needs(&selection) {
            sparse.insert(range.start, Bytes::from_static(&file[range.start as usize..range.end as usize]));
        }
        assert_eq!(&layout.decode(&selection, &sparse, &Recycler::new(0)).unwrap(), expected, "row group {group}");
    }
}

/// The record a catalog held for the file.
struct Held {
    chunk: u128,
    rows: u64,
    file_bytes: u64,
    logical_bytes: u64,
    body_bytes: u64,
    footer_offset: u64,
    digest: u128,
    footer_digest: u128,
    row_groups: u32,
    runs: &'static [u32],
}

impl Held {
    fn record(self) -> ChunkRecord {
        // Digests are written here as their bytes are read, from left to right.
        let digest = |digits: u128| *Uuid::from_u128(digits).as_bytes();
        ChunkRecord {
            chunk: ChunkId(Uuid::from_u128(self.chunk)),
            device: DeviceNumber(2),
            shard: ShardIndex(1),
            rows: self.rows,
            file_bytes: self.file_bytes,
            logical_bytes: self.logical_bytes,
            bounds: TimeBounds { first: 0, last: 99_000 },
            body_bytes: self.body_bytes,
            footer_offset: self.footer_offset,
            digest: digest(self.digest),
            footer_digest: digest(self.footer_digest),
            row_groups: self.row_groups,
            runs: self.runs.to_vec(),
            pages: None,
            statistics: Statistics::default(),
        }
    }
}

/// Directly written small rows, packed rows, and directly written rows with pages of their own.
#[test]
fn format_1_with_direct_and_packed_pages() {
    let held = Held {
        chunk: 1,
        rows: 102,
        file_bytes: 142399,
        logical_bytes: 141947,
        body_bytes: 137880,
        footer_offset: 137904,
        digest: 0xc578b1f54d82df89bc0e60f2768c04b6,
        footer_digest: 0xf35c3803a99e30287ae71a26fc41d2a9,
        row_groups: 3,
        runs: &[0, 2],
    };
    let file = include_bytes!("golden/chunk-1-direct.parquet");
    check(file, &held.record(), &[rows(0, 60, 20), rows(60, 40, 30), rows(90, 2, 65_600)]);
}

/// All from the Arrow writer: without and with a dictionary and compression.
#[test]
fn format_1_from_the_arrow_writer() {
    let held = Held {
        chunk: 2,
        rows: 100,
        file_bytes: 11237,
        logical_bytes: 12169,
        body_bytes: 7167,
        footer_offset: 7175,
        digest: 0x1376f1dd96d68317695ad0f7e875e7dc,
        footer_digest: 0x451c3c2ec4fa349c4535bf66ec84162c,
        row_groups: 2,
        runs: &[0],
    };
    let file = include_bytes!("golden/chunk-1-writer.parquet");
    check(file, &held.record(), &[with_decimals(&rows(0, 60, 20)), with_decimals(&rows(60, 40, 30))]);
}
