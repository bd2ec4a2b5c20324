//! What is sent: the shapes of sensor streams, by name.

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
use arrow::error::ArrowError;

/// A stream's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Compressed camera frames of 1 MB, four a message.
    Blobs,
    /// Sweeps of 130 000 points: four lists of f32 a row, one row a message.
    Lidar,
    /// Raw 4K RGB frames of 24.9 MB, one a message, as the format `image`.
    Image4k,
    /// The same as the format `default`.
    Default4k,
    /// Flat rows of 56 bytes, 10 000 a message.
    Imu10k,
    /// The same rows, 100 a message.
    Imu100,
}

/// Bytes of a camera frame.
const BLOB_BYTES: usize = 1_000_000;
/// 3840 × 2160 pixels of three bytes.
const FRAME_BYTES: usize = 3840 * 2160 * 3;
const POINTS: usize = 130_000;
const LIDAR_COLUMNS: [&str; 4] = ["x", "y", "z", "intensity"];
const IMU_COLUMNS: [&str; 6] = ["ax", "ay", "az", "gx", "gy", "gz"];

impl Workload {
    pub const ALL: [Self; 6] = [Self::Blobs, Self::Lidar, Self::Image4k, Self::Default4k, Self::Imu10k, Self::Imu100];

    pub fn name(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Lidar => "lidar",
            Self::Image4k => "4k-image",
            Self::Default4k => "4k-default",
            Self::Imu10k => "imu10k",
            Self::Imu100 => "imu100",
        }
    }

    /// `None` for a name that is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workload| workload.name() == name)
    }

    /// The topic's serialization format.
    pub fn format(self) -> &'static str {
        match self {
            Self::Image4k => "image",
            _ => "default",
        }
    }

    /// Rows of one message.
    pub fn rows(self) -> usize {
        match self {
            Self::Blobs => 4,
            Self::Lidar | Self::Image4k | Self::Default4k => 1,
            Self::Imu10k => 10_000,
            Self::Imu100 => 100,
        }
    }

    /// Rows of a message of the size that a server reads back: 4 MiB, or one row.
    pub fn rows_read(self) -> usize {
        match self {
            Self::Blobs => 4,
            Self::Lidar => 2,
            Self::Image4k | Self::Default4k => 1,
            Self::Imu10k | Self::Imu100 => 1 << 16,
        }
    }

    /// Messages of different content, sent in turn: what repeats at once would compress as no sensor's data does.
    pub fn templates(self) -> usize {
        match self {
            Self::Image4k | Self::Default4k => 2,
            Self::Blobs | Self::Lidar => 4,
            Self::Imu10k => 16,
            Self::Imu100 => 256,
        }
    }

    pub fn schema(self) -> SchemaRef {
        let column = |name: &&str, kind: DataType| Field::new(*name, kind, true);
        let mut fields = vec![Field::new("timestamp_ns", DataType::Int64, false)];
        match self {
            Self::Blobs | Self::Image4k | Self::Default4k => fields.push(column(&"data", DataType::Binary)),
            Self::Lidar => {
                let list = DataType::new_list(DataType::Float32, true);
                fields.extend(LIDAR_COLUMNS.iter().map(|name| column(name, list.clone())));
            }
            Self::Imu10k | Self::Imu100 => {
                fields.extend(IMU_COLUMNS.iter().map(|name| column(name, DataType::Float64)));
            }
        }
        Arc::new(Schema::new(fields))
    }

    /// One message's rows, of at least the given length, with the given timestamps; the same for the same seed.
    ///
    /// # Errors
    /// None that a schema of ours can cause.
    pub fn batch(self, seed: u64, timestamps: Vec<i64>) -> Result<RecordBatch, ArrowError> {
        let rows = timestamps.len();
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x7e55_e7a0);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(timestamps))];
        match self {
            Self::Blobs => columns.push(payloads(&mut noise, rows, BLOB_BYTES)),
            Self::Image4k | Self::Default4k => columns.push(payloads(&mut noise, rows, FRAME_BYTES)),
            Self::Lidar => {
                for _ in LIDAR_COLUMNS {
                    columns.push(sweeps(&mut noise, rows)?);
                }
            }
            Self::Imu10k | Self::Imu100 => {
                for _ in IMU_COLUMNS {
                    columns.push(readings(&mut noise, rows));
                }
            }
        }
        RecordBatch::try_new(self.schema(), columns)
    }
}

/// Pseudo-random numbers (splitmix64): the data only has to look like a sensor's to a compressor.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn payloads(noise: &mut Noise, rows: usize, len: usize) -> ArrayRef {
    let mut row = || -> Vec<u8> { (0..len.div_ceil(8)).flat_map(|_| noise.next().to_le_bytes()).take(len).collect() };
    let rows: Vec<Vec<u8>> = (0..rows).map(|_| row()).collect();
    Arc::new(BinaryArray::from_iter_values(rows))
}

/// Metres within 100, as a scanner gives them.
fn sweeps(noise: &mut Noise, rows: usize) -> Result<ArrayRef, ArrowError> {
    let values: Float32Array =
        (0..rows * POINTS).map(|_| (noise.next() >> 40) as f32 / (1 << 24) as f32 * 200.0 - 100.0).collect();
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let lengths = OffsetBuffer::from_lengths(std::iter::repeat_n(POINTS, rows));
    Ok(Arc::new(ListArray::try_new(item, lengths, Arc::new(values), None)?))
}

/// Steps of a 16-bit converter around a resting value.
fn readings(noise: &mut Noise, rows: usize) -> ArrayRef {
    let step = 2.0 * 78.48 / 65_536.0;
    let reading = |bits: u64| {
        let sum: i64 = (0..4).map(|byte| ((bits >> (8 * byte)) & 0xff) as i64 - 128).sum();
        9.81 + sum as f64 * step
    };
    Arc::new((0..rows).map(|_| Some(reading(noise.next()))).collect::<Float64Array>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_the_size_it_is_named_after() {
        let sizes = [4_000_000, 4 * POINTS * 4, FRAME_BYTES, FRAME_BYTES, 56 * 10_000, 56 * 100];
        for (workload, size) in Workload::ALL.into_iter().zip(sizes) {
            assert_eq!(Workload::parse(workload.name()), Some(workload));
            let batch = workload.batch(1, (0..workload.rows() as i64).collect()).unwrap();
            let bytes: usize = batch.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap()).sum();
            assert!((size..size + size / 100 + 100).contains(&bytes), "{}: {bytes}", workload.name());
            assert_ne!(batch, workload.batch(2, (0..workload.rows() as i64).collect()).unwrap());
        }
        assert_eq!(Workload::parse("mp3"), None);
    }
}
