//! Windows of matching rows, found while they are asked for: what is held is a batch of times per topic, however long it is.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use futures::stream::BoxStream;

use super::error::RetrievalError;
use super::looking::Errand;
use super::looking::Origin;
use super::matching::Matches;
use super::plan;
use super::stream::Desk;
use crate::fleet::Wanted;
use crate::model::TimeBounds;
use crate::query;
use crate::query::Clusterer;
use crate::query::Clusters;
use crate::query::Intersection;

/// Windows in the order of time. Dropping it ends the work for it.
pub type Windows = BoxStream<'static, Result<TimeBounds, RetrievalError>>;

pub(super) async fn clusters(desk: Arc<Desk>, asked: Clusters, origin: Origin) -> Result<Windows, RetrievalError> {
    let topic = Topic::open(&desk, asked, &origin).await?;
    let next = |mut topic: Topic| async move { topic.next().await.map(|window| window.map(|window| (window, topic))) };
    Ok(stream::try_unfold(topic, next).boxed())
}

pub(super) async fn intersection(
    desk: Arc<Desk>,
    asked: Intersection,
    origin: Origin,
) -> Result<Windows, RetrievalError> {
    let mut topics = Vec::with_capacity(asked.topics.len());
    for own in asked.topics {
        topics.push(Topic::open(&desk, own, &origin).await?);
    }
    let state = Merge { topics, current: Vec::new(), tolerance_ns: asked.tolerance_ns };
    let next = |mut merge: Merge| async move { merge.next().await.map(|window| window.map(|window| (window, merge))) };
    Ok(stream::try_unfold(state, next).boxed())
}

/// One topic's windows.
struct Topic {
    matches: Matches,
    /// `None` once the last window is out.
    clusterer: Option<Clusterer>,
    /// Of the rows that were read last, and the next of them.
    times: Vec<i64>,
    at: usize,
}

impl Topic {
    async fn open(desk: &Desk, asked: Clusters, origin: &Origin) -> Result<Self, RetrievalError> {
        let view = plan::topic(&*desk.catalog, &asked.topic).await?;
        let tag = view.head.tag.as_str();
        if let Some(rows) = &asked.rows
            && rows.tag != tag
        {
            let (tag, asked_tag) = (tag.to_owned(), rows.tag.clone());
            return Err(RetrievalError::ForeignTag { topic: asked.topic, tag, asked: asked_tag });
        }
        let predicate = asked.rows.as_ref().map(|rows| &rows.predicate);
        let errand = Errand { origin, rows: asked.rows.as_ref(), wanted: Wanted::All };
        let matches = Matches::open(desk, view, predicate, asked.range, None, Some(errand)).await?;
        Ok(Self { matches, clusterer: Some(Clusterer::new(asked.gap_ns)), times: Vec::new(), at: 0 })
    }

    async fn next(&mut self) -> Result<Option<TimeBounds>, RetrievalError> {
        loop {
            let Some(clusterer) = &mut self.clusterer else { return Ok(None) };
            while let Some(time) = self.times.get(self.at) {
                self.at += 1;
                if let Some(window) = clusterer.push(*time) {
                    return Ok(Some(window));
                }
            }
            match self.matches.next().await? {
                Some(found) => {
                    self.times.clear();
                    self.times.extend_from_slice(found.times());
                    self.at = 0;
                }
                None => return Ok(self.clusterer.take().and_then(Clusterer::finish)),
            }
        }
    }
}

struct Merge {
    topics: Vec<Topic>,
    /// The window of each topic that is looked at; empty before the first look.
    current: Vec<TimeBounds>,
    tolerance_ns: u64,
}

impl Merge {
    async fn next(&mut self) -> Result<Option<TimeBounds>, RetrievalError> {
        loop {
            if self.current.is_empty() {
                for topic in &mut self.topics {
                    // A topic without a window has none in common with others.
                    let Some(window) = topic.next().await? else { return Ok(None) };
                    self.current.push(window);
                }
            } else {
                let Some(index) = query::first_to_end(&self.current) else { return Ok(None) };
                let Some((topic, current)) = self.topics.get_mut(index).zip(self.current.get_mut(index)) else {
                    return Ok(None);
                };
                let Some(window) = topic.next().await? else { return Ok(None) };
                *current = window;
            }
            if let Some(window) = query::common(&self.current, self.tolerance_ns) {
                return Ok(Some(window));
            }
        }
    }
}
