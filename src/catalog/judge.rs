//! May a session be finalized? One answer for every back end.

use super::CatalogError;
use super::Entity;
use crate::model::SessionHead;
use crate::model::SessionMove;
use crate::model::SessionState;
use crate::model::TopicPath;
use crate::model::TopicState;

/// The state of the session behind it.
///
/// # Errors
/// `Refused`, naming the first topic that is the reason, or the session.
pub fn judge<'a>(
    session: &SessionHead,
    topics: impl Iterator<Item = (&'a TopicPath, TopicState)> + Clone,
) -> Result<SessionState, CatalogError> {
    session.state.after(SessionMove::Finalize, topics.clone().map(|(_, state)| state)).map_err(|refusal| {
        // The table judges them together; alone, the first that it refuses is the one to name.
        let alone = |state| SessionState::Open.after(SessionMove::Finalize, [state]).is_err();
        match { topics }.find(|(_, state)| alone(*state)) {
            Some((path, _)) => CatalogError::refused(Entity::Topic, path, refusal),
            None => CatalogError::refused(Entity::Session, session.id, refusal),
        }
    })
}
