//! Actions that take more than one step, mostly for the sake of older clients.

use super::super::desk::Desk;
use super::ActionError;
use crate::model::Locator;
use crate::model::SequenceName;
use crate::model::SessionState;
use crate::model::TimeRange;
use crate::model::Token;
use crate::model::TopicName;
use crate::model::UserMetadata;
use crate::session::SessionError;
use crate::session::SessionRef;
use crate::wire::Answer;
use crate::wire::SessionAddress;
use crate::wire::SessionAnswer;

/// The oldest clients know no sessions: one is opened for them with the sequence.
pub(super) async fn create_keyed(
    desk: &Desk,
    name: SequenceName,
    metadata: UserMetadata,
) -> Result<Token, ActionError> {
    desk.sessions.create_sequence(name.clone(), metadata).await?;
    match desk.sessions.create_session(&name).await {
        Ok((_, token)) => Ok(token),
        Err(error) => {
            // Or the name would be taken by a sequence that nobody can write.
            if let Err(again) = desk.sessions.delete_empty_sequence(&name).await {
                tracing::warn!(sequence = %name, error = %again, "a sequence without a session stays behind");
            }
            Err(error.into())
        }
    }
}

/// Clients that want the short session answer (SDK 0.3, 0.4) delete twice when a recording fails, and count an error as
/// a failure of the clean-up.
pub(super) async fn delete_sequence(desk: &Desk, name: &SequenceName) -> Result<(), ActionError> {
    match (desk.sessions.delete_sequence(name).await, desk.config.session_answer) {
        (Err(SessionError::NotFound { .. }), SessionAnswer::Uuid) => Ok(()),
        (deleted, _) => Ok(deleted?),
    }
}

/// The token is what proves that the caller made the sequence: without it nothing is deleted. A sequence to which others have
/// added sessions since stays, with theirs.
pub(super) async fn abort_sequence(desk: &Desk, name: &SequenceName, session: Token) -> Result<(), ActionError> {
    desk.sessions.owned_session(session, name).await?;
    desk.sessions.delete_session(SessionRef::Token(session)).await?;
    desk.sessions.delete_empty_sequence(name).await?;
    Ok(())
}

/// The oldest clients name the sequence too, and both must fit.
pub(super) async fn finalize(desk: &Desk, session: Token, sequence: Option<SequenceName>) -> Result<(), ActionError> {
    if let Some(sequence) = sequence {
        desk.sessions.owned_session(session, &sequence).await?;
    }
    desk.sessions.finalize(session).await?;
    Ok(())
}

/// A UUID may be the token or the public id of a session: the failing writer of SDK 0.4 sends the first, its user the second.
pub(super) async fn delete_session(desk: &Desk, address: SessionAddress) -> Result<(), ActionError> {
    match address {
        SessionAddress::Locator { sequence, session } => {
            Ok(desk.sessions.delete_session(SessionRef::Locator { sequence, session }).await?)
        }
        SessionAddress::Uuid { token, id } => match desk.sessions.delete_session(SessionRef::Token(token)).await {
            Err(SessionError::NotFound { .. }) => Ok(desk.sessions.delete_session(SessionRef::Id(id)).await?),
            deleted => Ok(deleted?),
        },
    }
}

pub(super) async fn sequence_info(desk: &Desk, name: SequenceName) -> Result<Answer<'static>, ActionError> {
    let info = desk.retrieval.info(&Locator::Sequence(name), TimeRange::ALL).await?;
    let sessions = &info.sequence.sessions;
    Ok(Answer::SystemInfo {
        total_bytes: info.topics.iter().map(|topic| topic.view.totals.file_bytes).sum(),
        locked: !sessions.is_empty() && sessions.iter().all(|session| session.head.state == SessionState::Final),
        created_at_ns: info.sequence.head.created_at_ns,
        chunks: None,
    })
}

pub(super) async fn topic_info(desk: &Desk, name: &TopicName) -> Result<Answer<'static>, ActionError> {
    let view = desk.retrieval.topic(name).await?;
    Ok(Answer::SystemInfo {
        total_bytes: view.totals.file_bytes,
        locked: view.head.completed_at_ns.is_some(),
        created_at_ns: view.head.created_at_ns,
        chunks: Some(view.totals.chunks),
    })
}
