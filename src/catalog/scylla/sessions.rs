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
use super::heads::Head;
use super::heads::Life;
use super::heads::SequenceState;
use super::node::Node;
use super::sequences;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::NewSession;
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
            // What only the own store knows was never told to anybody, or is deleted for all others.
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
    if row.node == node.id {
        bury(node, id).await?;
        cluster.write(&cluster.statements.deletion_drop, (node.id, id.0)).await?;
    }
    Ok(())
}

/// Deletes a session from the own store, which keeps its files in mind until they are purged. Harmless to repeat.
pub async fn bury(node: &Node, id: SessionId) -> Result<(), CatalogError> {
    match node.local.delete_session(id).await {
        Ok(()) | Err(CatalogError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
