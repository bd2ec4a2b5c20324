//! All keys of the configuration. Each section belongs to the room that uses it; here they are only put together.

use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use crate::catalog::CatalogConfig;
use crate::fleet::FleetConfig;
use crate::flight::ListenConfig;
use crate::flight::TransportConfig;
use crate::io::BackendChoice;
use crate::retrieval::RetrievalConfig;
use crate::session::SessionConfig;
use crate::shard::ChunkConfig;
use crate::shard::ShardsConfig;
use crate::wire::SessionAnswer;

/// The whole configuration. Every key has a default, so `tessera serve` needs none.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: ListenConfig,
    pub storage: StorageConfig,
    pub catalog: CatalogConfig,
    pub fleet: FleetConfig,
    pub connections: TransportConfig,
    pub scrub: ScrubConfig,
    pub memory: MemoryConfig,
    pub chunk: ChunkConfig,
    pub shards: ShardsConfig,
    pub sessions: SessionConfig,
    pub reading: RetrievalConfig,
    pub compat: CompatConfig,
    pub log: LogConfig,
}

/// `[storage]`: where recordings lie.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Data directories, one per device. The first holds the catalog too. Chunks go to the one with the fewest running
    /// puts. A directory that is left out at a later start makes its chunks UNAVAILABLE, and nothing else.
    pub data_dirs: Vec<PathBuf>,
    /// How files are written: `auto` tries io_uring with direct I/O and falls back to threads; `uring` and `threads` insist.
    pub backend: BackendChoice,
    /// Bytes free on a data directory's disk below which no new sequence, session or topic begins on it (RESOURCE_EXHAUSTED);
    /// what is being recorded goes on. 0 = 5 % of the disk, at most 64 GiB, at least twice the hard mark.
    pub soft_mark_bytes: u64,
    /// Bytes free below which streams to it end (RESOURCE_EXHAUSTED) and what they brought is sealed. Reading, finalizing and
    /// deleting go on. 0 = 1 % of the disk, between 64 MiB and 1 GiB.
    pub hard_mark_bytes: u64,
    /// Bytes of two files beside the catalog that only keep room. On a full disk they are given up, and made again when there is
    /// room: the first, three quarters of it, for what was begun and ends, the last for deleting recordings and for starts
    /// alone. Each is at most a 32nd of the disk; 0 = none.
    pub reserve_bytes: u64,
    /// Take a data directory that was never used although one that the catalog knows is absent: its disk was replaced. Such a
    /// start is refused otherwise, for most often the disk is only not mounted.
    pub replace_missing: bool,
    /// Refuse a start with a data directory that is not there or was never used, instead of making it. For disks that are
    /// mounted: where one is not, its mount point is an empty directory on another disk.
    pub must_exist: bool,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            data_dirs: vec![PathBuf::from("./tessera-data")],
            backend: BackendChoice::Auto,
            soft_mark_bytes: 0,
            hard_mark_bytes: 0,
            reserve_bytes: 64 << 20,
            replace_missing: false,
            must_exist: false,
        }
    }
}

/// `[scrub]`: reading again what is stored, in the background, to find what a disk has lost before somebody needs it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScrubConfig {
    /// Days in which everything is read once; 0 = no scrub. A tenth of the device's bandwidth is taken at most, and nothing while
    /// rows wait to be written, so it may take longer.
    pub period_days: u64,
    /// Bytes a second; 0 = what the period needs.
    pub bytes_per_s: u64,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { period_days: 30, bytes_per_s: 0 }
    }
}

/// `[memory]`: the budget. At its limit senders wait; it never grows.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// Bytes received and not yet written, over all streams. At the limit streams are not read on. At least twice
    /// `connections.message_bytes_max`.
    pub receive_bytes: u64,
    /// Bytes that all DoGet streams may hold: fetched, decoded, or waiting for their client. Each reader owns a share from
    /// its start to its end; when not even that fits, it waits, and is RESOURCE_EXHAUSTED in the end. What is left makes
    /// batches larger.
    pub read_bytes: u64,
    /// Milliseconds in which a client takes nothing of a read until that gives way (RESOURCE_EXHAUSTED), and only while another
    /// one waits for memory; 0 = never.
    pub read_stall_ms: u64,
    /// Bytes for the dictionaries of all DoPut streams. Half of it is for those that streams hold: one that finds no room ends its put
    /// with RESOURCE_EXHAUSTED. The other half is for their values on the way to the file: at the limit streams wait.
    pub dictionary_bytes: u64,
    /// Write blocks of 1 MiB per shard, in equal parts for its data directories: one that hangs takes none of another's. At least
    /// 16, and 8 for each data directory; 0 = 32, or these 8 where they are more. At the limit topics wait for the device.
    pub blocks_per_shard: u64,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            receive_bytes: 512 << 20,
            read_bytes: 1 << 30,
            read_stall_ms: 10_000,
            dictionary_bytes: 128 << 20,
            blocks_per_shard: 0,
        }
    }
}

/// `[compat]`: older clients.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompatConfig {
    /// Form of the answer to session_create: `uuid_and_locator` for the Python SDK from 0.5 on, `uuid` for 0.3 and 0.4,
    /// which fail on the other form.
    pub session_answer: SessionAnswer,
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,tessera::shard=debug`.
    pub level: String,
    /// `plain` for people, `json` for machines.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Plain }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Plain,
    Json,
}
