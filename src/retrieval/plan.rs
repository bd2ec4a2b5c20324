//! Planning: from a topic and a time range to the segments that may answer.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;

use super::config::RetrievalConfig;
use super::error::RetrievalError;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::SegmentView;
use crate::catalog::Visibility;
use crate::model::Predicate;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicView;
use crate::query;
use crate::shard::Filter;
use crate::shard::ReadRequest;
use crate::shard::Window;

/// Segments asked for at once.
const PAGE: u32 = 256;
/// The same where most of them are left out.
const MATCHING_PAGE: u32 = 1000;

/// Segments of one plan, about 70 MB: 256 million chunks.
const SEGMENTS_MAX: usize = 1 << 20;

/// What answers a range of one topic.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) view: TopicView,
    pub(super) range: TimeRange,
    /// Those that may have rows in the range, in the order of their numbers.
    pub(super) segments: Vec<SegmentView>,
}

impl Plan {
    /// * `view`: of a topic whose session is final, so that its segments do not change.
    ///
    /// # Errors
    /// Of the catalog; [`RetrievalError::TooManySegments`].
    pub(super) async fn make(catalog: &dyn Catalog, view: TopicView, range: TimeRange) -> Result<Self, RetrievalError> {
        Self::bounded(catalog, view, range, None, SEGMENTS_MAX).await
    }

    /// Without segments that cannot have a row that satisfies the predicate.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub(super) async fn matching(
        catalog: &dyn Catalog,
        view: TopicView,
        range: TimeRange,
        predicate: Arc<Predicate>,
    ) -> Result<Self, RetrievalError> {
        Self::bounded(catalog, view, range, Some(predicate), SEGMENTS_MAX).await
    }

    async fn bounded(
        catalog: &dyn Catalog,
        view: TopicView,
        range: TimeRange,
        predicate: Option<Arc<Predicate>>,
        max: usize,
    ) -> Result<Self, RetrievalError> {
        let mut plan = Self { view, range, segments: Vec::new() };
        if !plan.view.totals.bounds.is_some_and(|bounds| range.overlaps(&bounds)) {
            return Ok(plan);
        }
        let mut cursor = None;
        loop {
            let topic = plan.view.head.id;
            let page = match &predicate {
                Some(predicate) => {
                    catalog.segments_matching(topic, range, predicate.clone(), cursor, MATCHING_PAGE).await?
                }
                None => catalog.segments(topic, range, cursor, PAGE).await?,
            };
            plan.segments.extend(page.items);
            if plan.segments.len() > max {
                return Err(RetrievalError::TooManySegments { topic: plan.view.head.name, max });
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(plan),
            }
        }
    }

    /// What the segments tell of the window by themselves, because the range covers them whole. The rest stays in the
    /// plan: at most those where the range cuts.
    pub(super) fn take_covered(&mut self) -> Window {
        let range = self.range;
        let covered = self.segments.extract_if(.., |segment| range.covers(&segment.bounds));
        covered.fold(Window::default(), |sum, segment| {
            add(sum, Window { bounds: Some(segment.bounds), rows: segment.rows })
        })
    }

    /// # Errors
    /// [`RetrievalError::Elsewhere`] when there is something to read and it lies on another server.
    pub(super) fn request(self, config: &RetrievalConfig) -> Result<ReadRequest, RetrievalError> {
        let head = self.view.head;
        if let Some(node) = self.view.node.filter(|_| !self.segments.is_empty()) {
            return Err(RetrievalError::Elsewhere { topic: head.name, node });
        }
        Ok(ReadRequest {
            topic: head.id,
            session: head.session,
            name: head.name,
            segments: self.segments,
            range: self.range,
            batch_bytes: config.target_message_bytes,
            batch_rows: config.batch_rows_max,
            filter: None,
        })
    }
}

/// Segments with rows that a filter lets through, in the times that it lets through.
///
/// * `schema`: that the rows are stored in.
///
/// # Errors
/// As [`Plan::make`].
pub(super) async fn for_filter(
    catalog: &dyn Catalog,
    view: TopicView,
    range: TimeRange,
    filter: &Filter,
    schema: &SchemaRef,
) -> Result<Plan, RetrievalError> {
    let own = |predicate| query::may_hold(predicate, schema).then(|| query::time_range(predicate)).flatten();
    let inside = filter.predicate.as_deref().map_or(Some(range), |predicate| range.intersection(&own(predicate)?));
    let Some(range) = inside else { return Ok(Plan { view, range, segments: Vec::new() }) };
    match &filter.predicate {
        Some(predicate) => Plan::matching(catalog, view, range, Arc::clone(predicate)).await,
        None => Plan::make(catalog, view, range).await,
    }
}

/// The window of a range that covers the whole topic or none of it; `None` when it cuts.
pub(super) fn whole(view: &TopicView, range: &TimeRange) -> Option<Window> {
    match view.totals.bounds {
        Some(bounds) if range.covers(&bounds) => Some(Window { bounds: Some(bounds), rows: view.totals.rows }),
        Some(bounds) if range.overlaps(&bounds) => None,
        _ => Some(Window::default()),
    }
}

/// The window of two disjoint sets of rows.
pub(super) fn add(a: Window, b: Window) -> Window {
    Window { bounds: TimeBounds::union_option(a.bounds, b.bounds), rows: a.rows + b.rows }
}

/// A topic that may be read.
///
/// # Errors
/// [`RetrievalError::NotFound`]; [`RetrievalError::NotFinalized`] when its session is open.
pub(super) async fn topic(catalog: &dyn Catalog, name: &TopicName) -> Result<TopicView, RetrievalError> {
    match catalog.topic(name, Visibility::Final).await {
        Err(CatalogError::NotFound { .. }) => hidden(catalog.topic(name, Visibility::All).await?),
        found => Ok(found?),
    }
}

/// As [`topic`], for who holds a ticket.
pub(super) async fn topic_by_id(catalog: &dyn Catalog, id: TopicId) -> Result<TopicView, RetrievalError> {
    match catalog.topic_by_id(id, Visibility::Final).await {
        Err(CatalogError::NotFound { .. }) => hidden(catalog.topic_by_id(id, Visibility::All).await?),
        found => Ok(found?),
    }
}

fn hidden(view: TopicView) -> Result<TopicView, RetrievalError> {
    Err(RetrievalError::NotFinalized { topic: view.head.name })
}

/// The schema of a topic's stream, as its writer sent it.
///
/// # Errors
/// [`RetrievalError::Schema`] when the catalog holds none, or one that is no schema message.
pub(super) fn schema(view: &TopicView) -> Result<SchemaRef, RetrievalError> {
    schema_of(view.schema.as_deref().unwrap_or_default())
        .map_err(|why| RetrievalError::Schema { topic: view.head.name.clone(), why })
}

/// The same of its message, which is empty where there is none.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn schema_of(message: &[u8]) -> Result<SchemaRef, String> {
    if message.is_empty() {
        return Err("there is none".to_owned());
    }
    try_schema_from_flatbuffer_bytes(message).map(Arc::new).map_err(|cause| cause.to_string())
}

#[cfg(test)]
mod tests;
