//! Chunk files in data directories: where they lie, how they are written, read, recovered and removed.
//!
//! Invariants: a catalog record never precedes its durable file; a file without a record is never adopted; no byte is
//! handed out that its checksum does not cover; a file that saw an error is never written again.

mod described;
mod directory;
mod flight;
mod look;
mod path;
mod reader;
mod recovery;
mod report;
mod retention;
mod room;
mod tombstone;
mod touched;
mod writer;

pub use described::StoredChunk;
pub use described::Tombstones;
pub use described::describe_chunk;
pub use described::discard_chunk;
pub use described::discard_session;
pub use described::has_manifest;
pub use described::keep_chunk;
pub use described::lose_manifest;
pub use described::stored_chunks;
pub use described::stored_manifests;
pub use described::stored_tombstones;
pub use directory::Directory;
pub use directory::Measured;
pub use look::LookError;
pub use look::audit;
pub use look::recover;
pub use look::remove_drafts;
pub use look::settle;
pub use path::CATALOG_DIRECTORY;
pub use path::CHUNKS_DIRECTORY;
pub use path::DEVICE_FILE;
pub use path::DEVICES_FILE;
pub use path::DIRECTORIES;
pub use path::MANIFESTS_DIRECTORY;
pub use path::SHARED_FILE;
pub use path::START_FILE;
pub use path::Suffix;
pub use path::chunk_file;
pub use path::failed;
pub use path::manifest_draft;
pub use path::manifest_file;
pub use path::session_directory;
pub use reader::ChunkReader;
pub use reader::FetchError;
pub use report::RecoveryReport;
pub use retention::remove_chunks;
pub use retention::remove_session;
pub use room::Level;
pub use room::Marks;
pub use room::Shortage;
pub use tombstone::bury_session;
pub use tombstone::bury_topic;
pub use tombstone::forget_session;
pub use tombstone::forget_topic;
pub use touched::stored;
pub use writer::ChunkWriter;
pub use writer::WriteError;
