//! What a process has used: CPU time, memory, disk traffic, as the kernel counts them for the process as a whole.

use std::fs;
use std::time::Duration;

use super::error::BenchError;

/// The unit of CPU times in `/proc` (USER_HZ) is 10 ms on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Counted from the process's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all threads, ended ones included.
    pub cpu: Duration,
    /// Bytes that came from and went to storage.
    pub read_bytes: u64,
    pub written_bytes: u64,
}

/// In bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The most that was resident since the last [`reset_peak`].
    pub peak: u64,
    /// Resident now and the process's own: no file's pages.
    pub anonymous: u64,
}

impl Usage {
    /// * `pid`: a number, or `self`.
    ///
    /// # Errors
    /// [`BenchError::Io`] when the process is gone.
    pub fn of(pid: &str) -> Result<Self, BenchError> {
        let stat = read(pid, "stat")?;
        let io = read(pid, "io")?;
        Ok(Self {
            cpu: cpu(&stat).ok_or_else(|| wrong("stat", &stat))?,
            read_bytes: field(&io, "read_bytes:").ok_or_else(|| wrong("io", &io))?,
            written_bytes: field(&io, "write_bytes:").ok_or_else(|| wrong("io", &io))?,
        })
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }
}

impl Memory {
    /// # Errors
    /// [`BenchError::Io`] when the process is gone.
    pub fn of(pid: &str) -> Result<Self, BenchError> {
        let status = read(pid, "status")?;
        let kib = |name| field(&status, name).map(|kib| kib << 10).ok_or_else(|| wrong("status", &status));
        Ok(Self { peak: kib("VmHWM:")?, anonymous: kib("RssAnon:")? })
    }
}

fn read(pid: &str, file: &str) -> Result<String, BenchError> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(BenchError::io(format!("read {path}")))
}

fn wrong(file: &'static str, text: &str) -> BenchError {
    let found = text.chars().take(80).collect();
    BenchError::Wrong { what: file, found, expected: "the fields of proc(5)".to_owned() }
}

/// Fields 14 and 15; the name in field 2 may hold anything, parentheses too.
fn cpu(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(TICK * user + TICK * system)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_fields_are_found() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 2 3 4 150 25 9 9 20 0 4 0 1 2 3";
        assert_eq!(cpu(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu("7 (a) S 1"), None);
        assert_eq!(field("rchar: 1\nread_bytes: 4096\nwrite_bytes: 8\n", "read_bytes:"), Some(4096));
    }

    #[test]
    fn work_and_memory_of_this_process_show() {
        let before = Usage::of("self").unwrap();
        let mut sum = 0u64;
        while Usage::of("self").unwrap().since(&before).cpu < TICK * 2 {
            sum = (0..100_000u64).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert_ne!(sum, 1, "the work is not optimised away");
        let memory = Memory::of("self").unwrap();
        assert!(memory.peak >= memory.anonymous && memory.anonymous > 0, "{memory:?}");
    }
}
