//! One message made of several shared slices, sent without putting them together.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Buf;
use bytes::Bytes;

/// Slices in the order they go out. Cloning and cutting move reference counts, never bytes.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    parts: VecDeque<Bytes>,
    len: usize,
}

impl Rope {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a slice; empty ones vanish.
    pub fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push_back(part);
        }
    }

    pub fn push_front(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push_front(part);
        }
    }

    /// Bytes of all slices.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl From<Bytes> for Rope {
    fn from(part: Bytes) -> Self {
        let mut rope = Self::new();
        rope.push(part);
        rope
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(parts: I) -> Self {
        let mut rope = Self::new();
        parts.into_iter().for_each(|part| rope.push(part));
        rope
    }
}

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    /// One `writev` carries the frame's head and as many slices as the kernel takes.
    fn chunks_vectored<'a>(&'a self, target: &mut [IoSlice<'a>]) -> usize {
        let pairs = target.iter_mut().zip(&self.parts);
        pairs.map(|(slot, part)| *slot = IoSlice::new(part)).count()
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "advance by {count} in a rope of {} bytes", self.len);
        self.len -= count;
        while let Some(front) = self.parts.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.parts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rope_reads_like_its_slices_joined() {
        let parts = ["he", "", "llo", " ", "world"].map(|part| Bytes::from_static(part.as_bytes()));
        for cut in 0..=11 {
            let mut rope: Rope = parts.iter().cloned().collect();
            assert_eq!(rope.len(), 11);
            rope.advance(cut);
            assert_eq!(rope.remaining(), 11 - cut);
            let mut slices = [IoSlice::new(&[]); 8];
            let count = rope.chunks_vectored(&mut slices);
            let joined: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(joined, "hello world".as_bytes()[cut..]);
            assert_eq!(rope.copy_to_bytes(11 - cut), "hello world".as_bytes()[cut..]);
        }
    }
}
