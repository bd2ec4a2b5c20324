//! Which sequences and topics a query is about. Names and metadata are asked of the catalog first, then rows, of the topics
//! that are left.
//!
//! What is asked of one sequence depends on that sequence alone, so sequences are looked at side by side, a few at a time,
//! and the answer keeps their order. When something of a sequence is deleted meanwhile, what is left of it is looked at
//! again from the start: it is found as it was at one moment.

use std::time::Duration;

use futures::FutureExt;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use futures::stream;
use tokio::time::Instant;

use super::bill::Bill;
use super::bill::nanoseconds;
use super::error::RetrievalError;
use super::looking::Errand;
use super::looking::Origin;
use super::matching::Matches;
use super::patience::holds;
use super::plan;
use super::shortlist::contents_of_name;
use super::shortlist::shortlist;
use super::stream::Desk;
use crate::catalog::SequenceContents;
use crate::fleet::FleetError;
use crate::fleet::Wanted;
use crate::model::FoundSequence;
use crate::model::FoundTopic;
use crate::model::SearchCost;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TopicView;
use crate::query::Block;
use crate::query::Head;
use crate::query::Metadata;
use crate::query::Query;
use crate::query::TagPredicate;
use crate::shard::ReadError;
use crate::shard::ShardError;

/// Sequences of one query looked at side by side, and topics of one of them.
const SEQUENCES_AT_ONCE: usize = 16;
const SIDE_BY_SIDE: usize = 4;

/// Topics that queries of all clients read at a time: enough to keep every shard busy, few enough to leave readers their
/// memory.
pub(super) const TOPICS_AT_ONCE: usize = 32;

/// gRPC's number, as another server says that a topic was deleted.
const NOT_FOUND: i32 = 5;

/// Topics whose heads are evaluated between two chances for others.
const TOPICS_BETWEEN_YIELDS: usize = 8;

pub(super) async fn search(
    desk: &Desk,
    query: &Query,
    origin: Option<&Origin>,
) -> Result<(Vec<FoundSequence>, SearchCost), RetrievalError> {
    let (cost, began) = (Bill::default(), Instant::now());
    let seconds = desk.config.query_seconds_max;
    match tokio::time::timeout(Duration::from_secs(seconds.into()), collect(desk, query, origin, &cost)).await {
        Ok(found) => {
            let mut cost = cost.total();
            cost.total_ns = nanoseconds(began);
            Ok((found?, cost))
        }
        Err(_) => Err(RetrievalError::QueryTime { seconds }),
    }
}

async fn collect(
    desk: &Desk,
    query: &Query,
    origin: Option<&Origin>,
    cost: &Bill,
) -> Result<Vec<FoundSequence>, RetrievalError> {
    let (mut found, mut topics, max) = (Vec::new(), 0, desk.config.query_topics_max);
    if query.root.is_empty() {
        return Ok(found);
    }
    let listed = shortlist(desk, query, cost).await?;
    let sequences = listed.map_ok(|own| settled(desk, query, origin, own, cost)).try_buffered(SEQUENCES_AT_ONCE);
    let mut sequences = std::pin::pin!(sequences);
    while found.len() < query.items_max.unwrap_or(usize::MAX) {
        let Some(sequence) = sequences.try_next().await? else { break };
        let Some(sequence) = sequence else { continue };
        topics += sequence.topics.len();
        if topics > max {
            return Err(RetrievalError::TooManyTopics { max });
        }
        found.push(sequence);
    }
    Ok(found)
}

/// A topic of the sequence that is looked at.
struct Candidate {
    view: TopicView,
    /// With a slash in front.
    name: String,
    locator: String,
    metadata: Metadata,
}

/// A sequence that is looked at.
struct Scene<'a> {
    desk: &'a Desk,
    origin: Option<&'a Origin>,
    own: &'a SequenceContents,
    metadata: Metadata,
    topics: Vec<Candidate>,
    with_times: bool,
    cost: &'a Bill,
}

/// Topics that match, ascending, with the times of their matches when these are wanted.
type Hits = Vec<(usize, Option<TimeBounds>)>;

/// What a query finds of a sequence as it was at one moment.
async fn settled(
    desk: &Desk,
    query: &Query,
    origin: Option<&Origin>,
    mut own: SequenceContents,
    cost: &Bill,
) -> Result<Option<FoundSequence>, RetrievalError> {
    loop {
        let name = own.head.name.clone();
        match look(desk, query, origin, own, cost).await {
            // Each time round somebody has deleted something of it.
            Err(error) if is_gone(&error) => match contents_of_name(&*desk.catalog, &name).await? {
                Some(left) => own = left,
                None => return Ok(None),
            },
            found => return found,
        }
    }
}

/// Errors that say that somebody deleted a topic meanwhile are among its own.
async fn look(
    desk: &Desk,
    query: &Query,
    origin: Option<&Origin>,
    mut own: SequenceContents,
    cost: &Bill,
) -> Result<Option<FoundSequence>, RetrievalError> {
    cost.spend(|cost| cost.sequences += 1);
    let topics = std::mem::take(&mut own.topics).into_iter().map(Candidate::of).collect();
    let metadata = Metadata::new(own.head.metadata.clone());
    let scene = Scene { desk, origin, own: &own, metadata, topics, with_times: query.with_times, cost };
    let hits = scene.block(&query.root, (0..scene.topics.len()).collect()).await?;
    let topics: Vec<FoundTopic> = hits
        .into_iter()
        .filter_map(|(index, times)| scene.topics.get(index).map(|topic| (topic, times)))
        .map(|(topic, times)| {
            let head = &topic.view.head;
            // Where nothing was asked of rows, all of them count.
            let times = if query.with_times { times.or(topic.view.totals.bounds) } else { None };
            FoundTopic { name: head.name.clone(), tag: head.tag.clone(), times }
        })
        .collect();
    Ok((!topics.is_empty()).then(|| FoundSequence { name: own.head.name.clone(), topics }))
}

impl Candidate {
    fn of(view: TopicView) -> Self {
        let (locator, metadata) = (view.head.name.to_string(), Metadata::new(view.head.metadata.clone()));
        Self { name: format!("/{}", view.head.name.path.as_str()), locator, metadata, view }
    }

    fn head(&self) -> Head<'_> {
        let head = &self.view.head;
        Head {
            name: &self.name,
            locator: &self.locator,
            created_at_ns: head.created_at_ns,
            tag: head.tag.as_str(),
            format: head.format.as_str(),
            metadata: &self.metadata,
        }
    }
}

impl Scene<'_> {
    /// The topics among `topics` that a block is about.
    fn block<'a>(&'a self, block: &'a Block, topics: Vec<usize>) -> BoxFuture<'a, Result<Hits, RetrievalError>> {
        async move {
            let name = self.own.head.name.as_str();
            let created_at_ns = self.own.head.created_at_ns;
            let head = Head { name, locator: name, created_at_ns, tag: "", format: "", metadata: &self.metadata };
            if !holds(self.desk, &block.sequence, &head).await {
                return Ok(Hits::new());
            }
            let Some(topics) = self.chosen(block, topics).await? else { return Ok(Hits::new()) };
            let mut united: Option<Hits> = None;
            if !block.ontology.is_empty() {
                let Some(hits) = self.ontology(&block.ontology, &topics).await? else { return Ok(Hits::new()) };
                united = Some(hits);
            }
            let any = block.any.iter().map(Vec::as_slice);
            for parts in
                any.chain(block.all.iter().map(std::slice::from_ref)).filter(|parts| Block::any_reads_rows(parts))
            {
                let hits = self.either(parts, &topics).await?;
                if hits.is_empty() {
                    return Ok(hits);
                }
                united = Some(unite(united.unwrap_or_default(), hits));
            }
            for part in block.not.iter().filter(|part| part.reads_rows()) {
                if !self.block(part, topics.clone()).await?.is_empty() {
                    return Ok(Hits::new());
                }
            }
            Ok(united.unwrap_or_else(|| topics.iter().map(|index| (*index, None)).collect()))
        }
        .boxed()
    }

    /// The topics among `topics` that a block and those inside it choose without a look at rows; `None` when no topic is left.
    async fn chosen(&self, block: &Block, topics: Vec<usize>) -> Result<Option<Vec<usize>>, RetrievalError> {
        let mut chosen = Vec::with_capacity(topics.len());
        for (nth, index) in topics.into_iter().enumerate() {
            if self.topic_holds(block, index).await {
                chosen.push(index);
            }
            // Metadata may be large and conditions many: the time limit must get its turn.
            if nth % TOPICS_BETWEEN_YIELDS == 0 {
                tokio::task::yield_now().await;
            }
        }
        let any = block.any.iter().map(Vec::as_slice);
        for parts in any.chain(block.all.iter().map(std::slice::from_ref)).filter(|parts| !Block::any_reads_rows(parts))
        {
            chosen = self.either(parts, &chosen).await?.into_iter().map(|(index, _)| index).collect();
        }
        for part in block.not.iter().filter(|part| !part.reads_rows()) {
            let excluded = self.block(part, chosen.clone()).await?;
            chosen.retain(|index| excluded.binary_search_by_key(index, |(index, _)| *index).is_err());
        }
        Ok((!chosen.is_empty()).then_some(chosen))
    }

    /// What at least one of the blocks is about.
    async fn either(&self, parts: &[Block], topics: &[usize]) -> Result<Hits, RetrievalError> {
        let mut hits = Hits::new();
        for part in parts {
            hits = unite(hits, self.block(part, topics.to_vec()).await?);
        }
        Ok(hits)
    }

    async fn topic_holds(&self, block: &Block, index: usize) -> bool {
        match self.topics.get(index) {
            Some(topic) => holds(self.desk, &block.topic, &topic.head()).await,
            None => false,
        }
    }

    /// Topics with a matching row; `None` when a tag has none.
    async fn ontology(&self, tags: &[TagPredicate], topics: &[usize]) -> Result<Option<Hits>, RetrievalError> {
        let of_tag = |tag: &str| {
            let own = |index: &usize| self.topics.get(*index).is_some_and(|topic| topic.view.head.tag.as_str() == tag);
            topics.iter().copied().filter(own).collect::<Vec<usize>>()
        };
        let candidates: Vec<_> = tags.iter().map(|own| (own, of_tag(&own.tag))).collect();
        // No rows are read where a tag is missing altogether.
        if candidates.iter().any(|(_, topics)| topics.is_empty()) {
            return Ok(None);
        }
        let mut united = Hits::new();
        for (own, topics) in candidates {
            let rows: Vec<_> = topics.into_iter().map(|index| self.rows(own, index)).collect();
            let hits = stream::iter(rows).buffered(SIDE_BY_SIDE).try_filter_map(|hit| async move { Ok(hit) });
            let hits: Hits = hits.try_collect().await?;
            if hits.is_empty() {
                return Ok(None);
            }
            united = unite(united, hits);
        }
        Ok(Some(united))
    }

    /// Whether a topic has a matching row, and when.
    async fn rows(
        &self,
        own: &TagPredicate,
        index: usize,
    ) -> Result<Option<(usize, Option<TimeBounds>)>, RetrievalError> {
        let Some(topic) = self.topics.get(index) else { return Ok(None) };
        // Rows that are not there need no schema and no turn.
        if topic.view.totals.bounds.is_none() {
            return Ok(None);
        }
        let Ok(_turn) = self.desk.searching.acquire().await else { return Ok(None) };
        let times = self.first_or_bounds(own, topic).await.map_err(in_query)?;
        Ok(times.map(|times| (index, self.with_times.then_some(times))))
    }

    async fn first_or_bounds(
        &self,
        own: &TagPredicate,
        topic: &Candidate,
    ) -> Result<Option<TimeBounds>, RetrievalError> {
        let (began, id) = (Instant::now(), topic.view.head.id);
        let zones = self.desk.zones.topic(&*self.desk.catalog, id).await?;
        if let Some(zones) = zones.as_deref()
            && !zones.may_match(&own.predicate)
        {
            self.cost.left_out(id, zones.chunks());
            self.cost.spend(|cost| cost.catalog_ns += nanoseconds(began));
            return Ok(None);
        }
        let view = plan::topic_by_id(&*self.desk.catalog, id).await?;
        let chunks = view.totals.chunks;
        let zones = zones.as_deref();
        let wanted = if self.with_times { Wanted::Bounds } else { Wanted::First };
        let errand = self.origin.map(|origin| Errand { origin, rows: Some(own), wanted });
        let mut matches = Matches::open(self.desk, view, Some(&own.predicate), TimeRange::ALL, zones, errand).await?;
        let planned = nanoseconds(began);
        let found = match self.with_times {
            true => matches.bounds().await,
            false => Ok(matches.next().await?.map(|_| TimeBounds { first: 0, last: 0 })),
        };
        let own = matches.cost();
        self.cost.spend(|cost| {
            cost.topics += 1;
            cost.chunks += chunks;
            cost.chunks_skipped_by_segment += chunks.saturating_sub(own.chunks);
            cost.chunks_skipped_by_statistics += own.chunks_skipped_by_statistics;
            cost.rows_skipped_by_pages += own.rows_skipped_by_pages;
            cost.chunks_read += own.chunks_read;
            cost.chunks_matched += own.chunks_matched;
            cost.rows_read += own.rows_read;
            cost.rows_matched += own.rows_matched;
            cost.catalog_ns += planned;
            cost.rows_ns += nanoseconds(began).saturating_sub(planned);
        });
        found
    }
}

/// Both, ascending, each topic once.
fn unite(mut all: Hits, more: Hits) -> Hits {
    all.extend(more);
    all.sort_by_key(|(index, times)| (*index, times.is_none()));
    let same = |later: &mut (usize, Option<TimeBounds>), first: &mut (usize, Option<TimeBounds>)| {
        let same = later.0 == first.0;
        if same {
            first.1 = TimeBounds::union_option(first.1, later.1);
        }
        same
    };
    all.dedup_by(same);
    all
}

/// Says what to do where one topic is in the way of an answer about all.
fn in_query(error: RetrievalError) -> RetrievalError {
    match &error {
        RetrievalError::Shard { cause, .. } => match &**cause {
            ShardError::Read(ReadError::Fetch { .. } | ReadError::NoTimes { .. } | ReadError::DeviceMissing { .. }) => {
                RetrievalError::Unreadable { cause: Box::new(error) }
            }
            _ => error,
        },
        _ => error,
    }
}

/// Whether somebody deleted what was looked at.
fn is_gone(error: &RetrievalError) -> bool {
    match error {
        RetrievalError::NotFound { .. } | RetrievalError::Fleet(FleetError::Refused { code: NOT_FOUND, .. }) => true,
        RetrievalError::Shard { cause, .. } => matches!(&**cause, ShardError::Read(ReadError::Deleted { .. })),
        _ => false,
    }
}
