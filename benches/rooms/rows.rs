//! The streams that matter, made from arithmetic alone: the same on every machine.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::BinaryArray;
use arrow::array::Float32Array;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::RecordBatch;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;

use tessera::chunk::batch_bytes;
use tessera::io::hash64;
use tessera::model::ChunkId;
use tessera::model::IdSource;

use crate::case::fold;

/// Makes the batches of a case when it is its turn.
pub trait Make: FnOnce() -> Vec<RecordBatch> + 'static {}

impl<F: FnOnce() -> Vec<RecordBatch> + 'static> Make for F {}

/// One payload of 1 MB a row, one row a batch: a camera.
pub fn blobs(batches: usize) -> Vec<RecordBatch> {
    let blob = |index: usize| -> Vec<u8> {
        (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ index as u8).collect()
    };
    let one = |index| {
        let data = BinaryArray::from_vec(vec![blob(index).as_slice()]);
        batch(vec![("timestamp_ns", times(index, 1)), ("data", Arc::new(data))])
    };
    (0..batches).map(one).collect()
}

/// Four lists of 130 k points a row, one row a batch: a lidar.
pub fn sweeps(batches: usize) -> Vec<RecordBatch> {
    let points: Vec<f32> = (0..130_000).map(|i| i as f32 * 0.25).collect();
    let list = |index: usize, column: usize| -> ArrayRef {
        let points = points.iter().map(|point| point + (index * 4 + column) as f32);
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let offsets = OffsetBuffer::from_lengths([points.len()]);
        Arc::new(ListArray::new(item, offsets, Arc::new(points.collect::<Float32Array>()), None))
    };
    let one = |index| {
        let lists = ["x", "y", "z", "intensity"].into_iter().enumerate();
        let lists = lists.map(|(column, name)| (name, list(index, column)));
        batch([("timestamp_ns", times(index, 1))].into_iter().chain(lists).collect())
    };
    (0..batches).map(one).collect()
}

/// Flat rows of 56 bytes: an IMU. The values walk, as a sensor's do, on a grid of 1/1024.
pub fn readings(batches: usize, rows: usize) -> Vec<RecordBatch> {
    let column = |index: usize, column: u64| -> ArrayRef {
        let walk = (0..rows as u64).scan(1_000 * column, |at, row| {
            let step = (row + index as u64 * rows as u64 + column).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
            *at = at.wrapping_add(step).wrapping_sub(7);
            Some(*at as i64 as f64 / 1024.0)
        });
        Arc::new(walk.collect::<Float64Array>())
    };
    let one = |index| {
        let values =
            ["ax", "ay", "az", "gx", "gy", "gz"].into_iter().zip(1..).map(|(name, n)| (name, column(index, n)));
        batch([("timestamp_ns", times(index, rows))].into_iter().chain(values).collect())
    };
    (0..batches).map(one).collect()
}

/// Of all rows, without padding.
pub fn bytes(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch_bytes(batch, 0, batch.num_rows())).sum()
}

pub fn count(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

/// Of the batches' shape and of the last bytes of every buffer, nested ones included.
pub fn digest(batches: &[RecordBatch]) -> u64 {
    let columns = batches.iter().flat_map(RecordBatch::columns);
    let leaves = columns.flat_map(|column| {
        let data = column.to_data();
        data.child_data().iter().cloned().chain([data.clone()]).collect::<Vec<_>>()
    });
    leaves.flat_map(|data| data.buffers().to_vec()).fold(fold(count(batches), bytes(batches)), |digest, buffer| {
        let bytes = buffer.as_slice();
        fold(digest, hash64(&bytes[bytes.len().saturating_sub(1024)..]))
    })
}

/// Always the same.
pub fn ids() -> IdSource {
    IdSource::from_seed([7; 32])
}

pub fn chunk() -> ChunkId {
    ChunkId::new(&ids())
}

fn times(index: usize, rows: usize) -> ArrayRef {
    Arc::new((0..rows).map(|row| (index * rows + row) as i64).collect::<Int64Array>())
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), false)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect()).expect("columns of a length")
}
