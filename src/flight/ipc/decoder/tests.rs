//! Goal: a batch comes back as it was sent, and no message makes the decoder loop, allocate or panic beyond its limits.
//! Method: round trips; every known decode bomb; mutations of good messages, decoded without the panic fence.

use std::sync::Arc;

use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use proptest::prelude::*;

use super::super::Framer;
use super::super::samples;
use super::super::samples::Claim;
use super::*;

const LIMITS: DecodeLimits = DecodeLimits { message_bytes_max: 8 << 20 };

fn decoder(fields: Vec<Field>) -> StreamDecoder {
    StreamDecoder::begin(samples::schema_header(&Schema::new(fields)), LIMITS).unwrap()
}

fn column(data_type: DataType) -> StreamDecoder {
    decoder(vec![Field::new("c", data_type, true)])
}

fn claim(rows: i64, nodes: &[(i64, i64)], buffers: &[(i64, i64)], body: usize) -> Claim {
    Claim { rows, nodes: nodes.into(), buffers: buffers.into(), views: vec![], body: body as i64, compressed: false }
}

fn refuse(decoder: &StreamDecoder, claim: &Claim, body: Vec<u8>) -> DecodeError {
    decoder.one(&claim.header(), body.into()).unwrap_err()
}

fn times_and_blob(rows: usize, bytes: usize) -> RecordBatch {
    let blob = vec![7; bytes];
    RecordBatch::try_from_iter([
        ("timestamp_ns", Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef),
        ("data", Arc::new(BinaryArray::from_iter_values(vec![blob; rows])) as ArrayRef),
    ])
    .unwrap()
}

fn message_of(batch: &RecordBatch) -> (StreamDecoder, Bytes, Bytes) {
    let (mut framer, first) = Framer::begin(&batch.schema()).unwrap();
    let (schema, _) = samples::header_and_body(&first);
    let (header, body) = samples::header_and_body(&samples::one(framer.batch(batch).unwrap()));
    (StreamDecoder::begin(schema, LIMITS).unwrap(), header, body)
}

#[test]
fn rows_without_bytes_are_counted() {
    let rows = 1 << 62;
    let too_many = |error| assert!(matches!(error, DecodeError::TooManyRows { .. }), "{error}");
    too_many(refuse(&column(DataType::Null), &claim(rows, &[(rows, rows)], &[], 0), vec![]));
    too_many(refuse(&decoder(vec![]), &claim(rows, &[], &[], 0), vec![]));
    too_many(refuse(&column(DataType::FixedSizeBinary(0)), &claim(rows, &[(rows, 0)], &[(0, 0), (0, 0)], 0), vec![]));
    too_many(refuse(&column(DataType::Struct(Default::default())), &claim(rows, &[(rows, 0)], &[(0, 0)], 0), vec![]));
    too_many(refuse(&column(DataType::Null), &claim(-1, &[(-1, -1)], &[], 0), vec![]));
}

#[test]
fn many_columns_without_bytes_are_counted_too() {
    let fields = (0..100).map(|at| Field::new(format!("c{at}"), DataType::Null, true)).collect();
    let rows = 16 << 20;
    let error = refuse(&decoder(fields), &claim(rows, &[(rows, rows); 100], &[], 0), vec![]);
    assert!(matches!(error, DecodeError::TooManyLogicalBytes { .. }), "{error}");
}

#[test]
fn values_of_a_list_without_bytes_are_counted() {
    let item = Arc::new(Field::new("item", DataType::Null, true));
    let values = 1_i64 << 62;
    let mut offsets = vec![0; 8];
    offsets.extend(values.to_le_bytes());
    let lists = claim(1, &[(1, 0), (values, values)], &[(0, 0), (0, 16)], 16);
    let error = refuse(&column(DataType::LargeList(item.clone())), &lists, offsets);
    assert!(matches!(error, DecodeError::TooManyLogicalBytes { .. }), "{error}");
    let rows = 1 << 20;
    let values = rows * i64::from(i32::MAX);
    let fixed = claim(rows, &[(rows, 0), (values, values)], &[(0, 0)], 0);
    let error = refuse(&column(DataType::FixedSizeList(item, i32::MAX)), &fixed, vec![]);
    assert!(matches!(error, DecodeError::TooManyLogicalBytes { .. }), "{error}");
}

#[test]
fn views_count_what_they_show_not_what_they_hold() {
    let shared = 1 << 20;
    let views = 100_000;
    let mut body = Vec::new();
    for _ in 0..views {
        body.extend((shared as u32).to_le_bytes());
        body.extend(*b"xxxx");
        body.extend([0; 8]);
    }
    let at = body.len();
    body.resize(at + shared, b'x');
    let bomb = Claim {
        views: vec![1],
        ..claim(views, &[(views, 0)], &[(0, 0), (0, at as i64), (at as i64, shared as i64)], body.len())
    };
    let error = refuse(&column(DataType::Utf8View), &bomb, body);
    assert!(matches!(error, DecodeError::TooManyLogicalBytes { .. }), "{error}");
    for count in [i64::MIN, -1, 3, i64::MAX] {
        let wrong = Claim { views: vec![count], ..claim(0, &[(0, 0)], &[(0, 0), (0, 0)], 0) };
        let error = refuse(&column(DataType::BinaryView), &wrong, vec![]);
        assert!(matches!(error, DecodeError::Layout { .. }), "{count}: {error}");
    }
}

#[test]
fn columns_that_share_one_buffer_count_it_once_each() {
    let fields = (0..1000).map(|at| Field::new(format!("c{at}"), DataType::Int64, true)).collect();
    let rows = 100_000_i64;
    let shared: Vec<_> = (0..1000).flat_map(|_| [(0, 0), (0, rows * 8)]).collect();
    let error = refuse(&decoder(fields), &claim(rows, &[(rows, 0); 1000], &shared, 800_000), vec![0; 800_000]);
    assert!(matches!(error, DecodeError::TooManyLogicalBytes { .. }), "{error}");
}

#[test]
fn declared_lengths_are_checked_against_the_body() {
    let column = column(DataType::Int64);
    let body = || vec![0; 16];
    assert!(column.one(&claim(2, &[(2, 0)], &[(0, 0), (0, 16)], 16).header(), body().into()).is_ok());
    for declared in [-1, 17, 24, i64::MAX] {
        let wrong = Claim { body: declared, ..claim(2, &[(2, 0)], &[(0, 0), (0, 16)], 16) };
        assert_eq!(refuse(&column, &wrong, body()), DecodeError::BodyLength { declared, actual: 16 });
    }
    for buffer in [(0, 17), (8, 16), (-8, 16), (i64::MAX, 16), (16, i64::MAX), (0, 8), (0, -1)] {
        let error = refuse(&column, &claim(2, &[(2, 0)], &[(0, 0), buffer], 16), body());
        assert!(matches!(error, DecodeError::Layout { .. }), "{buffer:?}: {error}");
    }
    for (nodes, buffers) in [
        (vec![], vec![(0, 0), (0, 16)]),
        (vec![(2, 0), (2, 0)], vec![(0, 0), (0, 16)]),
        (vec![(3, 0)], vec![(0, 0), (0, 16)]),
        (vec![(2, 3)], vec![(0, 1), (0, 16)]),
        (vec![(2, 1)], vec![(0, 0), (0, 16)]),
        (vec![(2, 0)], vec![(0, 0)]),
        (vec![(2, 0)], vec![(0, 0), (0, 16), (0, 0)]),
    ] {
        let error = refuse(&column, &claim(2, &nodes, &buffers, 16), body());
        assert!(matches!(error, DecodeError::Layout { .. } | DecodeError::Surplus { .. }), "{error}");
    }
}

#[test]
fn messages_out_of_place_are_named() {
    let batch = times_and_blob(1, 10);
    let (decoder, header, body) = message_of(&batch);
    assert_eq!(decoder.one(decoder.message(), Bytes::new()).unwrap_err(), DecodeError::SecondSchema);
    assert_eq!(decoder.one(&Bytes::new(), body.clone()).unwrap_err(), DecodeError::Empty);
    assert!(StreamDecoder::begin(header, LIMITS).is_err());
    let compressed = Claim { compressed: true, ..claim(0, &[], &[], 0) };
    let error = refuse(&decoder, &compressed, vec![]);
    assert_eq!(error, DecodeError::Compressed);
    assert!(error.to_string().contains("send it uncompressed"));
    let large = vec![0; LIMITS.message_bytes_max + 1];
    assert!(matches!(refuse(&decoder, &claim(0, &[], &[], 0), large), DecodeError::MessageTooLarge { .. }));
}

#[test]
fn a_time_that_is_null_is_refused() {
    let times = Int64Array::from(vec![Some(1), None, Some(3)]);
    let batch = RecordBatch::try_from_iter([("timestamp_ns", Arc::new(times) as ArrayRef)]).unwrap();
    let (decoder, header, body) = message_of(&batch);
    assert_eq!(decoder.one(&header, body).unwrap_err(), DecodeError::TimestampNull { nulls: 1 });
}

#[test]
fn values_that_are_no_text_or_lie_outside_are_refused() {
    let text = column(DataType::Utf8);
    let mut body = vec![0, 0, 0, 0, 4, 0, 0, 0];
    body.extend([0xff; 8]);
    let error = refuse(&text, &claim(1, &[(1, 0)], &[(0, 0), (0, 8), (8, 4)], 16), body.clone());
    assert!(matches!(error, DecodeError::Batch(_)), "{error}");
    body[4] = 200;
    let error = refuse(&text, &claim(1, &[(1, 0)], &[(0, 0), (0, 8), (8, 4)], 16), body);
    assert!(matches!(error, DecodeError::Batch(_)), "{error}");
}

#[test]
fn a_row_of_sixty_megabytes_is_not_copied() {
    let limits = DecodeLimits { message_bytes_max: 64 << 20 };
    let batch = times_and_blob(1, 60 << 20);
    let (mut framer, first) = Framer::begin(&batch.schema()).unwrap();
    let (header, body) = samples::header_and_body(&samples::one(framer.batch(&batch).unwrap()));
    let decoder = StreamDecoder::begin(samples::header_and_body(&first).0, limits).unwrap();
    let range = body.as_ptr_range();
    let read = decoder.one(&header, body).unwrap();
    assert_eq!(read, batch);
    let value = arrow::array::AsArray::as_binary::<i32>(read.column(1)).value(0).as_ptr();
    assert!(range.contains(&value));
}

#[test]
fn a_body_at_any_address_decodes() {
    let batch = samples::batch(
        vec![(DataType::Int64, true), (DataType::Decimal128(20, 3), true), (DataType::Utf8, true)],
        9,
        1,
    );
    let (decoder, header, body) = message_of(&batch);
    for shift in 0..8 {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(&body);
        let moved = Bytes::from(bytes).slice(shift..);
        assert_eq!(decoder.one(&header, moved).unwrap(), batch, "shifted by {shift}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn garbage_is_an_error_and_no_panic(
        header in prop::collection::vec(any::<u8>(), 0..300), body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        prop_assert!(column(DataType::Int64).receive(&header.into(), body.into()).is_err());
    }

    #[test]
    fn a_damaged_message_never_panics(
        data_type in samples::data_type(), rows in 1..20usize, seed: u64,
        in_header: Option<(prop::sample::Index, u8)>, in_body: Option<(prop::sample::Index, u8)>,
    ) {
        let batch = samples::batch(vec![(data_type, true)], rows, seed);
        let (decoder, header, body) = message_of(&batch);
        let damage = |bytes: Bytes, at: Option<(prop::sample::Index, u8)>| {
            let mut bytes = bytes.to_vec();
            if let Some((at, to)) = at.filter(|_| !bytes.is_empty()) {
                let at = at.index(bytes.len());
                bytes[at] = to;
            }
            bytes
        };
        let _ = decoder.clone().read(&damage(header, in_header), damage(body, in_body).into(), 0);
    }
}
