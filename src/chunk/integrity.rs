//! Goal: damage is found, garbage is refused, and neither ever panics.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::BinaryArray;
use arrow::array::Float32Array;
use arrow::array::Int16Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Float32Type;
use arrow::datatypes::Schema;
use bytes::Bytes;
use proptest::prelude::*;

use super::random::Random;
use super::random::Types;
use super::tests::decode;
use super::tests::encode;
use super::tests::identity;
use super::tests::layout;
use super::tests::read;
use super::*;
use crate::io::CHECKSUM_BLOCK;
use crate::io::Recycler;
use crate::model::ChunkRecord;
use crate::model::TimeRange;

/// Rows with a payload of `bytes` each.
fn payloads(rows: usize, bytes: usize) -> RecordBatch {
    let times = Int64Array::from_iter_values((0..rows as i64).map(|row| row * 10));
    let data = BinaryArray::from_iter_values((0..rows).map(|row| vec![row as u8; bytes]));
    let points = ListArray::from_iter_primitive::<Float32Type, _, _>(
        (0..rows).map(|row| (row % 4 != 3).then(|| (0..row % 3).map(|at| Some(at as f32)).collect::<Vec<_>>())),
    );
    let small = Int16Array::from_iter((0..rows as i16).map(|row| (row % 5 != 2).then_some(row - 3)));
    let columns = [
        ("small", Arc::new(small) as ArrayRef),
        ("timestamp_ns", Arc::new(times) as ArrayRef),
        ("data", Arc::new(data) as ArrayRef),
        ("points", Arc::new(points) as ArrayRef),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Goal: rows whose times are not there are an error, not no rows.
#[test]
fn rows_without_times_are_an_error() {
    let batch = payloads(7, 20);
    let (file, record) = encode(&batch.schema(), &[vec![batch.clone()]], Effort::Direct);
    let layout = layout(&file, &record);
    assert_eq!(layout.rows_inside(&batch, &TimeRange::ALL).unwrap(), 0..7);
    let text = Arc::new(arrow::array::StringArray::from(vec!["a"; 7])) as ArrayRef;
    let renamed = batch.project(&[0, 2]).unwrap();
    for without in [renamed, RecordBatch::try_from_iter([("timestamp_ns", text)]).unwrap()] {
        let error = layout.rows_inside(&without, &TimeRange::ALL).unwrap_err();
        assert!(matches!(&error, DecodeError::Footer { .. }), "{error}");
    }
}

#[test]
fn every_flipped_byte_is_found() {
    let batch = payloads(7, 20_000);
    for effort in [Effort::Direct, Effort::Compact] {
        let (mut file, record) = encode(&batch.schema(), &[vec![batch.clone()], vec![batch.slice(0, 2)]], effort);
        let layout = layout(&file, &record);
        let body = record.body_bytes as usize;
        for at in 0..file.len() {
            file[at] ^= 1 << (at % 8);
            if at < body {
                let block = at / CHECKSUM_BLOCK;
                let end = body.min((block + 1) * CHECKSUM_BLOCK);
                // Hashing each block once per byte is slow: one byte in 97 meets every column and every offset in a block.
                if at % 97 == 0 {
                    let found = layout.verify_block(block as u64, &file[block * CHECKSUM_BLOCK..end]);
                    assert!(found.is_err(), "byte {at} of the body");
                }
            } else {
                assert!(ChunkLayout::parse(&record, &file[body..]).is_err(), "byte {at} of the tail");
            }
            file[at] ^= 1 << (at % 8);
        }
        let blocks = body.div_ceil(CHECKSUM_BLOCK);
        for block in 0..blocks {
            let end = body.min((block + 1) * CHECKSUM_BLOCK);
            let bytes = &file[block * CHECKSUM_BLOCK..end];
            layout.verify_block(block as u64, bytes).unwrap();
            assert!(layout.verify_block(block as u64, &bytes[1..]).is_err(), "a shorter block");
            assert!(layout.verify_block(block as u64 + 1, bytes).is_err(), "a block of another place");
        }
        assert!(layout.verify_block(u64::MAX, &[]).is_err());
    }
}

#[test]
fn the_tail_of_another_chunk_is_refused() {
    let batch = payloads(3, 100);
    let (file, record) = encode(&batch.schema(), &[vec![batch]], Effort::Direct);
    let tail = &file[record.body_bytes as usize..];
    let other = ChunkRecord { chunk: crate::model::ChunkId(uuid::Uuid::from_u128(7)), ..record.clone() };
    assert!(matches!(ChunkLayout::parse(&other, tail), Err(DecodeError::Key { .. })));
    assert!(matches!(ChunkLayout::parse(&record, &tail[1..]), Err(DecodeError::Length { .. })));
    let shifted = ChunkRecord { footer_offset: record.footer_offset + 1, ..record.clone() };
    assert!(matches!(ChunkLayout::parse(&shifted, tail), Err(DecodeError::Length { .. })));
    let rows = ChunkRecord { rows: record.rows + 1, ..record };
    assert!(matches!(ChunkLayout::parse(&rows, tail), Err(DecodeError::Key { .. })));
}

/// Goal: bytes that match their digests and make no sense are an error, not a panic and not memory without end.
/// Method: flip bytes and go around the digests; whatever parses is decoded.
fn survive(seed: u64, flips: &[(u16, u8)], effort: Effort, place: Place) {
    let mut random = Random::new(seed);
    let schema = random.schema(Types::Any);
    let rows = 1 + random.below(50);
    let batch = random.batch(&schema, rows, 0);
    let (mut file, record) = encode(&schema, &[vec![batch]], effort);
    let (body, footer) = (record.body_bytes as usize, record.footer_offset as usize);
    let flipped = match place {
        Place::Pages => 4..body,
        Place::Footer => footer..file.len(),
    };
    for (at, mask) in flips {
        let at = flipped.start + *at as usize % flipped.len();
        file[at] ^= *mask;
    }
    let Ok(layout) = ChunkLayout::parse_proven(&record, &file[body..footer], &file[footer..]) else {
        return;
    };
    for (group, info) in layout.row_groups().iter().enumerate() {
        for columns in [Columns::All, Columns::TimeOnly] {
            if let Some(selection) = layout.select(group, 0..info.rows, &TimeRange::ALL, columns) {
                let mut sparse = SparseBytes::new();
                sparse.insert(0, Bytes::copy_from_slice(&file[..body]));
                let _ = layout.needs(&selection);
                let _ = layout.decode(&selection, &sparse, &Recycler::new(0));
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Place {
    Pages,
    Footer,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn garbage_in_pages_is_survived(
        seed in any::<u64>(), flips in prop::collection::vec((any::<u16>(), 1u8..), 1..4), direct in any::<bool>(),
    ) {
        let effort = if direct { Effort::Direct } else { Effort::Compact };
        survive(seed, &flips, effort, Place::Pages);
    }

    #[test]
    fn garbage_in_footers_is_survived(seed in any::<u64>(), flips in prop::collection::vec((any::<u16>(), 1u8..), 1..4)) {
        survive(seed, &flips, Effort::Direct, Place::Footer);
    }

    #[test]
    fn any_bytes_are_no_footer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let batch = payloads(1, 10);
        let (_, record) = encode(&batch.schema(), &[vec![batch]], Effort::Direct);
        prop_assert!(ChunkLayout::parse_proven(&record, &[], &bytes).is_err());
        prop_assert!(ChunkLayout::parse(&record, &bytes).is_err());
    }
}

#[test]
fn large_rows_have_pages_of_their_own_and_are_not_copied() {
    let batch = payloads(4, 300_000);
    let mut encoder = ChunkEncoder::new(identity(), &batch.schema()).unwrap();
    let buffers = encoder.row_group(std::slice::from_ref(&batch), Effort::Compact).unwrap();
    assert_eq!(encoder.progress().pages, 4 * 4);
    let payload = batch.column(2).as_binary::<i32>().value_data().as_ptr_range();
    let shared = buffers.iter().filter(|buffer| payload.contains(&buffer.as_ptr()));
    assert_eq!(shared.map(|buffer| buffer.len()).sum::<usize>(), 4 * 300_000);
}

#[test]
fn a_range_needs_the_pages_it_touches_and_no_more() {
    let batch = payloads(20, 100_000);
    let (file, record) = encode(&batch.schema(), &[vec![batch.clone()]], Effort::Direct);
    let layout = layout(&file, &record);
    let range = TimeRange::new(Some(50), Some(70)).unwrap();
    let selection = layout.select(0, 0..20, &range, Columns::All).unwrap();
    assert_eq!(selection.rows(), 5..7);
    let bytes: u64 = layout.needs(&selection).iter().map(|range| range.end - range.start).sum();
    assert!((200_000..201_000).contains(&bytes), "{bytes} bytes");
    let times = layout.select(0, 0..20, &range, Columns::TimeOnly).unwrap();
    let bytes: u64 = layout.needs(&times).iter().map(|range| range.end - range.start).sum();
    assert!(bytes < 200, "{bytes} bytes");
    assert_eq!(layout.select(0, 7..20, &range, Columns::All), None);
    assert_eq!(layout.select(0, 6..20, &range, Columns::All).unwrap().rows(), 6..7);
    let after = TimeRange::new(Some(191), None).unwrap();
    assert_eq!(layout.select(0, 0..20, &after, Columns::All), None);
    assert_eq!(layout.select(1, 0..20, &range, Columns::All), None);
    let sparse = SparseBytes::new();
    assert!(layout.decode(&selection, &sparse, &Recycler::new(0)).is_err(), "bytes that were not read");
    assert_eq!(decode(&file, &record, &range, Columns::All), [batch.slice(5, 2)]);
    assert_eq!(
        layout.decode(&selection, &read(&file, &layout, &selection), &Recycler::new(0)).unwrap(),
        batch.slice(5, 2)
    );
}

#[test]
fn payloads_and_points_are_lifted_out_of_direct_pages() {
    let batch = payloads(30, 50_000);
    let (file, record) = encode(&batch.schema(), &[vec![batch.clone()]], Effort::Direct);
    let layout = layout(&file, &record);
    let selection = layout.select(0, 3..28, &TimeRange::ALL, Columns::All).unwrap();
    let bytes = read(&file, &layout, &selection);
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        assert_eq!(
            &layout.lifted(&selection, field, &bytes, &Recycler::new(0)).unwrap(),
            &column.slice(3, 25),
            "{field}"
        );
    }
}

#[test]
fn small_batches_share_pages() {
    let values = Arc::new(Float32Array::from_iter_values((0..100).map(|at| at as f32))) as ArrayRef;
    let mut encoder = None;
    for first in 0..50 {
        let times = Arc::new(Int64Array::from_iter_values(first * 100..first * 100 + 100)) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("timestamp_ns", times), ("x", values.clone())]).unwrap();
        encoder.get_or_insert((ChunkEncoder::new(identity(), &batch.schema()).unwrap(), Vec::new())).1.push(batch);
    }
    let (mut encoder, batches) = encoder.unwrap();
    encoder.row_group(&batches, Effort::Direct).unwrap();
    assert_eq!(encoder.progress(), Progress { rows: 5000, pages: 2, row_groups: 1, ..encoder.progress() });
}

#[test]
fn a_chunk_needs_a_row() {
    let batch = payloads(1, 1);
    let mut encoder = ChunkEncoder::new(identity(), &batch.schema()).unwrap();
    assert!(encoder.row_group(&[batch.slice(0, 0)], Effort::Direct).unwrap().is_empty());
    assert!(matches!(encoder.finish(&[]), Err(EncodeError::Empty)));
}

#[test]
fn rows_without_a_time_or_of_another_schema_are_refused() {
    let schema = Arc::new(Schema::new(vec![Field::new("timestamp_ns", DataType::Int64, true)]));
    let mut encoder = ChunkEncoder::new(identity(), &schema).unwrap();
    let missing = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![Some(1), None]))]).unwrap();
    assert!(matches!(encoder.row_group(&[missing], Effort::Direct), Err(EncodeError::NullTime { rows: 1 })));
    assert!(matches!(encoder.row_group(&[payloads(1, 1)], Effort::Direct), Err(EncodeError::Arrow(_))));
}
