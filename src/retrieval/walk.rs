//! Which sequences a query looks at where no index of heads tells: those with a topic of each tag that rows are asked of, as
//! far as what is known of their values lets them; or, where no rows are asked of or too many topics have the tag, all that
//! their names and metadata as they are stored let through.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use futures::FutureExt;
use futures::Stream;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use futures::stream;
use tokio::time::Instant;

use super::bill::Bill;
use super::bill::nanoseconds;
use super::error::RetrievalError;
use super::stream::Desk;
use super::zones::Zones;
use crate::catalog::Catalog;
use crate::catalog::Cursor;
use crate::catalog::HeadText;
use crate::catalog::SequenceContents;
use crate::catalog::Sieve;
use crate::catalog::TaggedTopic;
use crate::model::OntologyTag;
use crate::model::SequenceName;
use crate::model::TopicId;
use crate::query;
use crate::query::Block;
use crate::query::Query;
use crate::query::RawHead;
use crate::query::TagPredicate;

/// Sequences that the catalog is asked for at once, and of which it looks at so many where it leaves some out.
const PAGE: u32 = 256;
const SIFTED_PAGE: u32 = 1000;

/// Topics of a tag that are asked for at once: few at first, for a shared catalog has to be asked in another way.
const FIRST_PAGE: u32 = 16;
const TAGGED_PAGE: u32 = 1000;

/// Topics whose values are asked for at once.
const ZONES_PAGE: usize = 64;

/// Topics that a query has a look at for their tag. Where there are more, a walk through all sequences takes no longer.
const TAGGED_MAX: usize = 50_000;

/// Sequences, by name, with their numbers.
type Found = BTreeMap<SequenceName, i64>;

/// Numbers of the sequences, by name, that have a topic of each tag that could have a row; `None` where that is not told.
///
/// # Errors
/// Of the catalog.
pub(super) async fn numbers(desk: &Desk, query: &Query, cost: &Bill) -> Result<Option<Vec<i64>>, RetrievalError> {
    let began = Instant::now();
    let walk = Walk { desk, cost, explain: query.explain, left: AtomicUsize::new(TAGGED_MAX) };
    let found = walk.block(&query.root).await?;
    cost.spend(|cost| cost.catalog_ns += nanoseconds(began));
    Ok(found.map(|found| found.into_values().collect()))
}

/// One query on its way.
struct Walk<'a> {
    desk: &'a Desk,
    cost: &'a Bill,
    explain: bool,
    /// Topics that it may still look at.
    left: AtomicUsize,
}

impl Walk<'_> {
    fn block<'a>(&'a self, block: &'a Block) -> BoxFuture<'a, Result<Option<Found>, RetrievalError>> {
        async move {
            let mut found = None;
            for own in &block.ontology {
                if let Some(having) = self.having(own, found.as_ref()).await? {
                    found = Some(both(found, having));
                }
            }
            for parts in &block.any {
                if let Some(having) = self.either(parts).await? {
                    found = Some(both(found, having));
                }
            }
            for part in block.all.iter().filter(|part| part.reads_rows()) {
                if let Some(having) = self.block(part).await? {
                    found = Some(both(found, having));
                }
            }
            // What a part that must not hold leaves out is only known of rows.
            Ok(found)
        }
        .boxed()
    }

    async fn either(&self, parts: &[Block]) -> Result<Option<Found>, RetrievalError> {
        if !parts.iter().all(Block::reads_rows) {
            return Ok(None);
        }
        let mut either = Found::new();
        for part in parts {
            let Some(found) = self.block(part).await? else { return Ok(None) };
            either.extend(found);
        }
        Ok(Some(either))
    }

    /// Sequences with a topic that may have a row for the predicate.
    ///
    /// * `within`: none but these are wanted.
    async fn having(&self, own: &TagPredicate, within: Option<&Found>) -> Result<Option<Found>, RetrievalError> {
        // What is no tag is no topic's.
        let Ok(tag) = OntologyTag::parse(&own.tag) else { return Ok(Some(Found::new())) };
        let (mut found, mut cursor, mut limit) = (Found::new(), None, FIRST_PAGE);
        loop {
            let page = self.desk.catalog.tagged(tag.clone(), cursor, limit).await?;
            let told = page.items.len();
            if page.items.iter().any(|topic| topic.number.is_none())
                || self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(told)).is_err()
            {
                return Ok(None);
            }
            let wanted = |topic: &TaggedTopic| {
                within.is_none_or(|within| within.contains_key(&topic.sequence)) && !found.contains_key(&topic.sequence)
            };
            let topics: Vec<TaggedTopic> = page.items.into_iter().filter(wanted).collect();
            self.keep_possible(own, topics, &mut found).await?;
            cursor = page.next;
            limit = TAGGED_PAGE;
            if cursor.is_none() {
                return Ok(Some(found));
            }
        }
    }

    /// Adds the sequences of those topics that may have a row.
    async fn keep_possible(
        &self,
        own: &TagPredicate,
        topics: Vec<TaggedTopic>,
        found: &mut Found,
    ) -> Result<(), RetrievalError> {
        let mut unknown = Vec::new();
        {
            let look = self.desk.zones.look();
            for topic in topics {
                match look.topic(topic.id) {
                    Some(known) if self.leaves_out(own, topic.id, known) => {}
                    Some(_) => add(found, topic),
                    None => unknown.push(topic),
                }
            }
        }
        for topics in unknown.chunks(ZONES_PAGE) {
            let mut ids: Vec<TopicId> = topics.iter().map(|topic| topic.id).collect();
            let mut left_out = Vec::new();
            while !ids.is_empty() {
                let (known, answered) = self.desk.zones.topics(&*self.desk.catalog, &ids).await?;
                let known = known.iter().filter(|(id, zones)| self.leaves_out(own, *id, zones));
                left_out.extend(known.map(|(id, _)| *id));
                ids.drain(..answered);
            }
            // Of what nothing is known it may have anything.
            let may = topics.iter().filter(|topic| !left_out.contains(&topic.id));
            may.for_each(|topic| add(found, topic.clone()));
        }
        Ok(())
    }

    fn leaves_out(&self, own: &TagPredicate, id: TopicId, zones: &Zones) -> bool {
        let leaves_out = !zones.may_match(&own.predicate);
        if leaves_out && self.explain {
            self.cost.left_out(id, zones.chunks());
        }
        leaves_out
    }
}

fn add(found: &mut Found, topic: TaggedTopic) {
    if let Some(number) = topic.number {
        found.insert(topic.sequence, number);
    }
}

fn both(found: Option<Found>, mut having: Found) -> Found {
    if let Some(found) = found {
        having.retain(|name, _| found.contains_key(name));
    }
    having
}

/// Keeps what is known of the values of these topics, as far as there is room. False when that was none.
///
/// # Errors
/// Of the catalog.
pub(super) async fn learn(desk: &Desk, mut topics: Vec<TopicId>) -> Result<bool, RetrievalError> {
    topics.sort_unstable_by_key(|topic| topic.0);
    topics.dedup();
    let (mut rest, mut learned) = (topics.as_slice(), false);
    while !rest.is_empty() && desk.zones.has_room() {
        let now = rest.get(..ZONES_PAGE).unwrap_or(rest);
        let (known, answered) = desk.zones.topics(&*desk.catalog, now).await?;
        if known.is_empty() {
            // What is left are topics of open sessions, deleted ones and very long ones, again and again.
            break;
        }
        learned = true;
        rest = rest.get(answered..).unwrap_or_default();
    }
    Ok(learned)
}

/// All sequences with something to read that their names and metadata let through, by name.
pub(super) fn contents<'a>(
    catalog: &'a dyn Catalog,
    root: &Block,
    cost: &'a Bill,
) -> impl Stream<Item = Result<SequenceContents, RetrievalError>> + Send + use<'a> {
    let sieve = Arc::new(sieve(root));
    let limit = if sieve.sequence.is_some() || sieve.topic.is_some() { SIFTED_PAGE } else { PAGE };
    let pages = stream::try_unfold(Some(None), move |after| {
        let sieve = Arc::clone(&sieve);
        async move {
            let Some(after) = after else { return Ok::<_, RetrievalError>(None) };
            let began = Instant::now();
            let page = catalog.sifted(after, limit, sieve).await?;
            cost.spend(|cost| cost.catalog_ns += nanoseconds(began));
            let next = match page.next {
                Some(Cursor::Sequence(name)) => Some(Some(name)),
                Some(Cursor::Segment(_) | Cursor::Topic(_)) | None => None,
            };
            Ok(Some((stream::iter(page.items).map(Ok), next)))
        }
    });
    pages.try_flatten()
}

fn sieve(root: &Block) -> Sieve {
    let root = Arc::new(root.clone());
    let mut sieve = Sieve::default();
    if query::sieves_sequences(&root) {
        let root = Arc::clone(&root);
        sieve.sequence = Some(Box::new(move |head| query::may_be_sequence(&root, &raw(head))));
    }
    if query::sieves_topics(&root) {
        sieve.topic = Some(Box::new(move |head| query::may_be_topic(&root, &raw(head))));
    }
    sieve
}

fn raw<'a>(head: &HeadText<'a>) -> RawHead<'a> {
    let HeadText { name, tag, format, created_at_ns, metadata } = *head;
    RawHead { name, tag, format, created_at_ns, metadata }
}
