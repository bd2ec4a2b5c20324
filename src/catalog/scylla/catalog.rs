//! The catalog that several servers share, as one of them sees it.

use std::sync::Arc;

use uuid::Uuid;

use super::Replication;
use super::calls::Calls;
use super::cluster;
use super::cluster::Cluster;
use super::lanes::Lanes;
use super::layout;
use super::members;
use super::node::Node;
use super::node::Unsure;
use super::notifications;
use super::publish;
use super::purge;
use super::recover;
use super::segments;
use super::sequences;
use super::sequences::Sessions;
use super::sessions;
use super::tagged;
use super::topics;
use super::views;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::ClusterUrl;
use crate::catalog::Cursor;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::Fut;
use crate::catalog::HeadMark;
use crate::catalog::HeadPage;
use crate::catalog::Member;
use crate::catalog::Membership;
use crate::catalog::NewSequence;
use crate::catalog::NewSession;
use crate::catalog::NewTopic;
use crate::catalog::Page;
use crate::catalog::SegmentKey;
use crate::catalog::SegmentView;
use crate::catalog::SequenceContents;
use crate::catalog::Sieve;
use crate::catalog::TaggedTopic;
use crate::catalog::Tombstone;
use crate::catalog::TopicZones;
use crate::catalog::Visibility;
use crate::model::ChunkRecord;
use crate::model::IdSource;
use crate::model::NodeId;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::OntologyTag;
use crate::model::Predicate;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SequenceView;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionView;
use crate::model::Statistics;
use crate::model::TimeRange;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicView;

/// A keyspace of a CQL cluster with this node's own store.
pub struct ScyllaCatalog {
    /// First, so that it is dropped first: it waits for the calls that run.
    calls: Calls,
    node: Arc<Node>,
}

impl ScyllaCatalog {
    /// Connects and prepares every statement. Nothing is asked of it or changed before [`Self::recover`].
    ///
    /// * `id`: of this node, for ever: whose files are whose.
    /// * `local`: this node's own store, which has been booted if it ever will be.
    ///
    /// # Errors
    /// `Unavailable` when no node of the cluster answers, `Invalid` for a keyspace without a catalog, `SchemaMismatch` for
    /// one of another layout.
    pub async fn open(
        url: &ClusterUrl,
        id: Uuid,
        local: EmbeddedCatalog,
        ids: Arc<IdSource>,
    ) -> Result<Self, CatalogError> {
        let calls = Calls::start()?;
        let url = url.clone();
        let node = calls.run(async move {
            let (cluster, open) = (Cluster::open(&url).await?, local.open_store());
            let (lanes, unsure, finalizing) = (Lanes::default(), Unsure::default(), Unsure::default());
            Ok(Arc::new(Node { id, cluster, local, open, ids, lanes, unsure, finalizing }))
        });
        let node = node.await?;
        Ok(Self { calls, node })
    }

    /// Brings the own store in line with what the shared catalog says: once, when it is surely the one that the store belongs to.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when it has forgotten sessions that this node has rows of.
    pub fn recover(&self) -> Fut<'_, ()> {
        self.call(|node| async move { recover::recover(&node).await })
    }

    /// Makes the keyspace and the tables that are missing, in a keyspace of an older layout too.
    ///
    /// # Errors
    /// `Unavailable`, and `SchemaMismatch` for a keyspace with a layout that is not known here.
    pub async fn init(url: &ClusterUrl, replication: Replication) -> Result<(), CatalogError> {
        let url = url.clone();
        Calls::start()?
            .run(async move {
                let session = cluster::connect(&url).await?;
                layout::init(&session, &url.keyspace, replication).await
            })
            .await
    }

    /// Looks whether the keyspace is a catalog that this program can use, down to every statement.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn check(url: &ClusterUrl) -> Result<(), CatalogError> {
        let url = url.clone();
        Calls::start()?.run(async move { Cluster::open(&url).await.map(drop) }).await
    }

    /// Which shared catalog this is, for ever.
    pub fn id(&self) -> Uuid {
        self.node.cluster.layout.id
    }

    /// What this node shows the others, and they show it.
    pub fn membership(&self) -> Membership {
        Membership { node: NodeId(self.node.id), secret: self.node.cluster.layout.secret }
    }

    /// Runs a call.
    fn call<T, W>(&self, work: impl FnOnce(Arc<Node>) -> W) -> Fut<'_, T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, CatalogError>> + Send + 'static,
    {
        self.calls.run(work(Arc::clone(&self.node)))
    }

    /// Runs a call that changes this sequence, behind those that were made before it.
    fn change<T, W>(&self, name: &SequenceName, work: impl FnOnce(Arc<Node>) -> W) -> Fut<'_, T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, CatalogError>> + Send + 'static,
    {
        let mut turn = self.node.lanes.enter(name);
        let work = work(Arc::clone(&self.node));
        self.calls.run(async move {
            turn.begin().await;
            work.await
        })
    }
}

impl Catalog for ScyllaCatalog {
    fn create_sequence(&self, new: NewSequence) -> Fut<'_, SequenceHead> {
        let name = new.name.clone();
        self.change(&name, |node| async move { sequences::create(&node, &new).await })
    }

    fn create_session(&self, new: NewSession) -> Fut<'_, SessionHead> {
        let name = new.sequence.clone();
        self.change(&name, |node| async move { sessions::create(&node, &new).await })
    }

    fn create_topic(&self, new: NewTopic) -> Fut<'_, TopicHead> {
        let name = new.name.sequence.clone();
        self.change(&name, |node| async move { topics::create(&node, &new).await })
    }

    fn finalize(&self, session: SessionId, completed_at_ns: i64) -> Fut<'_, SessionHead> {
        self.call(|node| async move { publish::finalize(&node, session, completed_at_ns).await })
    }

    fn delete_topic(&self, topic: TopicId) -> Fut<'_, ()> {
        self.call(|node| async move { topics::delete(&node, topic).await })
    }

    fn delete_session(&self, session: SessionId) -> Fut<'_, ()> {
        self.call(|node| async move { sessions::delete(&node, session).await })
    }

    fn delete_sequence(&self, sequence: SequenceId) -> Fut<'_, ()> {
        self.call(move |node| async move { sequences::delete(&node, sequence, Sessions::Any).await.map(drop) })
    }

    fn delete_empty_sequence(&self, sequence: SequenceId) -> Fut<'_, bool> {
        self.call(move |node| async move { sequences::delete(&node, sequence, Sessions::None).await })
    }

    fn tombstones(&self, after: i64, limit: u32) -> Fut<'_, Vec<Tombstone>> {
        self.call(move |node| async move { purge::tombstones(&node, after, limit).await })
    }

    fn purged(&self, tombstone: i64) -> Fut<'_, ()> {
        self.call(|node| async move { purge::purged(&node, tombstone).await })
    }

    fn session(&self, id: SessionId) -> Fut<'_, SessionView> {
        self.call(|node| async move { views::session(&node, id).await })
    }

    fn sequence(&self, name: &SequenceName, visibility: Visibility) -> Fut<'_, SequenceView> {
        let name = name.clone();
        self.call(|node| async move { views::sequence(&node, &name, visibility).await })
    }

    fn topic(&self, name: &TopicName, visibility: Visibility) -> Fut<'_, TopicView> {
        let name = name.clone();
        self.call(|node| async move { views::topic(&node, &name, visibility).await })
    }

    fn topic_by_id(&self, id: TopicId, visibility: Visibility) -> Fut<'_, TopicView> {
        self.call(|node| async move { views::topic_by_id(&node, id, visibility).await })
    }

    fn sequences(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceHead>> {
        self.call(|node| async move { sequences::page(&node, after.as_ref(), limit).await })
    }

    fn contents(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceContents>> {
        self.call(|node| async move { views::contents(&node, after.as_ref(), limit).await })
    }

    fn sifted(&self, after: Option<SequenceName>, limit: u32, sieve: Arc<Sieve>) -> Fut<'_, Page<SequenceContents>> {
        self.call(move |node| async move { tagged::sifted(&node, after.as_ref(), limit, &sieve).await })
    }

    fn contents_of(&self, _: Vec<i64>) -> Fut<'_, (Vec<SequenceContents>, usize)> {
        let why = "a shared catalog gives its sequences no numbers".to_owned();
        Box::pin(async { Err(CatalogError::Invalid { field: "numbers", why }) })
    }

    fn heads(&self, _: HeadMark, _: u32) -> Fut<'_, HeadPage> {
        Box::pin(async { Ok(HeadPage::Unnumbered) })
    }

    fn segments(
        &self,
        topic: TopicId,
        range: TimeRange,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>> {
        self.call(move |node| async move { segments::page(&node, topic, range, None, (cursor, limit)).await })
    }

    fn segments_matching(
        &self,
        topic: TopicId,
        range: TimeRange,
        predicate: Arc<Predicate>,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>> {
        self.call(
            move |node| async move { segments::page(&node, topic, range, Some(predicate), (cursor, limit)).await },
        )
    }

    fn zones(&self, topic: TopicId, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<(SegmentView, Statistics)>> {
        self.call(move |node| async move { segments::zones(&node, topic, cursor, limit).await })
    }

    fn tagged(&self, tag: OntologyTag, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<TaggedTopic>> {
        self.call(move |node| async move { tagged::page(&node, &tag, cursor, limit).await })
    }

    fn zones_of(&self, topics: Vec<TopicId>) -> Fut<'_, (Vec<TopicZones>, usize)> {
        self.call(move |node| async move { tagged::zones_of(&node, &topics).await })
    }

    fn directory(&self, key: SegmentKey) -> Fut<'_, Vec<ChunkRecord>> {
        self.call(move |node| async move { segments::directory(&node, key).await })
    }

    fn notify(&self, target: &NotificationTarget, notification: Notification) -> Fut<'_, ()> {
        let target = target.clone();
        let name = notifications::sequence_of(&target).clone();
        self.change(&name, |node| async move { notifications::add(&node, &target, notification).await })
    }

    fn notifications(&self, target: &NotificationTarget) -> Fut<'_, Vec<Notification>> {
        let target = target.clone();
        self.call(|node| async move { notifications::of(&node, &target).await })
    }

    fn purge_notifications(&self, target: &NotificationTarget) -> Fut<'_, ()> {
        let target = target.clone();
        let name = notifications::sequence_of(&target).clone();
        self.change(&name, |node| async move { notifications::purge(&node, &target).await })
    }

    fn announce(&self, member: Member) -> Fut<'_, ()> {
        self.call(|node| async move { members::announce(&node, &member).await })
    }

    fn member(&self, node: NodeId) -> Fut<'_, Option<Member>> {
        self.call(move |own| async move { members::find(&own, node).await })
    }
}
