//! Actions as they come, of every generation, as one list.

use super::NotificationForm;
use super::TopicForm;
use super::WireError;
use super::body::Body;
use super::body::Limits;
use super::key_era;
use super::order;
use super::session_era;
use crate::model::NotificationTarget;
use crate::model::OntologyTag;
use crate::model::Order;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::Token;
use crate::model::TopicName;
use crate::model::UserMetadata;

/// What a client asks for. The action's name is not kept: the answer is given under the name the client used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionRequest {
    Info,
    Version,
    SequenceCreate {
        name: SequenceName,
        metadata: UserMetadata,
    },
    /// Creates the sequence and opens its session in one; answered with the session's token ([`super::Answer::Key`]).
    SequenceCreateKeyed {
        name: SequenceName,
        metadata: UserMetadata,
    },
    /// SDK 0.3 sends it twice when a recording fails, and fails on an error: a client of 0.3 wants success on a name that is gone.
    SequenceDelete {
        name: SequenceName,
    },
    /// Discards the sequence while the session of `session` is open; both belong together, which the caller checks.
    SequenceAbort {
        name: SequenceName,
        session: Token,
    },
    SessionCreate {
        sequence: SequenceName,
    },
    /// `sequence` is there when the client named it too: the caller checks that the session is one of it.
    SessionFinalize {
        session: Token,
        sequence: Option<SequenceName>,
    },
    SessionDelete(SessionAddress),
    TopicCreate {
        session: Token,
        name: TopicName,
        tag: OntologyTag,
        format: SerializationFormat,
        metadata: UserMetadata,
        form: TopicForm,
    },
    TopicDelete {
        name: TopicName,
    },
    /// `message` is already cut to [`crate::model::Notification::MESSAGE_LEN_MAX`].
    NotificationCreate {
        target: NotificationTarget,
        message: String,
    },
    NotificationList {
        target: NotificationTarget,
        form: NotificationForm,
    },
    NotificationPurge {
        target: NotificationTarget,
    },
    /// Of whoever runs the server; sealed with a key of its data directory.
    Order {
        order: Order,
        seal: [u8; 32],
    },
    SequenceSystemInfo {
        name: SequenceName,
    },
    TopicSystemInfo {
        name: TopicName,
    },
    /// Their bodies are a language of their own, which the room `query` reads.
    Query,
    Clusterize,
    Intersect,
    /// Part of the protocol, not served here; its body is not looked at.
    Unimplemented(&'static str),
}

/// How a client names a session it wants deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionAddress {
    Locator {
        sequence: SequenceName,
        session: SessionId,
    },
    /// One number that is either: the failing writer of SDK 0.4 sends its token, a user what the listing showed.
    Uuid {
        token: Token,
        id: SessionId,
    },
}

/// In the protocol, but not in this server.
const UNIMPLEMENTED: [&str; 7] = [
    "api_key_create",
    "api_key_status",
    "api_key_revoke",
    "layer_create",
    "layer_delete",
    "layer_update",
    "layer_list",
];

impl ActionRequest {
    /// Reads one action. `kind` is its name on the wire, `body` its JSON.
    ///
    /// # Errors
    /// [`WireError::UnknownAction`], or what is wrong with the body. Keys it does not know are ignored.
    pub fn parse(kind: &str, body: &[u8]) -> Result<Self, WireError> {
        if let Some(name) = UNIMPLEMENTED.into_iter().find(|name| *name == kind) {
            return Ok(Self::Unimplemented(name));
        }
        match kind {
            "query" => return Ok(Self::Query),
            "topic_filter_clusterize" => return Ok(Self::Clusterize),
            "topic_filter_intersect" => return Ok(Self::Intersect),
            _ => {}
        }
        let limits =
            if kind.ends_with("_create") && kind.contains("_notif") { Limits::NOTIFICATION } else { Limits::ACTION };
        let read = || Body::parse(body, &limits);
        match kind {
            "info" => read().map(|_| Self::Info),
            "version" => read().map(|_| Self::Version),
            "sequence_create" => match read()? {
                body if body.has("name") && !body.has("locator") => key_era::sequence_create(&body),
                body => session_era::sequence_create(&body),
            },
            "sequence_delete" => {
                let body = read()?;
                Ok(Self::SequenceDelete { name: body.sequence(body.first_of(["locator", "name"]))? })
            }
            "session_create" => session_era::session_create(&read()?),
            "session_finalize" => session_era::session_finalize(&read()?),
            "session_delete" => session_era::session_delete(&read()?),
            "topic_create" => match read()? {
                body if body.has("sequence_key") && !body.has("session_uuid") => key_era::topic_create(&body),
                body => session_era::topic_create(&body),
            },
            "topic_delete" => {
                let body = read()?;
                Ok(Self::TopicDelete { name: body.topic(body.first_of(["locator", "name"]))? })
            }
            "sequence_notification_create" => session_era::notification_create(&read()?, session_era::sequence_target),
            "topic_notification_create" => session_era::notification_create(&read()?, session_era::topic_target),
            "sequence_notification_list" => session_era::notification_list(&read()?, session_era::sequence_target),
            "topic_notification_list" => session_era::notification_list(&read()?, session_era::topic_target),
            "sequence_notification_purge" => session_era::notification_purge(&read()?, session_era::sequence_target),
            "topic_notification_purge" => session_era::notification_purge(&read()?, session_era::topic_target),
            "sequence_finalize" => key_era::sequence_finalize(&read()?),
            "sequence_abort" => key_era::sequence_abort(&read()?),
            "sequence_notify_create" => key_era::notify_create(&read()?, key_era::sequence_target),
            "topic_notify_create" => key_era::notify_create(&read()?, key_era::topic_target),
            "sequence_notify_list" => key_era::notify_list(&read()?, key_era::sequence_target),
            "topic_notify_list" => key_era::notify_list(&read()?, key_era::topic_target),
            "sequence_notify_purge" => key_era::notify_purge(&read()?, key_era::sequence_target),
            "topic_notify_purge" => key_era::notify_purge(&read()?, key_era::topic_target),
            order::FINALIZE => order::finalize(&read()?),
            order::DISCARD => order::discard(&read()?),
            "sequence_system_info" => Ok(Self::SequenceSystemInfo { name: read()?.sequence("name")? }),
            "topic_system_info" => Ok(Self::TopicSystemInfo { name: read()?.topic("name")? }),
            other => Err(WireError::UnknownAction(other.chars().take(80).collect())),
        }
    }
}

#[cfg(test)]
mod tests;
