//! How much a reader gets at once.

use serde::Deserialize;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrievalConfig {
    /// Bytes of a batch to aim at on DoGet. A row that is larger travels alone in a larger batch.
    pub target_message_bytes: usize,
    /// Rows of a batch, at most; smaller batches follow when it is reached.
    pub batch_rows_max: usize,
    /// Seconds that a query may take; it is DEADLINE_EXCEEDED then.
    pub query_seconds_max: u32,
    /// Topics in the answer to a query, at most; it is RESOURCE_EXHAUSTED beyond.
    pub query_topics_max: usize,
    /// Bytes kept for queries: half for names and metadata, half for what is known of values. Beyond, the catalog is read.
    pub index_bytes_max: usize,
}

impl Default for RetrievalConfig {
    fn default() -> Self {
        Self {
            target_message_bytes: 4 << 20,
            batch_rows_max: 64 << 10,
            query_seconds_max: 60,
            query_topics_max: 1_000_000,
            index_bytes_max: 128 << 20,
        }
    }
}
