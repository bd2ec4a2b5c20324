//! What actions are answered with: one JSON document each, `{"action": <the request's name>, "response": …}`.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::utc_datetime;
use crate::model::FoundSequence;
use crate::model::FoundTopic;
use crate::model::Locator;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::SearchCost;
use crate::model::SequenceName;
use crate::model::SessionId;
use crate::model::TimeBounds;
use crate::model::Token;

/// The version of the protocol we speak, told as the server's version: clients only ever compare it with that.
const PROTOCOL: [u32; 3] = [0, 7, 0];

/// What session_create answers with. Clients refuse a key too many and a key too few, and nothing in the request tells them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionAnswer {
    /// SDK 0.5 and later: exactly `uuid` and `locator`.
    #[default]
    UuidAndLocator,
    /// SDK 0.3 and 0.4: exactly `uuid`.
    Uuid,
}

/// What topic_create answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicForm {
    /// Since sessions exist: exactly `uuid`.
    Uuid,
    /// Before: `key`.
    Key,
}

/// How a list of notifications is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationForm {
    /// Since sessions exist: `notifications`, `notification_type`.
    Notifications,
    /// Before: `notifies`, `notify_type`.
    Notifies,
}

/// Message sizes told by `info`, in bytes. Clients fill their batches up to 90 % of `decode_bytes_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    pub decode_bytes_max: u64,
    pub encode_bytes_max: u64,
    pub target_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// For every action whose answer nobody reads.
    Empty,
    Info(ServerLimits),
    Version,
    /// To session_create. Exact: a key more is an error in the client.
    Session {
        token: Token,
        sequence: &'a SequenceName,
        session: SessionId,
        form: SessionAnswer,
    },
    /// To topic_create. Exact: a key more is an error in the client.
    Topic {
        token: Token,
        form: TopicForm,
    },
    /// To the sequence_create of December 2025: the token of the session that came with it.
    Key(Token),
    Notifications {
        target: &'a NotificationTarget,
        items: &'a [Notification],
        form: NotificationForm,
    },
    /// To query, in the form that every generation reads.
    Found {
        sequences: &'a [FoundSequence],
        cost: Option<&'a SearchCost>,
    },
    /// To topic_filter_clusterize and topic_filter_intersect: one window, counted from 0.
    Window {
        index: u64,
        bounds: TimeBounds,
    },
    /// To sequence_system_info and, with the number of chunks, topic_system_info. Exact.
    SystemInfo {
        total_bytes: u64,
        locked: bool,
        created_at_ns: i64,
        chunks: Option<u64>,
    },
}

impl Answer<'_> {
    /// The JSON text. `action` is the name the client used: it drops answers to any other.
    pub fn to_json(&self, action: &str) -> String {
        match self.response() {
            Some(response) => json!({"action": action, "response": response}).to_string(),
            None => json!({"action": "empty"}).to_string(),
        }
    }

    fn response(&self) -> Option<Value> {
        Some(match *self {
            Self::Empty => return None,
            Self::Info(limits) => {
                let config = json!({
                    "grpc_max_decode_message_size": limits.decode_bytes_max,
                    "grpc_max_encode_message_size": limits.encode_bytes_max,
                    "grpc_target_encode_message_size": limits.target_bytes,
                });
                version().into_iter().chain([("config", config)]).collect()
            }
            Self::Version => version().into_iter().collect(),
            Self::Session { token, sequence, session, form } => match form {
                SessionAnswer::UuidAndLocator => {
                    let locator = Locator::Session { sequence: sequence.clone(), session };
                    json!({"uuid": token.reveal(), "locator": locator.to_string()})
                }
                SessionAnswer::Uuid => json!({"uuid": token.reveal()}),
            },
            Self::Topic { token, form: TopicForm::Uuid } => json!({"uuid": token.reveal()}),
            Self::Topic { token, form: TopicForm::Key } | Self::Key(token) => json!({"key": token.reveal()}),
            Self::Notifications { target, items, form } => notifications(target, items, form),
            Self::Found { sequences, cost } => {
                let items = ("items", sequences.iter().map(found).collect::<Vec<_>>().into());
                [items].into_iter().chain(cost.map(|cost| ("explain", explained(cost)))).collect()
            }
            Self::Window { index, bounds: TimeBounds { first, last } } => {
                json!({"ts": {"start_ns": first, "end_ns": last}, "id": index})
            }
            Self::SystemInfo { total_bytes, locked, created_at_ns, chunks } => {
                let created = utc_datetime(created_at_ns);
                let sums = [("total_size_bytes", json!(total_bytes)), ("is_locked", json!(locked))];
                let created = ("created_datetime", json!(created));
                let chunks = chunks.map(|chunks| ("chunks_number", json!(chunks)));
                sums.into_iter().chain([created]).chain(chunks).collect()
            }
        })
    }
}

fn version() -> [(&'static str, Value); 2] {
    let [major, minor, patch] = PROTOCOL;
    let semver = json!({"major": major, "minor": minor, "patch": patch, "pre": null});
    [("version", json!(format!("{major}.{minor}.{patch}"))), ("semver", semver)]
}

/// Clients up to 0.5 read `timestamp_range`, those after it `ontology_tag`; each ignores the other.
fn found(sequence: &FoundSequence) -> Value {
    let topic = |topic: &FoundTopic| {
        let mut entry = json!({"locator": topic.name.to_string(), "ontology_tag": topic.tag.as_str()});
        if let (Some(times), Some(entry)) = (topic.times, entry.as_object_mut()) {
            entry.insert("timestamp_range".to_owned(), json!([times.first, times.last]));
        }
        entry
    };
    json!({"sequence": sequence.name.as_str(), "topics": sequence.topics.iter().map(topic).collect::<Vec<_>>()})
}

fn explained(cost: &SearchCost) -> Value {
    json!({
        "sequences": cost.sequences,
        "topics": cost.topics,
        "chunks": cost.chunks,
        "chunks_skipped_by_segment": cost.chunks_skipped_by_segment,
        "chunks_skipped_by_statistics": cost.chunks_skipped_by_statistics,
        "rows_skipped_by_pages": cost.rows_skipped_by_pages,
        "chunks_read": cost.chunks_read,
        "chunks_read_in_vain": cost.chunks_read.saturating_sub(cost.chunks_matched),
        "rows_read": cost.rows_read,
        "rows_matched": cost.rows_matched,
        "catalog_ns": cost.catalog_ns,
        "rows_ns": cost.rows_ns,
        "total_ns": cost.total_ns,
    })
}

fn notifications(target: &NotificationTarget, items: &[Notification], form: NotificationForm) -> Value {
    let (list_key, type_key) = match form {
        NotificationForm::Notifications => ("notifications", "notification_type"),
        NotificationForm::Notifies => ("notifies", "notify_type"),
    };
    let name = match target {
        NotificationTarget::Sequence(name) => name.to_string(),
        NotificationTarget::Topic(name) => name.to_string(),
    };
    let entry = |item: &Notification| {
        let created = utc_datetime(item.created_at_ns);
        json!({"name": name, type_key: "error", "msg": item.message, "created_datetime": created})
    };
    json!({list_key: items.iter().map(entry).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TopicName;

    const UUID: &str = "f02d122a-549a-4b67-822b-c182496978d7";

    fn parsed(answer: Answer, action: &str) -> Value {
        let value: Value = serde_json::from_str(&answer.to_json(action)).unwrap();
        assert_eq!(value["action"], action);
        value["response"].clone()
    }

    #[test]
    fn session_create_has_exactly_the_keys_its_client_takes() {
        let session = SessionId(uuid::Uuid::from_u128(7));
        let (token, sequence) = (Token::parse(UUID).unwrap(), SequenceName::parse("drive").unwrap());
        let answer = |form| parsed(Answer::Session { token, sequence: &sequence, session, form }, "session_create");
        let locator = "drive:00000000000000000000000000000007";
        assert_eq!(answer(SessionAnswer::UuidAndLocator), json!({"uuid": UUID, "locator": locator}));
        assert_eq!(answer(SessionAnswer::Uuid), json!({"uuid": UUID}));
        assert!(matches!(Locator::parse(locator), Ok(Locator::Session { session: parsed, .. }) if parsed == session));
    }

    #[test]
    fn created_topics_and_sequences_answer_with_one_key() {
        let token = Token::parse(UUID).unwrap();
        assert_eq!(parsed(Answer::Topic { token, form: TopicForm::Uuid }, "topic_create"), json!({"uuid": UUID}));
        assert_eq!(parsed(Answer::Topic { token, form: TopicForm::Key }, "topic_create"), json!({"key": UUID}));
        assert_eq!(parsed(Answer::Key(token), "sequence_create"), json!({"key": UUID}));
    }

    #[test]
    fn info_and_version_have_all_their_keys() {
        let limits = ServerLimits { decode_bytes_max: 1, encode_bytes_max: 2, target_bytes: 3 };
        let info = parsed(Answer::Info(limits), "info");
        let semver = json!({"major": 0, "minor": 7, "patch": 0, "pre": null});
        let config = json!({
            "grpc_max_decode_message_size": 1, "grpc_max_encode_message_size": 2, "grpc_target_encode_message_size": 3,
        });
        assert_eq!(info, json!({"version": "0.7.0", "semver": semver, "config": config}));
        assert_eq!(parsed(Answer::Version, "version"), json!({"version": "0.7.0", "semver": semver}));
        assert_eq!(Answer::Empty.to_json("sequence_create"), r#"{"action":"empty"}"#);
    }

    #[test]
    fn notifications_are_spelled_as_they_were_asked_for() {
        let items = [Notification { message: "line\n\"two\"".to_owned(), created_at_ns: 1_772_366_400_123_456_789 }];
        let target = NotificationTarget::Topic(TopicName::parse("drive/imu").unwrap());
        let answer = |form| parsed(Answer::Notifications { target: &target, items: &items, form }, "list");
        let created = "2026-03-01 12:00:00.123456 UTC";
        let entry = json!({"name": "drive/imu", "notification_type": "error", "msg": "line\n\"two\"", "created_datetime": created});
        assert_eq!(answer(NotificationForm::Notifications), json!({"notifications": [entry]}));
        let entry =
            json!({"name": "drive/imu", "notify_type": "error", "msg": "line\n\"two\"", "created_datetime": created});
        assert_eq!(answer(NotificationForm::Notifies), json!({"notifies": [entry]}));
        let target = NotificationTarget::Sequence(SequenceName::parse("drive").unwrap());
        let none = Answer::Notifications { target: &target, items: &[], form: NotificationForm::Notifications };
        assert_eq!(parsed(none, "list"), json!({"notifications": []}));
    }

    #[test]
    fn system_info_counts_chunks_of_topics_only() {
        let info = |chunks| Answer::SystemInfo { total_bytes: 9, locked: true, created_at_ns: 0, chunks };
        let sequence =
            json!({"total_size_bytes": 9, "is_locked": true, "created_datetime": "1970-01-01 00:00:00.000000 UTC"});
        assert_eq!(parsed(info(None), "sequence_system_info"), sequence);
        assert_eq!(parsed(info(Some(4)), "topic_system_info")["chunks_number"], 4);
    }
}
