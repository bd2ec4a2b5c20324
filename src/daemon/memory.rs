//! The memory budget: what the configuration allows in all, held against what the machine and its control groups give.
//!
//! ```text
//! budget = memory.receive_bytes + connections.idle_buffer_bytes_max + connections.held_bytes_max
//!        + memory.read_bytes + memory.dictionary_bytes + reading.index_bytes_max
//!        + shards × (memory.blocks_per_shard + 17) MiB + 100 MiB + fleet.relay_bytes_max, with a shared catalog
//! ```
//!
//! 17 MiB a shard: its ring, its encoders. 100 MiB: the program, the catalog's page caches, connections, open topics.

use std::path::Path;
use std::path::PathBuf;

use crate::config::Config;
use crate::io::Host;

const MIB: u64 = 1 << 20;

/// What the kernel says of memory and groups is far shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;

const SHARD_OWN: u64 = 17 * MIB;
const OWN: u64 = 100 * MIB;

#[derive(Debug, thiserror::Error)]
#[error(
    "the memory budget of {} MiB does not fit into the {} MiB that {whose}: memory.receive_bytes {} + \
     connections.idle_buffer_bytes_max {} + connections.held_bytes_max {} + memory.read_bytes {} + memory.dictionary_bytes {} + \
     reading.index_bytes_max {} + {shards} shards x (memory.blocks_per_shard {blocks} + 17) + 100 MiB + fleet.relay_bytes_max {}; lower one of these keys \
     (the largest first), or shards.count",
    mib(*.budget), mib(*.limit), mib(*.receive), mib(*.idle), mib(*.held), mib(*.read), mib(*.dictionaries), mib(*.index), mib(*.relay)
)]
pub struct MemoryError {
    budget: u64,
    limit: u64,
    whose: String,
    receive: u64,
    idle: u64,
    held: u64,
    read: u64,
    dictionaries: u64,
    index: u64,
    relay: u64,
    shards: u64,
    blocks: u64,
}

fn mib(bytes: u64) -> u64 {
    bytes / MIB
}

/// What the machine or a control group gives, and who says so.
struct Limit {
    bytes: u64,
    whose: String,
}

/// Refuses a budget that this process may not use.
///
/// * `shards`: how many there will be.
///
/// # Errors
/// [`MemoryError`] with the numbers and the keys to lower.
pub fn check(config: &Config, host: &Host, shards: u64) -> Result<(), MemoryError> {
    match limit(host) {
        Some(limit) => fits(config, shards, limit),
        // A system that does not say what it has is not ours to judge.
        None => Ok(()),
    }
}

fn fits(config: &Config, shards: u64, limit: Limit) -> Result<(), MemoryError> {
    let (receive, read) = (config.memory.receive_bytes, config.memory.read_bytes);
    let (idle, blocks) = (config.connections.idle_buffer_bytes_max as u64, config.write_blocks());
    let index = config.reading.index_bytes_max as u64;
    let own = shards.saturating_mul(blocks.saturating_mul(MIB).saturating_add(SHARD_OWN));
    let held = config.connections.held_bytes_max as u64;
    let dictionaries = config.memory.dictionary_bytes;
    let relay = if config.catalog.url.is_some() { config.fleet.relay_bytes_max } else { 0 };
    let budget =
        [receive, idle, held, read, dictionaries, index, relay, own].into_iter().fold(OWN, u64::saturating_add);
    match budget <= limit.bytes {
        true => Ok(()),
        false => {
            let Limit { bytes, whose } = limit;
            let numbers = MemoryError {
                budget,
                limit: bytes,
                whose,
                receive,
                idle,
                held,
                read,
                dictionaries,
                index,
                relay,
                shards,
                blocks,
            };
            Err(numbers)
        }
    }
}

/// The smallest of what the machine has and what this process' control groups allow.
fn limit(host: &Host) -> Option<Limit> {
    let text = read(host, Path::new("/proc/meminfo"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.split_whitespace().next()?.parse().ok()?;
    let machine = Limit { bytes: kib.saturating_mul(1024), whose: "this machine has".to_owned() };
    let groups = read(host, Path::new("/proc/self/cgroup")).unwrap_or_default();
    let found = limits(host, &groups, Path::new("/sys/fs/cgroup"));
    found.into_iter().chain([machine]).min_by_key(|limit| limit.bytes)
}

/// Limits of the groups that `/proc/self/cgroup` names, and of those above them.
fn limits(host: &Host, groups: &str, root: &Path) -> Vec<Limit> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let leaf: PathBuf = base.join(group.trim_start_matches('/'));
        for place in leaf.ancestors().take_while(|place| place.starts_with(&base)) {
            let file = place.join(file);
            let number = read(host, &file).and_then(|text| text.trim().parse().ok());
            found.extend(number.map(|bytes| Limit { bytes, whose: format!("{} allows", file.display()) }));
        }
    }
    found
}

fn read(host: &Host, path: &Path) -> Option<String> {
    String::from_utf8(host.read_small(path, FILE_BYTES_MAX).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_budget_that_fits_nowhere_names_its_keys() {
        let limit = |bytes| Limit { bytes, whose: "a test gives".to_owned() };
        let config = Config::default();
        assert!(fits(&config, 2, limit(2502 * MIB)).is_ok());
        let told = fits(&config, 2, limit(2501 * MIB)).unwrap_err().to_string();
        for word in [
            "2502 MiB",
            "2501 MiB",
            "a test gives",
            "memory.read_bytes 1024",
            "reading.index_bytes_max 128",
            "2 shards",
        ] {
            assert!(told.contains(word), "{word}: {told}");
        }
    }

    #[test]
    fn what_is_passed_on_counts_where_there_is_somebody_to_pass_it_on_from() {
        let limit = |mib: u64| Limit { bytes: mib * MIB, whose: "a test gives".to_owned() };
        let mut config = Config::default();
        config.catalog.url = Some("scylla://db1/fleet".to_owned());
        assert!(fits(&config, 2, limit(2502 + 256)).is_ok());
        let told = fits(&config, 2, limit(2501 + 256)).unwrap_err().to_string();
        assert!(told.contains("fleet.relay_bytes_max 256"), "{told}");
    }

    #[test]
    fn the_limits_of_all_groups_above_count() {
        let root = tempfile::tempdir().unwrap();
        let leaf = root.path().join("a/b");
        fs::create_dir_all(&leaf).unwrap();
        fs::write(leaf.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("a/memory.max"), "5000\n").unwrap();
        fs::create_dir_all(root.path().join("memory/c")).unwrap();
        fs::write(root.path().join("memory/c/memory.limit_in_bytes"), "7000\n").unwrap();
        let all = limits(&Host::default(), "3:cpu,cpuacct:/x\n2:memory:/c\n0::/a/b\n", root.path());
        let mut bytes: Vec<u64> = all.iter().map(|limit| limit.bytes).collect();
        bytes.sort_unstable();
        assert_eq!(bytes, [5000, 7000]);
    }
}
