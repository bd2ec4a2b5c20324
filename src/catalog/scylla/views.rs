//! Sequences, sessions and topics as a reader sees them. What is final comes from the shared catalog, held against what its
//! session says of it: never fewer topics in silence. What is open and recorded here comes from this node's own store.

use std::collections::HashMap;
use std::collections::HashSet;

use futures::future::try_join_all;

use super::cluster::Certainty;
use super::fault::damaged;
use super::heads::Head;
use super::heads::Life;
use super::heads::SessionRow;
use super::node::Node;
use super::published;
use super::published::Documents;
use super::published::Published;
use super::sequences;
use super::topics;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::Entity;
use crate::catalog::Page;
use crate::catalog::SequenceContents;
use crate::catalog::Visibility;
use crate::model::SequenceName;
use crate::model::SequenceView;
use crate::model::SessionId;
use crate::model::SessionView;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicPath;
use crate::model::TopicView;

/// Looks at a sequence that is being deleted meanwhile, until it is told that something is missing.
const LOOKS_MAX: u32 = 4;

pub async fn session(node: &Node, id: SessionId) -> Result<SessionView, CatalogError> {
    let (head, row) = node.session(id).await?;
    let mut views = sessions(node, head, |row| row.id == id, Visibility::All).await?;
    debug_assert!(views.len() <= 1 && row.id == id);
    views.pop().ok_or_else(|| CatalogError::not_found(Entity::Session, id))
}

pub async fn sequence(node: &Node, name: &SequenceName, visibility: Visibility) -> Result<SequenceView, CatalogError> {
    let head = Head::by_name(&node.cluster, name).await?;
    let public = head.to_public(&node.cluster).await?;
    Ok(SequenceView { head: public, sessions: sessions(node, head, |_| true, visibility).await? })
}

/// The chosen live sessions of a sequence with their topics.
async fn sessions(
    node: &Node,
    mut head: Head,
    chosen: impl Fn(&SessionRow) -> bool,
    visibility: Visibility,
) -> Result<Vec<SessionView>, CatalogError> {
    let mut final_topics = finished(node, &mut head, Documents::All, &chosen).await?;
    let mut views = Vec::new();
    for row in head.live_sessions().filter(|row| chosen(row)) {
        let topics = match (row.life, visibility) {
            (Life::Final, _) => final_topics.remove(&row.id).unwrap_or_default(),
            (Life::Open, Visibility::Final) => Vec::new(),
            (Life::Open, Visibility::All) if row.node == node.id => match node.local.session(row.id).await {
                Ok(mut view) => {
                    view.topics.retain(|topic| !node.unsure.has(topic.head.id));
                    view.topics
                }
                // It is being deleted.
                Err(CatalogError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            },
            (Life::Open, Visibility::All) => elsewhere(node, &head, row).await?,
            (Life::Deleted, _) => continue,
        };
        views.push(SessionView { head: head.session_head(row), topics });
    }
    Ok(views)
}

/// The topics of the final sessions of a sequence, as many as these say. Looks again when a deletion came between, and leaves
/// in `head` what it saw last.
async fn finished(
    node: &Node,
    head: &mut Head,
    documents: Documents,
    chosen: impl Fn(&SessionRow) -> bool,
) -> Result<HashMap<SessionId, Vec<TopicView>>, CatalogError> {
    for look in 0.. {
        let wanted = |row: &&SessionRow| row.life == Life::Final && chosen(row);
        if !head.live_sessions().any(|row| wanted(&row)) {
            return Ok(HashMap::new());
        }
        let rows = published::of_sequence(node, head, documents).await;
        let missing = match rows {
            Ok(mut all) => {
                let mut found = HashMap::new();
                let mut missing = None;
                for row in head.live_sessions().filter(wanted) {
                    let mut own = all.remove(&row.id).unwrap_or_default();
                    if own.len() > usize::try_from(row.topics).unwrap_or(0) {
                        without_deleted(node, head, &mut own).await?;
                    }
                    match published::is_whole(row, &own) {
                        true => drop(found.insert(row.id, own)),
                        false => missing = Some(row.id),
                    }
                }
                match missing {
                    None => match with_documents(node, head, found, documents).await {
                        Ok(whole) => return Ok(whole),
                        Err(error) => Err(error),
                    },
                    Some(session) => Err(damaged(
                        format_args!("session {session}"),
                        "topics of it are missing, or are not those that it was finalized with",
                    )),
                }
            }
            Err(error) => Err(error),
        };
        let missing: Result<(), CatalogError> = missing;
        let again = Head::read(&node.cluster, head.id, Certainty::Answered).await?;
        let again = again.ok_or_else(|| CatalogError::not_found(Entity::Sequence, &head.name))?;
        if *head == again || look >= LOOKS_MAX {
            missing?;
        }
        *head = again;
        if head.live_sessions().next().is_none() && head.state != super::heads::SequenceState::Live {
            return Err(CatalogError::not_found(Entity::Sequence, &head.name));
        }
    }
    Ok(HashMap::new())
}

/// Leaves out topics that were published by a finalize that did not end, and deleted before one did.
async fn without_deleted(node: &Node, head: &Head, topics: &mut Vec<Published>) -> Result<(), CatalogError> {
    let names = published::names(node, head.id).await?;
    let named: HashSet<_> = names.iter().map(|(_, row)| row.topic_id).collect();
    topics.retain(|topic| named.contains(&topic.head.id.0));
    Ok(())
}

async fn with_documents(
    node: &Node,
    head: &Head,
    mut found: HashMap<SessionId, Vec<Published>>,
    documents: Documents,
) -> Result<HashMap<SessionId, Vec<TopicView>>, CatalogError> {
    let mut whole = HashMap::new();
    for session in head.live_sessions() {
        let Some(topics) = found.remove(&session.id) else { continue };
        let views = topics.into_iter().map(|topic| topic.into_view(node, session, documents));
        whole.insert(session.id, try_join_all(views).await?);
    }
    Ok(whole)
}

/// The names of an open session that another node records.
async fn elsewhere(node: &Node, head: &Head, session: &SessionRow) -> Result<Vec<TopicView>, CatalogError> {
    let mut rows = published::names(node, head.id).await?;
    rows.retain(|(_, row)| row.topic_session == session.id.0);
    rows.sort_by_key(|(_, row)| row.topic_created);
    let view = |(path, row): (String, topics::NameRow)| {
        let path = TopicPath::parse(&path).map_err(|error| damaged(format_args!("session {}", session.id), error))?;
        topics::elsewhere(TopicName { sequence: head.name.clone(), path }, &row, session.node)
    };
    rows.into_iter().map(view).collect()
}

pub async fn topic(node: &Node, name: &TopicName, visibility: Visibility) -> Result<TopicView, CatalogError> {
    let none = || CatalogError::not_found(Entity::Topic, name);
    let head = Head::by_name(&node.cluster, &name.sequence).await;
    let head = head.map_err(|error| if is_none(&error) { none() } else { error })?;
    let (row, session) = topics::by_name(node, &head, name).await?;
    // Read behind the name: whoever has it may have come since.
    let head = Head::live(&node.cluster, head.id).await?.ok_or_else(none)?;
    let session = head.live_session(session).ok_or_else(none)?.clone();
    let id = TopicId(row.topic_id);
    match (session.life, visibility) {
        (Life::Final, _) => of_final(node, &head, &session, id).await,
        (Life::Open, Visibility::All) if session.node == node.id => {
            node.local.topic_by_id(id, visibility).await.map_err(|error| if is_none(&error) { none() } else { error })
        }
        (Life::Open, Visibility::All) => topics::elsewhere(name.clone(), &row, session.node),
        (Life::Open, Visibility::Final) | (Life::Deleted, _) => Err(none()),
    }
}

pub async fn topic_by_id(node: &Node, id: TopicId, visibility: Visibility) -> Result<TopicView, CatalogError> {
    let place = node.topic(id).await?;
    match (place.session.life, visibility) {
        (Life::Final, _) => of_final(node, &place.head, &place.session, id).await,
        (Life::Open, Visibility::All) => node.local.topic_by_id(id, visibility).await,
        (Life::Open, Visibility::Final) | (Life::Deleted, _) => Err(CatalogError::not_found(Entity::Topic, id)),
    }
}

async fn of_final(node: &Node, head: &Head, session: &SessionRow, id: TopicId) -> Result<TopicView, CatalogError> {
    let found = match published::one(node, head, id).await? {
        Some(found) => found.into_view(node, session, Documents::All).await,
        None => Err(damaged(format_args!("topic {id}"), "its session is final, and it was not published")),
    };
    match found {
        Ok(view) => Ok(view),
        Err(error) => {
            // A purge takes topics away behind a deletion.
            let now = Head::live(&node.cluster, head.id).await?;
            match now.and_then(|head| head.live_session(session.id).map(|_| ())) {
                Some(()) => Err(error),
                None => Err(CatalogError::not_found(Entity::Topic, id)),
            }
        }
    }
}

fn is_none(error: &CatalogError) -> bool {
    matches!(error, CatalogError::NotFound { .. })
}

/// A page of sequences, with the topics of their final sessions, without their schemas.
pub async fn contents(
    node: &Node,
    after: Option<&SequenceName>,
    limit: u32,
) -> Result<Page<SequenceContents>, CatalogError> {
    let (heads, next) = sequences::heads(node, after, limit, Head::contents_bytes).await?;
    let contents = try_join_all(heads.into_iter().map(|head| of_head(node, head))).await?;
    Ok(Page { items: contents.into_iter().flatten().collect(), next: next.map(Cursor::Sequence) })
}

/// `None` when nothing of it is final, or it was deleted meanwhile.
async fn of_head(node: &Node, mut head: Head) -> Result<Option<SequenceContents>, CatalogError> {
    let found = async {
        let mut finished = finished(node, &mut head, Documents::WithoutSchemas, |_| true).await?;
        let own = head.live_sessions().filter_map(|row| finished.remove(&row.id));
        let topics: Vec<TopicView> = own.flatten().collect();
        match topics.is_empty() {
            true => Ok(None),
            false => Ok(Some(SequenceContents { head: head.to_public(&node.cluster).await?, topics })),
        }
    };
    match found.await {
        Err(CatalogError::NotFound { .. }) => Ok(None),
        other => other,
    }
}
