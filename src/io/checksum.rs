//! Checksums: xxh3 over 64 KiB blocks, seeded so that a block of another chunk or from another place never matches.

use xxhash_rust::xxh3::Xxh3;
use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh3::xxh3_64_with_seed;
use xxhash_rust::xxh3::xxh3_128;

use crate::model::ChunkId;

/// Bytes one block checksum covers; the last one of a chunk may cover fewer.
pub const CHECKSUM_BLOCK: usize = 64 << 10;

/// Seed of one block's hash: xxh3-64 of the chunk id's bytes and the block number (u64, little-endian).
pub fn block_seed(chunk: ChunkId, block: u64) -> u64 {
    let mut bytes = [0; 24];
    let (id, number) = bytes.split_at_mut(16);
    id.copy_from_slice(chunk.0.as_bytes());
    number.copy_from_slice(&block.to_le_bytes());
    xxh3_64(&bytes)
}

/// Checksum of one whole block.
pub fn hash_block(chunk: ChunkId, block: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, block_seed(chunk, block))
}

/// xxh3-128, little-endian.
pub fn digest128(bytes: &[u8]) -> [u8; 16] {
    xxh3_128(bytes).to_le_bytes()
}

/// xxh3-64 without a seed.
pub fn hash64(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Block checksums of a chunk as it is written, in pieces of any length from offset 0.
pub struct BlockHasher {
    chunk: ChunkId,
    block: Xxh3,
    block_bytes: usize,
    done: Vec<u64>,
}

impl BlockHasher {
    pub fn new(chunk: ChunkId) -> Self {
        Self { chunk, block: Xxh3::with_seed(block_seed(chunk, 0)), block_bytes: 0, done: Vec::new() }
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = CHECKSUM_BLOCK - self.block_bytes;
            if self.block_bytes == 0 && bytes.len() >= CHECKSUM_BLOCK {
                // A whole block at hand: the one-shot function is faster than the streaming one.
                let (block, rest) = bytes.split_at(CHECKSUM_BLOCK);
                self.done.push(hash_block(self.chunk, self.done.len() as u64, block));
                self.block = Xxh3::with_seed(block_seed(self.chunk, self.done.len() as u64));
                bytes = rest;
                continue;
            }
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.update(piece);
            self.block_bytes += piece.len();
            bytes = rest;
            if self.block_bytes == CHECKSUM_BLOCK {
                self.end_block();
            }
        }
    }

    /// One checksum per block, the last one of what lies behind the last full block.
    pub fn finish(mut self) -> Vec<u64> {
        if self.block_bytes > 0 {
            self.end_block();
        }
        self.done
    }

    fn end_block(&mut self) {
        self.done.push(self.block.digest());
        self.block = Xxh3::with_seed(block_seed(self.chunk, self.done.len() as u64));
        self.block_bytes = 0;
    }
}
