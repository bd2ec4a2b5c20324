//! Goal: what a chunk is given comes back, exactly, and damage is never read as data.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use arrow::array::UInt8Array;
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::*;
use crate::io::CHECKSUM_BLOCK;
use crate::io::Recycler;
use crate::io::hash_blocks;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicName;

pub(super) fn identity() -> ChunkIdentity {
    let source = IdSource::from_seed([3; 32]);
    ChunkIdentity {
        chunk: ChunkId::new(&source),
        device: DeviceNumber(2),
        shard: ShardIndex(1),
        number: 7,
        incarnation: 4,
        sequence: SequenceId::new(&source),
        session: SessionId::new(&source),
        topic: TopicId::new(&source),
        name: TopicName::parse("drive_7/imu/front").unwrap(),
        tag: OntologyTag::parse("IMU").unwrap(),
        format: SerializationFormat::Default,
    }
}

/// One chunk, one row group per element of `groups`.
pub(super) fn encode(schema: &SchemaRef, groups: &[Vec<RecordBatch>], effort: Effort) -> (Vec<u8>, ChunkRecord) {
    let mut encoder = ChunkEncoder::new(identity(), schema).unwrap();
    let mut file = Vec::new();
    for group in groups {
        for buffer in encoder.row_group(group, effort).unwrap() {
            file.extend_from_slice(&buffer);
        }
        assert_eq!(encoder.progress().bytes, file.len() as u64);
    }
    encoder.last().iter().for_each(|piece| file.extend_from_slice(piece));
    let (tail, record) = encoder.finish(&hash_blocks(identity().chunk, &file)).unwrap();
    assert_eq!(record.body_bytes, file.len() as u64);
    file.extend_from_slice(&tail);
    assert_eq!(record.file_bytes, file.len() as u64);
    (file, record)
}

pub(super) fn layout(file: &[u8], record: &ChunkRecord) -> ChunkLayout {
    ChunkLayout::parse(record, &file[record.body_bytes as usize..]).unwrap()
}

/// Only what the layout asks for, in pieces of one block each, every block verified.
pub(super) fn read(file: &[u8], layout: &ChunkLayout, selection: &Selection) -> SparseBytes {
    let mut sparse = SparseBytes::new();
    for range in layout.needs(selection) {
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at / CHECKSUM_BLOCK as u64 + 1) * CHECKSUM_BLOCK as u64);
            sparse.insert(at, Bytes::copy_from_slice(&file[at as usize..end as usize]));
            at = end;
        }
    }
    sparse
}

pub(super) fn decode(file: &[u8], record: &ChunkRecord, range: &TimeRange, columns: Columns) -> Vec<RecordBatch> {
    let layout = layout(file, record);
    let groups = layout.row_groups().iter().enumerate();
    let selections = groups.filter_map(|(group, info)| layout.select(group, 0..info.rows, range, columns.clone()));
    selections
        .map(|selection| layout.decode(&selection, &read(file, &layout, &selection), &Recycler::new(0)).unwrap())
        .collect()
}

fn imu(times: &[i64]) -> RecordBatch {
    let metadata = |text: &str| HashMap::from([("description".to_owned(), text.to_owned())]);
    let schema = Schema::new_with_metadata(
        vec![
            Field::new("timestamp_ns", DataType::Int64, false).with_metadata(metadata("when")),
            Field::new("x", DataType::Float64, true).with_metadata(metadata("how much")),
            Field::new("frame", DataType::Utf8, true),
        ],
        metadata("of the schema"),
    );
    let x: Float64Array = times.iter().map(|time| (time % 3 != 0).then_some(*time as f64)).collect();
    let frame: StringArray = times.iter().map(|time| (time % 5 != 0).then(|| format!("frame {}", time % 4))).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(times.to_vec())), Arc::new(x), Arc::new(frame)];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

#[test]
fn rows_come_back_with_their_schema() {
    let batch = imu(&(0..1000).collect::<Vec<_>>());
    for effort in [Effort::Direct, Effort::Compact] {
        let (file, record) = encode(&batch.schema(), &[vec![batch.slice(0, 400), batch.slice(400, 600)]], effort);
        let layout = layout(&file, &record);
        assert_eq!(layout.schema(), &batch.schema());
        assert_eq!(record.bounds, TimeBounds { first: 0, last: 999 });
        let back = decode(&file, &record, &TimeRange::ALL, Columns::All);
        assert_eq!(concat_batches(&batch.schema(), &back).unwrap(), batch);
        assert_eq!(back[0].schema(), batch.schema());
    }
}

#[test]
fn unsorted_rows_come_back_sorted_and_overlapping_row_groups_begin_runs() {
    let groups = [vec![imu(&[5, 3, 9]), imu(&[1])], vec![imu(&[9, 12])], vec![imu(&[4, 2])], vec![imu(&[7])]];
    for effort in [Effort::Direct, Effort::Compact] {
        let (file, record) = encode(&groups[0][0].schema(), &groups, effort);
        assert_eq!(record.runs, [0, 2]);
        assert_eq!(record.row_groups, 4);
        let back = decode(&file, &record, &TimeRange::ALL, Columns::TimeOnly);
        let times: Vec<Vec<i64>> =
            back.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(times, [vec![1, 3, 5, 9], vec![9, 12], vec![2, 4], vec![7]]);
    }
}

/// Goal: raw packets take about what was received, not the four bytes for each that Parquet has for them.
#[test]
fn lists_of_bytes_are_packed_without_a_dictionary() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("timestamp_ns", DataType::Int64, false),
        Field::new("data", DataType::List(Arc::new(Field::new("item", DataType::UInt8, true))), true),
    ]));
    let bytes = 8 * 8448;
    // As good as noise: nothing is won by what repeats.
    let noise: UInt8Array =
        (0..bytes as u64).map(|n| Some((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)).collect();
    let item = Arc::new(Field::new("item", DataType::UInt8, true));
    let packets = ListArray::new(item, OffsetBuffer::from_lengths([8448; 8]), Arc::new(noise), None);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(0..8)), Arc::new(packets)];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let groups = [vec![batch.clone()]];
    let (direct, _) = encode(&schema, &groups, Effort::Direct);
    assert!(direct.len() > 4 * bytes, "{} bytes of {bytes}", direct.len());
    let (file, record) = encode(&schema, &groups, Effort::Compact);
    assert!(file.len() < bytes * 3 / 2, "{} bytes of {bytes}", file.len());
    let packets = layout(&file, &record).arrow.metadata().row_group(0).column(1).clone();
    assert!(packets.dictionary_page_offset().is_none());
    let back = decode(&file, &record, &TimeRange::ALL, Columns::All);
    assert_eq!(concat_batches(&schema, &back).unwrap(), batch);
}

/// Goal: the record tells the codec of the bytes, and the longest gap only where the order of the rows shows it.
#[test]
fn the_record_tells_codec_and_longest_gap() {
    let rows = imu(&[0, 10, 11]);
    let facts = |groups: &[Vec<RecordBatch>], effort| encode(&rows.schema(), groups, effort).1.pages.unwrap();
    let ordered = [vec![rows.clone()], vec![imu(&[12]), imu(&[50, 60])], vec![imu(&[90, 91])]];
    let direct = facts(&ordered, Effort::Direct);
    assert!(direct.plain_bytes > 0 && direct.zstd_bytes == 0, "{direct:?}");
    let compact = facts(&ordered, Effort::Compact);
    assert!(compact.plain_bytes == 0 && compact.zstd_bytes > 0, "{compact:?}");
    // Inside a row group, over two batches of it; then between row groups.
    assert_eq!((direct.gap_max_ns, compact.gap_max_ns), (Some(38), Some(38)));
    assert_eq!(facts(&[vec![rows.clone()], vec![imu(&[99])]], Effort::Direct).gap_max_ns, Some(88));
    // A row of the second run may lie in the gap of the first.
    assert_eq!(facts(&[vec![rows.clone()], vec![imu(&[5])]], Effort::Direct).gap_max_ns, None);
    assert_eq!(facts(&[vec![imu(&[7])]], Effort::Direct).gap_max_ns, None);
    // As long as it can be: it has no place in the record, which must be good all the same.
    assert_eq!(facts(&[vec![imu(&[i64::MIN, i64::MAX])]], Effort::Direct).gap_max_ns, None);
}
