//! What can go wrong on a shard, as its callers see it. Cheap to clone: one failure answers every later call.

use std::sync::Arc;

use crate::catalog::CatalogError;
use crate::chunk::EncodeError;
use crate::model::DeviceNumber;
use crate::model::TopicName;
use crate::runtime::ExecutorError;
use crate::store::FetchError;
use crate::store::Shortage;
use crate::store::WriteError;

use super::merge::NoTimes;

/// A put cannot go on. What was committed before stays; the topic is interrupted with that prefix.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutError {
    #[error("topic {topic}: {cause}")]
    Encode { topic: TopicName, cause: Arc<EncodeError> },
    #[error("topic {topic}: {cause}")]
    Write { topic: TopicName, cause: WriteError },
    #[error("topic {topic}: {cause}")]
    Catalog { topic: TopicName, cause: CatalogError },
    #[error(
        "topic {topic}: its disk (data directory number {number}) is nearly full: {shortage} (storage.hard_mark_bytes); what \
         came so far is kept, delete recordings or make room on it to record more", number = device.0
    )]
    Full { topic: TopicName, device: DeviceNumber, shortage: Shortage },
    /// A bug of ours. What was committed before is kept.
    #[error("topic {topic}: its writer failed on a mistake of the server's, which its log tells more of")]
    Panicked { topic: TopicName },
    /// The writer ended without a word: its shard has ended.
    #[error("topic {topic}: its writer has stopped")]
    Stopped { topic: TopicName },
}

/// A read cannot go on. Never fewer rows instead.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    #[error("topic {topic}: {cause}")]
    Fetch { topic: TopicName, cause: FetchError },
    #[error("topic {topic}: it was deleted while it was read")]
    Deleted { topic: TopicName },
    #[error("topic {topic}: {cause}")]
    NoTimes { topic: TopicName, cause: NoTimes },
    #[error(
        "topic {topic}: its next row needs {bytes} bytes and other readers hold them: read fewer topics at once, or raise memory.read_bytes"
    )]
    Memory { topic: TopicName, bytes: usize },
    #[error("topic {topic}: rows of several chunks do not fit together: {cause}")]
    Assemble { topic: TopicName, cause: String },
    #[error("topic {topic}: {cause}")]
    Catalog { topic: TopicName, cause: CatalogError },
    #[error("topic {topic}: its data directory number {number} is not mounted: start the server with every --data-dir it had", number = device.0)]
    DeviceMissing { topic: TopicName, device: DeviceNumber },
    #[error("topic {topic}: its reader has stopped")]
    Stopped { topic: TopicName },
}

/// The shard does not take the request.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ShardError {
    #[error("{readers} readers are open, at most {max}: close one, or try again")]
    TooManyReaders { readers: usize, max: usize },
    #[error(
        "no memory for one more reader: it needs {bytes} bytes, {readers} readers share {total} and all are read, or not left \
         alone for {stalled} ms (memory.read_stall_ms): close one, or raise memory.read_bytes"
    )]
    ReadMemory { bytes: usize, readers: usize, total: usize, stalled: u64 },
    #[error("data directory number {} is not mounted: start the server with every --data-dir it had", .0.0)]
    DeviceMissing(DeviceNumber),
    #[error("data directory: {0}")]
    Io(String),
    #[error("data directory: {0}; delete recordings, or make room on its disk")]
    Full(String),
    #[error(transparent)]
    Executor(Arc<ExecutorError>),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the server is stopping")]
    Stopped,
    #[error(transparent)]
    Read(#[from] ReadError),
}
