//! The golden files are formats 1 and 2 for ever: they must read, and be written, to the byte.

use proptest::prelude::*;

use super::*;

pub fn golden_record() -> ChunkRecord {
    ChunkRecord {
        chunk: ChunkId(Uuid::from_u128(0x0102_0304_0506_4708_890a_0b0c_0d0e_0f10)),
        device: DeviceNumber(0x1112),
        shard: ShardIndex(0x1314),
        rows: 1_000_000_007,
        file_bytes: 268_435_456,
        logical_bytes: 300_000_000,
        bounds: TimeBounds { first: -5, last: 1_763_720_000_123_456_789 },
        body_bytes: 268_000_000,
        footer_offset: 268_032_712,
        digest: *b"digest of blocks",
        footer_digest: *b"digest of footer",
        row_groups: 64,
        runs: vec![0, 7, 63],
        pages: None,
        statistics: Statistics { version: 9, bytes: b"statistics".to_vec() },
    }
}

fn golden_record_2() -> ChunkRecord {
    let pages = PageFacts { plain_bytes: 200_000_000, zstd_bytes: 67_999_992, gap_max_ns: Some(33_366_700) };
    ChunkRecord { pages: Some(pages), ..golden_record() }
}

prop_compose! {
    pub fn any_record()(
        ids in any::<(u128, u16, u16)>(),
        rows in 1..=u64::MAX,
        logical_bytes in any::<u64>(),
        times in any::<(i64, i64)>(),
        mut offsets in any::<[u64; 3]>(),
        digests in any::<([u8; 16], [u8; 16])>(),
        steps in proptest::collection::vec(1..100_u32, 0..40),
        spare in 1..50_u32,
        version in any::<u16>(),
        pages in any::<Option<(u64, u64, u64)>>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) -> ChunkRecord {
        offsets.sort();
        let runs: Vec<u32> = std::iter::once(0).chain(steps.iter().scan(0, |at, step| { *at += step; Some(*at) })).collect();
        ChunkRecord {
            chunk: ChunkId(Uuid::from_u128(ids.0)),
            device: DeviceNumber(ids.1),
            shard: ShardIndex(ids.2),
            rows,
            file_bytes: offsets[2],
            logical_bytes,
            bounds: TimeBounds { first: times.0.min(times.1), last: times.0.max(times.1) },
            body_bytes: offsets[0],
            footer_offset: offsets[1],
            digest: digests.0,
            footer_digest: digests.1,
            row_groups: runs.last().unwrap() + spare,
            runs,
            pages: pages.map(|(plain, zstd, gap)| PageFacts {
                plain_bytes: plain % (offsets[0] / 2 + 1),
                zstd_bytes: zstd % (offsets[0] / 2 + 1),
                gap_max_ns: Some(gap).filter(|gap| *gap != GAP_UNKNOWN),
            }),
            statistics: Statistics { version, bytes: if version == 0 { Vec::new() } else { bytes } },
        }
    }
}

const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/chunk_record_1.bin");
const GOLDEN_2: &[u8] = include_bytes!("../../../tests/golden/chunk_record_2.bin");

#[test]
fn format_1_is_what_it_always_was() {
    assert_eq!(decode_record(GOLDEN), Ok(golden_record()));
    assert_eq!(encode_record(&golden_record()).unwrap(), GOLDEN);
}

#[test]
fn format_2_is_what_it_always_was() {
    assert_eq!(decode_record(GOLDEN_2), Ok(golden_record_2()));
    assert_eq!(encode_record(&golden_record_2()).unwrap(), GOLDEN_2);
}

#[test]
fn every_flipped_bit_is_refused() {
    for golden in [GOLDEN, GOLDEN_2] {
        for bit in 0..golden.len() * 8 {
            let mut bytes = golden.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_record(&bytes).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn every_other_length_is_refused() {
    for golden in [GOLDEN, GOLDEN_2] {
        for len in 0..golden.len() {
            assert!(decode_record(&golden[..len]).is_err(), "{len} bytes");
        }
    }
    assert!(decode_record(&[GOLDEN, &[0]].concat()).is_err());
    assert_eq!(decode_record(&vec![0; RECORD_LEN_MAX + 1]), Err(RecordError::Length { found: RECORD_LEN_MAX + 1 }));
}

/// Goal: a record whose checksum is right is still refused when it breaks a rule of the table.
/// Method: change one field of the golden record, and seal it anew.
#[test]
fn each_rule_of_the_table_is_checked() {
    let sealed = |at: usize, field: &[u8]| {
        let mut bytes = GOLDEN[..GOLDEN.len() - CHECKSUM_LEN].to_vec();
        bytes[at..at + field.len()].copy_from_slice(field);
        seal(&mut bytes);
        decode_record(&bytes)
    };
    assert_eq!(sealed(FORMAT_AT, &[3, 0]), Err(RecordError::Format { found: 3 }));
    assert_eq!(sealed(LENGTH_AT, &[9]), Err(RecordError::Cut { said: 9, found: GOLDEN.len() }));
    let rules: [(usize, &[u8], &str); 11] = [
        (ROWS_AT, &[0; 8], "no rows"),
        (LAST_AT, &i64::MIN.to_le_bytes(), "before its first"),
        (BODY_BYTES_AT, &u64::MAX.to_le_bytes(), "inside its pages"),
        (FOOTER_OFFSET_AT, &u64::MAX.to_le_bytes(), "behind the end"),
        (ROW_GROUPS_AT, &[0; 4], "no row groups"),
        (ROW_GROUPS_AT, &[63], "its runs"),
        (RUNS_AT, &[1], "its runs"),
        (RUNS_AT + 4, &[0], "its runs"),
        (RUN_COUNT_AT, &[2], "do not add up"),
        (STATISTICS_LEN_AT, &[9], "do not add up"),
        (STATISTICS_VERSION_AT, &[0, 0], "version 0"),
    ];
    for (at, field, part) in rules {
        match sealed(at, field) {
            Err(RecordError::Rule { rule, chunk }) if chunk == golden_record().chunk => {
                assert!(rule.contains(part), "{rule}")
            }
            other => panic!("field at {at}: {other:?}"),
        }
    }
    assert!(sealed(RUN_COUNT_AT, &u32::MAX.to_le_bytes()).is_err());
}

#[test]
fn what_a_reader_would_refuse_is_not_written() {
    let empty = ChunkRecord { rows: 0, ..golden_record() };
    assert!(matches!(encode_record(&empty), Err(RecordError::Rule { .. })));
    let statistics = Statistics { version: 1, bytes: vec![0; RECORD_LEN_MAX] };
    let long = ChunkRecord { statistics, ..golden_record() };
    assert!(matches!(encode_record(&long), Err(RecordError::Length { .. })));
}

proptest! {
    #[test]
    fn every_record_comes_back(record in any_record()) {
        let bytes = encode_record(&record).unwrap();
        prop_assert!((RECORD_LEN_MIN..=RECORD_LEN_MAX).contains(&bytes.len()));
        prop_assert_eq!(decode_record(&bytes), Ok(record));
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        format in FORMAT_1..=FORMAT_2,
    ) {
        if let Ok(len) = u32::try_from(bytes.len() + CHECKSUM_LEN) && bytes.len() >= 6 {
            // Past the length, the format and the checksum, so that the fields are looked at.
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            bytes[4..6].copy_from_slice(&format.to_le_bytes());
            seal(&mut bytes);
        }
        prop_assert!(decode_record(&bytes).is_err());
    }
}

#[test]
fn page_facts_that_do_not_fit_are_refused() {
    let sealed = |at: usize, field: &[u8]| {
        let mut bytes = GOLDEN_2[..GOLDEN_2.len() - CHECKSUM_LEN].to_vec();
        bytes[at..at + field.len()].copy_from_slice(field);
        seal(&mut bytes);
        decode_record(&bytes)
    };
    for at in [PLAIN_BYTES_AT, ZSTD_BYTES_AT] {
        let refused = sealed(at, &u64::MAX.to_le_bytes());
        assert!(matches!(refused, Err(RecordError::Rule { rule, .. }) if rule.contains("page facts")), "{refused:?}");
    }
    let unknown = sealed(GAP_MAX_AT, &GAP_UNKNOWN.to_le_bytes()).unwrap();
    assert_eq!(unknown.pages.unwrap().gap_max_ns, None);
    // Read as the other format, the runs lie elsewhere.
    assert!(sealed(FORMAT_AT, &[1, 0]).is_err());
}
