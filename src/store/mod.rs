//! Chunk files in data directories: where they lie, how they are written, read, recovered and removed.
//!
//! Invariants: a catalog record never precedes its durable file; a file without a record is never adopted; no byte is
//! handed out that its checksum does not cover; a file that saw an error is never written again.

mod flight;
mod path;
mod reader;
mod recovery;
mod retention;
mod writer;

pub use path::CATALOG_DIRECTORY;
pub use path::CHUNKS_DIRECTORY;
pub use path::DEVICE_FILE;
pub use path::DIRECTORIES;
pub use path::failed;
pub use path::manifest_file;
pub use reader::ChunkReader;
pub use reader::FetchError;
pub use recovery::Expected;
pub use recovery::RecoveryReport;
pub use recovery::prepare;
pub use recovery::recover;
pub use retention::remove_chunks;
pub use retention::remove_session;
pub use writer::ChunkWriter;
pub use writer::Directory;
pub use writer::WriteError;
