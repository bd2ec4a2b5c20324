//! The bytes of a file that were read, where the device put them, and spans of them by file offset.

use std::borrow::Cow;
use std::rc::Rc;

/// Bytes wherever they lie.
type Piece = Rc<dyn AsRef<[u8]>>;

/// Pieces of one file, by offset. Pieces may touch; where they overlap the one with the larger offset wins. Stays on its
/// thread, as direct-I/O buffers do.
#[derive(Clone, Default)]
pub struct SparseBytes {
    /// Ascending, none empty.
    pieces: Vec<(u64, Piece)>,
}

impl SparseBytes {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what lies at `offset`. Cheap when pieces come in ascending order.
    pub fn insert(&mut self, offset: u64, piece: impl AsRef<[u8]> + 'static) {
        if !piece.as_ref().is_empty() {
            let at = self.pieces.partition_point(|(other, _)| *other <= offset);
            self.pieces.insert(at, (offset, Rc::new(piece)));
        }
    }

    /// `len` bytes at `offset`; `None` when some are missing.
    pub(super) fn span(&self, offset: u64, len: usize) -> Option<Span<'_>> {
        let span = Span { bytes: self, offset, len };
        let mut rest = span;
        while !rest.is_empty() {
            let known = rest.front().len();
            (known > 0).then_some(())?;
            rest = rest.behind(known);
        }
        Some(span)
    }

    /// What is known from `offset` on without a gap inside one piece.
    fn piece(&self, offset: u64) -> &[u8] {
        let at = self.pieces.partition_point(|(start, _)| *start <= offset).checked_sub(1);
        let piece = at.and_then(|at| self.pieces.get(at));
        let known = piece.and_then(|(start, bytes)| {
            let skip = usize::try_from(offset - start).ok()?;
            (**bytes).as_ref().get(skip..)
        });
        known.unwrap_or_default()
    }
}

/// Bytes of a file that are all there, in one piece or in several.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    bytes: &'a SparseBytes,
    offset: u64,
    len: usize,
}

impl<'a> Span<'a> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next `len` bytes off.
    pub(super) fn take(&mut self, len: usize) -> Option<Self> {
        (len <= self.len).then_some(())?;
        let front = Self { len, ..*self };
        *self = self.behind(len);
        Some(front)
    }

    /// The first `len` bytes, fewer at the end: copied only when they lie in several pieces.
    pub(super) fn peek(&self, len: usize) -> Cow<'a, [u8]> {
        let len = len.min(self.len);
        match self.front().get(..len) {
            Some(bytes) => Cow::Borrowed(bytes),
            None => {
                let mut whole = Vec::with_capacity(len);
                Self { len, ..*self }.slices().for_each(|slice| whole.extend_from_slice(slice));
                Cow::Owned(whole)
            }
        }
    }

    /// All bytes in order, none of the slices empty.
    pub(super) fn slices(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let front = rest.front();
            rest = rest.behind(front.len());
            (!front.is_empty()).then_some(front)
        })
    }

    /// What lies in one piece; empty only at the end.
    fn front(&self) -> &'a [u8] {
        let bytes = self.bytes.piece(self.offset);
        bytes.get(..self.len).unwrap_or(bytes)
    }

    fn behind(self, len: usize) -> Self {
        assert!(len <= self.len, "{len} bytes off a span of {}", self.len);
        Self { offset: self.offset + len as u64, len: self.len - len, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_joined_and_missed() {
        let mut sparse = SparseBytes::new();
        sparse.insert(20, *b"klmno");
        sparse.insert(10, *b"abcdefghij");
        sparse.insert(17, []);
        let whole = |offset, len| sparse.span(offset, len).map(|span| span.peek(len).into_owned());
        assert_eq!(whole(12, 3).unwrap(), b"cde");
        assert_eq!(whole(18, 5).unwrap(), b"ijklm");
        assert_eq!(whole(20, 5).unwrap(), b"klmno");
        assert_eq!(whole(9, 2), None);
        assert_eq!(whole(22, 4), None);
        assert_eq!(whole(99, 0).unwrap(), b"");
        assert_eq!(whole(u64::MAX, 2), None);
    }

    #[test]
    fn a_span_is_taken_from_its_front() {
        let mut sparse = SparseBytes::new();
        sparse.insert(0, *b"abc");
        sparse.insert(3, *b"defg");
        let mut span = sparse.span(1, 5).unwrap();
        assert!(matches!(span.peek(2), Cow::Borrowed(b"bc")));
        assert!(matches!(span.peek(3), Cow::Owned(_)));
        let front = span.take(3).unwrap();
        assert_eq!(front.slices().collect::<Vec<_>>(), [b"bc".as_slice(), b"d"]);
        assert_eq!((&*span.peek(9), span.len()), (b"ef".as_slice(), 2));
        assert!(span.take(3).is_none() && span.take(2).is_some() && span.is_empty());
    }
}
