//! Finalizing: the manifest, then the catalog.
//!
//! | a crash after                | leaves                        | and the next start                            |
//! |------------------------------|-------------------------------|-----------------------------------------------|
//! | the manifest                 | an open session, a manifest   | removes it (`Sessions::recover`); the client repeats |
//! | the catalog's commit         | a final session               | looks at its files once; a repeated finalize answers the same |
//!
//! The session's gate is held all the while, so that the manifest says what the catalog commits: no topic comes or goes.
//! The catalog keeps a notification of every interrupted topic in the same transaction.

use std::sync::Arc;

use super::error::SessionError;
use super::gate::Gate;
use super::manifest::Manifest;
use super::sessions::Desk;
use super::sessions::Sessions;
use super::sweep::behind;
use super::sweep::to_the_end;
use crate::auth::token_digest;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::Standing;
use crate::catalog::Visibility;
use crate::io::failpoint;
use crate::model::Refusal;
use crate::model::SequenceName;
use crate::model::SequenceView;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionMove;
use crate::model::SessionState;
use crate::model::SessionView;
use crate::model::Token;
use crate::shard::ShardError;

impl Sessions {
    /// The session of a token, when it belongs to this sequence.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] for an unknown token, [`SessionError::ForeignKey`] for one of another sequence.
    pub async fn owned_session(&self, session: Token, sequence: &SequenceName) -> Result<SessionHead, SessionError> {
        let head = self.desk.open.session_by_token(token_digest(&session)).await?;
        match head.sequence_name == *sequence {
            true => Ok(head),
            false => Err(SessionError::ForeignKey { sequence: sequence.clone() }),
        }
    }

    /// Makes all topics of a session visible at once and immutable. May be repeated and answers the same.
    ///
    /// A topic whose DoPut broke is finalized with its durable prefix, and a notification says so.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] for an unknown token, [`SessionError::Refused`] for a session without topics or with one
    /// that was never written or still is; [`SessionError::Shard`] when the manifest cannot be written, and nothing moved.
    pub async fn finalize(&self, session: Token) -> Result<SessionHead, SessionError> {
        let head = self.desk.open.session_by_token(token_digest(&session)).await?;
        if head.state == SessionState::Final {
            return Ok(head);
        }
        let desk = Arc::clone(&self.desk);
        to_the_end(async move {
            let _passage = desk.gates.pass(Gate::Session(head.id)).await;
            desk.finalize(head).await
        })
        .await
    }
}

impl Desk {
    pub(super) async fn finalize(&self, head: SessionHead) -> Result<SessionHead, SessionError> {
        let sequence = self.catalog.sequence(&head.sequence_name, Visibility::All).await?;
        let session = sequence.sessions.iter().find(|session| session.head.id == head.id);
        let Some(session) = session else {
            return Err(SessionError::NotFound { what: Entity::Session, name: head.id.to_string() });
        };
        if session.head.state == SessionState::Final {
            // An earlier one ended between the two catalogs, where there are two.
            if self.open.standing(head.id).await? == Standing::Open {
                self.catalog.finalize(head.id, self.now()).await?;
                self.ended(head.id);
            }
            return Ok(session.head.clone());
        }
        may_finalize(session)?;
        let completed_at_ns = self.now();
        self.write_manifest(&sequence, session, completed_at_ns).await?;
        failpoint("finalize: manifest written");
        match self.catalog.finalize(head.id, completed_at_ns).await {
            Ok(head) => {
                failpoint("finalize: committed");
                self.ended(head.id);
                Ok(head)
            }
            Err(error) => {
                if is_definite(&error) {
                    // The manifest would claim a final session. The next start removes it if this fails.
                    self.remove_manifests(vec![head.id]).await?;
                }
                Err(error.into())
            }
        }
    }

    fn ended(&self, session: SessionId) {
        self.admission.forget_session(session);
        self.settle(session);
    }

    /// Behind the answer: the files of a final session need no look at the next start. What fails here waits for it.
    fn settle(&self, session: SessionId) {
        let shards = self.shards.clone();
        behind(async move {
            match shards.settle(session).await {
                Ok(()) => failpoint("finalize: settled"),
                Err(ShardError::Stopped) => {}
                Err(error) => {
                    tracing::warn!(%session, %error, "the next start looks at the files of this session again")
                }
            }
        });
    }

    async fn write_manifest(
        &self,
        sequence: &SequenceView,
        session: &SessionView,
        completed_at_ns: i64,
    ) -> Result<(), SessionError> {
        let id = session.head.id;
        // The manifest lies on the catalog's disk, and needs a little of it before the catalog does.
        self.open.make_room().await?;
        let bytes = Manifest::gather(&*self.catalog, sequence, session, completed_at_ns).await?.to_bytes();
        let what = || format!("manifest of session {id}");
        self.shards
            .write_manifest(id, bytes)
            .await
            .map_err(|cause| SessionError::Shard { what: what(), cause: Box::new(cause) })
    }
}

/// Asks the table of states early, so that a refusal names the topic and costs no manifest. The catalog asks it again.
pub(super) fn may_finalize(session: &SessionView) -> Result<(), SessionError> {
    let after = |topics: Vec<_>| session.head.state.after(SessionMove::Finalize, topics);
    for topic in &session.topics {
        if session.head.state == SessionState::Open && topic.node.is_some() {
            return Err(CatalogError::refused(Entity::Session, session.head.id, Refusal::OtherServer).into());
        }
        after(vec![topic.head.state])
            .map_err(|refusal| CatalogError::refused(Entity::Topic, &topic.head.name, refusal))?;
    }
    after(session.topics.iter().map(|topic| topic.head.state).collect())
        .map_err(|refusal| CatalogError::refused(Entity::Session, session.head.id, refusal))?;
    Ok(())
}

/// Whether the catalog surely did not commit.
fn is_definite(error: &CatalogError) -> bool {
    match error {
        CatalogError::NotFound { .. }
        | CatalogError::AlreadyExists { .. }
        | CatalogError::Refused { .. }
        | CatalogError::ForeignSequence { .. }
        | CatalogError::Invalid { .. }
        | CatalogError::TooLarge { .. }
        | CatalogError::Overloaded { .. }
        | CatalogError::Full => true,
        CatalogError::Unavailable { .. }
        | CatalogError::SchemaMismatch { .. }
        | CatalogError::Corrupt { .. }
        | CatalogError::Closed => false,
    }
}
