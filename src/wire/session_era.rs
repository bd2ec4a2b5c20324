//! Requests since sessions exist: SDK 0.3 to 0.7. Resources are named by `locator`, authority is the `session_uuid`.

use super::ActionRequest;
use super::NotificationForm;
use super::SessionAddress;
use super::TopicForm;
use super::WireError;
use super::body::Body;
use crate::model::Locator;
use crate::model::NameError;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::OntologyTag;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::Token;

pub(super) fn sequence_create(body: &Body) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::SequenceCreate { name: body.sequence("locator")?, metadata: body.metadata()? })
}

pub(super) fn session_create(body: &Body) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::SessionCreate { sequence: body.sequence("locator")? })
}

pub(super) fn session_finalize(body: &Body) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::SessionFinalize { session: body.token("session_uuid")?, sequence: None })
}

/// By locator since 0.5, by UUID before.
pub(super) fn session_delete(body: &Body) -> Result<ActionRequest, WireError> {
    let key = body.first_of(["locator", "session_uuid"]);
    if key == "session_uuid" {
        let token = body.token(key)?;
        return Ok(ActionRequest::SessionDelete(SessionAddress::Uuid { token, id: public_id(&token) }));
    }
    match body.locator(key)? {
        Locator::Session { sequence, session } => {
            Ok(ActionRequest::SessionDelete(SessionAddress::Locator { sequence, session }))
        }
        other => {
            let cause = NameError::Locator(other.to_string().chars().take(80).collect());
            Err(WireError::Name { key, cause })
        }
    }
}

/// The same number, read as the id of a session instead of as a secret.
fn public_id(token: &Token) -> SessionId {
    SessionId(uuid::Uuid::from_bytes(*token.as_bytes()))
}

pub(super) fn topic_create(body: &Body) -> Result<ActionRequest, WireError> {
    create_topic(body, "session_uuid", "locator", TopicForm::Uuid)
}

/// The part of topic_create that never changed.
pub(super) fn create_topic(
    body: &Body,
    session_key: &'static str,
    name_key: &'static str,
    form: TopicForm,
) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::TopicCreate {
        session: body.token(session_key)?,
        name: body.topic(name_key)?,
        tag: body.name("ontology_tag", OntologyTag::parse)?,
        format: SerializationFormat::parse(&body.text("serialization_format")?)?,
        metadata: body.metadata()?,
        form,
    })
}

/// Reads what a notification action is about.
pub(super) type Target = fn(&Body) -> Result<NotificationTarget, WireError>;

pub(super) fn sequence_target(body: &Body) -> Result<NotificationTarget, WireError> {
    Ok(NotificationTarget::Sequence(body.sequence("locator")?))
}

pub(super) fn topic_target(body: &Body) -> Result<NotificationTarget, WireError> {
    Ok(NotificationTarget::Topic(body.topic("locator")?))
}

pub(super) fn notification_create(body: &Body, target: Target) -> Result<ActionRequest, WireError> {
    create_notification(body, target, "notification_type")
}

pub(super) fn notification_list(body: &Body, target: Target) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::NotificationList { target: target(body)?, form: NotificationForm::Notifications })
}

pub(super) fn notification_purge(body: &Body, target: Target) -> Result<ActionRequest, WireError> {
    Ok(ActionRequest::NotificationPurge { target: target(body)? })
}

/// The part of a notification that never changed.
pub(super) fn create_notification(
    body: &Body,
    target: Target,
    type_key: &'static str,
) -> Result<ActionRequest, WireError> {
    let kind = body.text(type_key)?;
    if kind != "error" {
        let found = kind.chars().take(80).collect();
        return Err(WireError::Value { key: type_key, expected: "\"error\", the one kind there is", found });
    }
    let mut message = body.text("msg")?;
    message.truncate(message.floor_char_boundary(Notification::MESSAGE_LEN_MAX));
    Ok(ActionRequest::NotificationCreate { target: target(body)?, message })
}
