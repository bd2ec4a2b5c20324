//! A set of positions, as bits.

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Set(Vec<u64>);

const BITS: usize = u64::BITS as usize;

impl Set {
    /// Of nothing, with room for positions below `len`.
    pub fn none(len: usize) -> Self {
        Self(vec![0; len.div_ceil(BITS)])
    }

    /// Of every position below `len`.
    pub fn all(len: usize) -> Self {
        let mut bits = vec![u64::MAX; len.div_ceil(BITS)];
        if let Some(last) = bits.last_mut().filter(|_| !len.is_multiple_of(BITS)) {
            *last = (1 << (len % BITS)) - 1;
        }
        Self(bits)
    }

    /// A position beyond the room is left out.
    pub fn add(&mut self, position: u32) {
        let position = position as usize;
        if let Some(word) = self.0.get_mut(position / BITS) {
            *word |= 1 << (position % BITS);
        }
    }

    pub fn has(&self, position: u32) -> bool {
        let position = position as usize;
        self.0.get(position / BITS).is_some_and(|word| word >> (position % BITS) & 1 == 1)
    }

    pub fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own |= other);
    }

    /// Keeps what is in the other, too.
    pub fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own &= other);
    }

    /// Ascending.
    pub fn positions(&self) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.0).filter(|(_, word)| **word != 0).flat_map(|(index, word)| {
            (0..u64::BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * u64::BITS + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_joined_and_cut() {
        let of = |positions: &[u32]| {
            let mut set = Set::none(130);
            positions.iter().for_each(|position| set.add(*position));
            set
        };
        let listed = |set: &Set| set.positions().collect::<Vec<_>>();
        for len in [0, 1, 63, 64, 65, 128, 130] {
            assert_eq!(listed(&Set::all(len)), (0..len as u32).collect::<Vec<_>>());
        }
        let mut set = of(&[0, 63, 64, 129]);
        set.keep(&of(&[63, 64, 128]));
        assert_eq!(listed(&set), [63, 64]);
        set.add_all(&of(&[129, 1]));
        assert_eq!(listed(&set), [1, 63, 64, 129]);
    }
}
