//! The first place of some pieces in a text, in time linear in the text: every place at once, a bit for each piece.

use super::Pattern;
use super::Piece;

/// One more than a client's longest pattern needs: see [`Pattern::beginning_with`].
const MASK_WORDS: usize = Pattern::LEN_MAX / u64::BITS as usize + 1;

/// The characters that no piece tells apart, with the pieces that take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Classes {
    /// The first character of each, ascending from the first of all.
    starts: Vec<char>,
    /// Of each as many words as there are pieces to have a bit each.
    masks: Vec<u64>,
    words: usize,
    last: usize,
}

impl Classes {
    /// * `pieces`: at least one, at most one more than [`Pattern::LEN_MAX`].
    pub(super) fn of(pieces: &[Piece]) -> Self {
        let mut starts = vec!['\0'];
        for piece in pieces {
            let mut ends = |low: char, high: char| {
                starts.push(low);
                // Surrogates are no characters: the range goes on behind them.
                starts.extend((high..=char::MAX).nth(1));
            };
            match piece {
                Piece::One(c) => ends(*c, *c),
                Piece::Digit => ends('0', '9'),
                Piece::Set { ranges, .. } => ranges.iter().for_each(|(low, high)| ends(*low, *high)),
                Piece::Any | Piece::Run => {}
            }
        }
        starts.sort_unstable();
        starts.dedup();
        let word = |c: char, pieces: &[Piece]| {
            let takes = pieces.iter().enumerate().filter(|(_, piece)| piece.takes(c));
            takes.fold(0, |word, (at, _)| word | 1u64 << at)
        };
        let of_class =
            |c: &char| pieces.chunks(u64::BITS as usize).map(|pieces| word(*c, pieces)).collect::<Vec<u64>>();
        let masks = starts.iter().flat_map(of_class).collect();
        let (words, last) = (pieces.len().div_ceil(u64::BITS as usize), pieces.len().saturating_sub(1));
        Self { starts, masks, words, last }
    }

    /// Bit n says whether the pieces up to the n-th take the characters up to here; all of them move on at once.
    pub(super) fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut state = [0u64; MASK_WORDS];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let class = self.starts.partition_point(|start| *start <= c).saturating_sub(1);
            let mask = self.masks.get(class * self.words..)?;
            let mut carry = 1;
            for (word, mask) in state.iter_mut().take(self.words).zip(mask) {
                let out = *word >> (u64::BITS - 1);
                *word = (*word << 1 | carry) & mask;
                carry = out;
            }
            let word = state.get(self.last / u64::BITS as usize)?;
            if word >> (self.last as u32 % u64::BITS) & 1 == 1 {
                return Some(chars.as_str());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Glob;
    use super::super::Part;
    use super::*;

    proptest! {
        /// Goal: all places at once are as each tried in turn.
        #[test]
        fn the_first_place_is_found_at_once(pattern in "[ab?#é]{0,9}[?#é]|[ab]{0,70}(\\[[!^]?[aé-ü]\\]){1,40}", text in "[ab1é\u{d7ff}\u{e000}\u{10ffff}]{0,300}") {
            let Ok(Pattern::Glob(Glob(parts))) = Pattern::glob(&pattern) else { return Ok(()) };
            if let Some(part @ Part::Pieces(_, classes)) = parts.first() {
                let places = text.char_indices().filter_map(|(at, _)| text.get(at..));
                let first = places.filter_map(|from| part.strip(from)).next();
                prop_assert_eq!(classes.find(&text), first, "{} in {:?}", pattern, text);
            }
        }
    }
}
