//! What a server tells about itself, sequences and topics. Keys it tells beyond these are ignored.

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

/// The answer to `info`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ServerInfo {
    /// Of the protocol it speaks.
    pub version: String,
}

/// The answer to GetFlightInfo.
#[derive(Clone, Debug)]
pub struct Info {
    /// `None` when a topic was asked for.
    pub sequence: Option<SequenceInfo>,
    /// One per topic.
    pub endpoints: Vec<Endpoint>,
}

/// A topic and the ticket that reads it, within the range that was asked for.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub topic: TopicInfo,
    pub ticket: Vec<u8>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SequenceInfo {
    pub resource_locator: String,
    pub created_at_ns: i64,
    /// A JSON object, as text.
    pub user_metadata: Box<RawValue>,
    #[serde(default)]
    pub sessions: Vec<SessionInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SessionInfo {
    pub locator: String,
    pub created_at_ns: i64,
    pub completed_at_ns: Option<i64>,
    pub locked: bool,
    #[serde(default)]
    pub topics: Vec<String>,
    /// Of an open session, when it was asked for: what is durable, and cannot be read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_topics: Option<Vec<OpenTopic>>,
}

/// A topic of an open session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct OpenTopic {
    pub resource_locator: String,
    pub ontology_tag: String,
    pub serialization_format: String,
    /// `created`, `receiving`, `complete`, `interrupted`, or `elsewhere`.
    pub state: String,
    /// Which other server records it, and knows more of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    #[serde(flatten)]
    pub data: DataInfo,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TopicInfo {
    pub resource_locator: String,
    pub ontology_tag: String,
    pub serialization_format: String,
    pub created_at_ns: i64,
    pub completed_at_ns: Option<i64>,
    pub locked: bool,
    /// A JSON object, as text.
    pub user_metadata: Box<RawValue>,
    pub data_info: DataInfo,
    /// There when a bound was given.
    pub time_window_info: Option<TimeWindow>,
    /// There when it was asked for, and the server knows how to tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageInfo>,
    /// Its put broke, and these are the rows that were durable then. There likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<bool>,
}

/// How the chunks of a topic are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct StorageInfo {
    /// Chunks that were looked at; of very long topics not all.
    pub chunks: u64,
    /// Arrow bytes of their rows.
    pub logical_bytes: u64,
    pub file_bytes: u64,
    /// Of pages, by compression; `unknown_bytes` of files that do not tell.
    pub plain_bytes: u64,
    pub zstd_bytes: u64,
    pub unknown_bytes: u64,
    /// Longest time between neighbouring rows, when it is known.
    pub gap_max_ns: Option<u64>,
}

/// Of all rows of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DataInfo {
    /// `None` when there are no rows.
    pub interval: Option<Interval>,
    pub total_row_count: u64,
    pub total_bytes: u64, // of its files
    pub total_chunks_count: u64,
}

/// Of the rows inside the range that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TimeWindow {
    pub interval: Option<Interval>,
    pub row_count: u64,
}

/// First and last timestamp, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Interval {
    pub start_ns: i64,
    pub end_ns: i64,
}
