//! Which three bytes in a row occur in texts, as a set of bits by their hash: a text that has others is not among them.

use std::iter;

const WORDS: usize = Trigrams::BYTES / size_of::<u64>();
const BITS: u32 = (Trigrams::BYTES as u32 * u8::BITS).ilog2();

/// Of any number of texts. It is as large with one as with many; with too many it says little.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigrams(Box<[u64; WORDS]>);

impl Trigrams {
    pub const BYTES: usize = 1 << 10;

    /// Cost: about a nanosecond a byte.
    pub fn add(&mut self, text: &str) {
        for (word, bit) in places(text) {
            // The index is below the length by its making.
            if let Some(word) = self.0.get_mut(word) {
                *word |= bit;
            }
        }
    }

    /// Whether some text that was added could have this one in it.
    pub fn may_have(&self, part: &str) -> bool {
        places(part).all(|(word, bit)| self.0.get(word).is_some_and(|word| word & bit != 0))
    }

    /// Whether it has so many bits that a short part of a text finds all of its own.
    pub fn is_full(&self) -> bool {
        let ones: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        ones as usize > Self::BYTES * u8::BITS as usize * 3 / 4
    }

    pub fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&*other.0).for_each(|(own, other)| *own |= other);
    }

    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes())
    }

    /// `None` unless there are [`Self::BYTES`] of them.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks();
        let mut own = Self::default();
        (words.len() == WORDS && rest.is_empty()).then(|| {
            own.0.iter_mut().zip(words).for_each(|(to, from)| *to = u64::from_le_bytes(*from));
            own
        })
    }
}

impl Default for Trigrams {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

/// Word and bit of each.
fn places(text: &str) -> impl Iterator<Item = (usize, u64)> {
    let bytes = text.as_bytes();
    let threes = iter::zip(bytes, iter::zip(bytes.iter().skip(1), bytes.iter().skip(2)));
    threes.map(|(a, (b, c))| {
        let three = u32::from(*a) << 16 | u32::from(*b) << 8 | u32::from(*c);
        let hash = three.wrapping_mul(0x9e37_79b1) >> (u32::BITS - BITS);
        ((hash / u64::BITS) as usize, 1 << (hash % u64::BITS))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_there_is_told() {
        let mut own = Trigrams::default();
        (0..1000).for_each(|n| own.add(&format!("link {n} is down")));
        assert!(own.may_have("link 77") && own.may_have("is down") && own.may_have("do") && own.may_have(""));
        assert!(!own.may_have("link up") && !own.may_have("overheated") && !own.is_full());
        (0..4000u32).for_each(|n| own.add(&format!("{:x}", n.wrapping_mul(0x9e37_79b1))));
        (0..20_000).for_each(|n| own.add(&char::from_u32(0x4e00 + n).unwrap_or('x').to_string()));
        assert!(own.is_full());
    }

    proptest! {
        #[test]
        fn every_part_of_a_text_is_there(texts in prop::collection::vec("\\PC{0,12}", 1..9), from in 0usize..12, to in 0usize..40) {
            let (mut one, mut two) = (Trigrams::default(), Trigrams::default());
            texts.iter().enumerate().for_each(|(n, text)| if n % 2 == 0 { one.add(text) } else { two.add(text) });
            one.add_all(&two);
            let own = Trigrams::of_bytes(&one.bytes().collect::<Vec<_>>()).unwrap();
            for text in &texts {
                let part = text.get(from.min(text.len())..to.min(text.len())).unwrap_or(text);
                prop_assert!(own.may_have(part) && own.may_have(text));
            }
        }
    }
}
