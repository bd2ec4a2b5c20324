//! The facts about the machine without which no number means anything.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::io::Backend;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub version: String,
    pub processor: String,
    pub cores: usize,
    /// In bytes.
    pub memory: u64,
    pub kernel: String,
    pub file_system: String,
    pub device: String,
    /// How blocks are written: `io_uring`, or why not.
    pub backend: String,
}

impl Machine {
    /// What can be learned; what cannot is `unknown`.
    pub fn look(directory: &Path, backend: &Backend) -> Self {
        let (file_system, device) = mount(directory).unwrap_or_else(|| (unknown(), unknown()));
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            processor: value("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory: value("/proc/meminfo", "MemTotal").as_deref().and_then(kib).unwrap_or(0),
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            file_system,
            device,
            backend: match backend {
                Backend::Uring => "io_uring".to_owned(),
                Backend::Threads { reason } => format!("threads ({reason})"),
            },
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The value behind `name` and a colon.
fn value(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kib(text: &str) -> Option<u64> {
    Some(text.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// File system type, and the device's name with its model.
fn mount(directory: &Path) -> Option<(String, String)> {
    let device = fs::metadata(directory).ok()?.dev();
    // The kernel's coding of device numbers: 12 bits of major, 20 of minor.
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    let number = format!("{major}:{minor}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some(&number))?;
    let mut behind = mount.split(" - ").nth(1)?.split(' ');
    let (kind, source) = (behind.next()?.to_owned(), behind.next()?.to_owned());
    let block = format!("/sys/dev/block/{number}");
    // A partition's disk is the directory above.
    let places = ["device/model", "../device/model", "device/type", "../device/type"];
    let model = places.iter().find_map(|place| line(&format!("{block}/{place}")));
    Some((kind, model.map_or(source.clone(), |model| format!("{source} ({model})"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts() {
        let machine = Machine::look(Path::new(env!("CARGO_MANIFEST_DIR")), &Backend::Uring);
        assert!(machine.cores > 0 && machine.memory > 1 << 20, "{machine:?}");
        assert_ne!(machine.kernel, "unknown");
        assert_ne!(machine.file_system, "unknown");
    }
}
