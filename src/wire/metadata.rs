//! What FlightInfo, its endpoints and stream schemas carry about sequences and topics: supersets for every generation.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::Locator;
use crate::model::SequenceHead;
use crate::model::SequenceView;
use crate::model::SessionState;
use crate::model::SessionView;
use crate::model::TimeBounds;
use crate::model::TopicName;
use crate::model::TopicState;
use crate::model::TopicStorage;
use crate::model::TopicTotals;
use crate::model::TopicView;
use crate::model::UserMetadata;

/// The rows of a topic inside the window that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowInfo {
    /// First and last timestamp inside it; `None` when it holds no row.
    pub bounds: Option<TimeBounds>,
    pub rows: u64,
}

/// `FlightInfo.app_metadata` of a sequence.
///
/// * `open`: the open sessions with their topics, for who asked for them; a key more in the session then.
///
/// A session's `uuid` (read by SDK 0.3 and 0.4) is its public id, the one in its locator; its token is never told again.
pub fn sequence_app_metadata(view: &SequenceView, open: &[SessionView]) -> String {
    text(&SequenceJson {
        resource_locator: view.head.name.to_string(),
        created_at_ns: view.head.created_at_ns,
        user_metadata: raw(&view.head.metadata),
        sessions: view.sessions.iter().map(|session| session_json(session, open)).collect(),
    })
}

/// What no SDK asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicExtras<'a> {
    /// How its chunks are stored.
    pub storage: Option<&'a TopicStorage>,
    /// Tell whether its put broke, and the topic is the part that was durable then.
    pub interrupted: bool,
}

/// `app_metadata` of a topic's endpoint.
///
/// * `window`: given exactly when the request had a bound: clients then take counts from it, and without one fail on it.
/// * `extras`: for who asked for them; keys more then.
pub fn topic_app_metadata(view: &TopicView, window: Option<WindowInfo>, extras: TopicExtras) -> String {
    let (head, TopicTotals { rows, file_bytes, chunks, bounds }) = (&view.head, view.totals);
    let interval = bounds.map(Interval::from);
    text(&TopicJson {
        created_at_ns: head.created_at_ns,
        completed_at_ns: head.completed_at_ns,
        locked: head.completed_at_ns.is_some(),
        resource_locator: head.name.to_string(),
        ontology_tag: head.tag.as_str(),
        serialization_format: head.format.as_str(),
        user_metadata: raw(&head.metadata),
        data_info: DataInfo { interval, total_row_count: rows, total_bytes: file_bytes, total_chunks_count: chunks },
        time_window_info: window
            .map(|window| TimeWindow { interval: window.bounds.map(Interval::from), row_count: window.rows }),
        storage: extras.storage.map(storage_json),
        interrupted: extras.interrupted.then_some(head.state == TopicState::Interrupted),
        info: OldInfo { chunks_number: chunks, total_bytes: file_bytes, timestamp: interval },
    })
}

/// The schema metadata by which clients up to 0.6 know a sequence: keys and values.
pub fn sequence_schema_metadata(head: &SequenceHead) -> [(String, String); 2] {
    [entry("mosaico:context", "sequence"), entry("mosaico:user_metadata", head.metadata.as_str())]
}

/// The schema metadata that clients up to 0.6 need on a topic's schema and stream: keys and values.
///
/// * `rows`: the rows the stream will carry, when known; with them come the count and, unless there are none, the bounds.
pub fn topic_schema_metadata(view: &TopicView, rows: Option<WindowInfo>) -> [(String, String); 3] {
    let bounds = rows.and_then(|rows| rows.bounds);
    let properties = text(&Properties {
        ontology_tag: view.head.tag.as_str(),
        serialization_format: view.head.format.as_str(),
        message_count: rows.map(|rows| rows.rows),
        timestamp_ns_min: bounds.map(|bounds| bounds.first),
        timestamp_ns_max: bounds.map(|bounds| bounds.last),
    });
    [
        entry("mosaico:context", "topic"),
        entry("mosaico:properties", &properties),
        entry("mosaico:user_metadata", view.head.metadata.as_str()),
    ]
}

/// The one location of a topic's endpoint. SDK 0.3 reads the topic's name from it; later ones ignore it.
pub fn topic_location(name: &TopicName) -> String {
    format!("mosaico:{name}")
}

#[derive(Serialize)]
struct SequenceJson<'a> {
    resource_locator: String,
    created_at_ns: i64,
    user_metadata: &'a RawValue,
    sessions: Vec<SessionJson>,
}

#[derive(Serialize)]
struct SessionJson {
    locator: String,
    uuid: String,
    created_at_ns: i64,
    completed_at_ns: Option<i64>,
    locked: bool,
    topics: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_topics: Option<Vec<OpenTopicJson>>,
}

/// A topic of an open session. Its rows are durable, and cannot be read before the session is finalized.
#[derive(Serialize)]
struct OpenTopicJson {
    resource_locator: String,
    ontology_tag: String,
    serialization_format: &'static str,
    state: &'static str,
    /// The one that records it, when this server does not, and knows no more of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    interval: Option<Interval>,
    total_row_count: u64,
    total_bytes: u64,
    total_chunks_count: u64,
}

fn open_topic_json(view: &TopicView) -> OpenTopicJson {
    let (head, TopicTotals { rows, file_bytes, chunks, bounds }) = (&view.head, view.totals);
    OpenTopicJson {
        resource_locator: head.name.to_string(),
        ontology_tag: head.tag.as_str().to_owned(),
        serialization_format: head.format.as_str(),
        state: match head.state {
            _ if view.node.is_some() => "elsewhere",
            TopicState::Created => "created",
            TopicState::Receiving => "receiving",
            TopicState::Complete => "complete",
            TopicState::Interrupted => "interrupted",
        },
        server: view.node.map(|node| node.to_string()),
        interval: bounds.map(Interval::from),
        total_row_count: rows,
        total_bytes: file_bytes,
        total_chunks_count: chunks,
    }
}

fn session_json(view: &SessionView, open: &[SessionView]) -> SessionJson {
    let head = &view.head;
    let open = open.iter().find(|open| open.head.id == head.id);
    SessionJson {
        locator: Locator::Session { sequence: head.sequence_name.clone(), session: head.id }.to_string(),
        uuid: head.id.0.as_hyphenated().to_string(),
        created_at_ns: head.created_at_ns,
        completed_at_ns: head.completed_at_ns,
        locked: head.state == SessionState::Final,
        topics: view.topics.iter().map(|topic| topic.head.name.to_string()).collect(),
        open_topics: open.map(|open| open.topics.iter().map(open_topic_json).collect()),
    }
}

#[derive(Serialize)]
struct TopicJson<'a> {
    created_at_ns: i64,
    completed_at_ns: Option<i64>,
    locked: bool,
    resource_locator: String,
    ontology_tag: &'a str,
    serialization_format: &'a str,
    user_metadata: &'a RawValue,
    data_info: DataInfo,
    time_window_info: Option<TimeWindow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<StorageJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<bool>,
    /// Read by clients up to 0.6.
    info: OldInfo,
}

#[derive(Clone, Copy, Serialize)]
struct Interval {
    start_ns: i64,
    end_ns: i64,
}

impl From<TimeBounds> for Interval {
    fn from(bounds: TimeBounds) -> Self {
        Self { start_ns: bounds.first, end_ns: bounds.last }
    }
}

#[derive(Serialize)]
struct DataInfo {
    interval: Option<Interval>,
    total_row_count: u64,
    total_bytes: u64,
    total_chunks_count: u64,
}

#[derive(Serialize)]
struct TimeWindow {
    interval: Option<Interval>,
    row_count: u64,
}

/// Sums over `chunks` of the topic's chunks.
#[derive(Serialize)]
struct StorageJson {
    chunks: u64,
    logical_bytes: u64,
    file_bytes: u64,
    plain_bytes: u64,
    zstd_bytes: u64,
    unknown_bytes: u64,
    gap_max_ns: Option<u64>,
}

fn storage_json(storage: &TopicStorage) -> StorageJson {
    let TopicStorage { chunks, logical_bytes, file_bytes, plain_bytes, zstd_bytes, unknown_bytes, gap_max_ns } =
        *storage;
    StorageJson { chunks, logical_bytes, file_bytes, plain_bytes, zstd_bytes, unknown_bytes, gap_max_ns }
}

#[derive(Serialize)]
struct OldInfo {
    chunks_number: u64,
    total_bytes: u64,
    timestamp: Option<Interval>,
}

#[derive(Serialize)]
struct Properties<'a> {
    ontology_tag: &'a str,
    serialization_format: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_ns_min: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp_ns_max: Option<i64>,
}

fn entry(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[expect(clippy::expect_used, reason = "UserMetadata holds only text that was parsed as JSON")]
fn raw(metadata: &UserMetadata) -> &RawValue {
    serde_json::from_str(metadata.as_str()).expect("checked JSON")
}

#[expect(clippy::expect_used, reason = "our structs have no maps and no failing serializers")]
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs serialize")
}

#[cfg(test)]
mod tests;
