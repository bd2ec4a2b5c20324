//! Sessions. This node's own store says yes first: it knows tokens and what was deleted. Then the shared catalog does.
//!
//! | a crash between the two              | leaves                                | and the next start                  |
//! |--------------------------------------|---------------------------------------|-------------------------------------|
//! | in a create                          | a session that only the store knows   | buries it: nobody was told of it    |
//! | in a finalize (`publish`)            | final for all, open in the store      | makes it final in the store         |
//! | in a delete                          | deleted for all, alive in the store   | buries it, from the list of the node |

use super::cluster::Certainty;
use super::cluster::Conditional;
use super::cluster::Rounds;
use super::fault::damaged;
use super::heads::Head;
use super::heads::Life;
use super::heads::SequenceState;
use super::node::Node;
use super::sequences;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::NewSession;
use crate::model::Refusal;
use crate::model::SessionHead;
use crate::model::SessionId;

/// The clustering key of a session's row.
pub fn key(id: SessionId) -> String {
    id.to_string()
}

pub async fn create(node: &Node, new: &NewSession) -> Result<SessionHead, CatalogError> {
    let cluster = &node.cluster;
    let head = Head::by_name(cluster, &new.sequence).await?;
    sequences::mirror(node, &head).await?;
    let created = node.local.create_session(new.clone()).await?;
    sequences::list(node, &head.name, head.id).await?;
    cluster.write(&cluster.statements.session_place, (new.id.0, head.id.0)).await?;
    let mut rounds = Rounds::of("creating a session");
    loop {
        let head = Head::read(cluster, head.id, rounds.certainty()).await?;
        let Some(head) = head.filter(|head| head.state == SequenceState::Live) else {
            // It has no rows, and nobody was told of it.
            bury(node, new.id).await?;
            return Err(CatalogError::not_found(Entity::Sequence, &new.sequence));
        };
        match head.session(new.id) {
            Some(row) if row.life == Life::Deleted => {
                bury(node, new.id).await?;
                return Err(CatalogError::not_found(Entity::Session, new.id));
            }
            Some(_) => return Ok(created),
            None => {}
        }
        let (before, number) = (head.sessions_ever, head.sessions_ever.saturating_add(1));
        let key = key(new.id);
        let values = (number, new.id.0, number, node.id, new.created_at_ns, head.id.0, key.as_str(), before);
        match cluster.try_to(&cluster.statements.session_create, values).await? {
            Conditional::Applied => return Ok(created),
            other => rounds.again(&other).await?,
        }
    }
}

/// Deletes a session of any node; nothing of it is visible when this answers.
pub async fn delete(node: &Node, id: SessionId) -> Result<(), CatalogError> {
    let cluster = &node.cluster;
    let none = || CatalogError::not_found(Entity::Session, id);
    let (head, row) = match node.session(id).await {
        Ok(found) => found,
        Err(CatalogError::NotFound { .. }) => {
            // Somebody wants it to be gone, and for all others it is.
            bury(node, id).await?;
            return Err(none());
        }
        Err(error) => return Err(error),
    };
    let mut turn = node.lanes.enter(&head.name);
    turn.begin().await;
    let sequence = head.id;
    // Before it is true: the owner looks whether it is.
    cluster.write(&cluster.statements.deletion, (row.node, id.0, sequence.0)).await?;
    let mut rounds = Rounds::of("deleting a session");
    loop {
        let head = Head::read(cluster, sequence, rounds.certainty()).await?.ok_or_else(none)?;
        let life = match head.live_session(id) {
            Some(row) => row.life,
            None if rounds.certainty() == Certainty::Answered => return Err(none()),
            None => break, // by this call, or by another one at the same moment
        };
        let key = key(id);
        let values = (sequence.0, key.as_str(), life as i8);
        match cluster.try_to(&cluster.statements.session_delete, values).await? {
            Conditional::Applied => break,
            other => rounds.again(&other).await?,
        }
    }
    // From here on it is deleted, whatever fails: the list of the node has what is left to do.
    if row.node == node.id
        && let Err(error) = buried(node, id).await
    {
        tracing::warn!(session = %id, %error, "a deleted session is still in the own store: the sweep takes it away");
    }
    Ok(())
}

async fn buried(node: &Node, id: SessionId) -> Result<(), CatalogError> {
    bury(node, id).await?;
    node.cluster.write(&node.cluster.statements.deletion_drop, (node.id, id.0)).await
}

/// What became of a session of this node's own store.
pub enum Followed {
    Lives,
    Gone,
    /// It has topics here, and the shared catalog does not know it: that one lost what it had acknowledged, or was put back from
    /// a backup. Following it would delete rows that were acknowledged.
    Forgotten(CatalogError),
}

impl Followed {
    /// Whether it is gone.
    ///
    /// # Errors
    /// `Corrupt` when it was forgotten.
    pub fn into_gone(self) -> Result<bool, CatalogError> {
        match self {
            Self::Lives => Ok(false),
            Self::Gone => Ok(true),
            Self::Forgotten(error) => Err(error),
        }
    }
}

/// Buries a session of this node in its own store when the shared catalog says that it is deleted, or when it never came to be
/// there and so has no topics.
///
/// * `head`: its sequence, deleted or not, as it was read for this.
pub async fn follow(node: &Node, id: SessionId, head: Option<&Head>) -> Result<Followed, CatalogError> {
    let row = head.and_then(|head| head.session(id).map(|row| (head.state, row.life)));
    match row {
        Some((SequenceState::Live, Life::Open | Life::Final)) => return Ok(Followed::Lives),
        Some(_) => {}
        None => match node.local.session(id).await {
            Ok(own) if own.topics.is_empty() => {}
            Ok(own) => {
                let why = format!(
                    "it does not know this session of sequence {}, of which this server has {} topics; nothing was removed here",
                    own.head.sequence_name,
                    own.topics.len()
                );
                return Ok(Followed::Forgotten(damaged(format_args!("session {id}"), why)));
            }
            Err(CatalogError::NotFound { .. }) => return Ok(Followed::Gone),
            Err(error) => return Err(error),
        },
    }
    bury(node, id).await.map(|()| Followed::Gone)
}

/// Makes a session final in the own store that is final for all.
pub async fn follow_final(node: &Node, id: SessionId, completed_at_ns: i64) {
    match node.local.finalize(id, completed_at_ns).await {
        Ok(_) => {
            node.finalizing.remove(id);
        }
        // Final it is, whatever the own store says: the next start, or the next call about it, makes it so there too.
        Err(error) => {
            node.finalizing.add(id);
            tracing::warn!(session = %id, %error, "a session is final, and still open in the own store of this server");
        }
    }
}

/// Whether a session that is open in the own store may still change: not when a finalize has made it final for all others, which
/// this finds out.
///
/// # Errors
/// `Refused` when it is final.
pub async fn still_open(node: &Node, id: SessionId) -> Result<(), CatalogError> {
    if !node.finalizing.has(id) {
        return Ok(());
    }
    let sequence = node.local.session_head(id).await?.sequence;
    // Behind this, the finalize has run or never will.
    let head = Head::read(&node.cluster, sequence, Certainty::Settled).await?;
    match head.as_ref().and_then(|head| head.live_session(id)) {
        Some(row) if row.life == Life::Final => {
            follow_final(node, id, row.completed_at_ns.unwrap_or(row.created_at_ns)).await;
            Err(CatalogError::refused(Entity::Session, id, Refusal::SessionFinal))
        }
        Some(_) | None => {
            node.finalizing.remove(id);
            Ok(())
        }
    }
}

/// Deletes a session from the own store, which keeps its files in mind until they are purged. Harmless to repeat.
pub async fn bury(node: &Node, id: SessionId) -> Result<(), CatalogError> {
    match node.local.delete_session(id).await {
        Ok(()) | Err(CatalogError::NotFound { .. }) => {
            node.finalizing.remove(id);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
