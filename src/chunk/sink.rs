//! Where encoded bytes go: an ordered list of buffers.

use arrow::buffer::Buffer;

/// Pieces below this are copied together: a buffer of its own costs more than the copy.
const COPY_BELOW: usize = 4 << 10; // bytes

/// Bytes in order. Large parts stay where they are (they share memory with a batch), small ones are copied together.
#[derive(Default)]
pub(super) struct Pieces {
    ready: Vec<Buffer>,
    gathered: Vec<u8>,
    len: u64,
}

impl Pieces {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
    }

    pub(super) fn buffer(&mut self, buffer: Buffer) {
        if buffer.len() < COPY_BELOW {
            return self.bytes(&buffer);
        }
        self.len += buffer.len() as u64;
        self.close_gathered();
        self.ready.push(buffer);
    }

    /// `len` bytes of `buffer` from `offset` on.
    pub(super) fn slice(&mut self, buffer: &Buffer, offset: usize, len: usize) {
        match buffer.get(offset..offset + len) {
            Some(small) if len < COPY_BELOW => self.bytes(small),
            _ => self.buffer(buffer.slice_with_length(offset, len)),
        }
    }

    /// Everything since the last call, in order.
    pub(super) fn take(&mut self) -> Vec<Buffer> {
        self.close_gathered();
        self.len = 0;
        std::mem::take(&mut self.ready)
    }

    fn close_gathered(&mut self) {
        if !self.gathered.is_empty() {
            self.ready.push(Buffer::from_vec(std::mem::take(&mut self.gathered)));
        }
    }
}

/// The file so far.
#[derive(Default)]
pub(super) struct Sink {
    offset: u64,
    pieces: Pieces,
}

impl Sink {
    /// Where the next byte goes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        self.pieces.bytes(bytes);
    }

    pub(super) fn buffer(&mut self, buffer: Buffer) {
        self.offset += buffer.len() as u64;
        self.pieces.buffer(buffer);
    }

    /// Everything since the last call, in file order.
    pub(super) fn take(&mut self) -> Vec<Buffer> {
        self.pieces.take()
    }
}
