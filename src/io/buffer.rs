//! Memory that direct I/O accepts: its address and length are multiples of [`BLOCK_SIZE`].
//!
//! Three kinds behind one face. Glommio's own buffers come from an arena that is registered with the kernel; what glommio
//! read comes as its `ReadResult`; everything else is ordinary memory, allocated a block larger than asked for and used from
//! the first aligned byte on (which needs no unsafe code, and which O_DIRECT takes).

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use glommio::allocate_dma_buffer;
use glommio::io::DmaBuffer;
use glommio::io::ReadResult;

use super::block::BLOCK_SIZE;
use super::pool::Slot;

/// An owned, aligned buffer. One that came from a [`BlockPool`](super::BlockPool) goes back there when it is dropped.
///
/// Its bytes are whatever the last user left: whoever writes a part of it zeroes the rest ([`Self::fill_zero`]).
pub struct AlignedBuf {
    /// `None` only while an operation holds the memory, and never visible outside this room.
    memory: Option<Memory>,
    /// Where the memory belongs.
    slot: Option<Slot>,
}

impl AlignedBuf {
    /// Ordinary memory of `len` zero bytes, outside any pool. `len` should be a multiple of [`BLOCK_SIZE`] to be written.
    pub fn zeroed(len: usize) -> Self {
        Self::of(Memory::Heap(HeapBlock::zeroed(len)))
    }

    /// How many bytes it holds: for one that was read, how many came.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn as_slice(&self) -> &[u8] {
        match &self.memory {
            Some(Memory::Dma(buffer)) => buffer.as_bytes(),
            Some(Memory::Read(result)) => result,
            Some(Memory::Heap(block)) => block.as_slice(),
            None => &[],
        }
    }

    /// The bytes, to be filled.
    ///
    /// # Panics
    /// On a buffer that was read: it is the reader's, not a place to write. (A pooled buffer is never shared: the pool does
    /// not hand one out while an abandoned write still holds it.)
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Some(Memory::Dma(buffer)) => match Rc::get_mut(buffer) {
                Some(buffer) => buffer.as_bytes_mut(),
                None => panic!("a buffer whose write is under way must not change"),
            },
            Some(Memory::Read(_)) => panic!("a buffer that was read must not change"),
            Some(Memory::Heap(block)) => block.as_mut_slice(),
            None => &mut [],
        }
    }

    /// Sets `range` to zero: the tail of a file's last write, so that no old data reaches the disk.
    ///
    /// # Panics
    /// When `range` is not inside the buffer, and as [`Self::as_mut_slice`].
    pub fn fill_zero(&mut self, range: Range<usize>) {
        let len = self.len();
        match self.as_mut_slice().get_mut(range.clone()) {
            Some(bytes) => bytes.fill(0),
            None => panic!("bytes {range:?} of a buffer of {len}"),
        }
    }

    pub(super) fn of(memory: Memory) -> Self {
        Self { memory: Some(memory), slot: None }
    }

    pub(super) fn pooled(memory: Memory, slot: Slot) -> Self {
        Self { memory: Some(memory), slot: Some(slot) }
    }

    pub(super) fn memory(&self) -> Option<&Memory> {
        self.memory.as_ref()
    }

    /// Takes the memory out for an operation. When that operation is abandoned, the empty shell still gives its place in
    /// the pool back.
    pub(super) fn take(&mut self) -> Option<Memory> {
        self.memory.take()
    }

    pub(super) fn put(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.give_back(self.memory.take());
        }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len())
    }
}

/// The memory itself.
pub(super) enum Memory {
    /// From glommio's registered arena, or its heap once that is full. Shared with the kernel while a write is under way.
    Dma(Rc<DmaBuffer>),
    /// What glommio read.
    Read(ReadResult),
    Heap(HeapBlock),
}

impl Memory {
    /// A zeroed buffer of the glommio executor that runs on this thread; panics on any other thread.
    pub(super) fn dma(len: usize) -> Self {
        let mut buffer = allocate_dma_buffer(len);
        // Glommio's memory is uninitialised. This also makes the kernel find the pages now, not during the first write.
        buffer.as_bytes_mut().fill(0);
        Self::Dma(Rc::new(buffer))
    }

    /// Whether nobody else, in particular no abandoned write, holds it.
    pub(super) fn is_unshared(&self) -> bool {
        match self {
            Self::Dma(buffer) => Rc::strong_count(buffer) == 1,
            Self::Read(_) | Self::Heap(_) => true,
        }
    }
}

/// Aligned ordinary memory that may change threads.
pub(super) struct HeapBlock {
    /// `len` bytes and a block more; never grows, so the address stays.
    bytes: Vec<u8>,
    /// The first aligned byte.
    start: usize,
    len: usize,
}

impl HeapBlock {
    pub(super) fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + BLOCK_SIZE];
        let start = bytes.as_ptr().align_offset(BLOCK_SIZE);
        assert!(start < BLOCK_SIZE, "no aligned byte within {BLOCK_SIZE}, got {start}");
        Self { bytes, start, len }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..self.start + self.len).unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + self.len).unwrap_or_default()
    }

    /// Shortens it to what was read.
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_memory_is_aligned_and_zero() {
        for len in [0, 1, BLOCK_SIZE, 3 * BLOCK_SIZE] {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!(buf.as_slice().as_ptr().align_offset(BLOCK_SIZE), 0);
            assert!(buf.as_slice().iter().all(|&byte| byte == 0) && buf.len() == len);
            buf.as_mut_slice().fill(7);
            buf.fill_zero(len / 2..len);
            let (left, right) = buf.as_slice().split_at(len / 2);
            assert!(left.iter().all(|&byte| byte == 7) && right.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    #[should_panic(expected = "of a buffer of 4096")]
    fn zeroing_outside_the_buffer_is_a_bug() {
        AlignedBuf::zeroed(4096).fill_zero(4096..4097);
    }
}
