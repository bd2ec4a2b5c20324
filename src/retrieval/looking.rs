//! Rows of other servers, as a query or a search for windows looks at them: the owner of a topic evaluates the conditions, and only
//! the times of its matches travel.
//!
//! The owner reads the client's request itself, as it came, and finds in it the conditions that are meant by their digest. So it
//! means by them what it would mean for a client of its own, or it says that it understands the request differently.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use futures::stream::BoxStream;

use super::error::RetrievalError;
use super::matching::Matches;
use super::plan;
use super::stream::Desk;
use crate::fleet::AskedBy;
use crate::fleet::FleetError;
use crate::fleet::Look;
use crate::fleet::TIMES_MAX;
use crate::fleet::Times;
use crate::fleet::Wanted;
use crate::io::hash64;
use crate::model::NodeId;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::query;
use crate::query::Block;
use crate::query::QueryError;
use crate::query::TagPredicate;

/// gRPC's number of UNAVAILABLE.
const UNAVAILABLE: i32 = 14;

/// Times of matching rows, ascending, some at a time.
pub type LookedUp = BoxStream<'static, Result<Vec<i64>, RetrievalError>>;

/// The request of a client that rows are looked at for.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) by: AskedBy,
    /// As it came.
    pub(super) body: Bytes,
}

/// What to ask the owner of a topic for.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) origin: &'a Origin,
    pub(super) rows: Option<&'a TagPredicate>,
    pub(super) wanted: Wanted,
}

/// Times of matching rows of another server; `None` where there is none that could be asked.
pub(super) async fn ask(
    desk: &Desk,
    node: NodeId,
    topic: TopicId,
    range: TimeRange,
    errand: Errand<'_>,
) -> Result<Option<Times>, RetrievalError> {
    let Some(fleet) = desk.fleet.get() else { return Ok(None) };
    let Errand { origin, rows, wanted } = errand;
    let conditions = rows.map(digest);
    let look = Look { topic, range, by: origin.by, wanted, conditions, body: origin.body.clone() };
    Ok(Some(fleet.look(node, &look).await?))
}

/// Answers [`ask`] of another server.
pub(super) async fn look(desk: Arc<Desk>, look: Look) -> Result<LookedUp, RetrievalError> {
    let rows = match look.conditions {
        None => None,
        Some(wanted) => Some(conditions(&look, wanted)?),
    };
    let view = plan::topic_by_id(&*desk.catalog, look.topic).await?;
    let predicate = rows.as_ref().map(|rows| &rows.predicate);
    // A look that ends by itself takes its turn; one that lasts as long as its client likes is not waited for by others.
    let turn = match look.wanted {
        Wanted::First | Wanted::Bounds => desk.looking.acquire().await.ok(),
        Wanted::All => None,
    };
    let mut matches = Matches::open(&desk, view, predicate, look.range, None, None).await?;
    let some = match look.wanted {
        Wanted::First => matches.next().await?.and_then(|found| found.times().first().map(|time| vec![*time])),
        Wanted::Bounds => matches.bounds().await?.map(|bounds| vec![bounds.first, bounds.last]),
        Wanted::All => return Ok(all(matches)),
    };
    drop(turn);
    Ok(stream::iter(some.map(Ok)).boxed())
}

fn all(matches: Matches) -> LookedUp {
    let batches = stream::try_unfold(matches, |mut matches| async move {
        let found = matches.next().await?;
        Ok::<_, RetrievalError>(found.map(|found| {
            let parts: Vec<_> = found.times().chunks(TIMES_MAX).map(|times| Ok(times.to_vec())).collect();
            (stream::iter(parts), matches)
        }))
    });
    futures::TryStreamExt::try_flatten(batches).boxed()
}

fn digest(rows: &TagPredicate) -> u64 {
    hash64(format!("{rows:?}").as_bytes())
}

/// The conditions of a request that have this digest.
fn conditions(look: &Look, wanted: u64) -> Result<TagPredicate, RetrievalError> {
    let all = all_conditions(look).map_err(|error| misunderstood(&error.to_string()))?;
    let found = all.into_iter().find(|rows| digest(rows) == wanted);
    found.ok_or_else(|| misunderstood("it finds other conditions in it"))
}

fn misunderstood(why: &str) -> RetrievalError {
    let message = format!(
        "a server that has some of the rows does not understand the query as this one does ({why}): run one version"
    );
    RetrievalError::Fleet(FleetError::Refused { code: UNAVAILABLE, message })
}

fn all_conditions(look: &Look) -> Result<Vec<TagPredicate>, QueryError> {
    let mut all = Vec::new();
    match look.by {
        AskedBy::Query => of_block(&query::parse(&look.body)?.root, &mut all),
        AskedBy::Clusters => all.extend(query::parse_clusters(&look.body)?.rows),
        AskedBy::Intersection => {
            all.extend(query::parse_intersection(&look.body)?.topics.into_iter().filter_map(|topic| topic.rows));
        }
    }
    Ok(all)
}

fn of_block(block: &Block, all: &mut Vec<TagPredicate>) {
    all.extend(block.ontology.iter().cloned());
    block.any.iter().flatten().chain(&block.all).chain(&block.not).for_each(|part| of_block(part, all));
}
