//! Recycled receive buffers: aligned, in power-of-two size classes, with a hard cap on the bytes lying idle.
//!
//! A fresh allocation of megabytes is a pair of system calls and a page fault per 4 KiB; recycling halves what receiving
//! costs. Alignment lets Arrow use the bytes in place. Bytes beyond what was pushed are never visible, so old contents need no
//! clearing.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;

use crate::runtime::Permit;

/// Where a buffer's first byte lies: Arrow wants 64 for every type.
pub const ALIGNMENT: usize = 64;
const CLASS_BYTES_MIN: usize = 1 << 10;
/// 1 KiB, 2 KiB, … 1 GiB.
const CLASSES: usize = 21;

/// Cheap to clone; all clones are the same pool.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

/// One buffer being filled, with the permit for its memory.
pub struct PoolBuffer {
    /// Padding up to the alignment, then the bytes. Never grows past its first allocation: that would move it.
    bytes: Vec<u8>,
    start: usize,
    class: usize,
    pool: Pool,
    _permit: Option<Permit>,
}

struct Shared {
    idle_bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle_bytes: usize,
    /// Counts takes, to know which class was wanted last.
    tick: u64,
    classes: [Class; CLASSES],
}

#[derive(Default)]
struct Class {
    taken_at: u64,
    idle: Vec<Vec<u8>>,
}

impl Pool {
    pub fn new(idle_bytes_max: usize) -> Self {
        Self(Arc::new(Shared { idle_bytes_max, state: Mutex::new(State::default()) }))
    }

    /// What a buffer for `len` bytes takes of the budget: the size of its class.
    pub fn charge(len: usize) -> usize {
        CLASS_BYTES_MIN << class_of(len)
    }

    /// An empty buffer with room for `len` bytes. The permit is released with the last slice of the buffer.
    pub fn take(&self, len: usize, permit: Option<Permit>) -> PoolBuffer {
        let class = class_of(len);
        let recycled = self.with(|state| {
            state.tick += 1;
            let tick = state.tick;
            let slot = state.classes.get_mut(class)?;
            slot.taken_at = tick;
            let bytes = slot.idle.pop()?;
            state.idle_bytes -= CLASS_BYTES_MIN << class;
            Some(bytes)
        });
        let mut bytes = recycled.unwrap_or_else(|| Vec::with_capacity((CLASS_BYTES_MIN << class) + ALIGNMENT));
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        assert!(start < ALIGNMENT, "a byte pointer can be aligned: offset {start}");
        bytes.resize(start, 0);
        PoolBuffer { bytes, start, class, pool: self.clone(), _permit: permit }
    }

    /// Bytes lying idle.
    pub fn idle_bytes(&self) -> usize {
        self.with(|state| state.idle_bytes)
    }

    /// Keeps the buffer when it fits under the cap, if need be in place of one of the class nobody asked for the longest.
    fn give_back(&self, class: usize, mut bytes: Vec<u8>) {
        let size = CLASS_BYTES_MIN << class;
        bytes.clear();
        let mut freed = Vec::new(); // dropped after the lock
        self.with(|state| {
            while state.idle_bytes + size > self.0.idle_bytes_max {
                if size > self.0.idle_bytes_max {
                    freed.push(std::mem::take(&mut bytes));
                    return;
                }
                let oldest =
                    |(index, slot): &(usize, &mut Class)| (*index != class && !slot.idle.is_empty(), slot.taken_at);
                let candidates = state.classes.iter_mut().enumerate().filter(|entry| oldest(entry).0);
                let Some((index, slot)) = candidates.min_by_key(|entry| oldest(entry).1) else {
                    freed.push(std::mem::take(&mut bytes));
                    return;
                };
                freed.extend(slot.idle.pop());
                state.idle_bytes -= CLASS_BYTES_MIN << index;
            }
            if let Some(slot) = state.classes.get_mut(class) {
                slot.idle.push(std::mem::take(&mut bytes));
                state.idle_bytes += size;
            }
        });
    }

    fn with<T>(&self, body: impl FnOnce(&mut State) -> T) -> T {
        body(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PoolBuffer {
    /// Appends; the caller asked for enough room.
    pub fn push(&mut self, bytes: &[u8]) {
        assert!(
            self.bytes.len() + bytes.len() <= self.start + (CLASS_BYTES_MIN << self.class),
            "{} bytes pushed into a buffer of class {} that holds {}",
            bytes.len(),
            self.class,
            self.len()
        );
        self.bytes.extend_from_slice(bytes);
    }

    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The filled bytes, shared; the buffer goes back to its pool with their last slice.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for PoolBuffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Drop for PoolBuffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.give_back(self.class, bytes);
    }
}

fn class_of(len: usize) -> usize {
    let size = len.max(CLASS_BYTES_MIN).next_power_of_two();
    let class = (size / CLASS_BYTES_MIN).trailing_zeros() as usize;
    assert!(class < CLASSES, "a buffer of {len} bytes: messages are limited far below");
    class
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Budget;
    use futures::FutureExt;

    #[test]
    fn a_buffer_comes_back_with_its_last_slice_and_its_permit() {
        let pool = Pool::new(1 << 20);
        let budget = Budget::new(1 << 20);
        let permit = budget.acquire(Pool::charge(5000)).now_or_never().unwrap().unwrap();
        let mut buffer = pool.take(5000, Some(permit));
        buffer.push(&[7; 5000]);
        let bytes = buffer.freeze();
        assert_eq!(bytes.as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!(bytes, vec![7; 5000]);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!((pool.idle_bytes(), budget.in_use()), (0, 8192));
        drop(slice);
        assert_eq!((pool.idle_bytes(), budget.in_use()), (8192, 0));
        let again = pool.take(4097, None);
        assert!(again.is_empty());
        assert_eq!(pool.idle_bytes(), 0, "the idle buffer is used again");
    }

    #[test]
    fn idle_bytes_stay_below_the_cap_and_follow_the_demand() {
        let pool = Pool::new(64 << 10);
        drop(pool.take(64 << 10, None));
        assert_eq!(pool.idle_bytes(), 64 << 10);
        drop(pool.take(128 << 10, None));
        assert_eq!(pool.idle_bytes(), 64 << 10, "a buffer above the cap takes nobody's place");
        drop(pool.take(64 << 10, None));
        drop(pool.take(1 << 10, None));
        assert_eq!(pool.idle_bytes(), 1 << 10, "the class wanted last wins");
    }
}
