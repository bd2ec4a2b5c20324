//! Forgetting what was deleted, when its files are gone. The tombstone lies in the own store of the node that has the files and
//! goes last, so every step here can be repeated, and is after a crash.

use futures::future::try_join_all;

use super::cluster::Certainty;
use super::cluster::Conditional;
use super::cluster::Rounds;
use super::heads::Head;
use super::heads::Life;
use super::heads::SequenceState;
use super::node::Node;
use super::notifications;
use super::published;
use super::published::DIRECTORIES_PER_PART;
use super::published::SEGMENTS_PER_PART;
use super::published::SegmentPlace;
use super::sessions;
use super::sessions::Followed;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Tombstone;
use crate::catalog::embedded::Buried;
use crate::model::SequenceId;
use crate::model::SessionId;
use crate::model::TopicId;

/// What `sequence_withdraw` asks for: the state of one that was deleted.
const DELETED: i8 = 1;

/// Rows that are removed beside each other.
const REMOVALS: usize = 64;

/// Deleted things whose files must go from this node. Also what other nodes deleted, which is asked for once a round: what is
/// buried meanwhile gets a number behind all others.
pub async fn tombstones(node: &Node, after: i64, limit: u32) -> Result<Vec<Tombstone>, CatalogError> {
    if after == 0 {
        take_note(node).await?;
    }
    node.local.tombstones(after, limit).await
}

/// Buries in the own store what the list of this node says, as far as it is true.
pub async fn take_note(node: &Node) -> Result<(), CatalogError> {
    let cluster = &node.cluster;
    let listed: Vec<(uuid::Uuid, uuid::Uuid)> = cluster.rows(&cluster.statements.deletions, (node.id,)).await?;
    for (session, sequence) in listed {
        let (session, sequence) = (SessionId(session), SequenceId(sequence));
        let head = Head::read(cluster, sequence, Certainty::Answered).await?;
        match sessions::follow(node, session, head.as_ref()).await? {
            Followed::Gone => {}
            // Its delete is under way, or never happened; or nothing is sure any more.
            Followed::Lives | Followed::Forgotten(_) => continue,
        }
        cluster.write(&cluster.statements.deletion_drop, (node.id, session.0)).await?;
    }
    Ok(())
}

pub async fn purged(node: &Node, tombstone: i64) -> Result<(), CatalogError> {
    if let Some(buried) = node.local.buried(tombstone).await? {
        forget(node, &buried).await?;
    }
    node.local.purged(tombstone).await
}

async fn forget(node: &Node, buried: &Buried) -> Result<(), CatalogError> {
    let (cluster, statements) = (&node.cluster, &node.cluster.statements);
    let sequence = buried.sequence;
    for topics in buried.topics.chunks(REMOVALS) {
        let removals = topics.iter().map(async |topic| {
            cluster.write(&statements.topic_drop, (sequence.0, topic.0)).await?;
            cluster.write(&statements.topic_document_drop, (topic.0,)).await?;
            cluster.write(&statements.topic_place_drop, (topic.0,)).await?;
            notifications::forget(node, topic.0).await
        });
        try_join_all(removals).await?;
    }
    let Some(segments) = buried.whole_session else { return Ok(()) };
    let session = buried.session;
    if let Some(head) = Head::read(cluster, sequence, Certainty::Settled).await?
        && let Some(row) = head.session(session)
    {
        for part in SegmentPlace::parts(row.number, segments, SEGMENTS_PER_PART) {
            cluster.write(&statements.segment_drop, (sequence.0, part)).await?;
        }
        for part in SegmentPlace::parts(row.number, segments, DIRECTORIES_PER_PART) {
            cluster.write(&statements.directory_drop, (sequence.0, part)).await?;
        }
        for (path, name) in published::names(node, sequence).await? {
            if name.topic_session == session.0 {
                super::topics::drop_name(node, sequence, &path, TopicId(name.topic_id)).await?;
            }
        }
        // Its number is how its parts are found, so its row goes behind them.
        drop_session(node, &head, session).await?;
    }
    cluster.write(&statements.session_place_drop, (session.0,)).await?;
    forget_when_empty(node, sequence).await
}

async fn drop_session(node: &Node, head: &Head, session: SessionId) -> Result<(), CatalogError> {
    let key = sessions::key(session);
    let mut rounds = Rounds::of("forgetting a session");
    let mut head = Some(head.clone());
    while let Some(row) = head.as_ref().and_then(|head| head.session(session)) {
        let live = head.as_ref().is_some_and(|head| head.state == SequenceState::Live) && row.life != Life::Deleted;
        if live {
            let why = "its tombstone lies in the store of this node, and it lives in the shared catalog";
            return Err(super::fault::damaged(format_args!("session {session}"), why));
        }
        let Some(sequence) = head.as_ref().map(|head| head.id) else { break };
        let values = (sequence.0, key.as_str(), session.0);
        match node.cluster.try_to(&node.cluster.statements.session_drop, values).await? {
            Conditional::Applied => break,
            other => rounds.again(&other).await?,
        }
        head = Head::read(&node.cluster, sequence, rounds.certainty()).await?;
    }
    Ok(())
}

/// Forgets a deleted sequence once it has no sessions.
pub async fn forget_when_empty(node: &Node, id: SequenceId) -> Result<(), CatalogError> {
    let (cluster, statements) = (&node.cluster, &node.cluster.statements);
    let head = Head::read(cluster, id, Certainty::Settled).await?;
    let Some(head) = head.filter(|head| head.state == SequenceState::Deleted && head.sessions.is_empty()) else {
        return Ok(());
    };
    for (path, name) in published::names(node, id).await? {
        super::topics::drop_name(node, id, &path, TopicId(name.topic_id)).await?;
    }
    notifications::forget(node, id.0).await?;
    cluster.write(&statements.document_drop, (id.0,)).await?;
    cluster.write(&statements.list_drop, (super::sequences::part(node, &head.name), head.name.as_str(), id.0)).await?;
    // The claim first: behind it nothing says whose it was.
    cluster.try_to(&statements.claim_drop, (head.name.as_str(), id.0)).await?;
    // Unknown is as good as applied: what may be left says that it is deleted, and takes no room worth naming.
    cluster.try_to(&statements.sequence_withdraw, (id.0, DELETED)).await.map(drop)
}
