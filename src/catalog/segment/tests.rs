//! The golden files are format 1 for ever: they must read, and be written, to the byte.

use proptest::prelude::*;

use super::*;
use crate::catalog::record::tests::any_record;
use crate::catalog::record::tests::golden_record;
use crate::model::ChunkId;

const KEY: SegmentKey = SegmentKey { topic: TopicId(Uuid::from_u128(0x2122_2324)), number: 0x3132 };
const DIRECTORY: &[u8] = include_bytes!("../../../tests/golden/segment_directory_1.bin");
const ZONE: &[u8] = include_bytes!("../../../tests/golden/zone_map_1.bin");

fn golden_records() -> Vec<ChunkRecord> {
    let bounds = TimeBounds { first: -900, last: -1 };
    let other = ChunkRecord {
        chunk: ChunkId(Uuid::from_u128(5)),
        bounds,
        rows: 3,
        statistics: Statistics::default(),
        ..golden_record()
    };
    vec![golden_record(), other]
}

fn golden_zone() -> ZoneMap {
    let statistics = Statistics { version: 2, bytes: b"zone".to_vec() };
    ZoneMap { statistics, ..ZoneMap::of(&golden_records()).unwrap() }
}

#[test]
fn format_1_is_what_it_always_was() {
    assert_eq!(decode_directory(KEY, DIRECTORY), Ok(golden_records()));
    assert_eq!(encode_directory(KEY, &golden_records()).unwrap(), DIRECTORY);
    assert_eq!(ZoneMap::decode(ZONE), Ok(golden_zone()));
    assert_eq!(golden_zone().encode(), ZONE);
}

#[test]
fn a_zone_map_sums_its_chunks_up() {
    let zone = ZoneMap::of(&golden_records()).unwrap();
    assert_eq!((zone.chunks, zone.rows), (2, 1_000_000_010));
    assert_eq!(zone.bounds, TimeBounds { first: -900, last: 1_763_720_000_123_456_789 });
    assert_eq!((zone.file_bytes, zone.logical_bytes), (2 * 268_435_456, 600_000_000));
    assert_eq!(ZoneMap::of(&[]), None);
    assert!(ZoneMap::of(&vec![golden_record(); SEGMENT_CHUNKS_MAX]).is_some());
    assert_eq!(ZoneMap::of(&vec![golden_record(); SEGMENT_CHUNKS_MAX + 1]), None);
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    for bit in 0..DIRECTORY.len() * 8 {
        let mut bytes = DIRECTORY.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_directory(KEY, &bytes).is_err(), "bit {bit}");
    }
    for bit in 0..ZONE.len() * 8 {
        let mut bytes = ZONE.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(ZoneMap::decode(&bytes).is_err(), "bit {bit}");
    }
    assert!((0..DIRECTORY.len()).all(|len| decode_directory(KEY, &DIRECTORY[..len]).is_err()));
    assert!((0..ZONE.len()).all(|len| ZoneMap::decode(&ZONE[..len]).is_err()));
}

#[test]
fn a_directory_in_the_wrong_place_is_refused() {
    for wanted in [SegmentKey { number: 1, ..KEY }, SegmentKey { topic: TopicId(Uuid::nil()), ..KEY }] {
        assert_eq!(decode_directory(wanted, DIRECTORY), Err(SegmentError::Misplaced { found: KEY, wanted }));
    }
}

/// Goal: a directory or a zone map whose checksum is right is still refused when it breaks a rule of its table.
#[test]
fn each_rule_of_the_tables_is_checked() {
    let sealed = |golden: &[u8], at: usize, field: &[u8]| {
        let mut bytes = golden[..golden.len() - CHECKSUM_LEN].to_vec();
        bytes[at..at + field.len()].copy_from_slice(field);
        seal(&mut bytes);
        bytes
    };
    let directory = |at, field: &[u8]| decode_directory(KEY, &sealed(DIRECTORY, at, field)).unwrap_err();
    assert_eq!(directory(directory::FORMAT_AT, &[2]), SegmentError::Format { found: 2 });
    assert!(matches!(directory(directory::COUNT_AT, &[0]), SegmentError::Rule { .. }));
    assert_eq!(directory(directory::COUNT_AT, &[1]), SegmentError::Rule { rule: "bytes behind the last record" });
    assert!(matches!(directory(directory::COUNT_AT, &[3]), SegmentError::Record { index: 2, .. }));
    assert!(matches!(directory(directory::COUNT_AT, &[1, 1]), SegmentError::Rule { .. }));
    assert_eq!(directory(directory::RESERVED_AT, &[1]), SegmentError::Rule { rule: "reserved bytes are not zero" });
    assert!(matches!(directory(directory::RECORDS_AT, &[1]), SegmentError::Record { index: 0, .. }));

    let zone = |at, field: &[u8]| ZoneMap::decode(&sealed(ZONE, at, field)).unwrap_err();
    assert_eq!(zone(zone::FORMAT_AT, &[2]), SegmentError::Format { found: 2 });
    for (at, field) in [
        (zone::CHUNKS_AT, [0; 8].get(..2).unwrap()),
        (zone::CHUNKS_AT, &[1, 1]),
        (zone::STATISTICS_LEN_AT, &[3]),
        (zone::FIRST_AT, &i64::MAX.to_le_bytes()),
        (zone::ROWS_AT, &1_u64.to_le_bytes()),
        (zone::STATISTICS_VERSION_AT, &[0]),
        (zone::RESERVED_AT, &[0, 0, 0, 0, 0, 1]),
    ] {
        assert!(matches!(zone(at, field), SegmentError::Rule { .. }), "field at {at}");
    }
}

#[test]
fn a_directory_has_room_for_its_limit_and_not_for_more() {
    let records = vec![golden_record(); SEGMENT_CHUNKS_MAX];
    let packed = encode_directory(KEY, &records).unwrap();
    assert_eq!(packed.len(), directory_len(records.len() * encode_record(&golden_record()).unwrap().len()));
    assert_eq!(decode_directory(KEY, &packed), Ok(records));
    assert!(encode_directory(KEY, &vec![golden_record(); SEGMENT_CHUNKS_MAX + 1]).is_err());
    assert!(encode_directory(KEY, &[]).is_err());
    let statistics = Statistics { version: 1, bytes: vec![0; RECORD_LEN_MAX / 2] };
    let long = ChunkRecord { statistics, ..golden_record() };
    assert!(matches!(encode_directory(KEY, &vec![long; 8]), Err(SegmentError::Length { .. })));
}

proptest! {
    #[test]
    fn every_segment_comes_back(records in proptest::collection::vec(any_record(), 1..12), number in any::<u32>()) {
        let key = SegmentKey { number, ..KEY };
        let zone = ZoneMap::of(&records).unwrap();
        prop_assert_eq!(ZoneMap::decode(&zone.encode()), Ok(zone));
        let packed = encode_directory(key, &records).unwrap();
        prop_assert_eq!(decode_directory(key, &packed), Ok(records));
    }
}
