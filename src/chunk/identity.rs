//! Who a chunk is: written into its footer, so that files alone can tell what they hold.

use crate::model::ChunkId;
use crate::model::DeviceNumber;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TopicId;
use crate::model::TopicName;

/// What is known of a chunk before its first row.
#[derive(Clone, Debug)]
pub struct ChunkIdentity {
    pub chunk: ChunkId,
    pub device: DeviceNumber,
    pub shard: ShardIndex,
    /// Of the topic, from 0.
    pub number: u32,
    /// Of the daemon: one more each start.
    pub incarnation: u64,
    pub sequence: SequenceId,
    pub session: SessionId,
    pub topic: TopicId,
    pub name: TopicName,
    pub tag: OntologyTag,
    pub format: SerializationFormat,
}
