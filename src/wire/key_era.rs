//! Requests before sessions existed: December 2025. Resources have a `name`; creating a sequence gives one `key` that
//! stands for its only session; a ticket is the topic's name in plain text.

use super::ActionRequest;
use super::NotificationForm;
use super::TopicForm;
use super::WireError;
use super::body::Body;
use super::session_era;
use super::session_era::Target;
use crate::model::NotificationTarget;
use crate::model::TopicName;

pub(super) fn sequence_create(body: &Body) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::SequenceCreateKeyed { name: body.sequence("name")?, metadata: body.metadata()? })
}

pub(super) fn sequence_finalize(body: &Body) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::SessionFinalize { session: body.token("key")?, sequence: Some(body.sequence("name")?) })
}

pub(super) fn sequence_abort(body: &Body) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::SequenceAbort { session: body.token("key")?, name: body.sequence("name")? })
}

pub(super) fn topic_create(body: &Body) -> Result<ActionRequest, WireError> {
    session_era::create_topic(body, "sequence_key", "name", TopicForm::Key)
}

pub(super) fn sequence_target(body: &Body) -> Result<NotificationTarget, WireError> {
    Ok(NotificationTarget::Sequence(body.sequence("name")?))
}

pub(super) fn topic_target(body: &Body) -> Result<NotificationTarget, WireError> {
    Ok(NotificationTarget::Topic(body.topic("name")?))
}

pub(super) fn notify_create(body: &Body, target: Target) -> Result<ActionRequest, WireError> {
    session_era::create_notification(body, target, "notify_type")
}

pub(super) fn notify_list(body: &Body, target: Target) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::NotificationList { target: target(body)?, form: NotificationForm::Notifies })
}

pub(super) fn notify_purge(body: &Body, target: Target) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::NotificationPurge { target: target(body)? })
}

/// The ticket for a client that asked with a path descriptor: it reads its ticket as `sequence/topic`.
///
/// Sealed tickets begin with a control character, a plain one never does.
pub fn plain_ticket(topic: &TopicName) -> Vec<u8> {
    topic.to_string().into_bytes()
}

/// # Errors
/// [`WireError::Ticket`] when the bytes are no topic name.
pub fn parse_plain_ticket(ticket: &[u8]) -> Result<TopicName, WireError> {
    let text = std::str::from_utf8(ticket).map_err(|_| WireError::Ticket)?;
    TopicName::parse(text).map_err(|_| WireError::Ticket)
}
