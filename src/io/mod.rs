//! All access to disks, clocks and randomness.

mod checksum;

pub use checksum::BlockHasher;
pub use checksum::CHECKSUM_BLOCK;
pub use checksum::block_seed;
pub use checksum::digest128;
pub use checksum::hash_block;
pub use checksum::hash64;
