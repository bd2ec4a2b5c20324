//! The checksums of stored bytes, all XXH3.
//!
//! A chunk is checked in blocks of 64 KiB. Each block's hash is seeded with the chunk's id and the block's number, so that a
//! block that was swapped or written to the wrong place fails too, not only one whose bits rotted.

use std::hash::Hasher;
use std::mem;

use twox_hash::XxHash3_64;
use twox_hash::XxHash3_128;

use crate::model::ChunkId;

/// Bytes covered by one checksum; the last block of a file may be shorter.
pub const CHECKSUM_BLOCK: usize = 64 << 10;

/// The seed of one block's hash: XXH3-64 of the 16 bytes of the chunk's id and the block number, little-endian.
pub fn block_seed(chunk: ChunkId, block: u64) -> u64 {
    let mut bytes = [0; 24];
    let (id, number) = bytes.split_at_mut(16);
    id.copy_from_slice(chunk.0.as_bytes());
    number.copy_from_slice(&block.to_le_bytes());
    XxHash3_64::oneshot(&bytes)
}

/// The hash of one whole block, `block` counted from 0 at the file's start.
pub fn hash_block(chunk: ChunkId, block: u64, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(block_seed(chunk, block), bytes)
}

/// The hashes of a file that begins with `bytes`, one per block.
pub fn hash_blocks(chunk: ChunkId, bytes: &[u8]) -> Vec<u64> {
    bytes.chunks(CHECKSUM_BLOCK).zip(0..).map(|(block, number)| hash_block(chunk, number, block)).collect()
}

/// XXH3-128, little-endian.
pub fn digest128(bytes: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(bytes).to_le_bytes()
}

/// XXH3-64 without a seed.
pub fn hash64(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// Hashes a chunk's bytes as they are made: pieces of any length in, one hash per [`CHECKSUM_BLOCK`] out.
pub struct BlockHasher {
    chunk: ChunkId,
    hashes: Vec<u64>,
    /// The block that has begun but is not full; `None` between blocks.
    partial: Option<XxHash3_64>,
    partial_len: usize,
}

impl BlockHasher {
    /// Starts at offset 0 of the chunk.
    pub fn new(chunk: ChunkId) -> Self {
        Self { chunk, hashes: Vec::new(), partial: None, partial_len: 0 }
    }

    /// Takes the next bytes. A block that comes in one piece costs least; one in several allocates a state of a kilobyte.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.partial_len == 0
                && let Some((block, after)) = bytes.split_at_checked(CHECKSUM_BLOCK)
            {
                self.hashes.push(hash_block(self.chunk, self.block(), block));
                bytes = after;
                continue;
            }
            let (piece, after) = bytes.split_at((CHECKSUM_BLOCK - self.partial_len).min(bytes.len()));
            let seed = || XxHash3_64::with_seed(block_seed(self.chunk, self.hashes.len() as u64));
            self.partial.get_or_insert_with(seed).write(piece);
            self.partial_len += piece.len();
            if self.partial_len == CHECKSUM_BLOCK {
                self.close_block();
            }
            bytes = after;
        }
    }

    /// One hash per block; the last one may cover a shorter block. Empty when no bytes came.
    pub fn finish(mut self) -> Vec<u64> {
        self.close_block();
        mem::take(&mut self.hashes)
    }

    /// The number of the block that is being filled.
    fn block(&self) -> u64 {
        self.hashes.len() as u64
    }

    fn close_block(&mut self) {
        self.hashes.extend(self.partial.take().map(|partial| partial.finish()));
        self.partial_len = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn chunk(number: u128) -> ChunkId {
        ChunkId(Uuid::from_u128(number))
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    /// Files on disk hold these numbers: they must never change. They agree with Python's `xxhash`.
    #[test]
    fn the_hashes_are_frozen() {
        let bytes = pattern(1000);
        assert_eq!(block_seed(chunk(1), 0), FROZEN_SEED, "{:#x}", block_seed(chunk(1), 0));
        assert_eq!(hash_block(chunk(1), 7, &bytes), FROZEN_BLOCK, "{:#x}", hash_block(chunk(1), 7, &bytes));
        assert_eq!(hash64(&bytes), FROZEN_64, "{:#x}", hash64(&bytes));
        assert_eq!(u128::from_le_bytes(digest128(&bytes)), FROZEN_128, "{:#x}", u128::from_le_bytes(digest128(&bytes)));
    }

    const FROZEN_SEED: u64 = 0xfa5d_cf10_95f5_4a04;
    const FROZEN_BLOCK: u64 = 0x86a5_4dc0_5947_1773;
    const FROZEN_64: u64 = 0x2bc8_f72e_8da5_7c62;
    const FROZEN_128: u128 = 0xbaae_c9f8_81a6_0ea8_2bc8_f72e_8da5_7c62;

    #[test]
    fn a_block_in_another_place_or_chunk_hashes_differently() {
        let bytes = pattern(CHECKSUM_BLOCK);
        let hash = hash_block(chunk(1), 0, &bytes);
        assert_ne!(hash, hash_block(chunk(1), 1, &bytes));
        assert_ne!(hash, hash_block(chunk(2), 0, &bytes));
        assert!(BlockHasher::new(chunk(1)).finish().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pieces_of_any_length_hash_as_whole_blocks(len in 0..4 * CHECKSUM_BLOCK, cuts in prop::collection::vec(0.0..1.0, 0..8)) {
            let bytes = pattern(len);
            let mut cuts: Vec<usize> = cuts.iter().map(|part: &f64| (part * len as f64) as usize).collect();
            cuts.extend([0, len]);
            cuts.sort_unstable();
            let mut hasher = BlockHasher::new(chunk(9));
            for pair in cuts.windows(2) {
                hasher.update(&bytes[pair[0]..pair[1]]);
            }
            prop_assert_eq!(hasher.finish(), hash_blocks(chunk(9), &bytes));
        }
    }
}
