//! Writes one chunk's file: bytes in order into aligned blocks, several blocks in flight, and the publish order at the end.
//!
//! # Publish order (the contract)
//!
//! | step | what                                                  | a crash after it leaves            | the next start          |
//! |------|-------------------------------------------------------|------------------------------------|-------------------------|
//! | 1    | session marked and its directory made, parents synced | a mark, an empty directory         | removes the mark        |
//! | 2    | `<chunk>.part` created, then the directory synced     | an orphan `.part`                  | unlinks it              |
//! | 3    | blocks written into space allocated ahead             | an orphan `.part`                  | unlinks it              |
//! | 4    | all writes *and* the directory sync have completed    | an orphan `.part`                  | unlinks it              |
//! | 5    | truncate to the true length, then fdatasync           | an orphan `.part`, whole           | unlinks it: not acked   |
//! | 6    | catalog transaction (the caller's)                    | a committed `.part`                | renames it              |
//! | 7    | rename to `.parquet`, in the background               | a committed chunk                  | –                       |
//!
//! A failed write or sync kills the file: nothing is retried on it, because a second fdatasync can lie.

use std::io;
use std::rc::Rc;

use crate::io::AlignedBuf;
use crate::io::BLOCK_SIZE;
use crate::io::BlockFile;
use crate::io::BlockHasher;
use crate::io::CHECKSUM_BLOCK;
use crate::io::WRITE_SIZE;
use crate::io::failpoint;
use crate::model::ChunkId;
use crate::model::SessionId;

use super::directory::Directory;
use super::flight::Flight;
use super::flight::Lost;
use super::path;
use super::path::Suffix;
use super::reader::is_ours;
use super::retention::gone_is_fine;

/// Blocks of one chunk that may be on their way to the device; more wait.
pub const WRITES_IN_FLIGHT_MAX: usize = 8;

/// Space is allocated ahead in these steps, so that writes never extend the file and many small topics reserve little.
const ALLOCATION_STEPS: [u64; 4] = [4 << 20, 16 << 20, 64 << 20, ALLOCATION_STEP_LAST];
const ALLOCATION_STEP_LAST: u64 = 256 << 20;

/// Bytes that a chunk's trailer may take.
const TRAILER_ROOM: u64 = 1 << 20;

/// Bytes that a file system may take for itself as a file grows.
const FILE_SYSTEM_ROOM: u64 = 256 << 10;

const _: () = {
    assert!(WRITE_SIZE.is_multiple_of(BLOCK_SIZE));
    assert!(ALLOCATION_STEPS[0] >= WRITE_SIZE as u64, "a step must hold at least one block");
};

#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    #[error("chunk {chunk}: {step} failed: {cause}; the file is abandoned")]
    Io { chunk: ChunkId, step: &'static str, cause: String, kind: io::ErrorKind },
    /// Found before anything was asked of the file: it is as good as it was.
    #[error("chunk {chunk}: no room for {wanted} bytes more, {why}: what it has is sealed")]
    NoRoom { chunk: ChunkId, wanted: u64, why: String },
}

impl WriteError {
    /// Whether the device ran out of space.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { kind, .. } => is_no_room(*kind),
            Self::NoRoom { .. } => true,
        }
    }
}

pub(super) fn is_no_room(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The file of a chunk while it is written. Dropping it leaves a `.part` that [`Self::abandon`] would have removed.
pub struct ChunkWriter {
    directory: Rc<Directory>,
    session: SessionId,
    chunk: ChunkId,
    file: Rc<dyn BlockFile>,
    /// The block being filled and the bytes in it; `None` between blocks.
    block: Option<AlignedBuf>,
    /// Bytes in `block`, or in `rest` when there is no block.
    filled: usize,
    /// Bytes of a spilled block that do not make a whole [`BLOCK_SIZE`].
    rest: Vec<u8>,
    /// File offset of the first byte of `block` or `rest`.
    offset: u64,
    /// Bytes of `block` that are hashed: up to the last checksum boundary.
    hashed: usize,
    /// `None` once [`Self::checksums`] has closed the list.
    hasher: Option<BlockHasher>,
    allocated: u64,
    flight: Rc<Flight>,
}

impl ChunkWriter {
    /// Creates `<chunk>.part` and starts the directory sync behind it.
    ///
    /// # Errors
    /// [`WriteError`] when the directory or the file cannot be made.
    pub async fn create(directory: Rc<Directory>, session: SessionId, chunk: ChunkId) -> Result<Self, WriteError> {
        let own = Rc::clone(&directory);
        let wrap = |step| {
            let own = Rc::clone(&own);
            move |e: io::Error| {
                own.failed(e.kind(), is_ours(&e));
                WriteError::Io { chunk, step, cause: e.to_string(), kind: e.kind() }
            }
        };
        directory.make_session(session).await.map_err(wrap("making the session's directory"))?;
        failpoint("publish: session made");
        let part = path::chunk_file(session, chunk, Suffix::Part);
        let file = directory.device.create(&part).await.map_err(wrap("creating the file"))?;
        failpoint("publish: file created");
        let flight = Rc::new(Flight::default());
        let device = Rc::clone(&directory.device);
        let departed = flight.depart("syncing the directory");
        directory.tasks.push("directory sync", async move {
            departed.arrive(device.sync_directory(&path::session_directory(session)).await);
        });
        Ok(Self {
            directory,
            session,
            chunk,
            file: Rc::from(file),
            block: None,
            filled: 0,
            rest: Vec::new(),
            offset: 0,
            hashed: 0,
            hasher: Some(BlockHasher::new(chunk)),
            allocated: 0,
            flight,
        })
    }

    /// Bytes appended so far.
    pub fn bytes(&self) -> u64 {
        self.offset + self.filled as u64
    }

    /// Copies `bytes` behind what is there, and hashes the copy while it is in the core's cache. Waits only for blocks: of the
    /// pool, or of its own in flight.
    ///
    /// # Errors
    /// [`WriteError`] of any write so far; the file is dead then.
    pub async fn append(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            if self.block.is_none() {
                self.take_block().await?;
            }
            let Some(block) = self.block.as_mut() else { unreachable!("a block was just taken") };
            // Up to the end of the block or of what one checksum covers: both are ends of the latter, unless it was spilled.
            let covered = (self.offset + self.filled as u64) as usize % CHECKSUM_BLOCK;
            let count = bytes.len().min(WRITE_SIZE - self.filled).min(CHECKSUM_BLOCK - covered);
            let (head, tail) = bytes.split_at(count);
            if let Some(room) = block.as_mut_slice().get_mut(self.filled..self.filled + count) {
                room.copy_from_slice(head);
            }
            self.filled += count;
            bytes = tail;
            if covered + count == CHECKSUM_BLOCK {
                self.hash_to(self.filled);
            }
            if self.filled == WRITE_SIZE {
                self.submit(WRITE_SIZE).await?;
            }
        }
        Ok(())
    }

    /// The checksums of everything so far, one per [`CHECKSUM_BLOCK`]. What is appended after this is not covered.
    pub fn checksums(&mut self) -> Vec<u64> {
        self.hash_to(self.filled);
        let Some(mut hasher) = self.hasher.take() else { unreachable!("the checksums of a file are taken once") };
        if self.block.is_none() {
            hasher.update(&self.rest);
        }
        hasher.finish()
    }

    /// Hashes the block up to `end`, from where it is hashed.
    fn hash_to(&mut self, end: usize) {
        if let (Some(hasher), Some(block)) = (self.hasher.as_mut(), self.block.as_ref()) {
            hasher.update(block.as_slice().get(self.hashed..end).unwrap_or_default());
        }
        self.hashed = end;
    }

    /// Writes what fills whole [`BLOCK_SIZE`] pieces and gives the block back: for a topic that waits while others need
    /// blocks. At most `BLOCK_SIZE - 1` bytes stay in memory.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn spill(&mut self) -> Result<(), WriteError> {
        let Some(block) = self.block.as_ref() else { return Ok(()) };
        let whole = self.filled / BLOCK_SIZE * BLOCK_SIZE;
        self.rest = block.as_slice().get(whole..self.filled).unwrap_or_default().to_vec();
        if whole == 0 {
            (self.block, self.hashed) = (None, 0);
        } else {
            self.submit(whole).await?;
        }
        self.filled = self.rest.len();
        Ok(())
    }

    /// Everything durable under the `.part` name: steps 4 and 5. Returns the length of the file.
    ///
    /// # Errors
    /// [`WriteError`]; the caller then abandons the file.
    pub async fn finish(&mut self) -> Result<u64, WriteError> {
        let length = self.bytes();
        if self.filled > 0 {
            if self.block.is_none() {
                self.take_block().await?;
            }
            let padded = self.filled.next_multiple_of(BLOCK_SIZE);
            if let Some(block) = self.block.as_mut() {
                // Blocks are reused: what lies behind the last byte belongs to somebody else's rows.
                block.fill_zero(self.filled..padded);
            }
            self.submit(padded).await?;
        }
        failpoint("publish: last write begun");
        self.in_flight_at_most(0).await?;
        failpoint("publish: written");
        self.file.truncate(length).await.map_err(|e| self.error("truncating", &e))?;
        failpoint("publish: truncated");
        self.file.sync().await.map_err(|e| self.error("syncing", &e))?;
        failpoint("publish: synced");
        Ok(length)
    }

    /// After the commit: gives the file its final name, in the background. A failure is left to the next start.
    pub fn publish(self) {
        let (session, chunk, directory) = (self.session, self.chunk, Rc::clone(&self.directory));
        self.directory.tasks.push("rename", async move {
            let from = path::chunk_file(session, chunk, Suffix::Part);
            let to = path::chunk_file(session, chunk, Suffix::Parquet);
            match directory.device.rename(&from, &to).await {
                Ok(()) => failpoint("publish: renamed"),
                // Its topic or session was deleted and purged meanwhile, or it was renamed as the session was settled.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%chunk, %error, "a committed chunk keeps its .part name until the next start");
                }
            }
        });
    }

    /// Removes the file: nothing in it was or will be acknowledged. Returns once nothing touches it any more.
    pub async fn abandon(self) {
        // Their errors no longer matter, but their buffers and the name do.
        self.flight.settled().await;
        let path = path::chunk_file(self.session, self.chunk, Suffix::Part);
        if let Err(error) = gone_is_fine(self.directory.device.unlink(&path).await) {
            tracing::warn!(chunk = %self.chunk, %error, "an abandoned chunk file stays until the next start");
        }
    }

    /// A block from the pool, with the rest of a spill in front.
    async fn take_block(&mut self) -> Result<(), WriteError> {
        self.in_flight_at_most(WRITES_IN_FLIGHT_MAX - 1).await?;
        let mut block = self.directory.block().await;
        let rest = std::mem::take(&mut self.rest);
        assert!(rest.len() == self.filled, "{} bytes of rest, {} filled", rest.len(), self.filled);
        if let Some(room) = block.as_mut_slice().get_mut(..rest.len()) {
            room.copy_from_slice(&rest);
        }
        self.block = Some(block);
        Ok(())
    }

    /// Sends the first `len` bytes of the block on their way; they begin at `offset`.
    async fn submit(&mut self, len: usize) -> Result<(), WriteError> {
        assert!(len.is_multiple_of(BLOCK_SIZE), "a write of {len} bytes is no whole number of blocks");
        assert!(self.offset.is_multiple_of(BLOCK_SIZE as u64), "a write at {} is not aligned", self.offset);
        self.hash_to(len);
        self.allocate(self.offset + len as u64).await?;
        let Some(block) = self.block.take() else { unreachable!("submit without a block") };
        let (file, offset, departed) = (Rc::clone(&self.file), self.offset, self.flight.depart("writing"));
        self.directory.tasks.push("write", async move {
            let result = file.write_at(block, len, offset).await;
            // The buffer goes back to the pool here, before the writer is woken.
            departed.arrive(result.map(drop));
        });
        self.offset += len as u64;
        (self.filled, self.hashed) = (0, 0);
        Ok(())
    }

    /// Makes sure that `bytes` more can be appended, and the trailer of what there is then: before a row group is encoded, so
    /// that a full disk costs that row group and not the chunk.
    ///
    /// # Errors
    /// [`WriteError::NoRoom`], and the chunk can still be sealed; any other one kills it.
    pub async fn reserve(&mut self, bytes: u64) -> Result<(), WriteError> {
        let end = (self.bytes() + bytes + TRAILER_ROOM).next_multiple_of(WRITE_SIZE as u64);
        if end <= self.allocated {
            return Ok(());
        }
        let wanted = end - self.allocated;
        // A disk that cannot be asked says itself what is wrong with it. A quota is no part of what is free.
        if let Ok(space) = self.directory.measure().await
            && space.free < wanted + FILE_SYSTEM_ROOM
        {
            let why = format!("{} are free", space.free);
            return Err(WriteError::NoRoom { chunk: self.chunk, wanted, why });
        }
        match self.allocate(end).await {
            Err(WriteError::Io { cause, kind, .. }) if is_no_room(kind) => {
                Err(WriteError::NoRoom { chunk: self.chunk, wanted, why: cause })
            }
            other => other,
        }
    }

    async fn allocate(&mut self, end: u64) -> Result<(), WriteError> {
        while self.allocated < end {
            let step = ALLOCATION_STEPS.into_iter().find(|step| *step > self.allocated);
            let (mut next, least) =
                (step.unwrap_or(self.allocated + ALLOCATION_STEP_LAST), end.next_multiple_of(WRITE_SIZE as u64));
            // Near the end of the device a large step would refuse room that is there, and take it from everybody else.
            if self.directory.measure().await.is_ok_and(|space| space.free / 4 < next - self.allocated) {
                next = least;
            }
            while let Err(error) = self.file.allocate(next).await {
                if !is_no_room(error.kind()) || next <= least {
                    return Err(self.error("allocating space", &error));
                }
                // Near the end of a quota, which nobody tells.
                next = least;
            }
            self.allocated = next;
        }
        Ok(())
    }

    async fn in_flight_at_most(&self, count_max: usize) -> Result<(), WriteError> {
        let chunk = self.chunk;
        let wrap = |Lost { step, kind, cause, is_ours }| {
            self.directory.failed(kind, is_ours);
            WriteError::Io { chunk, step, cause, kind }
        };
        self.flight.at_most(count_max).await.map_err(wrap)
    }

    fn error(&self, step: &'static str, cause: &io::Error) -> WriteError {
        self.directory.failed(cause.kind(), is_ours(cause));
        WriteError::Io { chunk: self.chunk, step, cause: cause.to_string(), kind: cause.kind() }
    }
}

#[cfg(test)]
mod tests;
