//! Settings of the embedded catalog.

use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedConfig {
    /// Calls that may wait for the writer, and as many for the readers. Calls beyond are refused as overloaded.
    pub queue_calls_max: usize,
    /// Bytes of metadata, schemas and records that may wait with them. Calls beyond are refused as overloaded.
    pub queue_bytes_max: usize,
    /// Threads that read, 1 to 64. More calls than that wait for one another.
    pub readers: usize,
    /// Page cache of each connection, in bytes. At the limit pages are read again from the file.
    pub cache_bytes: usize,
    /// Milliseconds between two moves of the write-ahead log into the file.
    pub checkpoint_ms: u64,
    /// Bytes that two files beside the catalog keep back, each a 32nd of its disk at most, and give up when the disk is full:
    /// three quarters so that what was begun can end, and a quarter so that what is there can still be deleted. 0 for none.
    pub reserve_bytes: u64,
    /// Whether what comes is held against the limits of admission.
    #[serde(skip)]
    pub admission: Admission,
}

/// Where topics come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// From clients: they are held against the limits.
    #[default]
    Limited,
    /// From files. They were admitted once, perhaps in another order, by other limits: refusing them now would lose them.
    Recalled,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            queue_calls_max: 16 << 10,
            queue_bytes_max: 256 << 20,
            readers: 2,
            cache_bytes: 16 << 20,
            checkpoint_ms: 1000,
            reserve_bytes: 0,
            admission: Admission::Limited,
        }
    }
}
