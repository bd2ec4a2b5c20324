//! The rows of one topic that satisfy a predicate, as times: read on the shard that owns the topic, columns of the predicate
//! only, in the order of time.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::datatypes::Int64Type;

use super::error::RetrievalError;
use super::looking;
use super::looking::Errand;
use super::plan;
use super::plan::Plan;
use super::stored::stored;
use super::stream::Desk;
use super::zones::Zones;
use crate::chunk::Projection;
use crate::chunk::plain;
use crate::fleet::Times;
use crate::model::Predicate;
use crate::model::SearchCost;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TopicName;
use crate::model::TopicView;
use crate::query;
use crate::shard::BatchReceiver;
use crate::shard::Filter;
use crate::shard::ShardError;

/// A read of matching rows. Dropping it ends the work for it.
pub(super) struct Matches {
    topic: TopicName,
    source: Source,
    /// Chunks of the topic that were not left out by its segments.
    chunks: u64,
    filter: Arc<Filter>,
}

enum Source {
    /// There can be no match.
    Nothing,
    Own(BatchReceiver),
    Other(Box<Times>),
}

/// Times of matching rows, ascending, at least one.
pub(super) enum Found {
    /// A batch that has nothing else.
    Batch(RecordBatch),
    Times(Vec<i64>),
}

impl Found {
    pub(super) fn times(&self) -> &[i64] {
        match self {
            Self::Batch(batch) => times(batch),
            Self::Times(times) => times,
        }
    }
}

impl Matches {
    /// * `view`: of a topic whose session is final, with its schema.
    /// * `predicate`: `None` is every row.
    /// * `zones`: of the topic, where they are at hand; otherwise the catalog is asked.
    /// * `errand`: for the owner of the topic, when that is another server; without one there is none that is asked.
    ///
    /// # Errors
    /// Of the plan; [`RetrievalError::Schema`], [`RetrievalError::Shard`], [`RetrievalError::Fleet`].
    pub(super) async fn open(
        desk: &Desk,
        view: TopicView,
        predicate: Option<&Predicate>,
        range: TimeRange,
        zones: Option<&Zones>,
        errand: Option<Errand<'_>>,
    ) -> Result<Self, RetrievalError> {
        let topic = view.head.name.clone();
        let none = |topic| Ok(Self { topic, source: Source::Nothing, chunks: 0, filter: Arc::default() });
        if view.totals.bounds.is_none() {
            return none(topic);
        }
        let range = match predicate.map(query::time_range) {
            Some(None) => return none(topic),
            Some(Some(own)) => match range.intersection(&own) {
                Some(both) => both,
                None => return none(topic),
            },
            None => range,
        };
        let wire = plan::schema(&view)?;
        let (schema, predicate) = (plain(&wire), predicate.map(|predicate| Arc::new(stored(predicate.clone(), &wire))));
        if predicate.as_ref().is_some_and(|predicate| !query::may_hold(predicate, &schema)) {
            return none(topic);
        }
        let times = Projection::of(&schema, &[]).schema().clone();
        let shard = usize::from(view.head.shard.0);
        let plan = match &predicate {
            Some(predicate) if let Some(zones) = zones => {
                Plan { view, range, segments: zones.wanted(predicate, range) }
            }
            Some(predicate) => Plan::matching(&*desk.catalog, view, range, Arc::clone(predicate)).await?,
            None => Plan::make(&*desk.catalog, view, range).await?,
        };
        if let Some(errand) = errand
            && let Some(node) = plan.view.node.filter(|_| !plan.segments.is_empty())
            && let Some(times) = looking::ask(desk, node, plan.view.head.id, range, errand).await?
        {
            let chunks = plan.segments.iter().map(|segment| u64::from(segment.chunks)).sum();
            return Ok(Self { topic, source: Source::Other(Box::new(times)), chunks, filter: Arc::default() });
        }
        let mut request = plan.request(&desk.config)?;
        if request.segments.is_empty() {
            return none(topic);
        }
        let columns = Some(predicate.as_deref().map_or_else(Vec::new, query::columns));
        let (judges, output) = (desk.judges.clone(), Some(times));
        let filter = Arc::new(Filter { predicate, judges, columns, output, shard, ..Filter::default() });
        let chunks = request.segments.iter().map(|segment| u64::from(segment.chunks)).sum();
        request.filter = Some(filter.clone());
        let opened = desk.shards.open_reader(request).await;
        let batches = opened.map_err(|cause| RetrievalError::Shard { topic: topic.clone(), cause: Box::new(cause) })?;
        Ok(Self { topic, source: Source::Own(batches), chunks, filter })
    }

    /// What it took so far.
    pub(super) fn cost(&self) -> SearchCost {
        let tally = &self.filter.tally;
        SearchCost {
            chunks: self.chunks,
            chunks_skipped_by_statistics: tally.chunks_skipped.load(Relaxed),
            rows_skipped_by_pages: tally.rows_skipped.load(Relaxed),
            chunks_read: tally.chunks_read.load(Relaxed),
            chunks_matched: tally.chunks_hit.load(Relaxed),
            rows_read: tally.rows.load(Relaxed),
            rows_matched: tally.hits.load(Relaxed),
            ..SearchCost::default()
        }
    }

    /// Times of the next matching rows, ascending, at least one; `None` at the end.
    ///
    /// # Errors
    /// [`RetrievalError::Shard`], [`RetrievalError::Fleet`].
    pub(super) async fn next(&mut self) -> Result<Option<Found>, RetrievalError> {
        let failed =
            |cause| RetrievalError::Shard { topic: self.topic.clone(), cause: Box::new(ShardError::Read(cause)) };
        match &mut self.source {
            Source::Nothing => Ok(None),
            Source::Own(batches) => Ok(batches.next().await.transpose().map_err(failed)?.map(Found::Batch)),
            Source::Other(times) => Ok(times.next().await?.map(Found::Times)),
        }
    }

    /// The first and the last matching time.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) async fn bounds(&mut self) -> Result<Option<TimeBounds>, RetrievalError> {
        let mut bounds = None;
        while let Some(found) = self.next().await? {
            let times = found.times();
            let own = times.first().zip(times.last()).map(|(first, last)| TimeBounds { first: *first, last: *last });
            bounds = TimeBounds::union_option(bounds, own);
        }
        Ok(bounds)
    }
}

/// The times of a batch that has nothing else.
fn times(batch: &RecordBatch) -> &[i64] {
    match batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>()) {
        Some(column) => column.values(),
        None => &[],
    }
}
