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
