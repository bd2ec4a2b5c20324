//! Checksums of stored bytes.

use tessera::io::BlockHasher;
use tessera::io::digest128;

use crate::case::Amount;
use crate::case::Case;
use crate::case::Ready;
use crate::case::Scale;
use crate::case::fold;
use crate::rows;

/// What a page of many small rows comes in.
const PIECE_BYTES: usize = 10_000;

pub fn cases(scale: Scale) -> Vec<Case> {
    let bytes = move || -> Vec<u8> {
        (0..scale.pick(4 << 20, 64 << 20) as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
    };
    vec![
        hash("hash/blocks", 0x9bf2_a0b4_5f18_7c25, bytes, usize::MAX),
        hash("hash/pieces", 0x9bf2_a0b4_5f18_7c25, bytes, PIECE_BYTES),
        digest("hash/digest128", 0x078e_a7b1_5bcf_d6cf, bytes),
    ]
}

/// One hash per 64 KiB, of a file that comes in pieces of `piece` bytes.
fn hash(name: &'static str, digest: u64, make: impl FnOnce() -> Vec<u8> + 'static, piece: usize) -> Case {
    Case::new(name, digest, move || {
        let file = make();
        Ready::new(Amount::Bytes(file.len() as u64), move |watch| {
            let hashes = watch.time(|| {
                let mut hasher = BlockHasher::new(rows::chunk());
                file.chunks(piece).for_each(|piece| hasher.update(piece));
                hasher.finish()
            });
            hashes.into_iter().fold(0, fold)
        })
    })
}

fn digest(name: &'static str, digest: u64, make: impl FnOnce() -> Vec<u8> + 'static) -> Case {
    Case::new(name, digest, move || {
        let file = make();
        Ready::new(Amount::Bytes(file.len() as u64), move |watch| {
            let made = watch.time(|| digest128(&file));
            u64::from_le_bytes(*made.first_chunk().expect("16 bytes"))
        })
    })
}
