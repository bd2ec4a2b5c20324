//! The limits of the write side.

use serde::Deserialize;
use serde::Serialize;

use crate::ontology::Strictness;

/// What a client may open, and how strictly its schemas are checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// How a stream's schema is compared with the model that its ontology tag names.
    pub ontology: Strictness,
    /// Sessions that are neither finalized nor deleted, over all clients. At the limit a new session is refused
    /// (RESOURCE_EXHAUSTED) until one is finalized or deleted; open ones go on.
    pub sessions_max: u32,
    /// Topics of one session. At the limit a new topic is refused (RESOURCE_EXHAUSTED).
    pub topics_max: u32,
    /// DoPut streams that run at once, over all clients. At the limit a new one is refused (RESOURCE_EXHAUSTED) before
    /// its topic's state moves, so it can be tried again.
    pub puts_max: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { ontology: Strictness::default(), sessions_max: 1000, topics_max: 10_000, puts_max: 4096 }
    }
}
