//! Reads from one chunk's file. Every byte handed out was verified first: block by block, in the same pass that copies it
//! out of the direct-I/O buffer.

use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;

use crate::chunk::ChunkLayout;
use crate::chunk::DecodeError;
use crate::chunk::Selection;
use crate::chunk::SparseBytes;
use crate::io::BLOCK_SIZE;
use crate::io::BlockDevice;
use crate::io::BlockFile;
use crate::io::CHECKSUM_BLOCK;
use crate::io::WRITE_SIZE;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::SessionId;

use super::path;
use super::path::Suffix;

/// Reads of one fetch that may be under way at once.
const READS_IN_FLIGHT_MAX: usize = 8;

const _: () = {
    assert!(CHECKSUM_BLOCK.is_multiple_of(BLOCK_SIZE), "a checksum block must be readable by itself");
    assert!(WRITE_SIZE.is_multiple_of(CHECKSUM_BLOCK), "a read must cover whole checksum blocks");
};

#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The record is there and the file is not: damage, never fewer rows.
    #[error("chunk {chunk}: its file is missing")]
    Missing { chunk: ChunkId },
    #[error("chunk {chunk}: its file ends early: {cause}")]
    Short { chunk: ChunkId, cause: String },
    #[error("chunk {chunk}: reading {len} bytes at offset {offset} failed: {cause}")]
    Io { chunk: ChunkId, offset: u64, len: usize, cause: String },
    #[error(transparent)]
    Damaged(Arc<DecodeError>),
}

impl From<DecodeError> for FetchError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(Arc::new(error))
    }
}

/// An open chunk with its verified footer.
pub struct ChunkReader {
    chunk: ChunkId,
    file: Rc<dyn BlockFile>,
    file_bytes: u64,
    body_bytes: u64,
    layout: ChunkLayout,
}

impl ChunkReader {
    /// Opens the file under either of its names, reads what lies behind the last page and verifies it.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn open(
        device: &Rc<dyn BlockDevice>,
        session: SessionId,
        record: &ChunkRecord,
    ) -> Result<Self, FetchError> {
        let chunk = record.chunk;
        let file: Rc<dyn BlockFile> = Rc::from(open_either(device, session, chunk).await?);
        let tail = read(&*file, chunk, record.body_bytes..record.file_bytes, record.file_bytes).await?;
        let layout = ChunkLayout::parse(record, &tail)?;
        Ok(Self { chunk, file, file_bytes: record.file_bytes, body_bytes: record.body_bytes, layout })
    }

    pub fn layout(&self) -> &ChunkLayout {
        &self.layout
    }

    /// The bytes that decoding `selection` needs, verified.
    ///
    /// Cost: whole checksum blocks are read, so up to two of them more than asked for per range.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self, selection: &Selection) -> Result<SparseBytes, FetchError> {
        let pieces = widen(&self.layout.needs(selection), self.body_bytes);
        let mut reads = stream::iter(pieces).map(|piece| self.fetch_piece(piece)).buffered(READS_IN_FLIGHT_MAX);
        let mut bytes = SparseBytes::default();
        while let Some((offset, piece)) = reads.try_next().await? {
            bytes.insert(offset, piece);
        }
        Ok(bytes)
    }

    /// Reads and verifies every block before the checksum list, for `verify`.
    ///
    /// # Errors
    /// [`FetchError`] of the first bad block.
    pub async fn verify(&self) -> Result<(), FetchError> {
        let mut at = 0;
        while at < self.body_bytes {
            let end = (at + WRITE_SIZE as u64).min(self.body_bytes);
            self.fetch_piece(at..end).await?;
            at = end;
        }
        Ok(())
    }

    /// One piece: begins at a checksum block, ends at one or at the end of the body.
    async fn fetch_piece(&self, piece: Range<u64>) -> Result<(u64, Bytes), FetchError> {
        let offset = piece.start;
        let bytes = read(&*self.file, self.chunk, piece, self.file_bytes).await?;
        for (index, block) in bytes.chunks(CHECKSUM_BLOCK).enumerate() {
            self.layout.verify_block(offset / CHECKSUM_BLOCK as u64 + index as u64, block)?;
        }
        Ok((offset, Bytes::from(bytes)))
    }
}

async fn open_either(
    device: &Rc<dyn BlockDevice>,
    session: SessionId,
    chunk: ChunkId,
) -> Result<Box<dyn BlockFile>, FetchError> {
    // The rename runs behind the commit, so the name can change between two looks.
    for suffix in [Suffix::Parquet, Suffix::Part, Suffix::Parquet] {
        match device.open(&path::chunk_file(session, chunk, suffix)).await {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FetchError::Io { chunk, offset: 0, len: 0, cause: error.to_string() }),
        }
    }
    Err(FetchError::Missing { chunk })
}

/// Reads `range`, which may begin and end anywhere, in aligned pieces.
async fn read(file: &dyn BlockFile, chunk: ChunkId, range: Range<u64>, file_bytes: u64) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
    let mut at = range.start;
    while at < range.end {
        let begin = at / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
        let end = range.end.min(begin + WRITE_SIZE as u64);
        let len = usize::try_from(end - begin).unwrap_or(WRITE_SIZE).next_multiple_of(BLOCK_SIZE);
        let block = file.read_at(begin, len).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => FetchError::Short { chunk, cause: error.to_string() },
            _ => FetchError::Io { chunk, offset: begin, len, cause: error.to_string() },
        })?;
        let wanted = (at - begin) as usize..(end - begin) as usize;
        let Some(wanted) = block.as_slice().get(wanted) else {
            let cause = format!("{} of {len} bytes at offset {begin}, file of {file_bytes}", block.as_slice().len());
            return Err(FetchError::Short { chunk, cause });
        };
        bytes.extend_from_slice(wanted);
        at = end;
    }
    Ok(bytes)
}

/// Widens the ranges to whole checksum blocks, joins what touches, and cuts into pieces of at most [`WRITE_SIZE`].
fn widen(ranges: &[Range<u64>], body_bytes: u64) -> Vec<Range<u64>> {
    let block = CHECKSUM_BLOCK as u64;
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let start = range.start / block * block;
        let end = range.end.next_multiple_of(block).min(body_bytes);
        match joined.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => joined.push(start..end),
        }
    }
    let step = WRITE_SIZE as u64;
    let cut = |range: Range<u64>| {
        (range.start..range.end).step_by(WRITE_SIZE).map(move |start| start..(start + step).min(range.end))
    };
    joined.into_iter().flat_map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_widened_to_checksum_blocks_joined_and_cut() {
        let kib = |n: u64| n << 10;
        assert_eq!(widen(&[kib(70)..kib(80)], kib(100)), [kib(64)..kib(100)]);
        assert_eq!(widen(&[0..10, kib(65)..kib(66)], kib(1000)), [0..kib(128)]);
        assert_eq!(widen(&[0..10, kib(200)..kib(201)], kib(1000)), [0..kib(64), kib(192)..kib(256)]);
        assert_eq!(widen(&[0..kib(1500)], kib(1500)), [0..kib(1024), kib(1024)..kib(1500)]);
        assert_eq!(widen(&[], kib(10)), []);
    }
}
