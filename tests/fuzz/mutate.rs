//! Changes valid inputs in the ways that hurt: bits, lengths, offsets, counts, pieces of other inputs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use rand_chacha::rand_core::SeedableRng;

const LEN_MAX: usize = 64 << 10;
/// Numbers at the edges of what lengths, counts and offsets are kept in.
const EDGES: [u64; 16] =
    [0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, 1 << 62, u64::MAX];
const WORDS: [&[u8]; 20] = [
    b"\"locator\":",
    b"\"session_uuid\":",
    b"\"user_metadata\":",
    b"\"message\":",
    b"\"name\":",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"-1e999",
    b"\"\\ud800\"",
    b"\\u0000",
    b"\x1b[2J",
    b"\n",
    b"../",
    b"\0",
    "\u{202e}".as_bytes(),
    b"timestamp_ns",
    b"\xff\xff\xff\xff\x0f",
];

pub struct Mutator(ChaCha8Rng);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One of `inputs`, changed once to eight times.
    pub fn mutate(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..1 + self.below(8) {
            self.change(&mut bytes, inputs);
        }
        bytes.truncate(LEN_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let len = bytes.len();
        let at = self.below(len + 1);
        match self.below(9) {
            0 => self.over(bytes, at, |random, byte| byte ^ 1 << random.below(8)),
            1 => self.over(bytes, at, |random, _| random.0.next_u32() as u8),
            2 => {
                // A number of two, four or eight bytes, where such a number is likely to be.
                let width = [2, 4, 8][self.below(3)];
                let (at, edge) = (at - at % width.min(4), EDGES[self.below(EDGES.len())]);
                write(bytes, at, &edge.to_le_bytes()[..width]);
            }
            3 => {
                // An offset or a length off by a little.
                let at = at - at % 4;
                let Some(found) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else { return };
                let step = [1, 4, 8, 16][self.below(4)];
                let number = u32::from_le_bytes(*found);
                let changed = if self.below(2) == 0 { number.wrapping_add(step) } else { number.wrapping_sub(step) };
                write(bytes, at, &changed.to_le_bytes());
            }
            4 => {
                let end = (at + 1 + self.below(32)).min(len);
                bytes.drain(at..end);
            }
            5 => {
                let piece = bytes[at..(at + 1 + self.below(64)).min(len)].to_vec();
                let to = self.below(len + 1);
                bytes.splice(to..to, piece);
            }
            6 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                let end = (from + 1 + self.below(256)).min(other.len());
                bytes.splice(at..(at + end - from).min(len), other[from..end].iter().copied());
            }
            7 => {
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }

    fn over(&mut self, bytes: &mut [u8], at: usize, change: impl FnOnce(&mut Self, u8) -> u8) {
        if let Some(byte) = bytes.get_mut(at) {
            *byte = change(self, *byte);
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound.max(1) as u64) as usize
    }
}

fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}
