//! What recovery and audit did and found, for the caller and for the log.

use crate::model::ChunkId;
use crate::model::SessionId;

/// Damaged chunks of one session that are logged one by one; of more their number is told.
const LINES_MAX: usize = 20;

/// What was done and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub renamed: u64,
    pub unlinked: u64,
    pub lost: u64,
    pub foreign: u64,
    /// Chunks found under both of their names.
    pub twice: Vec<ChunkId>,
    pub missing: Vec<ChunkId>,
    /// Files that are shorter than the record says.
    pub wrong_length: Vec<ChunkId>,
    /// Files with something behind their end.
    pub longer: Vec<ChunkId>,
}

impl RecoveryReport {
    pub fn add(&mut self, other: Self) {
        self.renamed += other.renamed;
        self.unlinked += other.unlinked;
        self.lost += other.lost;
        self.foreign += other.foreign;
        self.twice.extend(other.twice);
        self.missing.extend(other.missing);
        self.wrong_length.extend(other.wrong_length);
        self.longer.extend(other.longer);
    }

    /// Logs the chunks of a session that cannot be read as they were recorded, the first of them one by one.
    pub fn tell(&self, session: SessionId) {
        for (chunks, what) in [
            (&self.missing, "a committed chunk has no file: reading it will say DATA_LOSS"),
            (&self.wrong_length, "a chunk's file is shorter than was recorded: reading it will say DATA_LOSS"),
            (
                &self.longer,
                "a chunk's file is longer than was recorded: its rows are read, but no other program and no `tessera catalog \
                 rebuild` finds them; `tessera verify` says where to cut it",
            ),
        ] {
            for chunk in chunks.iter().take(LINES_MAX) {
                tracing::error!(%chunk, %session, "{what}");
            }
            if chunks.len() > LINES_MAX {
                tracing::error!(%session, chunks = chunks.len(), "{what}: `tessera verify` lists them all");
            }
        }
    }

    /// Whether chunks cannot be read as they were recorded.
    pub fn is_damage(&self) -> bool {
        !self.missing.is_empty() || !self.wrong_length.is_empty() || !self.longer.is_empty()
    }
}
