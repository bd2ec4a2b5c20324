//! Keys of the configuration that shards use.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

/// `[chunk]`: when a chunk is cut.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkConfig {
    /// Bytes of a chunk's file at which the next one begins, at least 64 KiB. 0 turns every automatic cut off, age and idleness too;
    /// then a chunk ends when its DoPut does, or at 64 k pages or 16 GiB.
    pub bytes_max: u64,
    /// Rows of a chunk at which the next one begins; 0 = no limit.
    pub rows_max: u64,
    /// Seconds after its first row at which a chunk is cut, so that rows of a slow stream become durable; 0 = never.
    pub age_s: u64,
    /// Seconds without a new row after which a chunk is cut; 0 = never.
    pub idle_s: u64,
}

impl Default for ChunkConfig {
    fn default() -> Self {
        Self { bytes_max: 256 << 20, rows_max: 0, age_s: 60, idle_s: 0 }
    }
}

/// `[shards]`: the pinned executors.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardsConfig {
    /// How many; 0 = one per usable core.
    pub count: u16,
}

/// `[memory]`, the part of the shards.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardMemory {
    /// Write blocks of 1 MiB per shard. At the limit a topic waits until blocks are written.
    pub blocks: usize,
    /// Bytes all readers together may hold. More readers get smaller batches; one that finds no place waits for it, and is
    /// refused with RESOURCE_EXHAUSTED in the end.
    pub read_bytes: u64,
    /// Milliseconds in which a client takes nothing until its reader gives way to one that waits for memory; 0 = never.
    pub read_stall_ms: u64,
}

/// Hard bounds of a chunk, whatever the configuration says: its page index must stay readable at once.
pub const CHUNK_PAGES_MAX: u64 = 64 << 10;
pub const CHUNK_BYTES_BOUND: u64 = 16 << 30;

/// A row group is closed at this many bytes of rows.
pub const ROW_GROUP_BYTES: usize = 4 << 20;

/// Messages of one topic that may wait for its shard: beyond it the stream is not read on.
pub const TOPIC_MESSAGES_MAX: usize = 64;

/// Readers of one daemon; the one after that is refused with RESOURCE_EXHAUSTED.
pub const READERS_MAX: usize = 1024;

impl ChunkConfig {
    pub fn age(&self) -> Option<Duration> {
        (self.bytes_max > 0 && self.age_s > 0).then(|| Duration::from_secs(self.age_s))
    }

    pub fn idle(&self) -> Option<Duration> {
        (self.bytes_max > 0 && self.idle_s > 0).then(|| Duration::from_secs(self.idle_s))
    }
}
