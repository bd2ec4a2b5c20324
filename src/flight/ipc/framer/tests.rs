//! Goal: what a reader decodes is the batch that was framed, and a slice sends its own bytes only.
//! Method: random types (nested, nullable), every array at every level a slice of a longer one; read back by
//! arrow-flight's decoder and by our own.

use std::sync::Arc;

use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use arrow::array::StringViewArray;
use arrow_flight::FlightData;
use proptest::prelude::*;

use super::super::DecodeLimits;
use super::super::StreamDecoder;
use super::super::samples;
use super::*;

const LIMITS: DecodeLimits = DecodeLimits { message_bytes_max: 64 << 20 };

fn flight_data(rope: &[Bytes]) -> FlightData {
    <FlightData as prost::Message>::decode(Bytes::from(rope.concat())).unwrap()
}

proptest! {
    #[test]
    fn a_framed_batch_reads_back_equal(
        types in prop::collection::vec((samples::data_type(), any::<bool>()), 1..5), rows in 1..40usize, seed: u64,
    ) {
        let batch = samples::batch(types, rows, seed);
        let (mut framer, first) = Framer::begin(&batch.schema()).unwrap();
        let messages = [flight_data(&first), flight_data(&samples::one(framer.batch(&batch).unwrap()))];
        let theirs = arrow_flight::utils::flight_data_to_batches(&messages).unwrap();
        prop_assert_eq!(&theirs, &vec![batch.clone()]);
        let [schema, data] = messages;
        let decoder = StreamDecoder::begin(schema.data_header, LIMITS).unwrap();
        prop_assert_eq!(decoder.schema(), &batch.schema());
        prop_assert_eq!(decoder.one(&data.data_header, data.data_body).unwrap(), batch);
    }
}

fn blobs(rows: usize, bytes: usize) -> RecordBatch {
    let values: BinaryArray = (0..rows).map(|row| Some(vec![row as u8; bytes])).collect();
    RecordBatch::try_from_iter([
        ("timestamp_ns", Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef),
        ("data", Arc::new(values) as ArrayRef),
    ])
    .unwrap()
}

#[test]
fn large_values_are_not_copied_and_a_slice_sends_only_itself() {
    let batch = blobs(26, 100_000).slice(5, 1);
    let (mut framer, _) = Framer::begin(&batch.schema()).unwrap();
    let rope = samples::one(framer.batch(&batch).unwrap());
    let sent: usize = rope.iter().map(Bytes::len).sum();
    assert!((100_000..101_000).contains(&sent), "{sent} bytes for a row of 100,000");
    let value = batch.column(1).as_binary::<i32>().value(0).as_ptr();
    assert!(rope.iter().any(|piece| piece.as_ptr() == value), "the value was copied");
}

#[test]
fn a_slice_of_a_view_column_leaves_the_other_values_behind() {
    let views: StringViewArray = (0..100).map(|at| Some(format!("{at}").repeat(5_000))).collect();
    let batch = RecordBatch::try_from_iter([("v", Arc::new(views) as ArrayRef)]).unwrap().slice(7, 2);
    let (mut framer, first) = Framer::begin(&batch.schema()).unwrap();
    let rope = samples::one(framer.batch(&batch).unwrap());
    assert!(rope.iter().map(Bytes::len).sum::<usize>() < 12_000);
    let read = arrow_flight::utils::flight_data_to_batches(&[flight_data(&first), flight_data(&rope)]).unwrap();
    assert_eq!(read, [batch]);
}

#[test]
#[should_panic(expected = "without rows")]
fn a_batch_without_rows_is_a_bug() {
    let batch = blobs(3, 10).slice(1, 0);
    let (mut framer, _) = Framer::begin(&batch.schema()).unwrap();
    let _ = framer.batch(&batch);
}

#[test]
fn the_body_starts_aligned_when_the_message_does_not() {
    // Readers copy misaligned columns; at least within the body every buffer is aligned.
    let batch = blobs(3, 11);
    let (mut framer, _) = Framer::begin(&batch.schema()).unwrap();
    let data = flight_data(&samples::one(framer.batch(&batch).unwrap()));
    let message = arrow::ipc::root_as_message(&data.data_header).unwrap();
    assert_eq!(message.bodyLength() as usize, data.data_body.len());
    let buffers = message.header_as_record_batch().unwrap().buffers().unwrap();
    assert!(buffers.iter().all(|buffer| buffer.offset() % ALIGNMENT as i64 == 0));
}
