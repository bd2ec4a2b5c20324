//! Fixed-width little-endian fields at fixed offsets: how our formats are written and read.

use crate::io::hash64;

/// Bytes of the checksum that ends every format of this room.
pub const CHECKSUM_LEN: usize = size_of::<u64>();

/// Appends a field, whose offset the format's table fixes.
pub fn append(out: &mut Vec<u8>, at: usize, field: &[u8]) {
    assert!(out.len() == at, "field at {at} of the table, {} bytes written", out.len());
    out.extend_from_slice(field);
}

/// The `N` bytes at `at`; `None` past the end.
pub fn read<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Appends the checksum of everything so far.
pub fn seal(out: &mut Vec<u8>) {
    let checksum = hash64(out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// What lies before the checksum at the end; `None` when it does not match, or there is no room for one.
pub fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (sealed, checksum) = bytes.split_last_chunk()?;
    (hash64(sealed) == u64::from_le_bytes(*checksum)).then_some(sealed)
}
