//! Where encoded bytes go: an ordered list of buffers, hashed on the way.

use arrow::buffer::Buffer;

use crate::io::BlockHasher;
use crate::model::ChunkId;

/// Pieces below this are copied together: a buffer of its own costs more than the copy.
const COPY_BELOW: usize = 4 << 10; // bytes

/// The file so far. Large pieces are kept as they are (they share memory with the batch), small ones are gathered.
pub(super) struct Sink {
    hasher: BlockHasher,
    offset: u64,
    ready: Vec<Buffer>,
    gathered: Vec<u8>,
}

impl Sink {
    pub(super) fn new(chunk: ChunkId) -> Self {
        Self { hasher: BlockHasher::new(chunk), offset: 0, ready: Vec::new(), gathered: Vec::new() }
    }

    /// Where the next byte goes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
    }

    pub(super) fn buffer(&mut self, buffer: Buffer) {
        if buffer.len() < COPY_BELOW {
            return self.bytes(&buffer);
        }
        self.hasher.update(&buffer);
        self.offset += buffer.len() as u64;
        self.close_gathered();
        self.ready.push(buffer);
    }

    /// Everything since the last call, in file order.
    pub(super) fn take(&mut self) -> Vec<Buffer> {
        self.close_gathered();
        std::mem::take(&mut self.ready)
    }

    /// The checksum list and the offset it belongs at.
    pub(super) fn finish(self) -> (Vec<u64>, u64) {
        (self.hasher.finish(), self.offset)
    }

    fn close_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.ready.push(Buffer::from_vec(std::mem::take(&mut self.gathered)));
        }
    }
}
