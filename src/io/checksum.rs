//! Checksums of everything we write: XXH3.

use xxhash_rust::xxh3::xxh3_64;

/// XXH3-64 of `bytes`, without a seed. One pass, cannot fail.
pub fn hash64(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}
