//! What there is: sequences, sessions and topics, with the window a range cuts out of each topic.

use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;

use super::error::RetrievalError;
use super::plan;
use super::plan::Plan;
use super::stream::Desk;
use crate::catalog::Catalog;
use crate::catalog::Entity;
use crate::catalog::Visibility;
use crate::model::Locator;
use crate::model::NodeId;
use crate::model::SequenceName;
use crate::model::SequenceView;
use crate::model::TimeRange;
use crate::model::TopicView;
use crate::shard::Window;

/// Windows computed at once for one request: enough to keep every shard busy, few enough to leave room for readers.
const WINDOWS_AT_ONCE: usize = 16;

/// The answer to a locator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The sequence. For a session's locator with that session alone; for a topic's, whole.
    pub sequence: SequenceView,
    /// The topics that the locator means and that may be read, in the order of their creation.
    pub topics: Vec<TopicInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    pub view: TopicView,
    /// What lies in the range; `None` when the range has no bound, or when only another server can tell.
    pub window: Option<Window>,
    /// Who can tell what lies in the range, where its rows decide.
    pub away: Option<NodeId>,
}

pub(super) async fn gather(desk: &Desk, locator: &Locator, range: TimeRange) -> Result<Info, RetrievalError> {
    let (sequence, topics) = resolve(&*desk.catalog, locator).await?;
    let topics = stream::iter(topics.into_iter().map(|view| topic_info(desk, view, range)));
    let topics = topics.buffered(WINDOWS_AT_ONCE).try_collect().await?;
    Ok(Info { sequence, topics })
}

/// The sequence of a locator and the topics it means, from one look at the catalog: all of a session, or none.
async fn resolve(catalog: &dyn Catalog, locator: &Locator) -> Result<(SequenceView, Vec<TopicView>), RetrievalError> {
    let mut sequence = catalog.sequence(sequence_of(locator), Visibility::Final).await?;
    match locator {
        Locator::Sequence(_) => {}
        Locator::Session { session, .. } => {
            sequence.sessions.retain(|view| view.head.id == *session);
            if sequence.sessions.is_empty() {
                return Err(RetrievalError::NotFound { what: Entity::Session, name: locator.to_string() });
            }
        }
        Locator::Topic(name) => {
            let found = topics(&sequence).find(|view| view.head.name == *name).cloned();
            let view = match found {
                Some(view) => view,
                // It says which kind of missing it is; a topic that appears meanwhile is as good as one found.
                None => plan::topic(catalog, name).await?,
            };
            return Ok((sequence, vec![view]));
        }
    }
    let topics = topics(&sequence).cloned().collect();
    Ok((sequence, topics))
}

fn sequence_of(locator: &Locator) -> &SequenceName {
    match locator {
        Locator::Sequence(name) => name,
        Locator::Topic(name) => &name.sequence,
        Locator::Session { sequence, .. } => sequence,
    }
}

fn topics(sequence: &SequenceView) -> impl Iterator<Item = &TopicView> {
    sequence.sessions.iter().flat_map(|session| &session.topics)
}

async fn topic_info(desk: &Desk, view: TopicView, range: TimeRange) -> Result<TopicInfo, RetrievalError> {
    if range.is_all() {
        return Ok(TopicInfo { view, window: None, away: None });
    }
    match window(desk, view.clone(), range).await {
        Ok(window) => Ok(TopicInfo { view, window: Some(window), away: None }),
        Err(RetrievalError::Elsewhere { node, .. }) => Ok(TopicInfo { view, window: None, away: Some(node) }),
        Err(error) => Err(error),
    }
}

/// Exact: sums where the range covers whole segments, rows where it cuts one.
pub(super) async fn window(desk: &Desk, view: TopicView, range: TimeRange) -> Result<Window, RetrievalError> {
    if let Some(window) = plan::whole(&view, &range) {
        return Ok(window);
    }
    let name = view.head.name.clone();
    let mut plan = Plan::make(&*desk.catalog, view, range).await?;
    let covered = plan.take_covered();
    if plan.segments.is_empty() {
        return Ok(covered);
    }
    let cut = desk.shards.window(plan.request(&desk.config)?).await;
    let cut = cut.map_err(|cause| RetrievalError::Shard { topic: name, cause: Box::new(cause) })?;
    Ok(plan::add(covered, cut))
}
