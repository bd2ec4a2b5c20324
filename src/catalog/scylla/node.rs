//! One server of the fleet: its connection to the shared catalog, and its own store.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use uuid::Uuid;

use super::cluster::Certainty;
use super::cluster::Cluster;
use super::heads::Head;
use super::heads::Life;
use super::heads::SessionRow;
use super::lanes::Lanes;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::Entity;
use crate::catalog::OpenStore;
use crate::catalog::Visibility;
use crate::model::IdSource;
use crate::model::SequenceId;
use crate::model::SessionId;
use crate::model::TopicId;

pub struct Node {
    /// Who has the files of what is recorded here.
    pub id: Uuid,
    pub cluster: Cluster,
    /// Everything that was recorded here, open or final, until it is purged.
    pub local: EmbeddedCatalog,
    pub open: OpenStore,
    pub ids: Arc<IdSource>,
    pub lanes: Lanes,
    /// Topics whose creates were answered with an error, so that nobody knows their ids, and which may have their names all the
    /// same. Whoever asks for such a name gets it.
    pub unsure: Unsure<TopicId>,
    /// Sessions that are open in the own store, and may be final for all others: a finalize began, and did not end well here.
    pub finalizing: Unsure<SessionId>,
}

/// Of what is open here, so at most as many.
pub struct Unsure<T>(Mutex<HashSet<T>>);

impl<T> Default for Unsure<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Eq + Hash> Unsure<T> {
    pub fn add(&self, id: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    pub fn has(&self, id: T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// Returns whether it was among them.
    pub fn remove(&self, id: T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }
}

/// Where a topic is: its session in the partition of its sequence.
pub struct TopicPlace {
    pub head: Head,
    pub session: SessionRow,
}

impl TopicPlace {
    /// Whether this node answers from its own store: the topic is open, and its own.
    pub fn is_local(&self, node: &Node) -> bool {
        self.session.life == Life::Open && self.session.node == node.id
    }
}

impl Node {
    /// A live session with its sequence.
    ///
    /// # Errors
    /// `NotFound` when it never was, or is deleted.
    pub async fn session(&self, id: SessionId) -> Result<(Head, SessionRow), CatalogError> {
        let none = || CatalogError::not_found(Entity::Session, id);
        let sequence = self.sequence_of(id).await?.ok_or_else(none)?;
        let head = Head::live(&self.cluster, sequence).await?.ok_or_else(none)?;
        let row = head.live_session(id).cloned().ok_or_else(none)?;
        Ok((head, row))
    }

    async fn sequence_of(&self, session: SessionId) -> Result<Option<SequenceId>, CatalogError> {
        match self.local.session_head(session).await {
            Ok(head) => return Ok(Some(head.sequence)),
            Err(CatalogError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let statement = &self.cluster.statements.session_place_read;
        let place: Option<(Uuid,)> = self.cluster.row(statement, (session.0,), Certainty::Answered).await?;
        Ok(place.map(|(sequence,)| SequenceId(sequence)))
    }

    /// # Errors
    /// `NotFound` when there is none that is live: of another node, none that was published.
    pub async fn topic(&self, id: TopicId) -> Result<TopicPlace, CatalogError> {
        let none = || CatalogError::not_found(Entity::Topic, id);
        let session = match self.local.topic_by_id(id, Visibility::All).await {
            Ok(view) => {
                let session = view.head.session;
                let (head, session) = self.session(session).await.map_err(|error| rename(error, none))?;
                return Ok(TopicPlace { head, session });
            }
            Err(CatalogError::NotFound { .. }) => {
                let statement = &self.cluster.statements.topic_place_read;
                let found: Option<(Uuid, Uuid)> = self.cluster.row(statement, (id.0,), Certainty::Answered).await?;
                found.ok_or_else(none)?
            }
            Err(error) => return Err(error),
        };
        let (sequence, session) = (SequenceId(session.0), SessionId(session.1));
        let head = Head::live(&self.cluster, sequence).await?.ok_or_else(none)?;
        let session = head.live_session(session).cloned().ok_or_else(none)?;
        // Its place is written before its session is final.
        match session.life {
            Life::Final => Ok(TopicPlace { head, session }),
            Life::Open | Life::Deleted => Err(none()),
        }
    }
}

/// The same, in the words of the caller's question.
fn rename(error: CatalogError, none: impl Fn() -> CatalogError) -> CatalogError {
    match error {
        CatalogError::NotFound { .. } => none(),
        other => other,
    }
}
