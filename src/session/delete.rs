//! Deleting: the catalog's tombstone first, then the running puts are stopped and the tombstones beside the manifests are made,
//! in their place, then the answer.
//!
//! | a crash after                 | leaves                        | and the next start                      |
//! |-------------------------------|-------------------------------|-----------------------------------------|
//! | the catalog's tombstone       | a manifest, files             | sweeps both; the tombstone says they go |
//! | the one beside the manifests  | files                         | sweeps them                             |
//!
//! Nothing of it is visible after the first, and its names are free. After the second it does not come back either when the
//! catalog is lost and made again from the files (`store::tombstone`).

use std::sync::Arc;

use super::error::SessionError;
use super::gate::Gate;
use super::registry::Cancel;
use super::registry::Puts;
use super::sessions::Desk;
use super::sessions::SessionRef;
use super::sessions::Sessions;
use super::sweep::to_the_end;
use crate::auth::token_digest;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::Standing;
use crate::catalog::Visibility;
use crate::io::failpoint;
use crate::model::Locator;
use crate::model::Refusal;
use crate::model::SequenceName;
use crate::model::SessionId;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicState;
use crate::model::TopicView;

impl Sessions {
    /// Deletes a session in any state. Puts that run in it end with [`SessionError::Deleted`].
    ///
    /// # Errors
    /// [`SessionError::NotFound`] when there is none, or no longer. [`SessionError::Shard`] when that could not be noted
    /// beside its files: the session is deleted all the same, and the sweep tries again.
    pub async fn delete_session(&self, which: SessionRef) -> Result<(), SessionError> {
        let session = match which {
            SessionRef::Id(session) => session,
            SessionRef::Token(token) => self.desk.open.session_by_token(token_digest(&token)).await?.id,
            SessionRef::Locator { sequence, session } => {
                if self.desk.catalog.session(session).await?.head.sequence_name != sequence {
                    let name = Locator::Session { sequence, session }.to_string();
                    return Err(SessionError::NotFound { what: Entity::Session, name });
                }
                session
            }
        };
        let desk = Arc::clone(&self.desk);
        to_the_end(async move {
            let _passage = desk.gates.pass(Gate::Session(session)).await;
            desk.catalog.delete_session(session).await?;
            desk.bury(&[session]).await
        })
        .await
    }

    /// Deletes a sequence with all its sessions, whatever their state. The name is free at once.
    ///
    /// # Errors
    /// As [`Self::delete_session`].
    pub async fn delete_sequence(&self, name: &SequenceName) -> Result<(), SessionError> {
        let (desk, name) = (Arc::clone(&self.desk), name.clone());
        to_the_end(async move {
            let _passage = desk.gates.pass(Gate::Sequence(name.clone())).await;
            let sequence = desk.catalog.sequence(&name, Visibility::All).await?;
            let mut sessions: Vec<_> = sequence.sessions.iter().map(|session| session.head.id).collect();
            // Always in the same order, or two of us could wait for each other.
            sessions.sort_unstable();
            let mut passages = Vec::with_capacity(sessions.len());
            for session in &sessions {
                passages.push(desk.gates.pass(Gate::Session(*session)).await);
            }
            desk.catalog.delete_sequence(sequence.head.id).await?;
            desk.bury(&sessions).await
        })
        .await
    }

    /// Deletes a sequence unless it has sessions, by whomever. Returns whether it had none.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] when there is none, or no longer.
    pub async fn delete_empty_sequence(&self, name: &SequenceName) -> Result<bool, SessionError> {
        let (desk, name) = (Arc::clone(&self.desk), name.clone());
        to_the_end(async move {
            let _passage = desk.gates.pass(Gate::Sequence(name.clone())).await;
            let sequence = desk.catalog.sequence(&name, Visibility::All).await?;
            Ok(desk.catalog.delete_empty_sequence(sequence.head.id).await?)
        })
        .await
    }

    /// Deletes one topic of an open session. Its put, when one runs, ends with [`SessionError::Deleted`].
    ///
    /// # Errors
    /// [`SessionError::NotFound`], or [`SessionError::Refused`] when its session is final; [`SessionError::Shard`] as in
    /// [`Self::delete_session`].
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), SessionError> {
        let TopicView { head, node, .. } = self.desk.catalog.topic(name, Visibility::All).await?;
        if node.is_some() && head.state == TopicState::Created {
            return Err(CatalogError::refused(Entity::Topic, name, Refusal::OtherServer).into());
        }
        let desk = Arc::clone(&self.desk);
        to_the_end(async move {
            let _passage = desk.gates.pass(Gate::Session(head.session)).await;
            desk.remove_topic(head.id, head.session).await
        })
        .await
    }
}

impl Desk {
    /// Deletes a topic of an open session, whose gate the caller holds.
    pub(super) async fn remove_topic(&self, topic: TopicId, session: SessionId) -> Result<(), SessionError> {
        self.catalog.delete_topic(topic).await?;
        // A finalize that failed and did not say so left a manifest that names it: a start would miss its chunks. The session is
        // open for sure, or this would have been refused.
        self.remove_manifests(vec![session]).await?;
        self.registry.cancel(Puts::Topic(topic), Cancel::Deleted);
        self.admission.forget_topic(session);
        let noted = self.note_deleted(session, Some(topic)).await;
        // Behind it, for the sweep takes it away.
        self.alarm.ring();
        noted
    }

    /// After the catalog's tombstone: stops the puts, makes the ones beside the manifests and wakes the sweep.
    pub(super) async fn bury(&self, sessions: &[SessionId]) -> Result<(), SessionError> {
        failpoint("delete: tombstone committed");
        for session in sessions {
            self.registry.cancel(Puts::Session(*session), Cancel::Deleted);
            self.admission.forget_session(*session);
        }
        let mut outcome = Ok(());
        for session in sessions {
            // One of another server has no files here, and one that is purged already none any more.
            if matches!(self.open.standing(*session).await, Ok(Standing::Unknown)) {
                continue;
            }
            // All of them, even after one failed: what stays waits for the sweep.
            outcome = outcome.and(self.note_deleted(*session, None).await);
        }
        // Behind them, for the sweep takes them away.
        self.alarm.ring();
        failpoint("delete: manifests removed");
        outcome
    }
}
