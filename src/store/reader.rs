//! Reads from one chunk's file. Every byte handed out was verified first, where the device put it; it stays there until the
//! decoder copies it to where it is sent from.
//!
//! A read that fails is repeated twice, bytes that do not match their checksum are read once more: a cable or a controller
//! may have a bad moment. What fails after that is damage, and an error.

use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;

use crate::chunk::ChunkLayout;
use crate::chunk::DecodeError;
use crate::chunk::Selection;
use crate::chunk::SparseBytes;
use crate::io::AlignedBuf;
use crate::io::BLOCK_SIZE;
use crate::io::BlockDevice;
use crate::io::BlockFile;
use crate::io::CHECKSUM_BLOCK;
use crate::io::WRITE_SIZE;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::Predicate;
use crate::model::SessionId;

use super::path;
use super::path::Suffix;

mod longer;

/// Reads of one fetch that may be under way at once.
const READS_IN_FLIGHT_MAX: usize = 8;

/// How often a read that fails is asked for.
const ATTEMPTS_MAX: usize = 3;

const _: () = {
    assert!(CHECKSUM_BLOCK.is_multiple_of(BLOCK_SIZE), "a checksum block must be readable by itself");
    assert!(WRITE_SIZE.is_multiple_of(CHECKSUM_BLOCK), "a read must cover whole checksum blocks");
};

#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The record is there and the file is not: damage, never fewer rows.
    #[error("chunk {chunk}: its file is missing")]
    Missing { chunk: ChunkId },
    /// The process has no room for one more open file: nothing is known of what it holds.
    #[error("chunk {chunk}: its file cannot be opened now: {cause}; try again")]
    NotNow { chunk: ChunkId, cause: String },
    /// Its record is what the manifest told: a rebuild found no end of the file to go by.
    #[error(
        "chunk {chunk}: its file could not be read when the catalog was rebuilt; mend it, or put a whole one back, and rebuild again"
    )]
    Unread { chunk: ChunkId },
    #[error("chunk {chunk}: its file cannot be opened: {cause}")]
    Open { chunk: ChunkId, cause: String },
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
        if record.is_from_manifest() {
            return Err(FetchError::Unread { chunk });
        }
        let layout = match Self::read_layout(&*file, record).await {
            Err(FetchError::Damaged(_)) => Self::read_layout(&*file, record).await?,
            read => read?,
        };
        Ok(Self { chunk, file, body_bytes: record.body_bytes, layout })
    }

    async fn read_layout(file: &dyn BlockFile, record: &ChunkRecord) -> Result<ChunkLayout, FetchError> {
        let bytes = read_range(file, record.chunk, record.body_bytes..record.file_bytes).await?;
        Ok(ChunkLayout::parse(record, &bytes)?)
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
        self.fetch_ranges(&self.layout.needs(selection)).await
    }

    /// For each row group those of its rows that may satisfy the predicate, as the chunk's zones tell; `None` where it has none.
    ///
    /// Cost: what zones take, at most half a megabyte, from the device.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn rows_that_may_hold(&self, predicate: &Predicate) -> Result<Option<Vec<Vec<Range<u64>>>>, FetchError> {
        let Some(zones) = self.layout.zones() else { return Ok(None) };
        let bytes = self.fetch_ranges(std::slice::from_ref(&zones)).await?;
        Ok(Some(self.layout.rows_that_may_hold(&bytes, predicate)))
    }

    async fn fetch_ranges(&self, ranges: &[Range<u64>]) -> Result<SparseBytes, FetchError> {
        let pieces = widen(ranges, self.body_bytes);
        let mut reads = stream::iter(pieces).map(|piece| self.fetch_piece(piece)).buffered(READS_IN_FLIGHT_MAX);
        let mut bytes = SparseBytes::default();
        while let Some((offset, piece)) = reads.try_next().await? {
            bytes.insert(offset, piece);
        }
        Ok(bytes)
    }

    /// How many bytes [`Self::fetch`] brings.
    pub fn fetch_bytes(&self, selection: &Selection) -> u64 {
        widen(&self.layout.needs(selection), self.body_bytes).iter().map(|piece| piece.end - piece.start).sum()
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

    /// Reads and verifies what lies at `at`, at most [`WRITE_SIZE`] bytes; returns where the next such piece begins, `None` at the
    /// end. Pieces begin at multiples of [`WRITE_SIZE`].
    ///
    /// # Errors
    /// [`FetchError`] of its first bad block.
    pub async fn verify_piece(&self, at: u64) -> Result<Option<u64>, FetchError> {
        let end = at.saturating_add(WRITE_SIZE as u64).min(self.body_bytes);
        if at < end {
            self.fetch_piece(at..end).await?;
        }
        Ok((end < self.body_bytes).then_some(end))
    }

    /// One piece: begins at a checksum block, ends at one or at the end of the body, at most [`WRITE_SIZE`] long.
    async fn fetch_piece(&self, piece: Range<u64>) -> Result<(u64, Aligned), FetchError> {
        let offset = piece.start;
        let read = match self.fetch_once(piece.clone()).await {
            Err(FetchError::Damaged(_)) => self.fetch_once(piece).await?,
            read => read?,
        };
        Ok((offset, read))
    }

    async fn fetch_once(&self, piece: Range<u64>) -> Result<Aligned, FetchError> {
        let first = piece.start / CHECKSUM_BLOCK as u64;
        let read = Aligned::read(&*self.file, self.chunk, piece).await?;
        for (block, number) in read.as_ref().chunks(CHECKSUM_BLOCK).zip(first..) {
            self.layout.verify_block(number, block)?;
        }
        Ok(read)
    }
}

/// Bytes of a file that nothing has proven.
pub(super) async fn read_range(file: &dyn BlockFile, chunk: ChunkId, range: Range<u64>) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::with_capacity(usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0));
    let mut at = range.start;
    while at < range.end {
        let end = range.end.min(at / BLOCK_SIZE as u64 * BLOCK_SIZE as u64 + WRITE_SIZE as u64);
        let read = Aligned::read(file, chunk, at..end).await?;
        bytes.extend_from_slice(read.as_ref());
        at = end;
    }
    Ok(bytes)
}

pub(super) async fn open_either(
    device: &Rc<dyn BlockDevice>,
    session: SessionId,
    chunk: ChunkId,
) -> Result<Box<dyn BlockFile>, FetchError> {
    // The rename runs behind the commit, so the name can change between two looks.
    for suffix in [Suffix::Parquet, Suffix::Part, Suffix::Parquet] {
        match device.open(&path::chunk_file(session, chunk, suffix)).await {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if is_ours(&error) => return Err(FetchError::NotNow { chunk, cause: error.to_string() }),
            Err(error) => return Err(FetchError::Open { chunk, cause: error.to_string() }),
        }
    }
    Err(FetchError::Missing { chunk })
}

/// Whether a call failed for want of something that this process has no more of.
pub(super) fn is_ours(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE))
}

/// What one read of the device brought: the wanted range and what lies around it in its blocks.
struct Aligned {
    buffer: AlignedBuf,
    /// Inside the buffer.
    wanted: Range<usize>,
}

impl Aligned {
    /// * `range`: at most [`WRITE_SIZE`] from the beginning of its first block.
    async fn read(file: &dyn BlockFile, chunk: ChunkId, range: Range<u64>) -> Result<Self, FetchError> {
        let begin = range.start / BLOCK_SIZE as u64 * BLOCK_SIZE as u64;
        let wanted = (range.start - begin) as usize..(range.end - begin) as usize;
        let len = wanted.end.next_multiple_of(BLOCK_SIZE);
        assert!(len <= WRITE_SIZE, "{len} bytes in one read, at most {WRITE_SIZE}");
        let mut attempt = 1;
        let buffer = loop {
            match file.read_at(begin, len).await {
                Ok(buffer) => break buffer,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(FetchError::Short { chunk, cause: error.to_string() });
                }
                Err(_) if attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => {
                    let cause = format!("{error} (asked {attempt} times)");
                    return Err(FetchError::Io { chunk, offset: begin, len, cause });
                }
            }
        };
        if buffer.len() < wanted.end {
            let cause = format!("{} bytes at offset {begin}, {} expected", buffer.len(), wanted.end);
            return Err(FetchError::Short { chunk, cause });
        }
        Ok(Self { buffer, wanted })
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice().get(self.wanted.clone()).unwrap_or_default()
    }
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
mod tests;
