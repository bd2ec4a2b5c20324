//! The front desk of the read side.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use super::config::RetrievalConfig;
use super::error::RetrievalError;
use super::heads::Heads;
use super::info;
use super::info::Info;
use super::looking;
use super::looking::LookedUp;
use super::looking::Origin;
use super::plan;
use super::plan::Plan;
use super::search;
use super::storage;
use super::stored::stored;
use super::stored::travelling;
use super::windows;
use super::windows::Windows;
use super::zones::ZoneIndex;
use crate::catalog::Catalog;
use crate::catalog::Page;
use crate::catalog::Visibility;
use crate::chunk::Projection;
use crate::chunk::plain;
use crate::fleet::AskedBy;
use crate::fleet::Fleet;
use crate::fleet::Look;
use crate::io::BlockingPool;
use crate::model::FoundSequence;
use crate::model::Locator;
use crate::model::SearchCost;
use crate::model::SequenceHead;
use crate::model::SequenceName;
use crate::model::SessionState;
use crate::model::SessionView;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicStorage;
use crate::model::TopicView;
use crate::query;
use crate::query::Clusters;
use crate::query::Intersection;
use crate::query::Query;
use crate::query::Selection;
use crate::shard::BatchReceiver;
use crate::shard::Filter;
use crate::shard::Shards;
use crate::shard::Window;

/// Sequences listed at once.
const SEQUENCES_PAGE: u32 = 256;

/// The read side, shared by all connections. Cheap to clone.
#[derive(Clone)]
pub struct Retrieval {
    desk: Arc<Desk>,
}

pub(super) struct Desk {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) shards: Shards,
    pub(super) config: RetrievalConfig,
    /// Topics that queries of all clients read at a time.
    pub(super) searching: Semaphore,
    /// Threads that decide what takes long, for all shards.
    pub(super) judges: Option<BlockingPool>,
    /// Queries that are taken apart and answered at a time.
    asking: Semaphore,
    /// Looks through all names and metadata at a time, and into what is large of one: in turns.
    pub(super) walking: Arc<Semaphore>,
    pub(super) heads: Heads,
    pub(super) zones: Arc<ZoneIndex>,
    /// The servers that have the rows which are not here.
    pub(super) fleet: OnceLock<Fleet>,
    /// Topics that are read at a time for queries of other servers. Theirs alone: nobody who holds one waits for another server.
    pub(super) looking: Semaphore,
}

/// Few enough to leave a small machine to those who record.
const JUDGES: usize = 1;

/// Likewise.
const WALKS_AT_ONCE: usize = 1;

/// Queries of all clients at a time: each may take some 16 MiB beside the rows it reads. More wait, at most as long as a query
/// may take.
const QUERIES_AT_ONCE: usize = 32;

/// What a selection makes of a topic's rows, and the schema they have then.
fn selected(
    desk: &Desk,
    view: &TopicView,
    schema: &SchemaRef,
    selection: Selection,
) -> Result<(Filter, SchemaRef), RetrievalError> {
    let (topic, tag) = (view.head.name.clone(), view.head.tag.as_str());
    if let Some(rows) = &selection.rows
        && rows.tag != tag
    {
        return Err(RetrievalError::ForeignTag { topic, tag: tag.to_owned(), asked: rows.tag.clone() });
    }
    let predicate = selection.rows.map(|rows| Arc::new(stored(rows.predicate, schema)));
    let unknown = |column| RetrievalError::NoColumn { topic, column };
    let columns = selection.columns.map(|columns| travelling(columns, schema)).transpose().map_err(unknown)?;
    let of = |schema: &SchemaRef| columns.as_ref().map(|columns| Projection::of(schema, columns).schema().clone());
    let (sent, output) = (of(schema), of(&plain(schema)));
    let columns = columns.map(|columns| {
        let of_rows = predicate.iter().flat_map(|predicate| query::columns(predicate));
        columns.into_iter().chain(of_rows).collect()
    });
    let schema = sent.unwrap_or_else(|| schema.clone());
    let shard = usize::from(view.head.shard.0);
    let judges = desk.judges.clone();
    Ok((Filter { predicate, judges, columns, output, shard, ..Filter::default() }, schema))
}

/// A read under way.
pub struct Reading {
    pub view: TopicView,
    pub schema: SchemaRef,
    /// In time order, none empty. Dropping it stops the read and frees what it holds.
    pub batches: BatchReceiver,
}

impl Retrieval {
    pub fn new(catalog: Arc<dyn Catalog>, shards: Shards, config: RetrievalConfig) -> Self {
        let (searching, asking) = (Semaphore::new(search::TOPICS_AT_ONCE), Semaphore::new(QUERIES_AT_ONCE));
        let walking = Arc::new(Semaphore::new(WALKS_AT_ONCE));
        let judges = BlockingPool::new("judge", JUDGES);
        let judges = judges.inspect_err(|error| tracing::warn!(%error, "queries are decided on the shards"));
        let judges = judges.ok();
        let (heads, zones) =
            (Heads::new(config.index_bytes_max / 2), Arc::new(ZoneIndex::new(config.index_bytes_max / 2)));
        let (fleet, looking) = (OnceLock::new(), Semaphore::new(search::TOPICS_AT_ONCE));
        let desk = Desk { catalog, shards, config, searching, asking, judges, walking, heads, zones, fleet, looking };
        Self { desk: Arc::new(desk) }
    }

    /// From here on rows of other servers are asked of them. Once.
    pub fn join(&self, fleet: Fleet) {
        let _ = self.desk.fleet.set(fleet);
    }

    /// Makes what queries look into, while the server serves, and goes on until it is made: so long they walk through the
    /// catalog. Without it the first queries make it, bit by bit.
    pub async fn prepare(&self) {
        let is_asked = || self.desk.asking.available_permits() < QUERIES_AT_ONCE;
        self.desk.heads.make(&*self.desk.catalog, is_asked).await;
    }

    /// One page of all sequences by name, those behind `after`; `next` is `None` on the last page.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn sequences(&self, after: Option<SequenceName>) -> Result<Page<SequenceHead>, RetrievalError> {
        Ok(self.desk.catalog.sequences(after, SEQUENCES_PAGE).await?)
    }

    /// A sequence, one session of it or one topic, with its readable topics. When the range has a bound, every topic gets
    /// its exact window inside it.
    ///
    /// Cost: one look at the sequence; per topic with a bound the time columns of the chunks that the range cuts.
    ///
    /// # Errors
    /// [`RetrievalError::NotFound`], [`RetrievalError::NotFinalized`] for a topic of an open session,
    /// [`RetrievalError::Shard`] when a window cannot be read.
    pub async fn info(&self, locator: &Locator, range: TimeRange) -> Result<Info, RetrievalError> {
        info::gather(&self.desk, locator, range).await
    }

    /// What lies in a range of a topic that is read here.
    ///
    /// # Errors
    /// As [`Self::info`]; [`RetrievalError::Elsewhere`] when another server has to look.
    pub async fn window(&self, topic: TopicId, range: TimeRange) -> Result<Window, RetrievalError> {
        info::window(&self.desk, plan::topic_by_id(&*self.desk.catalog, topic).await?, range).await
    }

    /// How the chunks of these topics are stored, from their records; in the order of the topics.
    ///
    /// Cost: some 40 kB of the catalog per 256 chunks, bounded: of very long topics a sample.
    ///
    /// # Errors
    /// Of the catalog.
    pub async fn storage(&self, info: &Info) -> Result<Vec<TopicStorage>, RetrievalError> {
        storage::gather(&*self.desk.catalog, info.topics.iter().map(|topic| &topic.view)).await
    }

    /// The open sessions of a sequence with their topics and what of these is durable so far. None of it can be read yet.
    ///
    /// # Errors
    /// [`RetrievalError::NotFound`] when the sequence was deleted meanwhile.
    pub async fn open_sessions(&self, info: &Info) -> Result<Vec<SessionView>, RetrievalError> {
        let is_open = |session: &SessionView| session.head.state == SessionState::Open;
        if !info.sequence.sessions.iter().any(is_open) {
            return Ok(Vec::new());
        }
        let name = &info.sequence.head.name;
        let mut sessions = self.desk.catalog.sequence(name, Visibility::All).await?.sessions;
        sessions.retain(is_open);
        Ok(sessions)
    }

    /// A topic without a window, for its schema.
    ///
    /// # Errors
    /// [`RetrievalError::NotFound`], [`RetrievalError::NotFinalized`].
    pub async fn topic(&self, name: &TopicName) -> Result<TopicView, RetrievalError> {
        plan::topic(&*self.desk.catalog, name).await
    }

    /// Waits for a place among the queries; to be had before a query is taken apart, and held until it is answered.
    ///
    /// # Errors
    /// [`RetrievalError::QueryTime`] when none became free.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, RetrievalError> {
        let seconds = self.desk.config.query_seconds_max;
        match tokio::time::timeout(Duration::from_secs(seconds.into()), self.desk.asking.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(RetrievalError::QueryTime { seconds }),
        }
    }

    /// The sequences and topics that a query is about, in the order of names, and what it took to find them. Dropping the future ends all work for it.
    ///
    /// Cost: the catalog once; rows of those topics only that their tag and schema let through, and of those the columns that
    /// the query names, up to the first match.
    ///
    /// # Errors
    /// [`RetrievalError::QueryTime`], [`RetrievalError::TooManyTopics`], [`RetrievalError::Shard`] when rows cannot be read.
    pub async fn search(&self, query: &Query) -> Result<(Vec<FoundSequence>, SearchCost), RetrievalError> {
        search::search(&self.desk, query, None).await
    }

    /// The same over the rows of all servers.
    ///
    /// * `body`: what the query was read from.
    ///
    /// # Errors
    /// As [`Self::search`]; [`RetrievalError::Fleet`].
    pub async fn search_everywhere(
        &self,
        query: &Query,
        body: &[u8],
    ) -> Result<(Vec<FoundSequence>, SearchCost), RetrievalError> {
        let origin = Origin { by: AskedBy::Query, body: Bytes::copy_from_slice(body) };
        search::search(&self.desk, query, Some(&origin)).await
    }

    /// Times of matching rows that lie here, for another server.
    ///
    /// # Errors
    /// As [`Self::clusters`]; [`RetrievalError::Elsewhere`] when they do not.
    pub async fn look(&self, look: Look) -> Result<LookedUp, RetrievalError> {
        looking::look(self.desk.clone(), look).await
    }

    /// Windows of matching rows, in the order of time, while they are found.
    ///
    /// * `body`: what it was read from.
    ///
    /// # Errors
    /// As [`Self::topic`]; [`RetrievalError::ForeignTag`]. The stream's: [`RetrievalError::Shard`].
    pub async fn clusters(&self, asked: Clusters, body: &[u8]) -> Result<Windows, RetrievalError> {
        let origin = Origin { by: AskedBy::Clusters, body: Bytes::copy_from_slice(body) };
        windows::clusters(self.desk.clone(), asked, origin).await
    }

    /// Windows that several topics have in common, likewise.
    ///
    /// # Errors
    /// As [`Self::clusters`].
    pub async fn intersection(&self, asked: Intersection, body: &[u8]) -> Result<Windows, RetrievalError> {
        let origin = Origin { by: AskedBy::Intersection, body: Bytes::copy_from_slice(body) };
        windows::intersection(self.desk.clone(), asked, origin).await
    }

    /// Starts to read the rows of a topic that lie in `range`, in time order, or some of them and some of their columns.
    ///
    /// # Errors
    /// [`RetrievalError::NotFound`] for a topic that was deleted, [`RetrievalError::NotFinalized`],
    /// [`RetrievalError::Shard`] when too many read.
    pub async fn read(
        &self,
        topic: TopicId,
        range: TimeRange,
        selection: Selection,
    ) -> Result<Reading, RetrievalError> {
        let Desk { catalog, shards, config, .. } = &*self.desk;
        let view = plan::topic_by_id(&**catalog, topic).await?;
        let schema = plan::schema(&view)?;
        let name = view.head.name.clone();
        let (request, schema) = match selection {
            Selection { columns: None, rows: None } => {
                (Plan::make(&**catalog, view.clone(), range).await?.request(config)?, schema)
            }
            selection => {
                let stored = plain(&schema);
                let (filter, schema) = selected(&self.desk, &view, &schema, selection)?;
                let plan = plan::for_filter(&**catalog, view.clone(), range, &filter, &stored).await?;
                let mut request = plan.request(config)?;
                request.filter = Some(Arc::new(filter));
                (request, schema)
            }
        };
        let opened = shards.open_reader(request).await;
        let batches = opened.map_err(|cause| RetrievalError::Shard { topic: name, cause: Box::new(cause) })?;
        Ok(Reading { view, schema, batches })
    }
}
