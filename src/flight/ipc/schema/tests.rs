use std::collections::HashMap;

use proptest::prelude::*;

use super::super::samples;
use super::*;

fn parse(schema: &Schema) -> Result<SchemaMessage, DecodeError> {
    SchemaMessage::parse(samples::schema_header(schema))
}

fn column(data_type: DataType) -> Schema {
    Schema::new(vec![Field::new("c", data_type, true)])
}

fn nested(levels: usize) -> DataType {
    (1..levels).fold(DataType::Int64, |inner, _| DataType::List(Arc::new(Field::new("item", inner, true))))
}

proptest! {
    #[test]
    fn a_schema_comes_back_exactly(types in prop::collection::vec((samples::data_type(), any::<bool>()), 0..6)) {
        let fields = types.into_iter().enumerate().map(|(at, (data_type, nullable))| {
            let metadata = HashMap::from([("description".to_owned(), "a text".to_owned())]);
            Field::new(format!("c{at}"), data_type, nullable).with_metadata(metadata)
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let read = parse(&schema).unwrap().schema;
        prop_assert_eq!(read.as_ref(), &schema);
    }

    #[test]
    fn garbage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(SchemaMessage::parse(bytes.into()).is_err());
    }

    #[test]
    fn a_damaged_schema_never_panics(data_type in samples::data_type(), at: prop::sample::Index, to: u8) {
        let mut bytes = samples::schema_header(&column(data_type)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = SchemaMessage::parse(bytes.into());
    }
}

#[test]
fn width_depth_and_size_have_limits() {
    let wide = |fields: usize| {
        Schema::new((0..fields).map(|at| Field::new(format!("c{at}"), DataType::Int8, true)).collect::<Vec<_>>())
    };
    assert!(parse(&wide(DecodeLimits::FIELDS_MAX)).is_ok());
    assert_eq!(parse(&wide(DecodeLimits::FIELDS_MAX + 1)).unwrap_err(), DecodeError::TooManyFields);
    assert!(parse(&column(nested(DecodeLimits::DEPTH_MAX))).is_ok());
    assert_eq!(parse(&column(nested(DecodeLimits::DEPTH_MAX + 1))).unwrap_err(), DecodeError::TooDeep);
    let long = Schema::new_with_metadata(Vec::<Field>::new(), HashMap::from([("k".to_owned(), "v".repeat(65_535))]));
    assert_eq!(parse(&long).unwrap_err(), DecodeError::MetadataTooLarge);
    let huge = SchemaMessage::parse(vec![0; DecodeLimits::SCHEMA_BYTES_MAX + 1].into());
    assert!(matches!(huge, Err(DecodeError::SchemaTooLarge { .. })));
}

/// Goal: the verifier's own recursion ends early too.
#[test]
fn five_thousand_levels_are_an_error() {
    let header = samples::deep_schema_header(5_000);
    assert!(matches!(SchemaMessage::parse(header), Err(DecodeError::NotAMessage { .. })));
}

/// Goal: fields that all share one child, level upon level, are counted as often as they are reached.
#[test]
fn a_shared_child_counts_at_every_place() {
    let header = samples::shared_schema_header(14, 8);
    assert!(header.len() < 10_000);
    assert!(matches!(SchemaMessage::parse(header), Err(DecodeError::NotAMessage { .. } | DecodeError::TooManyFields)));
}

#[test]
fn types_that_cannot_be_recorded_say_what_to_send() {
    let ends = Arc::new(Field::new("run_ends", DataType::Int32, false));
    let values = Arc::new(Field::new("values", DataType::Int32, true));
    let error = parse(&column(DataType::RunEndEncoded(ends, values))).unwrap_err();
    assert!(matches!(error, DecodeError::Unsupported { kind: "run-end encoded", .. }));
    assert!(matches!(parse(&column(DataType::FixedSizeBinary(-1))), Err(DecodeError::Layout { .. })));
    assert!(matches!(parse(&column(DataType::Decimal128(99, 0))), Err(DecodeError::Layout { .. })));
}

#[test]
fn another_message_is_named() {
    let batch = samples::Claim { rows: 0, nodes: vec![], buffers: vec![], views: vec![], body: 0, compressed: false };
    let error = SchemaMessage::parse(batch.header()).unwrap_err();
    assert_eq!(error, DecodeError::SchemaExpected { found: "a RecordBatch".to_owned() });
}
