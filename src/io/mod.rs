//! All access to disks, clocks and randomness.
//!
//! Invariants:
//! * every file of recorded data is written and read in whole blocks ([`BLOCK_SIZE`]) through [`BlockFile`], of which there
//!   are two: glommio's io_uring ([`DmaDevice`]) and threads ([`ThreadDevice`]). Which one is decided once, by [`probe`];
//! * a byte count that a system call reports is compared with the one that was asked for, always;
//! * after a failed write, sync, allocation or truncation the file is dead: every later call on it fails. An allocation that
//!   finds no room fails alone;
//! * what a start does before there is a device (directories, locks, the probe, randomness) goes through [`Host`], and the
//!   clock is read by [`now`], [`wall_ns`] and [`Clock`]; `tests/tidy.rs` refuses every other way;
//! * both the devices and the host can be made to fail by a [`FaultScript`], any call of ours in turn;
//! * nothing here blocks the thread that awaits it: what the kernel offers only as a blocking call goes to a
//!   [`BlockingPool`].
//!
//! `glommio` is named in `dma`, `buffer`, `clock` and `probe` only (the probe is on the floor below `runtime`, so it has to
//! start an executor of its own).

mod block;
mod blocking;
mod buffer;
mod call_site;
mod checksum;
mod clock;
mod directory;
mod dma;
mod failpoint;
mod fault;
mod fault_device;
mod host;
mod lock;
mod new_file;
mod outage;
mod pool;
mod probe;
mod random;
mod ready;
mod recycler;
mod remedy;
mod space;
mod threads;
mod timer;

#[cfg(test)]
mod conformance;

pub use block::BLOCK_SIZE;
pub use block::BlockDevice;
pub use block::BlockFile;
pub use block::DirectoryEntry;
pub use block::IoFuture;
pub use block::Space;
pub use block::WRITE_SIZE;
pub use blocking::BlockingPool;
pub use buffer::AlignedBuf;
pub use call_site::CallSite;
pub use checksum::BlockHasher;
pub use checksum::CHECKSUM_BLOCK;
pub use checksum::block_seed;
pub use checksum::digest128;
pub use checksum::hash_block;
pub use checksum::hash_blocks;
pub use checksum::hash64;
pub use clock::Clock;
pub use clock::ManualClock;
pub use clock::Sleep;
pub use clock::SystemClock;
pub use clock::monotonic;
pub use clock::now;
pub use clock::wall_ns;
pub use dma::DmaDevice;
pub use failpoint::failpoint;
pub use fault::Fault;
pub use fault::FaultKind;
pub use fault::FaultScript;
pub use fault::Faults;
pub use fault::Operation;
pub use fault::Span;
pub use fault_device::FaultDevice;
pub use host::Host;
pub use lock::DirectoryLock;
pub use lock::KnownFile;
pub use lock::LockError;
pub use lock::is_held as is_directory_held;
pub use new_file::NewFile;
pub use pool::BlockPool;
pub use probe::Backend;
pub use probe::BackendChoice;
pub use probe::ProbeError;
pub use probe::probe;
pub use random::seed;
pub use ready::Unblocked;
pub use ready::offer;
pub use ready::unblocked;
pub use recycler::Recycled;
pub use recycler::Recycler;
pub use remedy::with_remedy;
pub use space::Left;
pub use space::Reserve;
pub use threads::ThreadDevice;
