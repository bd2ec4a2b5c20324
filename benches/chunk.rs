//! Encoding and decoding of chunks, one thread, no disk: CPU-seconds per GB of rows for the streams that matter.
//!
//! `cargo bench` measures; `cargo test` runs it small, so that it cannot rot. The digest covers every byte of the file, and the
//! rows are counted back: work that was optimised away would show.

use std::sync::Arc;
use std::time::Instant;

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
use bytes::Bytes;

use tessera::chunk::ChunkEncoder;
use tessera::chunk::ChunkIdentity;
use tessera::chunk::ChunkLayout;
use tessera::chunk::Columns;
use tessera::chunk::Effort;
use tessera::chunk::SparseBytes;
use tessera::io::Recycler;
use tessera::io::digest128;
use tessera::io::hash_blocks;
use tessera::model::ChunkId;
use tessera::model::DeviceNumber;
use tessera::model::IdSource;
use tessera::model::OntologyTag;
use tessera::model::SequenceId;
use tessera::model::SerializationFormat;
use tessera::model::SessionId;
use tessera::model::ShardIndex;
use tessera::model::TimeRange;
use tessera::model::TopicId;
use tessera::model::TopicName;

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let batches = if measured { 256 } else { 4 };
    run("1 MB blobs", batches, blobs);
    run("lidar, 4 lists of 130 k points", batches, sweeps);
    run("IMU, 10 k rows", batches, readings);
}

fn identity() -> ChunkIdentity {
    let ids = IdSource::from_seed([7; 32]);
    ChunkIdentity {
        chunk: ChunkId::new(&ids),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        number: 0,
        incarnation: 1,
        sequence: SequenceId::new(&ids),
        session: SessionId::new(&ids),
        topic: TopicId::new(&ids),
        name: TopicName::parse("bench/topic").expect("a name"),
        tag: OntologyTag::parse("Bench").expect("a tag"),
        format: SerializationFormat::Default,
    }
}

fn run(what: &str, count: i64, make: fn(i64) -> RecordBatch) {
    let batches: Vec<RecordBatch> = (0..count).map(make).collect();
    let gigabytes = batches.iter().map(|batch| batch.get_array_memory_size()).sum::<usize>() as f64 / 1e9;
    let began = Instant::now();
    let identity = identity();
    let chunk = identity.chunk;
    let mut encoder = ChunkEncoder::new(identity, &batches[0].schema()).expect("a schema that can be stored");
    let mut file = Vec::with_capacity((gigabytes * 1.1e9) as usize + (1 << 20));
    for group in batches.chunks(4) {
        for piece in encoder.row_group(group, Effort::Direct).expect("rows that can be stored") {
            file.extend_from_slice(piece.as_slice());
        }
    }
    let (trailer, record) = encoder.finish(&hash_blocks(chunk, &file)).expect("a chunk with rows");
    file.extend_from_slice(&trailer);
    let encoded = began.elapsed().as_secs_f64();

    let (file, began) = (Bytes::from(file), Instant::now());
    let layout = ChunkLayout::parse(&record, &file[record.body_bytes as usize..]).expect("a whole file");
    let mut rows = 0;
    for (index, group) in layout.row_groups().iter().enumerate() {
        let selection = layout.select(index, 0..group.rows, &TimeRange::ALL, Columns::All).expect("rows");
        let mut bytes = SparseBytes::new();
        for range in layout.needs(&selection) {
            bytes.insert(range.start, file.slice(range.start as usize..range.end as usize));
        }
        rows += layout.decode(&selection, &bytes, &Recycler::new(0)).expect("decodable rows").num_rows();
    }
    let decoded = began.elapsed().as_secs_f64();
    let digest: String = digest128(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    println!(
        "{what}: {gigabytes:.2} GB, encode {:.3} s/GB, decode {:.3} s/GB, {rows} rows, digest {digest}",
        encoded / gigabytes,
        decoded / gigabytes
    );
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), false)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect()).expect("columns of a length")
}

fn blobs(index: i64) -> RecordBatch {
    let blob: Vec<u8> = (0..1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ index as u8).collect();
    batch(vec![
        ("timestamp_ns", Arc::new(Int64Array::from(vec![index]))),
        ("data", Arc::new(BinaryArray::from_vec(vec![blob.as_slice()]))),
    ])
}

fn sweeps(index: i64) -> RecordBatch {
    let points: Vec<f32> = (0..130_000).map(|i| i as f32 * 0.25 + index as f32).collect();
    let list = || -> ArrayRef {
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let offsets = OffsetBuffer::from_lengths([points.len()]);
        Arc::new(ListArray::new(item, offsets, Arc::new(Float32Array::from(points.clone())), None))
    };
    let time: ArrayRef = Arc::new(Int64Array::from(vec![index]));
    batch(vec![("timestamp_ns", time), ("x", list()), ("y", list()), ("z", list()), ("intensity", list())])
}

fn readings(index: i64) -> RecordBatch {
    let times: Vec<i64> = (0..10_000).map(|row| index * 10_000 + row).collect();
    let column = |scale: f64| -> ArrayRef {
        Arc::new(times.iter().map(|time| (*time as f64 * scale).sin()).collect::<Float64Array>())
    };
    let values =
        ["ax", "ay", "az", "gx", "gy", "gz"].into_iter().zip(1..).map(|(name, n)| (name, column(f64::from(n))));
    let time: ArrayRef = Arc::new(Int64Array::from(times.clone()));
    batch([("timestamp_ns", time)].into_iter().chain(values).collect())
}
