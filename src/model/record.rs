//! The chunk record: everything the catalog knows about a chunk. Its bytes on disk are defined in `catalog::record`.

use super::ChunkId;
use super::TimeBounds;

/// Small number of a data directory inside one catalog, given out when a directory is first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber(pub u16);

/// Which shard of this start; a topic's number has no meaning after a start with other cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(pub u16);

/// Skip-index entries of a chunk, in a layout that `version` names. Version 0 has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub version: u16,
    pub bytes: Vec<u8>,
}

/// How the pages of a chunk are stored, and how evenly its rows came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFacts {
    /// Bytes of pages without compression.
    pub plain_bytes: u64,
    /// Bytes of pages with Zstandard.
    pub zstd_bytes: u64,
    /// Longest time between two rows that follow each other; `None` for a single row, and where row groups overlap in time.
    pub gap_max_ns: Option<u64>,
}

/// One chunk: a file, what lies in it, and how to prove that it is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    pub chunk: ChunkId,
    pub device: DeviceNumber,
    /// The shard that wrote it.
    pub shard: ShardIndex,
    pub rows: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Arrow bytes of the rows as they were received, without padding.
    pub logical_bytes: u64,
    /// First and last `timestamp_ns`. A chunk has at least one row.
    pub bounds: TimeBounds,
    /// Offset behind the last page: where the checksum list begins. The file's length where a manifest alone told of it.
    pub body_bytes: u64,
    /// Offset behind the checksum list: where the page indices and the Parquet footer begin.
    pub footer_offset: u64,
    /// xxh3-128 of the checksum list.
    pub digest: [u8; 16],
    /// xxh3-128 of everything from `footer_offset` to the end of the file, with the digest's own field zeroed.
    pub footer_digest: [u8; 16],
    pub row_groups: u32,
    /// Indices of the row groups at which a run begins, ascending, the first one 0. Inside a run row groups do not
    /// overlap in time and ascend, so a reader merges runs, not row groups.
    pub runs: Vec<u32>,
    /// `None` in records of format 1, which did not hold them.
    pub pages: Option<PageFacts>,
    pub statistics: Statistics,
}

impl ChunkRecord {
    /// Whether a manifest alone told of it: where its pages end, nobody knows.
    pub fn is_from_manifest(&self) -> bool {
        self.body_bytes == self.file_bytes
    }
}
