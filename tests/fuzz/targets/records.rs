//! Rows of the catalog, as they are and with checksums that match.

use tessera::catalog::SegmentKey;
use tessera::catalog::ZoneMap;
use tessera::catalog::decode_directory;
use tessera::catalog::decode_record;
use tessera::catalog::encode_directory;
use tessera::catalog::encode_record;
use tessera::io::hash64;
use tessera::model::TopicId;
use uuid::Uuid;

/// The bytes with the right checksum in place of their last eight.
pub fn resealed(bytes: &[u8]) -> Vec<u8> {
    let sealed = &bytes[..bytes.len().saturating_sub(8)];
    [sealed, hash64(sealed).to_le_bytes().as_slice()].concat()
}

/// Holds: what reads as a record is written as the same bytes again.
pub fn record(data: &[u8]) {
    for bytes in [data.to_vec(), resealed(data)] {
        if let Ok(record) = decode_record(&bytes) {
            assert_eq!(encode_record(&record).expect("it was read"), bytes, "one record, one form");
        }
    }
}

pub const KEY: SegmentKey = SegmentKey { topic: TopicId(Uuid::from_u128(0x51)), number: 3 };

/// `which, bytes`: a directory of records or a zone map.
pub fn segment(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    for bytes in [rest.to_vec(), resealed(rest)] {
        if which & 1 == 0 {
            if let Ok(records) = decode_directory(KEY, &bytes) {
                assert_eq!(encode_directory(KEY, &records).expect("it was read"), bytes, "one directory, one form");
            }
        } else if let Ok(map) = ZoneMap::decode(&bytes) {
            assert_eq!(map.encode(), bytes, "one zone map, one form");
        }
    }
}
