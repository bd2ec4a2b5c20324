//! Parts of a file as the Parquet reader wants them: shared memory, by file offset.

use std::io::Read;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use parquet::file::reader::Length;

/// Pieces of one file, by offset. Pieces may touch; where they overlap the one with the larger offset wins.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// Ascending.
    pieces: Vec<(u64, Bytes)>,
}

impl Parts {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds what lies at `offset`. Cheap when pieces come in ascending order.
    pub(super) fn insert(&mut self, offset: u64, bytes: Bytes) {
        let at = self.pieces.partition_point(|(other, _)| *other <= offset);
        self.pieces.insert(at, (offset, bytes));
    }

    /// `len` bytes at `offset`: a slice of one piece, or a copy when several have parts of it. `None` when some are missing.
    pub(super) fn get(&self, offset: u64, len: usize) -> Option<Bytes> {
        if len == 0 {
            return Some(Bytes::new());
        }
        let first = self.piece(offset)?;
        if let Some(slice) = first.get(..len) {
            return Some(first.slice_ref(slice));
        }
        let mut whole = BytesMut::with_capacity(len);
        while whole.len() < len {
            let piece = self.piece(offset.checked_add(whole.len() as u64)?)?;
            whole.extend_from_slice(piece.get(..len - whole.len()).unwrap_or(&piece));
        }
        Some(whole.freeze())
    }

    /// What is known from `offset` on without a gap inside one piece; never empty.
    fn piece(&self, offset: u64) -> Option<Bytes> {
        let at = self.pieces.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, bytes) = self.pieces.get(at)?;
        let skip = usize::try_from(offset - start).ok()?;
        (skip < bytes.len()).then(|| bytes.slice(skip..))
    }
}

impl Length for Parts {
    fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |(start, bytes)| start.saturating_add(bytes.len() as u64))
    }
}

impl ChunkReader for Parts {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let piece = self.piece(start).ok_or_else(|| missing(start, 1))?;
        Ok(Box::new(piece.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.get(start, length).ok_or_else(|| missing(start, length))
    }
}

fn missing(offset: u64, len: usize) -> ParquetError {
    ParquetError::EOF(format!("{len} bytes at offset {offset} were not read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_joined_and_missed() {
        let mut sparse = Parts::new();
        sparse.insert(20, Bytes::from_static(b"klmno"));
        sparse.insert(10, Bytes::from_static(b"abcdefghij"));
        assert_eq!(sparse.get(12, 3).unwrap(), "cde");
        assert_eq!(sparse.get(18, 5).unwrap(), "ijklm");
        assert_eq!(sparse.get(20, 5).unwrap(), "klmno");
        assert_eq!(sparse.get(9, 2), None);
        assert_eq!(sparse.get(22, 4), None);
        assert_eq!(sparse.get(99, 0).unwrap(), "");
        assert_eq!(sparse.get(u64::MAX, 2), None);
    }
}
