//! Which processors there are to run on.

use std::io;

use rustix::thread::CpuSet;
use rustix::thread::sched_getaffinity;
use rustix::thread::sched_setaffinity;

/// The numbers of the CPUs this thread may use, ascending: what a container or `taskset` has left us.
///
/// Ask before any shard is pinned, on a thread that never is: a pinned thread, and every thread it starts, sees one.
pub fn cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect())
}

/// Binds the calling thread, and those it starts from here on, to one CPU.
pub(super) fn pin(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_sees_its_own_core_only() {
        let all = cores().unwrap();
        let last = *all.last().unwrap();
        let seen = std::thread::spawn(move || {
            pin(last).unwrap();
            cores().unwrap()
        });
        assert_eq!(seen.join().unwrap(), [last]);
        assert_eq!(cores().unwrap(), all);
        assert!(pin(usize::MAX).is_err());
    }
}
