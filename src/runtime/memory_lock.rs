//! Whether the kernel will let io_uring keep its buffers in RAM.

use rustix::process::Resource;
use rustix::process::getrlimit;
use rustix::thread::CapabilitySet;
use rustix::thread::capabilities;

use super::executor::ExecutorConfig;

/// Glommio registers its memory with three rings, and the kernel counts it three times.
const RINGS: u64 = 3;

/// Too little memory may be locked. Glommio then runs without registered buffers, which costs 10 to 15 % of the CPU time of
/// writes, and says so nowhere but in its own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the memory lock limit is {limit} bytes, {needed} are needed for registered buffers: writes go on without them; \
     set LimitMEMLOCK to at least that, or grant CAP_IPC_LOCK"
)]
pub struct MemoryLockShortfall {
    pub limit: u64,
    pub needed: u64,
}

/// What is missing for all of `executors`, `None` when nothing is. Ask before they start; it is worth a warning, no more.
pub fn memory_lock_shortfall<'a>(
    executors: impl IntoIterator<Item = &'a ExecutorConfig>,
) -> Option<MemoryLockShortfall> {
    let exempt = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let limit = getrlimit(Resource::Memlock).current.filter(|_| !exempt);
    let needed = executors.into_iter().map(|config| RINGS * config.registered_bytes() as u64).sum();
    shortfall(limit, needed)
}

/// * `limit`: `None` when there is none.
fn shortfall(limit: Option<u64>, needed: u64) -> Option<MemoryLockShortfall> {
    limit.filter(|limit| *limit < needed).map(|limit| MemoryLockShortfall { limit, needed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortfall_says_what_to_set() {
        let config = ExecutorConfig { blocks: 32, read_blocks: 15, ..ExecutorConfig::default() };
        let needed = 3 * config.registered_bytes() as u64;
        assert_eq!(needed, 144 << 20);
        assert_eq!(shortfall(None, needed), None);
        assert_eq!(shortfall(Some(needed), needed), None);
        let short = shortfall(Some(8 << 20), needed).unwrap();
        assert!(short.to_string().contains("8388608") && short.to_string().contains("150994944"), "{short}");
    }
}
