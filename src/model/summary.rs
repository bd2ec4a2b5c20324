//! What the catalog tells about sequences, sessions and topics.

use super::DeviceNumber;
use super::NodeId;
use super::OntologyTag;
use super::SequenceId;
use super::SequenceName;
use super::SerializationFormat;
use super::SessionId;
use super::SessionState;
use super::ShardIndex;
use super::TimeBounds;
use super::TopicId;
use super::TopicName;
use super::TopicState;
use super::UserMetadata;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceHead {
    pub id: SequenceId,
    pub name: SequenceName,
    pub metadata: UserMetadata,
    pub created_at_ns: i64, // Unix time
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionHead {
    pub id: SessionId,
    pub sequence: SequenceId,
    pub sequence_name: SequenceName,
    pub state: SessionState,
    pub created_at_ns: i64,
    /// When it was finalized; `None` while it is open.
    pub completed_at_ns: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicHead {
    pub id: TopicId,
    pub session: SessionId,
    pub name: TopicName,
    pub tag: OntologyTag,
    pub format: SerializationFormat,
    pub metadata: UserMetadata,
    pub state: TopicState,
    /// Where its chunks go while it is open.
    pub shard: ShardIndex,
    pub device: DeviceNumber,
    pub created_at_ns: i64,
    /// When its DoPut ended, whole or broken.
    pub completed_at_ns: Option<i64>,
}

/// Sums over the chunks of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicTotals {
    pub rows: u64,
    pub file_bytes: u64,
    pub chunks: u64,
    /// `None` when the topic has no rows.
    pub bounds: Option<TimeBounds>,
}

/// How the chunks of a topic are stored, summed up from their records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicStorage {
    /// Chunks that were looked at: of very long topics not all, evenly chosen.
    pub chunks: u64,
    /// Arrow bytes of their rows as they were received.
    pub logical_bytes: u64,
    /// Bytes of their files.
    pub file_bytes: u64,
    /// Bytes of pages without compression, and with Zstandard.
    pub plain_bytes: u64,
    pub zstd_bytes: u64,
    /// Bytes of files whose records (format 1) do not tell how their pages are stored.
    pub unknown_bytes: u64,
    /// Longest time between neighbouring rows; `None` where rows came out of order or records do not tell.
    pub gap_max_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    pub head: TopicHead,
    /// The schema message of the DoPut as it came over the wire (IPC flatbuffer); `None` before the first put.
    pub schema: Option<Vec<u8>>,
    pub totals: TopicTotals,
    /// Who has its files; `None`: this server.
    pub node: Option<NodeId>,
}

impl TopicView {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.head.metadata.as_str().len() + self.schema.as_ref().map_or(0, Vec::len)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    pub head: SessionHead,
    /// Its topics in the order of their creation; empty for an open session that the reader may not see into.
    pub topics: Vec<TopicView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceView {
    pub head: SequenceHead,
    /// In the order of their creation.
    pub sessions: Vec<SessionView>,
}
