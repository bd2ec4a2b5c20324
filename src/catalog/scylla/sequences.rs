//! Sequences. The claim of a name decides who has it; what it points to is written before, so that whoever finds a claim finds
//! a whole sequence.
//!
//! | a crash after    | leaves                              | and then                                                      |
//! |------------------|-------------------------------------|---------------------------------------------------------------|
//! | the draft        | a sequence that no name leads to    | nobody sees it                                                |
//! | the claim        | one that is not listed              | the next create of the name, or of a session in it, lists it  |
//! | its deletion     | a claim of something deleted        | nobody sees it; the next create of the name takes it away     |

use futures::future::try_join_all;
use uuid::Uuid;

use super::cluster::Certainty;
use super::cluster::Conditional;
use super::cluster::Rounds;
use super::documents;
use super::fault::damaged;
use super::heads::Head;
use super::heads::Life;
use super::heads::SequenceState;
use super::node::Node;
use super::purge;
use super::sessions;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::Entity;
use crate::catalog::NewSequence;
use crate::catalog::PAGE_BYTES;
use crate::catalog::Page;
use crate::catalog::Visibility;
use crate::catalog::page_items;
use crate::io::hash64;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::SequenceName;

/// What `sequence_withdraw` asks for: the state of one that no name leads to.
const DRAFT: i8 = 0;

pub async fn create(node: &Node, new: &NewSequence) -> Result<SequenceHead, CatalogError> {
    let cluster = &node.cluster;
    let mut rounds = Rounds::of("creating a sequence");
    loop {
        let own = Head::read(cluster, new.id, rounds.certainty()).await?;
        match &own {
            Some(own) if own.name != new.name => return Err(taken(&own.name, new.id)),
            Some(own) if own.state == SequenceState::Deleted => {
                return Err(CatalogError::not_found(Entity::Sequence, &new.name));
            }
            _ => {}
        }
        match holder(node, &new.name, rounds.certainty()).await? {
            Some(held) => {
                list(node, &new.name, held.id).await?;
                if held.id == new.id {
                    return held.to_public(cluster).await;
                }
                if own.is_some() {
                    // It lost; its name belongs to another one, so nobody can be using it.
                    cluster.try_to(&cluster.statements.sequence_withdraw, (new.id.0, DRAFT)).await?;
                }
                return Err(taken(&new.name, held.id));
            }
            None if own.is_none() => {
                documents::put_sequence(cluster, new.id, &new.metadata).await?;
                let len = i32::try_from(new.metadata.as_str().len()).unwrap_or(i32::MAX);
                let values = (new.name.as_str(), new.created_at_ns, len, new.id.0);
                match cluster.try_to(&cluster.statements.sequence_create, values).await? {
                    Conditional::Applied => {}
                    other => {
                        rounds.again(&other).await?;
                        continue;
                    }
                }
            }
            None => {}
        }
        match cluster.try_to(&cluster.statements.claim, (new.name.as_str(), new.id.0)).await? {
            Conditional::Applied => {
                list(node, &new.name, new.id).await?;
                let (name, metadata) = (new.name.clone(), new.metadata.clone());
                return Ok(SequenceHead { id: new.id, name, metadata, created_at_ns: new.created_at_ns });
            }
            other => rounds.again(&other).await?,
        }
    }
}

/// The live sequence that has this name. Takes away a claim of something that is gone.
async fn holder(node: &Node, name: &SequenceName, certainty: Certainty) -> Result<Option<Head>, CatalogError> {
    let cluster = &node.cluster;
    let claim: Option<(Uuid,)> = cluster.row(&cluster.statements.claim_read, (name.as_str(),), certainty).await?;
    let Some((id,)) = claim else { return Ok(None) };
    match Head::read(cluster, SequenceId(id), certainty).await? {
        Some(head) if head.state == SequenceState::Live => Ok(Some(head)),
        Some(_) | None => {
            // Whatever comes of it, the claim that follows shows it.
            cluster.try_to(&cluster.statements.claim_drop, (name.as_str(), id)).await?;
            Ok(None)
        }
    }
}

/// What a sequence that is to be deleted may have.
#[derive(Clone, Copy, PartialEq)]
pub enum Sessions {
    Any,
    None,
}

/// Deletes a sequence with all its sessions in one step; nothing of it is visible when this answers, and its name is free. Returns
/// whether it did: not where it has sessions that it may not have, also such as another node begins at this moment.
pub async fn delete(node: &Node, id: SequenceId, allowed: Sessions) -> Result<bool, CatalogError> {
    let cluster = &node.cluster;
    let none = || CatalogError::not_found(Entity::Sequence, id);
    let name = Head::live(cluster, id).await?.ok_or_else(none)?.name;
    let mut turn = node.lanes.enter(&name);
    turn.begin().await;
    let mut rounds = Rounds::of("deleting a sequence");
    let head = loop {
        let head = Head::read(cluster, id, rounds.certainty()).await?.ok_or_else(none)?;
        if head.state == SequenceState::Deleted {
            if rounds.certainty() == Certainty::Answered {
                return Err(none());
            }
            break head; // by this call, or by another one at the same moment
        }
        if allowed == Sessions::None && head.live_sessions().next().is_some() {
            return Ok(false);
        }
        // Each owner learns it from its list, also when this node ends here.
        let told = head.sessions.iter().filter(|session| session.life != Life::Deleted);
        let values =
            told.map(|session| cluster.write(&cluster.statements.deletion, (session.node, session.id.0, id.0)));
        try_join_all(values).await?;
        match cluster.try_to(&cluster.statements.sequence_delete, (id.0, head.sessions_ever)).await? {
            Conditional::Applied => break head,
            other => rounds.again(&other).await?,
        }
    };
    // From here on it is deleted, whatever fails: whoever meets the claim takes it away, and the lists of the nodes have the rest.
    if let Err(error) = tidy(node, &head).await {
        tracing::warn!(sequence = %name, %error, "what is left of a deleted sequence goes later");
    }
    Ok(true)
}

async fn tidy(node: &Node, head: &Head) -> Result<(), CatalogError> {
    let (cluster, id, name) = (&node.cluster, head.id, &head.name);
    cluster.try_to(&cluster.statements.claim_drop, (name.as_str(), id.0)).await?;
    cluster.write(&cluster.statements.list_drop, (part(node, name), name.as_str(), id.0)).await?;
    match node.local.delete_sequence(id).await {
        Ok(()) | Err(CatalogError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    for session in head.sessions.iter().filter(|session| session.node == node.id) {
        cluster.write(&cluster.statements.deletion_drop, (node.id, session.id.0)).await?;
    }
    purge::forget_when_empty(node, id).await
}

/// Enters a name into the list. Harmless to repeat.
pub async fn list(node: &Node, name: &SequenceName, id: SequenceId) -> Result<(), CatalogError> {
    node.cluster.write(&node.cluster.statements.list, (part(node, name), name.as_str(), id.0)).await
}

pub fn part(node: &Node, name: &SequenceName) -> i16 {
    let spread = u64::try_from(node.cluster.layout.spread).unwrap_or(1).max(1);
    i16::try_from(hash64(name.as_str().as_bytes()) % spread).unwrap_or(0)
}

/// A page of live sequences by name, and the last name that was looked at when there may be more.
///
/// * `bytes`: what a sequence takes of the page's [`PAGE_BYTES`].
pub async fn heads(
    node: &Node,
    after: Option<&SequenceName>,
    limit: u32,
    bytes: impl Fn(&Head) -> usize,
) -> Result<(Vec<Head>, Option<SequenceName>), CatalogError> {
    let limit = page_items(limit)? as usize;
    let mut after = after.map_or_else(String::new, |name| name.as_str().to_owned());
    let mut found: Vec<Head> = Vec::new();
    // One more than the page, to know whether there is another.
    while found.len() <= limit {
        let (listed, more) = listed(node, &after, limit + 1 - found.len()).await?;
        let read = listed.iter().map(|(_, id)| Head::live(&node.cluster, SequenceId(*id)));
        let heads = try_join_all(read).await?;
        // What a delete that was cut off left in the list leads nowhere, for ever: a name is listed for an id behind its claim.
        for ((name, id), _) in listed.iter().zip(&heads).filter(|(_, head)| head.is_none()) {
            let name = SequenceName::parse(name).map_err(|error| damaged("the list of sequences", error))?;
            node.cluster.write(&node.cluster.statements.list_drop, (part(node, &name), name.as_str(), *id)).await?;
        }
        let live = heads.into_iter().flatten();
        found.extend(live.filter(|head| listed.contains(&(head.name.to_string(), head.id.0))));
        match (more, listed.last()) {
            (true, Some((last, _))) => after.clone_from(last),
            _ => break,
        }
    }
    let mut taken = 0;
    let fit = found
        .iter()
        .take_while(|head| {
            taken < PAGE_BYTES && {
                taken += bytes(head);
                true
            }
        })
        .count();
    let count = fit.min(limit);
    let next = if found.len() > count { found.get(count - 1).map(|head| head.name.clone()) } else { None };
    found.truncate(count);
    Ok((found, next))
}

/// About `count` entries behind a name, in order, and whether there may be more.
async fn listed(node: &Node, after: &str, count: usize) -> Result<(Vec<(String, Uuid)>, bool), CatalogError> {
    let parts = usize::from(node.cluster.layout.spread.unsigned_abs()).max(1);
    let mut each = count / parts + 8;
    loop {
        let limit = i32::try_from(each).unwrap_or(i32::MAX);
        let statement = &node.cluster.statements.list_read;
        let read = (0..node.cluster.layout.spread)
            .map(|part| node.cluster.rows::<(String, Uuid)>(statement, (part, after, limit)));
        let parts = try_join_all(read).await?;
        // A part that was not read to its end says nothing of names behind its last one, and not everything of that one: a name
        // has a row for each sequence that had it.
        let full = parts.iter().filter(|rows| rows.len() == each);
        let known = full.filter_map(|rows| rows.last().map(|(name, _)| name.clone())).min();
        let mut merged: Vec<_> = parts.into_iter().flatten().collect();
        merged.sort_unstable();
        let Some(known) = known else { return Ok((merged, false)) };
        merged.truncate(merged.partition_point(|(name, _)| *name < known));
        if !merged.is_empty() {
            return Ok((merged, true));
        }
        // One name fills its part's page: the rest of it may hold the one that is alive.
        each = each.saturating_mul(2);
    }
}

pub async fn page(node: &Node, after: Option<&SequenceName>, limit: u32) -> Result<Page<SequenceHead>, CatalogError> {
    let (heads, next) = heads(node, after, limit, Head::bytes).await?;
    let public = try_join_all(heads.iter().map(|head| async {
        match head.to_public(&node.cluster).await {
            Ok(head) => Ok(Some(head)),
            Err(CatalogError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }));
    Ok(Page { items: public.await?.into_iter().flatten().collect(), next: next.map(Cursor::Sequence) })
}

/// Makes the sequence known to this node's own store, where its sessions will hang on it.
pub async fn mirror(node: &Node, head: &Head) -> Result<(), CatalogError> {
    let public = head.to_public(&node.cluster).await?;
    let new = NewSequence {
        id: public.id,
        name: public.name,
        metadata: public.metadata,
        created_at_ns: public.created_at_ns,
    };
    match node.local.create_sequence(new.clone()).await {
        Err(CatalogError::AlreadyExists { id: stale, .. }) if stale != head.id.0 => {
            // Another node deleted it and the name was given away again; unless the shared catalog forgot it, with what it has.
            let stale = SequenceId(stale);
            let gone = Head::read(&node.cluster, stale, Certainty::Settled).await?;
            if gone.as_ref().is_some_and(|gone| gone.state == SequenceState::Live) {
                return Err(damaged(format_args!("name {}", head.name), "two sequences have it"));
            }
            for session in node.local.sequence(&head.name, Visibility::All).await?.sessions {
                sessions::follow(node, session.head.id, gone.as_ref()).await?.into_gone()?;
            }
            node.local.delete_sequence(stale).await?;
            node.local.create_sequence(new).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn taken(name: &SequenceName, id: SequenceId) -> CatalogError {
    CatalogError::AlreadyExists { what: Entity::Sequence, name: name.to_string(), id: id.0 }
}
