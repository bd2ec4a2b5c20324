//! # Chunk file, format 1
//!
//! A Parquet file whose footer has more to say. Integers outside Parquet's own structures are little-endian.
//!
//! |            offset | bytes | field          | a reader must                                                      |
//! |------------------:|------:|----------------|--------------------------------------------------------------------|
//! |                 0 |     4 | `PAR1`         | (other tools require it)                                           |
//! |                 4 |     n | pages, zones   | verify each 64 KiB block it touches before it believes one byte    |
//! |        body bytes |   8·k | checksum list  | require k = body bytes / 64 KiB, rounded up, and the digest        |
//! |     footer offset |     m | page indices   | require the footer digest; an offset index for every column chunk  |
//! |                   |     f | `FileMetaData` | refuse versions it does not know; require the ids of the record    |
//! |      file end - 8 |     4 | length f       | require it to lie inside the tail                                  |
//! |      file end - 4 |     4 | `PAR1`         | require                                                            |
//!
//! Checksum i covers bytes `i · 64 KiB ..` (up to body bytes): xxh3-64, seeded with xxh3-64(chunk id, block number). The digest
//! is the xxh3-128 of the list. The footer digest is the xxh3-128 of everything from the footer offset to the end of the file,
//! computed while its own 32 digits are `0`; it is the last key-value entry, so that the last [`FOOTER_DIGEST_MARK`] is it.
//!
//! The key-value metadata has each key below once; values are text: numbers in decimal, ids and digests as 32 hex digits, lists
//! separated by commas. `ARROW:schema` is the exact Arrow schema as Arrow writers store it.
//!
//! Every column chunk has an offset index; the column of `timestamp_ns` has a column index and chunk bounds, its pages ascend,
//! and row groups name it as what they are sorted by.
//! Row groups written directly have uncompressed version 1 pages, all columns cut at the same rows; the others are what the
//! Arrow writer makes (version 2 pages, dictionaries, ZSTD).

use parquet::file::metadata::SortingColumn;

/// Column every topic has: signed nanoseconds.
pub const TIME_COLUMN: &str = "timestamp_ns";

pub(super) const MAGIC: &[u8; 4] = b"PAR1";
/// Length of `FileMetaData` and the magic behind it.
pub(super) const PARQUET_END_BYTES: usize = 8;
pub(super) const FORMAT_VERSION: &str = "1";

pub(super) const KEY_VERSION: &str = "tessera:format_version";
pub(super) const KEY_CHUNK: &str = "tessera:chunk";
pub(super) const KEY_SEQUENCE: &str = "tessera:sequence";
pub(super) const KEY_SESSION: &str = "tessera:session";
pub(super) const KEY_TOPIC: &str = "tessera:topic";
pub(super) const KEY_NAME: &str = "tessera:name";
pub(super) const KEY_TAG: &str = "tessera:ontology_tag";
pub(super) const KEY_FORMAT: &str = "tessera:serialization_format";
pub(super) const KEY_NUMBER: &str = "tessera:number";
pub(super) const KEY_INCARNATION: &str = "tessera:incarnation";
pub(super) const KEY_DEVICE: &str = "tessera:device";
pub(super) const KEY_SHARD: &str = "tessera:shard";
pub(super) const KEY_ROWS: &str = "tessera:rows";
/// First and last `timestamp_ns`.
pub(super) const KEY_BOUNDS: &str = "tessera:bounds";
/// Row groups at which a run begins.
pub(super) const KEY_RUNS: &str = "tessera:runs";
/// Arrow bytes of each row group.
pub(super) const KEY_LOGICAL_BYTES: &str = "tessera:logical_bytes";
/// Version and bytes of the record's statistics: `1:` and two hex digits a byte. Older files have none.
pub(super) const KEY_STATISTICS: &str = "tessera:statistics";
/// Version, offset and bytes of the zones (`zones` has the bytes), which lie between the last page and the checksum list. Older
/// files have none, nor have those of one zone.
pub(super) const KEY_ZONES: &str = "tessera:zones";
pub(super) const KEY_CHECKSUM_OFFSET: &str = "tessera:checksum_offset";
pub(super) const KEY_CHECKSUM_BYTES: &str = "tessera:checksum_bytes";
pub(super) const KEY_DIGEST: &str = "tessera:digest";
pub(super) const KEY_FOOTER_DIGEST: &str = "tessera:footer_digest";

/// What precedes the digits of the footer digest in Thrift's compact protocol: field 1 of a key-value pair (a string of 21
/// bytes), then the head of field 2 (a string of 32 bytes).
pub(super) const FOOTER_DIGEST_MARK: &[u8] = b"\x18\x15tessera:footer_digest\x18\x20";
/// Digits of a digest.
pub(super) const DIGEST_DIGITS: usize = 32;

const _: () = {
    assert!(KEY_FOOTER_DIGEST.len() == 0x15, "format 1 is frozen: make a format 2 instead");
    assert!(FOOTER_DIGEST_MARK.len() == 2 + KEY_FOOTER_DIGEST.len() + 2, "the mark must hold the whole key");
    assert!(DIGEST_DIGITS == 0x20, "the mark says how long the digits are");
};

/// What a row group says of its order: rows ascend in the leaf column `time`.
pub(super) fn ascending(time: usize) -> Vec<SortingColumn> {
    vec![SortingColumn { column_idx: time as i32, descending: false, nulls_first: false }]
}

/// 32 lower-case hex digits.
pub(super) fn digits(digest: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_le_bytes(*digest).swap_bytes())
}
