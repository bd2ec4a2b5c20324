//! Recycled ordinary memory for what is decoded: aligned for Arrow, and free to change threads.
//!
//! Megabytes fresh from the allocator cost a page fault per 4 KiB and are cleared by the kernel first, which is dearer than
//! copying into them. Buffers lie idle in power-of-two classes, with a hard cap on their bytes; above it they are freed.

use std::mem;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;

/// Where a buffer's first byte lies: Arrow wants 64 for every type.
const ALIGNMENT: usize = 64;

/// Smaller buffers are left to the allocator, which keeps those by itself.
const CLASS_BYTES_MIN: usize = 64 << 10;

/// 64 KiB, 128 KiB, … 1 GiB; larger ones are not kept.
const CLASSES: usize = 15;

/// Where buffers come from and go back to. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Recycler(Arc<Shared>);

struct Shared {
    idle_bytes_max: usize,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    bytes: usize,
    classes: [Vec<Vec<u8>>; CLASSES],
}

/// A buffer being filled. It goes back with the last slice of what it becomes.
pub struct Recycled {
    /// Padding up to the alignment, then the bytes.
    bytes: Vec<u8>,
    start: usize,
    home: Recycler,
}

impl Recycler {
    /// * `idle_bytes_max`: bytes that may lie idle; 0 keeps nothing.
    pub fn new(idle_bytes_max: usize) -> Self {
        Self(Arc::new(Shared { idle_bytes_max, idle: Mutex::default() }))
    }

    /// An empty buffer with room for `len` bytes.
    pub fn take(&self, len: usize) -> Recycled {
        let class = class_of(len);
        let kept = class.and_then(|class| {
            self.with(|idle| {
                let bytes = idle.classes.get_mut(class)?.pop()?;
                idle.bytes -= CLASS_BYTES_MIN << class;
                Some(bytes)
            })
        });
        let room = class.map_or(len, |class| CLASS_BYTES_MIN << class);
        let mut bytes = kept.unwrap_or_else(|| Vec::with_capacity(room + ALIGNMENT));
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        assert!(start < ALIGNMENT, "a byte pointer can be aligned: offset {start}");
        bytes.resize(start, 0);
        Recycled { bytes, start, home: self.clone() }
    }

    /// Bytes lying idle.
    pub fn idle_bytes(&self) -> usize {
        self.with(|idle| idle.bytes)
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        // The class it was made for: its room is that and the padding.
        let Some(room) = bytes.capacity().checked_sub(ALIGNMENT) else { return };
        let Some(class) = class_of(room).filter(|class| CLASS_BYTES_MIN << class == room) else { return };
        bytes.clear();
        self.with(|idle| {
            if idle.bytes + room <= self.0.idle_bytes_max
                && let Some(kept) = idle.classes.get_mut(class)
            {
                kept.push(mem::take(&mut bytes));
                idle.bytes += room;
            }
        });
    }

    fn with<T>(&self, body: impl FnOnce(&mut Idle) -> T) -> T {
        body(&mut self.0.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Recycled {
    /// Appends. Beyond the room that was asked for it moves into a larger buffer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends zeros.
    pub fn push_zeros(&mut self, count: usize) {
        self.reserve(count);
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The filled bytes, shared.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// The alignment would be lost if the bytes grew in place.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            let mut larger = self.home.take((self.len() + more).max(self.len() * 2));
            larger.bytes.extend_from_slice(self.as_ref());
            mem::swap(self, &mut larger);
        }
    }
}

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        self.home.give_back(mem::take(&mut self.bytes));
    }
}

/// `None` for sizes that are not kept.
fn class_of(len: usize) -> Option<usize> {
    if len <= CLASS_BYTES_MIN / 2 {
        return None;
    }
    let class = len.checked_next_power_of_two()?.max(CLASS_BYTES_MIN) / CLASS_BYTES_MIN;
    Some(class.trailing_zeros() as usize).filter(|class| *class < CLASSES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_slice() {
        let recycler = Recycler::new(1 << 20);
        let mut buffer = recycler.take(100_000);
        buffer.push(&[7; 99_999]);
        buffer.push_zeros(1);
        let bytes = buffer.freeze();
        assert_eq!(bytes.as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!((bytes.len(), bytes[99_998], bytes[99_999]), (100_000, 7, 0));
        let (place, slice) = (bytes.as_ptr(), bytes.slice(10..20));
        drop(bytes);
        assert_eq!(recycler.idle_bytes(), 0);
        drop(slice);
        assert_eq!(recycler.idle_bytes(), 128 << 10);
        let again = recycler.take(70_000);
        assert!(again.is_empty() && again.as_ref().as_ptr() == place, "the idle buffer is used again");
        assert_eq!(recycler.idle_bytes(), 0);
    }

    #[test]
    fn idle_bytes_stay_below_the_cap_and_small_buffers_are_not_kept() {
        let recycler = Recycler::new(200_000);
        let buffers = [recycler.take(1 << 17), recycler.take(1 << 17), recycler.take(1000), recycler.take(1 << 16)];
        drop(buffers);
        assert_eq!(recycler.idle_bytes(), (1 << 17) + (1 << 16));
        drop(Recycler::new(0).take(1 << 20));
    }

    #[test]
    fn a_buffer_that_outgrows_its_room_keeps_bytes_and_alignment() {
        let recycler = Recycler::new(1 << 20);
        let mut buffer = recycler.take(10);
        let pattern: Vec<u8> = (0..200_000u32).map(|at| at as u8).collect();
        pattern.chunks(977).for_each(|piece| buffer.push(piece));
        assert_eq!(buffer.as_ref(), pattern);
        assert_eq!(buffer.as_ref().as_ptr().align_offset(ALIGNMENT), 0);
    }
}
