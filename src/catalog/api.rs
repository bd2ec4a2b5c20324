//! What can be asked of a catalog, in the terms of the domain.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::CatalogError;
use super::Cursor;
use super::Page;
use super::SegmentKey;
use super::Sieve;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::NodeId;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::OntologyTag;
use crate::model::Predicate;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SequenceView;
use crate::model::SerializationFormat;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionView;
use crate::model::ShardIndex;
use crate::model::StartId;
use crate::model::Statistics;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TokenDigest;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicPath;
use crate::model::TopicTotals;
use crate::model::TopicView;
use crate::model::UserMetadata;

/// An answer to wait for, on any executor. The call is on its way when this is returned: dropping it does not cancel
/// the call, it only stops listening.
pub type Fut<'a, T> = Pin<Box<dyn Future<Output = Result<T, CatalogError>> + Send + 'a>>;

/// Sequences, sessions, topics and the chunks of each, as they are published to readers.
///
/// Ids are chosen by the caller, so that every call can be repeated with the same ids and answers the same. An `Ok` of
/// a call that changes something means that the change survives a power cut. `tests/catalog.rs` is the contract in
/// detail; a back end is one when it passes that suite.
pub trait Catalog: Send + Sync + 'static {
    /// `AlreadyExists` when the name belongs to another id.
    fn create_sequence(&self, new: NewSequence) -> Fut<'_, SequenceHead>;
    /// `NotFound` without the sequence.
    fn create_session(&self, new: NewSession) -> Fut<'_, SessionHead>;
    /// `AlreadyExists` when any live session of the sequence has a topic of this name, `ForeignSequence` when the name
    /// lies in another sequence than the session's, `Refused` when the session is final.
    fn create_topic(&self, new: NewTopic) -> Fut<'_, TopicHead>;
    /// Makes all topics of the session visible and immutable, at once. An interrupted topic leaves a notification,
    /// written in the same transaction. Repeating it answers the same. `Refused` names the topic that is not done.
    fn finalize(&self, session: SessionId, completed_at_ns: i64) -> Fut<'_, SessionHead>;
    /// Deletes one topic of an open session; its name is free at once. `NotFound` when it is gone.
    fn delete_topic(&self, topic: TopicId) -> Fut<'_, ()>;
    /// Deletes a session, open or final, with its topics; their names are free at once. `NotFound` when it is gone.
    fn delete_session(&self, session: SessionId) -> Fut<'_, ()>;
    /// Deletes a sequence with all its sessions, in one step. `NotFound` when it is gone.
    fn delete_sequence(&self, sequence: SequenceId) -> Fut<'_, ()>;
    /// The same for a sequence without sessions. Returns whether it was one.
    fn delete_empty_sequence(&self, sequence: SequenceId) -> Fut<'_, bool>;
    /// Deleted things whose files must go, oldest first, at most `limit` of them.
    ///
    /// * `after`: the number of the last one seen, 0 to begin.
    fn tombstones(&self, after: i64, limit: u32) -> Fut<'_, Vec<Tombstone>>;
    /// The files of this tombstone are gone: drops what was kept to find them. Repeating it is `Ok`.
    fn purged(&self, tombstone: i64) -> Fut<'_, ()>;
    /// A session with all its topics, also while it is open.
    fn session(&self, id: SessionId) -> Fut<'_, SessionView>;
    fn sequence(&self, name: &SequenceName, visibility: Visibility) -> Fut<'_, SequenceView>;
    fn topic(&self, name: &TopicName, visibility: Visibility) -> Fut<'_, TopicView>;
    fn topic_by_id(&self, id: TopicId, visibility: Visibility) -> Fut<'_, TopicView>;
    /// All sequences by name, those behind `after`.
    fn sequences(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceHead>>;
    /// The same with the topics of final sessions, without their schemas; sequences that have none are left out. So a page may
    /// have fewer items than `limit`, or none, and still not be the last.
    fn contents(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceContents>>;
    /// The same, without sequences that the sieve leaves out; `limit` sequences are looked at.
    fn sifted(&self, after: Option<SequenceName>, limit: u32, sieve: Arc<Sieve>) -> Fut<'_, Page<SequenceContents>>;
    /// The same for these numbers of [`Self::heads`], in their order, without those that are gone or have nothing to read; and
    /// how many of the numbers these are the answer for, at least one.
    fn contents_of(&self, numbers: Vec<i64>) -> Fut<'_, (Vec<SequenceContents>, usize)>;
    /// Sequences and topics in the order in which they were made, open ones too, those behind `after`: at most `limit` of
    /// each, and topics only behind the last sequence. For whoever keeps an index of them: what was made before this call is
    /// in a page, or behind it.
    fn heads(&self, after: HeadMark, limit: u32) -> Fut<'_, HeadPage>;
    /// Segments of a topic that may have rows in `range`, in the order of their numbers. The chunks of an open topic
    /// that no segment holds yet come as a last one, which grows until it is sealed under the same number.
    fn segments(
        &self,
        topic: TopicId,
        range: TimeRange,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>>;
    /// The same, without segments whose statistics say that no row satisfies `predicate`. A page may have fewer items than
    /// `limit`, or none, and still not be the last.
    fn segments_matching(
        &self,
        topic: TopicId,
        range: TimeRange,
        predicate: Arc<Predicate>,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>>;
    /// Segments of a topic whose put has ended, in the order of their numbers, with what is known of their values. They never
    /// change. Those of a topic that is being received are not among them.
    fn zones(&self, topic: TopicId, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<(SegmentView, Statistics)>>;
    /// Topics of final sessions that have this tag, each once, in an order that stays. A page may have fewer items than
    /// `limit`, or none, and still not be the last; a shared catalog tells the topics of one sequence together, however many.
    fn tagged(&self, tag: OntologyTag, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<TaggedTopic>>;
    /// What [`Self::zones`] tells, of many topics at once, in their order: without those that are gone, whose session is open,
    /// or that have more than [`PAGE_ITEMS_MAX`](super::PAGE_ITEMS_MAX) segments. And how many of the topics this is the answer
    /// for, at least one.
    fn zones_of(&self, topics: Vec<TopicId>) -> Fut<'_, (Vec<TopicZones>, usize)>;
    /// The chunks of one segment in the order they were committed.
    fn directory(&self, key: SegmentKey) -> Fut<'_, Vec<ChunkRecord>>;
    /// Keeps at most [`Notification::COUNT_MAX`] per target (`TooLarge` for the next) and cuts long messages. Works for
    /// topics of open sessions.
    fn notify(&self, target: &NotificationTarget, notification: Notification) -> Fut<'_, ()>;
    /// Oldest first.
    fn notifications(&self, target: &NotificationTarget) -> Fut<'_, Vec<Notification>>;
    fn purge_notifications(&self, target: &NotificationTarget) -> Fut<'_, ()>;

    /// Tells the other servers that share this catalog where they reach this one, from this start on. Without effect where
    /// nobody shares it.
    fn announce(&self, member: Member) -> Fut<'_, ()>;
    /// What a server that shares this catalog said last of itself; `None` when it never did, or nobody shares it.
    fn member(&self, node: NodeId) -> Fut<'_, Option<Member>>;
}

/// A server among those that share a catalog, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its start that is reached there.
    pub start: StartId,
    /// `grpc://host:port`.
    pub address: String,
}

/// What makes this server one of those that share a catalog.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    pub node: NodeId,
    /// Known to all of them, and to whoever can read the catalog.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Membership {{ node: {}, secret: .. }}", self.node)
    }
}

#[derive(Clone, Debug)]
pub struct NewSequence {
    pub id: SequenceId,
    pub name: SequenceName,
    pub metadata: UserMetadata,
    pub created_at_ns: i64, // Unix time
}

#[derive(Clone, Debug)]
pub struct NewSession {
    pub id: SessionId,
    pub sequence: SequenceName,
    /// Of the token that its creator gets.
    pub token: TokenDigest,
    pub created_at_ns: i64,
}

#[derive(Clone, Debug)]
pub struct NewTopic {
    pub id: TopicId,
    pub session: SessionId,
    /// Of the token that its creator gets.
    pub token: TokenDigest,
    pub name: TopicName,
    pub tag: OntologyTag,
    pub format: SerializationFormat,
    pub metadata: UserMetadata,
    pub shard: ShardIndex,
    pub device: DeviceNumber,
    pub created_at_ns: i64,
}

/// A sequence as readers search it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceContents {
    pub head: SequenceHead,
    /// Of final sessions, in the order of their creation. Their schemas are left out.
    pub topics: Vec<TopicView>,
}

impl SequenceContents {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.head.metadata.as_str().len() + self.topics.iter().map(TopicView::bytes).sum::<usize>()
    }
}

/// The last sequence and the last topic that were seen, with their numbers; `None` before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadMark {
    pub sequence: Option<(i64, SequenceId)>,
    pub topic: Option<(i64, TopicId)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum HeadPage {
    /// This catalog keeps no order of creation over all its sequences: ask it for `contents`.
    Unnumbered,
    /// A number of the mark has been given up, and may be another's: what is behind it cannot be told. Ask with an earlier one.
    Gone { sequence: bool, topic: bool },
    Heads {
        /// Each behind its number.
        sequences: Vec<(i64, SequenceHead)>,
        topics: Vec<TopicMark>,
        /// Whether there may be others behind these.
        more: bool,
    },
}

/// A topic as queries ask for it, without its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicMark {
    pub number: i64,
    pub id: TopicId,
    /// Number of its sequence.
    pub sequence: i64,
    pub path: TopicPath,
    pub tag: OntologyTag,
    pub format: SerializationFormat,
    pub metadata: UserMetadata,
    pub created_at_ns: i64,
}

/// A topic as [`Catalog::tagged`] tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedTopic {
    pub id: TopicId,
    pub sequence: SequenceName,
    /// Number of its sequence; `None` where [`Catalog::heads`] has none.
    pub number: Option<i64>,
}

/// What is known of the values in a topic, which never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicZones {
    pub id: TopicId,
    pub totals: TopicTotals,
    /// As its writer sent it.
    pub schema: Option<Vec<u8>>,
    pub segments: Vec<(SegmentView, Statistics)>,
}

/// How far a reader may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Only what is final. Open sessions appear without their topics; their topics do not exist.
    Final,
    /// Open sessions too.
    All,
}

/// Something deleted whose files must be removed, everything in the session's directory for a session. Its chunks can
/// still be asked for (`OpenStore::committed_chunks`) until [`Catalog::purged`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub number: i64,
    pub session: SessionId,
    /// `None`: the whole session.
    pub topic: Option<(TopicId, Vec<ChunkRecord>)>,
}

/// A segment without its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentView {
    pub key: SegmentKey,
    pub bounds: TimeBounds,
    pub chunks: u32,
    pub rows: u64,
    /// Of the files.
    pub bytes: u64,
}

/// How a put ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutEnd {
    pub outcome: PutOutcome,
    pub at_ns: i64, // Unix time
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    Complete,
    /// `why` becomes a notification of the topic when its session is finalized.
    Interrupted {
        why: String,
    },
}

/// What a catalog knows of a start that a data directory names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownStart {
    /// One of its own, or one from before it kept note of them.
    Own,
    /// Its own last one lies before it: this catalog is older than the directory.
    Later { last: u64 },
    /// Its own, and the directory names a later moment of it: this catalog was copied while that start ran.
    Behind,
    /// Another one than its own of that number: a copy of this catalog made it.
    Foreign,
}

/// What a start of the daemon needs to know before it serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// Number of this start, 1 for the first.
    pub incarnation: u64,
    /// Made once, the same at every start.
    pub ticket_key: [u8; 32],
}

impl std::fmt::Debug for Boot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Boot {{ incarnation: {}, ticket_key: .. }}", self.incarnation)
    }
}
