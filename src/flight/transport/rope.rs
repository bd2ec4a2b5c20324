//! One message made of several shared slices, sent without putting them together.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Buf;
use bytes::Bytes;

/// Slices in the order they go out. Cloning and cutting move reference counts, never bytes.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    parts: VecDeque<Bytes>,
    len: usize,
    account: Option<Account>,
}

/// Counts what goes out, and keeps what pays for the memory until the last byte of it has gone: HTTP/2 may hold a message long
/// after its call has ended.
#[derive(Clone)]
struct Account {
    taken: Arc<AtomicU64>,
    _paid: Option<Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({} taken)", self.taken.load(Relaxed))
    }
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

    /// Counts its bytes in `taken` as they go out, and keeps `paid` until it is dropped.
    pub fn account(&mut self, taken: &Arc<AtomicU64>, paid: Option<Arc<dyn Any + Send + Sync>>) {
        self.account = Some(Account { taken: Arc::clone(taken), _paid: paid });
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
        if let Some(account) = &self.account {
            account.taken.fetch_add(count as u64, Relaxed);
        }
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

    #[test]
    fn a_rope_counts_what_went_out_and_is_paid_for_until_it_is_gone() {
        let (taken, paid) = (Arc::default(), Arc::new(()));
        let mut rope = Rope::from(Bytes::from_static(b"hello"));
        rope.account(&taken, Some(paid.clone()));
        rope.advance(3);
        assert_eq!((taken.load(Relaxed), Arc::strong_count(&paid)), (3, 2));
        drop(rope);
        assert_eq!((taken.load(Relaxed), Arc::strong_count(&paid)), (3, 1));
    }
}
