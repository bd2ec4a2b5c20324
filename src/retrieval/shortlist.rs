//! Which sequences a query looks at: those it names, those that the indices in memory leave, or those that a walk through the
//! catalog does.

use std::cell::RefCell;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::Stream;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;
use futures::stream::BoxStream;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::bill::Bill;
use super::bill::nanoseconds;
use super::error::RetrievalError;
use super::stream::Desk;
use super::walk;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::SequenceContents;
use crate::catalog::Visibility;
use crate::model::Expression;
use crate::model::SequenceName;
use crate::model::SequenceView;
use crate::model::Test;
use crate::model::TextRange;
use crate::model::TopicId;
use crate::model::TopicView;
use crate::query::Block;
use crate::query::HeadField;
use crate::query::HeadIndex;
use crate::query::HeadTest;
use crate::query::Query;
use crate::query::TagPredicate;

/// Sequences that are asked for by number, at once, and how many such questions.
const NUMBERS: usize = 64;
const PAGES_AT_ONCE: usize = 2;

/// Topics that a look tells of that are not known: they are learned before another.
const UNKNOWN_MAX: usize = 64 << 10;

/// How long a query walks through the index before another one does.
const WALK: Duration = Duration::from_millis(20);

/// Names up to which sequences are asked for one by one instead of all, and how many at once.
const NAMES_MAX: usize = 1000;
const NAMES_AT_ONCE: usize = 16;

/// Sequences that have something to read, by name: every one that the query is about, and as few others as can be.
///
/// # Errors
/// Of the catalog, as are the stream's.
pub(super) async fn shortlist<'a>(
    desk: &'a Desk,
    query: &Query,
    cost: &'a Bill,
) -> Result<BoxStream<'a, Result<SequenceContents, RetrievalError>>, RetrievalError> {
    desk.zones.begin();
    let catalog = &*desk.catalog;
    if let Some(names) = names(&query.root) {
        return Ok(named(catalog, names).boxed());
    }
    let numbers = match desk.heads.index(catalog).await? {
        Some(index) => candidates(desk, query, &index, cost).await?,
        None => walk::numbers(desk, query, cost).await?,
    };
    Ok(match numbers {
        Some(numbers) => numbered(catalog, numbers, cost).boxed(),
        None => walk::contents(catalog, &query.root, cost).boxed(),
    })
}

/// The names of all sequences that can match, ascending, when the query says so itself.
fn names(block: &Block) -> Option<Vec<SequenceName>> {
    let own = block.sequence.iter().find_map(|condition| match condition {
        Expression::Leaf(HeadTest { field: HeadField::Name | HeadField::Locator, test: Test::Texts(ranges) }) => {
            let point = |range: &TextRange| match range {
                (Bound::Included(low), Bound::Included(high)) if low == high => Some(low.clone()),
                _ => None,
            };
            ranges.iter().map(point).collect::<Option<Vec<String>>>()
        }
        _ => None,
    })?;
    // What is no name is no sequence's.
    (own.len() <= NAMES_MAX).then(|| own.iter().filter_map(|name| SequenceName::parse(name).ok()).collect())
}

/// Those of these sequences that have something to read.
fn named(
    catalog: &dyn Catalog,
    names: Vec<SequenceName>,
) -> impl Stream<Item = Result<SequenceContents, RetrievalError>> + Send + use<'_> {
    let contents = move |name| async move { contents_of_name(catalog, &name).await };
    stream::iter(names).map(contents).buffered(NAMES_AT_ONCE).try_filter_map(|own| async move { Ok(own) })
}

/// A sequence, when it has something to read.
///
/// # Errors
/// Of the catalog.
pub(super) async fn contents_of_name(
    catalog: &dyn Catalog,
    name: &SequenceName,
) -> Result<Option<SequenceContents>, RetrievalError> {
    match catalog.sequence(name, Visibility::Final).await {
        Ok(SequenceView { head, sessions }) => {
            let topics: Vec<TopicView> = sessions.into_iter().flat_map(|session| session.topics).collect();
            Ok((!topics.is_empty()).then_some(SequenceContents { head, topics }))
        }
        Err(CatalogError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Numbers of the sequences that are left once names, metadata and what is known of values have left out all they can, by
/// name; `None` where that is not known.
async fn candidates(
    desk: &Desk,
    query: &Query,
    index: &Arc<RwLock<HeadIndex>>,
    cost: &Bill,
) -> Result<Option<Vec<i64>>, RetrievalError> {
    let began = Instant::now();
    let Some(mut told) = look(desk, query, index).await else { return Ok(None) };
    // One question about many topics now spares one about each of them later.
    if !told.unknown.is_empty() && walk::learn(desk, std::mem::take(&mut told.unknown)).await? {
        match look(desk, query, index).await {
            Some(again) => told = again,
            None => return Ok(None),
        }
    }
    if query.explain {
        told.left_out.into_iter().for_each(|(topic, chunks)| cost.left_out(topic, chunks));
    }
    cost.spend(|cost| cost.catalog_ns += nanoseconds(began));
    Ok(Some(told.numbers))
}

/// What a look into the index tells.
struct Told {
    numbers: Vec<i64>,
    /// Topics whose values leave them out, and how many chunks they have.
    left_out: Vec<(TopicId, u64)>,
    /// Some of those of whose values nothing is kept.
    unknown: Vec<TopicId>,
}

/// `None` when it was stopped.
async fn look(desk: &Desk, query: &Query, index: &Arc<RwLock<HeadIndex>>) -> Option<Told> {
    let (index, zones, root) = (Arc::clone(index), desk.zones.clone(), query.root.clone());
    // A client that is gone, or a query that takes too long, drops this future, but not a thread.
    let gone = Gone::default();
    let stop = gone.0.clone();
    // It looks through everything there is: not on a thread that others wait for, nor on all cores.
    let turn = Arc::clone(&desk.walking).acquire_owned().await.ok()?;
    let turn = RefCell::new(Turn { permit: Some(turn), since: Instant::now(), walking: Arc::clone(&desk.walking) });
    let told = move || {
        let (look, left_out, unknown) = (zones.look(), RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let may = |own: &TagPredicate, topic: TopicId| match look.topic(topic) {
            Some(known) if !known.may_match(&own.predicate) => {
                left_out.borrow_mut().push((topic, known.chunks()));
                false
            }
            Some(_) => true,
            // What is not kept may have anything.
            None => {
                let mut unknown = unknown.borrow_mut();
                if unknown.len() < UNKNOWN_MAX {
                    unknown.push(topic);
                }
                true
            }
        };
        let is_over = || {
            if !stop.load(Relaxed) {
                turn.borrow_mut().pass_on();
            }
            stop.load(Relaxed)
        };
        let numbers = index.read().unwrap_or_else(PoisonError::into_inner).candidates(&root, &may, &is_over);
        Told { numbers, left_out: left_out.into_inner(), unknown: unknown.into_inner() }
    };
    tokio::task::spawn_blocking(told).await.ok()
}

/// One among those that walk through the index.
struct Turn {
    /// Always there, but while it is passed on.
    permit: Option<OwnedSemaphorePermit>,
    since: Instant,
    walking: Arc<Semaphore>,
}

impl Turn {
    /// Lets others walk, after so long; on a thread that may wait.
    fn pass_on(&mut self) {
        if self.since.elapsed() < WALK {
            return;
        }
        drop(self.permit.take());
        self.permit = Handle::current().block_on(Arc::clone(&self.walking).acquire_owned()).ok();
        self.since = Instant::now();
    }
}

/// Says when it is dropped.
#[derive(Default)]
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Those of these sequences that have something to read.
fn numbered<'a>(
    catalog: &'a dyn Catalog,
    numbers: Vec<i64>,
    cost: &'a Bill,
) -> impl Stream<Item = Result<SequenceContents, RetrievalError>> + Send + use<'a> {
    let answer = move |mut numbers: Vec<i64>| async move {
        let began = Instant::now();
        let (items, answered) = catalog.contents_of(numbers.clone()).await?;
        assert!(answered > 0, "no progress over {} numbers", numbers.len());
        cost.spend(|cost| cost.catalog_ns += nanoseconds(began));
        Ok::<_, RetrievalError>((items, numbers.split_off(answered.min(numbers.len()))))
    };
    // Where there is much metadata an answer is for a part of them, and the rest is asked for when that is done with.
    let page = move |numbers: Vec<i64>| async move {
        let (items, rest) = answer(numbers).await?;
        let rest = stream::try_unfold(rest, move |rest| async move {
            if rest.is_empty() {
                return Ok::<_, RetrievalError>(None);
            }
            let (items, rest) = answer(rest).await?;
            Ok(Some((stream::iter(items).map(Ok), rest)))
        });
        Ok::<_, RetrievalError>(stream::iter(items).map(Ok).chain(rest.try_flatten()))
    };
    let pages: Vec<Vec<i64>> = numbers.chunks(NUMBERS).map(<[i64]>::to_vec).collect();
    stream::iter(pages).map(page).buffered(PAGES_AT_ONCE).try_flatten()
}
