//! Topics of open sessions. Their records lie in this node's own store; shared are only their names, because a sequence has
//! each name once, whichever node records it.
//!
//! A name belongs to a topic as long as that one's session lives. So deleting a session frees its names with the one statement
//! that deletes it, and whoever comes next takes such a name over.
//!
//! The store says yes first. A crash before the shared catalog has the name leaves a topic that nobody was told of: the next
//! start deletes it, as it does one whose name was given up before the store knew.

use scylla::DeserializeRow;
use uuid::Uuid;

use super::cluster::Certainty;
use super::cluster::Conditional;
use super::cluster::Rounds;
use super::fault::damaged;
use super::heads::Head;
use super::heads::Life;
use super::heads::SequenceState;
use super::node::Node;
use super::sessions;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::NewTopic;
use crate::catalog::Visibility;
use crate::model::DeviceNumber;
use crate::model::NodeId;
use crate::model::OntologyTag;
use crate::model::Refusal;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::ShardIndex;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicMove;
use crate::model::TopicName;
use crate::model::TopicState;
use crate::model::TopicTotals;
use crate::model::TopicView;
use crate::model::UserMetadata;

/// Who has a topic's name.
#[derive(Debug, DeserializeRow)]
pub struct NameRow {
    pub topic_id: Uuid,
    pub topic_session: Uuid,
    pub tag: String,
    pub format: String,
    pub topic_created: i64,
}

/// What keeps a name from a topic.
enum Obstacle {
    Taken(TopicId),
    SessionGone,
    SessionFinal,
}

pub async fn create(node: &Node, new: &NewTopic) -> Result<TopicHead, CatalogError> {
    sessions::still_open(node, new.session).await?;
    let created = match node.local.create_topic(new.clone()).await {
        Err(CatalogError::AlreadyExists { id, .. }) if id != new.id.0 && clear_stale(node, TopicId(id)).await? => {
            node.local.create_topic(new.clone()).await?
        }
        other => other?,
    };
    let sequence = node.local.session_head(new.session).await?.sequence;
    match take_name(node, sequence, &created).await {
        Err(error) => {
            node.unsure.add(new.id);
            Err(error)
        }
        Ok(None) => {
            node.unsure.remove(new.id);
            Ok(created)
        }
        Ok(Some(Obstacle::Taken(id))) => {
            remove(node, new.id).await?;
            Err(CatalogError::AlreadyExists { what: Entity::Topic, name: new.name.to_string(), id: id.0 })
        }
        Ok(Some(Obstacle::SessionGone)) => {
            remove(node, new.id).await?;
            let head = Head::read(&node.cluster, sequence, Certainty::Settled).await?;
            sessions::follow(node, new.session, head.as_ref()).await?.into_gone()?;
            Err(CatalogError::not_found(Entity::Session, new.session))
        }
        Ok(Some(Obstacle::SessionFinal)) => {
            remove(node, new.id).await?;
            Err(CatalogError::refused(Entity::Session, new.session, Refusal::SessionFinal))
        }
    }
}

/// Whether a name belongs to a topic that is nowhere: of an open session of this node, whose own store does not have it. Its create
/// was cut off, and came through behind that.
async fn is_stale(node: &Node, head: &Head, name: &NameRow) -> Result<bool, CatalogError> {
    let session = head.live_session(SessionId(name.topic_session));
    if !session.is_some_and(|session| session.node == node.id && session.life == Life::Open) {
        return Ok(false);
    }
    match node.local.topic_by_id(TopicId(name.topic_id), Visibility::All).await {
        Ok(_) => Ok(false),
        Err(CatalogError::NotFound { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes a topic out of the way that only the own store takes for alive: its session was deleted by another node, or its create
/// never came to have the name, or nobody was told that it has. Returns whether it was one.
async fn clear_stale(node: &Node, holder: TopicId) -> Result<bool, CatalogError> {
    let head = node.local.topic_by_id(holder, Visibility::All).await?.head;
    let sequence = node.local.session_head(head.session).await?.sequence;
    let shared = Head::read(&node.cluster, sequence, Certainty::Settled).await?;
    if sessions::follow(node, head.session, shared.as_ref()).await?.into_gone()? {
        return Ok(true);
    }
    let (cluster, values) = (&node.cluster, (sequence.0, head.name.path.as_str()));
    let found: Option<NameRow> = cluster.row(&cluster.statements.name_read, values, Certainty::Settled).await?;
    match found {
        Some(found) if found.topic_id == holder.0 && !node.unsure.remove(holder) => Ok(false),
        Some(_) | None if is_told(&head) => keep(node, sequence, &head).await.map(|()| false),
        Some(_) | None => give_up(node, sequence, &head).await.map(|()| true),
    }
}

/// Whether somebody was told of a topic of an open session for sure: to write it takes its token.
fn is_told(topic: &TopicHead) -> bool {
    topic.state != TopicState::Created
}

/// What becomes of a topic of an open session that the shared catalog gives no name: it is forgotten when nobody can have been told
/// of it. One that was written takes its name again, for then the shared catalog lost what it had acknowledged, or was put back
/// from a backup; or its delete was cut off, which nobody was told of either.
pub async fn settle_unnamed(node: &Node, sequence: SequenceId, topic: &TopicHead) -> Result<(), CatalogError> {
    match is_told(topic) {
        true => keep(node, sequence, topic).await,
        false => remove(node, topic.id).await,
    }
}

async fn keep(node: &Node, sequence: SequenceId, topic: &TopicHead) -> Result<(), CatalogError> {
    match take_name(node, sequence, topic).await? {
        None => {
            tracing::warn!(topic = %topic.name, "the shared catalog had forgotten the name of a topic that has rows")
        }
        Some(Obstacle::Taken(id)) => {
            tracing::error!(topic = %topic.name, %id, "the name of a topic that has rows was given to another one: its rows stay")
        }
        // Their own calls find out.
        Some(Obstacle::SessionGone | Obstacle::SessionFinal) => {}
    }
    Ok(())
}

/// Forgets a topic that nobody was told of, with its name, should it have it.
pub async fn give_up(node: &Node, sequence: SequenceId, topic: &TopicHead) -> Result<(), CatalogError> {
    drop_name(node, sequence, topic.name.path.as_str(), topic.id).await?;
    remove(node, topic.id).await
}

/// Gives a topic its name in the shared catalog, if no other topic has it.
async fn take_name(node: &Node, sequence: SequenceId, topic: &TopicHead) -> Result<Option<Obstacle>, CatalogError> {
    let cluster = &node.cluster;
    let path = topic.name.path.as_str();
    let mut rounds = Rounds::of("creating a topic");
    loop {
        let certainty = rounds.certainty();
        let found: Option<NameRow> = cluster.row(&cluster.statements.name_read, (sequence.0, path), certainty).await?;
        if found.as_ref().is_some_and(|found| found.topic_id == topic.id.0) {
            return Ok(None);
        }
        // Behind the name, so that its session is at least as old as what is seen of it.
        let head = Head::read(cluster, sequence, certainty).await?;
        let Some(head) = head.filter(|head| head.state == SequenceState::Live) else {
            return Ok(Some(Obstacle::SessionGone));
        };
        match head.live_session(topic.session).map(|session| session.life) {
            Some(Life::Open) => {}
            Some(Life::Final) => return Ok(Some(Obstacle::SessionFinal)),
            Some(Life::Deleted) | None => return Ok(Some(Obstacle::SessionGone)),
        }
        if let Some(found) = &found
            && head.live_session(SessionId(found.topic_session)).is_some()
            && !is_stale(node, &head, found).await?
        {
            return Ok(Some(Obstacle::Taken(TopicId(found.topic_id))));
        }
        let values = (
            topic.id.0,
            topic.session.0,
            topic.tag.as_str(),
            topic.format.as_str(),
            topic.created_at_ns,
            sequence.0,
            path,
            found.map(|found| found.topic_id),
        );
        match cluster.try_to(&cluster.statements.name_take, values).await? {
            Conditional::Applied => return Ok(None),
            other => rounds.again(&other).await?,
        }
    }
}

/// Deletes one topic of an open session of this node. Its name is free when this answers.
pub async fn delete(node: &Node, id: TopicId) -> Result<(), CatalogError> {
    let view = match node.local.topic_by_id(id, Visibility::All).await {
        Err(error @ CatalogError::NotFound { .. }) => {
            // Of another node: what is open there is deleted there.
            let place = node.topic(id).await.map_err(|_| error)?;
            return Err(refused_final(&place.head.name, id));
        }
        other => other?,
    };
    let mut turn = node.lanes.enter(&view.head.name.sequence);
    turn.begin().await;
    let session = node.local.session_head(view.head.session).await?;
    let step = view.head.state.after(TopicMove::Delete, session.state);
    step.map_err(|refusal| CatalogError::refused(Entity::Topic, &view.head.name, refusal))?;
    sessions::still_open(node, session.id).await?;
    drop_name(node, session.sequence, view.head.name.path.as_str(), id).await?;
    // A finalize that did not end may have published it.
    let (cluster, statements) = (&node.cluster, &node.cluster.statements);
    cluster.write(&statements.topic_place_drop, (id.0,)).await?;
    cluster.write(&statements.topic_drop, (session.sequence.0, id.0)).await?;
    node.unsure.remove(id);
    node.local.delete_topic(id).await
}

/// Gives up a name, if it is still this topic's.
pub async fn drop_name(node: &Node, sequence: SequenceId, path: &str, id: TopicId) -> Result<(), CatalogError> {
    let cluster = &node.cluster;
    let mut rounds = Rounds::of("freeing the name of a topic");
    loop {
        let values = (sequence.0, path);
        let found: Option<NameRow> = cluster.row(&cluster.statements.name_read, values, rounds.certainty()).await?;
        if found.is_none_or(|found| found.topic_id != id.0) {
            return Ok(());
        }
        match cluster.try_to(&cluster.statements.name_drop, (sequence.0, path, id.0)).await? {
            Conditional::Applied => return Ok(()),
            other => rounds.again(&other).await?,
        }
    }
}

/// Deletes a topic from the own store alone. Harmless to repeat.
pub async fn remove(node: &Node, id: TopicId) -> Result<(), CatalogError> {
    node.unsure.remove(id);
    match node.local.delete_topic(id).await {
        Ok(()) | Err(CatalogError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The topic of a name, and whose it is. `NotFound` when no live session has it.
pub async fn by_name(node: &Node, head: &Head, name: &TopicName) -> Result<(NameRow, SessionId), CatalogError> {
    let none = || CatalogError::not_found(Entity::Topic, name);
    let (cluster, values) = (&node.cluster, (head.id.0, name.path.as_str()));
    let row: Option<NameRow> = cluster.row(&cluster.statements.name_read, values, Certainty::Answered).await?;
    let row = row.ok_or_else(none)?;
    let session = SessionId(row.topic_session);
    Ok((row, session))
}

/// What is known here of a topic that another node is recording: that it is there.
pub fn elsewhere(name: TopicName, row: &NameRow, node: Uuid) -> Result<TopicView, CatalogError> {
    let place = || format!("topic {}", row.topic_id);
    let head = TopicHead {
        id: TopicId(row.topic_id),
        session: SessionId(row.topic_session),
        name,
        tag: OntologyTag::parse(&row.tag).map_err(|error| damaged(place(), error))?,
        format: SerializationFormat::parse(&row.format).map_err(|error| damaged(place(), error))?,
        metadata: UserMetadata::empty(),
        state: TopicState::Created,
        shard: ShardIndex(0),
        device: DeviceNumber(0),
        created_at_ns: row.topic_created,
        completed_at_ns: None,
    };
    Ok(TopicView { head, schema: None, totals: TopicTotals::default(), node: Some(NodeId(node)) })
}

fn refused_final(sequence: &SequenceName, id: TopicId) -> CatalogError {
    let name = format!("{sequence}, topic {id}");
    match TopicState::Complete.after(TopicMove::Delete, SessionState::Final) {
        Err(refusal) => CatalogError::refused(Entity::Topic, name, refusal),
        Ok(_) => CatalogError::not_found(Entity::Topic, name),
    }
}
