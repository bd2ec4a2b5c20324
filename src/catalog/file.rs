//! What the catalog says of files: enough to tell which of them are worth keeping, and no more.

use crate::model::ChunkId;
use crate::model::DeviceNumber;
use crate::model::SequenceId;
use crate::model::SessionId;

/// What a session is to whoever looks at its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No session of this catalog. None of this id will ever come: ids are random, and a session is known before its
    /// directory is made.
    Unknown,
    /// It may be written at any moment.
    Open,
    /// No put of it begins any more, and all have ended.
    Final,
    /// Deleted, and its files wait for their purge.
    Deleted,
}

/// What is to become of a chunk's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkFate {
    Kept,
    /// Its topic was deleted: the file waits for its purge.
    Purged,
}

/// The file that a chunk's record speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkFile {
    pub chunk: ChunkId,
    pub device: DeviceNumber,
    pub file_bytes: u64,
    pub fate: ChunkFate,
}

/// Where a page of files begins; the default is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCursor {
    pub(super) topic: i64,
    pub(super) segment: i64,
}

/// Some files of a session, and where the rest begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePage {
    pub files: Vec<ChunkFile>,
    pub next: Option<FileCursor>,
}

/// An open session, as a start counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// Its place in the order of creation.
    pub number: i64,
    pub id: SessionId,
    pub sequence: SequenceId,
    pub topics: u32,
}
