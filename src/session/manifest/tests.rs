//! The golden files are their formats for ever: they must read, and the last one be written, to the byte.

use super::*;

const GOLDEN_1: &[u8] = include_bytes!("../../../tests/golden/manifest_1.json");
const GOLDEN_2: &[u8] = include_bytes!("../../../tests/golden/manifest_2.json");

fn json(text: &str) -> Json {
    Json(RawValue::from_string(text.to_owned()).unwrap())
}

fn topic(path: &str, chunks: Vec<Chunk>) -> Topic {
    Topic {
        id: format!("{:032x}", 3 + chunks.len()),
        path: path.to_owned(),
        tag: "imu".to_owned(),
        format: "default".to_owned(),
        metadata: json("{}"),
        state: if chunks.is_empty() { "interrupted" } else { "complete" }.to_owned(),
        created_at_ns: 1_700_000_000_000_000_002,
        completed_at_ns: (!chunks.is_empty()).then_some(-1),
        schema: (!chunks.is_empty()).then(|| "100000000001".to_owned()),
        rows: chunks.iter().map(|chunk| chunk.rows).sum(),
        chunks,
    }
}

fn golden(format: u32) -> Manifest {
    let chunk = |number: u8| Chunk {
        id: format!("{number:032x}"),
        device: 2,
        rows: 40,
        bytes: 11_237,
        first: i64::MIN,
        last: 99_000,
        digest: hex(&[number; 16]),
        footer_digest: hex(&[0xf0 | number; 16]),
    };
    Manifest {
        format,
        sequence: Sequence {
            id: format!("{:032x}", 1),
            name: "drive \u{e4}".to_owned(),
            metadata: json("{\"n\": 1.50, \"digits\": 123456789012345678901234567890}"),
            created_at_ns: 1_700_000_000_000_000_000,
        },
        session: Session {
            id: format!("{:032x}", 2),
            created_at_ns: 1_700_000_000_000_000_001,
            completed_at_ns: 1_700_000_000_000_000_003,
        },
        topics: vec![topic("imu/front", vec![chunk(7), chunk(8)]), topic("empty", vec![])],
    }
}

#[test]
fn the_golden_files_are_read_and_the_last_one_is_written() {
    assert_eq!(Manifest::parse(GOLDEN_2).unwrap(), golden(2));
    assert_eq!(String::from_utf8(golden(2).to_bytes()).unwrap(), std::str::from_utf8(GOLDEN_2).unwrap());
    assert_eq!(Manifest::parse(GOLDEN_1).unwrap(), golden(1));
    assert_eq!(golden(1).difference(&golden(2)), None);
}

/// Goal: a manifest is believed whole or not at all.
#[test]
fn a_manifest_with_any_byte_changed_or_cut_off_is_refused() {
    for at in 0..GOLDEN_2.len() {
        for bit in 0..8 {
            let mut damaged = GOLDEN_2.to_vec();
            damaged[at] ^= 1 << bit;
            assert!(Manifest::parse(&damaged).is_err(), "bit {bit} of byte {at}");
        }
        assert!(Manifest::parse(&GOLDEN_2[..at]).is_err(), "cut off at {at}");
    }
}

#[test]
fn another_format_is_refused_by_its_number() {
    let mut next = golden(3).to_bytes();
    assert!(matches!(Manifest::parse(&next), Err(ManifestError::Format { found: 3 })));
    // Whatever its members are.
    next = seal(b"{\"format\":9,\"sequences\":[]".to_vec());
    assert!(matches!(Manifest::parse(&next), Err(ManifestError::Format { found: 9 })));
    // The format without a checksum has none.
    assert!(matches!(Manifest::parse(&golden(1).to_bytes()), Err(ManifestError::Format { found: 1 })));
}

#[test]
fn members_of_a_later_writer_are_ignored() {
    let mut open = GOLDEN_1.to_vec();
    open.pop();
    open.extend_from_slice(b",\"colour\":[1]");
    let text = String::from_utf8(open).unwrap().replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(Manifest::parse(&seal(text.into_bytes())).unwrap(), golden(2));
}

#[test]
fn what_differs_is_named() {
    let changed = |change: fn(&mut Manifest)| {
        let mut other = golden(2);
        change(&mut other);
        golden(2).difference(&other).unwrap()
    };
    assert_eq!(changed(|m| m.sequence.metadata = json("{\"n\": 1.5}")), "sequence drive \u{e4}");
    assert!(changed(|m| m.session.completed_at_ns += 1).starts_with("session "));
    assert_eq!(changed(|m| m.topics[0].chunks[1].rows += 1), "topic imu/front");
    assert!(changed(|m| drop(m.topics.pop())).contains("topics: 2 and 1"));
}
