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
}

impl Default for RetrievalConfig {
    fn default() -> Self {
        Self { target_message_bytes: 4 << 20, batch_rows_max: 64 << 10 }
    }
}
