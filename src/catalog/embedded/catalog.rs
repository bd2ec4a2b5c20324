//! The embedded back end of the catalog: every call becomes one operation on the writer's or a reader's thread.

use std::path::Path;
use std::sync::Arc;

use super::EmbeddedConfig;
use super::OpenStore;
use super::boot;
use super::engine::Engine;
use super::fault::Fault;
use super::fault::answer;
use super::heads;
use super::notifications;
use super::purge;
use super::room::Need;
use super::room::Room;
use super::schema;
use super::segments;
use super::sequences;
use super::sessions;
use super::tagged;
use super::topics;
use super::views;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::Fut;
use crate::catalog::HeadMark;
use crate::catalog::HeadPage;
use crate::catalog::Member;
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
use crate::io::Host;
use crate::model::ChunkRecord;
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

/// One SQLite file. Cheap to clone; it is closed when the last clone and the last [`OpenStore`] of it are gone.
#[derive(Clone)]
pub struct EmbeddedCatalog {
    pub(super) engine: Arc<Engine>,
}

impl EmbeddedCatalog {
    /// Opens the file at `path`, or makes it; its directory must exist. The journal is read back once.
    ///
    /// # Errors
    /// `SchemaMismatch` for a file of another program or layout, `Corrupt` for a damaged one, `Unavailable` when it cannot
    /// be opened. None of them changes the file.
    pub fn open(config: &EmbeddedConfig, path: &Path) -> Result<Self, CatalogError> {
        Self::open_on(&Host::default(), config, path)
    }

    /// The same, asking this host for room.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(host: &Host, config: &EmbeddedConfig, path: &Path) -> Result<Self, CatalogError> {
        Ok(Self { engine: Arc::new(Engine::start(host, config, path)?) })
    }

    /// Gives up the reserve of the catalog that will be opened at `path` when its disk is full.
    ///
    /// # Errors
    /// `Full` when there is too little room even then.
    pub fn make_room(host: &Host, config: &EmbeddedConfig, path: &Path) -> Result<(), CatalogError> {
        Room::new(host, config, path).for_group(0, Need::Deleting)
    }

    /// The key that [`crate::catalog::Boot`] brings, of a file that a running server holds open. Changes nothing.
    ///
    /// # Errors
    /// As [`Self::open`]; `Corrupt` when the file was never booted.
    pub fn key(config: &EmbeddedConfig, path: &Path) -> Result<[u8; 32], CatalogError> {
        let connection = schema::look(config, path)?;
        boot::key(&connection).map_err(|fault| match fault {
            Fault::Answer(error) => error,
            Fault::Store(error) => answer(&error),
        })
    }

    /// The part of the file that always lies on this machine.
    pub fn open_store(&self) -> OpenStore {
        OpenStore::new(self.engine.clone())
    }

    /// Calls back once, with the cause, when a commit or the disk failed and nobody knows any more what the file holds.
    /// Every call fails from then on: the daemon must exit, and the next start finds the truth.
    pub fn on_poison(&self, callback: impl Fn(&str) + Send + Sync + 'static) {
        self.engine.on_poison(Box::new(callback));
    }

    /// Finishes the calls that wait, refuses all others, and closes the file. Blocks until that is done.
    pub fn close(&self) {
        self.engine.close();
    }

    /// As [`Self::close`], for who takes the file elsewhere without its log.
    ///
    /// # Errors
    /// `Full` or `Unavailable` when the file alone does not hold everything that was committed.
    pub fn finish(&self) -> Result<(), CatalogError> {
        self.engine.finish()
    }
}

impl Catalog for EmbeddedCatalog {
    fn create_sequence(&self, new: NewSequence) -> Fut<'_, SequenceHead> {
        self.engine.write(new.metadata.as_str().len(), move |work| sequences::create(work, &new))
    }

    fn create_session(&self, new: NewSession) -> Fut<'_, SessionHead> {
        self.engine.write(0, move |work| sessions::create(work, &new))
    }

    fn create_topic(&self, new: NewTopic) -> Fut<'_, TopicHead> {
        self.engine.write(new.metadata.as_str().len(), move |work| topics::create(work, &new))
    }

    fn finalize(&self, session: SessionId, completed_at_ns: i64) -> Fut<'_, SessionHead> {
        self.engine.write_as(Need::Ending, 0, move |work| sessions::finalize(work, session, completed_at_ns))
    }

    fn delete_topic(&self, topic: TopicId) -> Fut<'_, ()> {
        self.engine.write_as(Need::Deleting, 0, move |work| topics::delete(work, topic))
    }

    fn delete_session(&self, session: SessionId) -> Fut<'_, ()> {
        self.engine.write_as(Need::Deleting, 0, move |work| sessions::delete(work, session))
    }

    fn delete_sequence(&self, sequence: SequenceId) -> Fut<'_, ()> {
        self.engine.write_as(Need::Deleting, 0, move |work| sequences::delete(work, sequence))
    }

    fn delete_empty_sequence(&self, sequence: SequenceId) -> Fut<'_, bool> {
        self.engine.write_as(Need::Deleting, 0, move |work| sequences::delete_empty(work, sequence))
    }

    fn tombstones(&self, after: i64, limit: u32) -> Fut<'_, Vec<Tombstone>> {
        self.engine.read(move |connection| purge::tombstones(connection, after, limit))
    }

    fn purged(&self, tombstone: i64) -> Fut<'_, ()> {
        let first = self.engine.write_as(Need::Deleting, 0, move |work| purge::step(work, tombstone));
        Box::pin(async move {
            let mut step = first.await?;
            while step == purge::Step::More {
                step = self.engine.write_as(Need::Deleting, 0, move |work| purge::step(work, tombstone)).await?;
            }
            Ok(())
        })
    }

    fn session(&self, id: SessionId) -> Fut<'_, SessionView> {
        self.engine.look(move |connection, tails| views::session(connection, tails, id))
    }

    fn sequence(&self, name: &SequenceName, visibility: Visibility) -> Fut<'_, SequenceView> {
        let name = name.clone();
        self.engine.look(move |connection, tails| views::sequence(connection, tails, &name, visibility))
    }

    fn topic(&self, name: &TopicName, visibility: Visibility) -> Fut<'_, TopicView> {
        let name = name.clone();
        self.engine.look(move |connection, tails| views::topic(connection, tails, &name, visibility))
    }

    fn topic_by_id(&self, id: TopicId, visibility: Visibility) -> Fut<'_, TopicView> {
        self.engine.look(move |connection, tails| views::topic_by_id(connection, tails, id, visibility))
    }

    fn sequences(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceHead>> {
        self.engine.read(move |connection| sequences::page(connection, after.as_ref(), limit))
    }

    fn contents(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceContents>> {
        self.engine.read(move |connection| views::contents(connection, after.as_ref(), limit))
    }

    fn sifted(&self, after: Option<SequenceName>, limit: u32, sieve: Arc<Sieve>) -> Fut<'_, Page<SequenceContents>> {
        self.engine.read(move |connection| heads::sifted(connection, after.as_ref(), limit, &sieve))
    }

    fn contents_of(&self, numbers: Vec<i64>) -> Fut<'_, (Vec<SequenceContents>, usize)> {
        self.engine.read(move |connection| heads::contents_of(connection, &numbers))
    }

    fn heads(&self, after: HeadMark, limit: u32) -> Fut<'_, HeadPage> {
        self.engine.read(move |connection| heads::page(connection, after, limit))
    }

    fn segments(
        &self,
        topic: TopicId,
        range: TimeRange,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>> {
        self.engine.look(move |connection, tails| {
            segments::page(connection, tails, topic, &range, None, (cursor.as_ref(), limit))
        })
    }

    fn segments_matching(
        &self,
        topic: TopicId,
        range: TimeRange,
        predicate: Arc<Predicate>,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>> {
        self.engine.look(move |connection, tails| {
            segments::page(connection, tails, topic, &range, Some(&predicate), (cursor.as_ref(), limit))
        })
    }

    fn zones(&self, topic: TopicId, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<(SegmentView, Statistics)>> {
        self.engine.read(move |connection| segments::zones(connection, topic, cursor.as_ref(), limit))
    }

    fn tagged(&self, tag: OntologyTag, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<TaggedTopic>> {
        self.engine.read(move |connection| tagged::page(connection, &tag, cursor.as_ref(), limit))
    }

    fn zones_of(&self, topics: Vec<TopicId>) -> Fut<'_, (Vec<TopicZones>, usize)> {
        self.engine.read(move |connection| tagged::zones_of(connection, &topics))
    }

    fn directory(&self, key: SegmentKey) -> Fut<'_, Vec<ChunkRecord>> {
        self.engine.look(move |connection, tails| segments::directory(connection, tails, key))
    }

    fn notify(&self, target: &NotificationTarget, notification: Notification) -> Fut<'_, ()> {
        let target = target.clone();
        self.engine.write(notification.message.len(), move |work| notifications::add(work, &target, notification))
    }

    fn notifications(&self, target: &NotificationTarget) -> Fut<'_, Vec<Notification>> {
        let target = target.clone();
        self.engine.read(move |connection| notifications::of(connection, &target))
    }

    fn purge_notifications(&self, target: &NotificationTarget) -> Fut<'_, ()> {
        let target = target.clone();
        self.engine.write_as(Need::Deleting, 0, move |work| notifications::purge(work, &target))
    }

    fn announce(&self, _: Member) -> Fut<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn member(&self, _: NodeId) -> Fut<'_, Option<Member>> {
        Box::pin(async { Ok(None) })
    }
}
