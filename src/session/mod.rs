//! The write side of the control plane: who may write what, and what became of it.
//!
//! Invariants
//! - The catalog's transaction decides every move. What is kept here (limits, running puts, gates) only keeps files and
//!   catalog in step; a start without it loses nothing.
//! - Whatever can be refused is refused before a topic's state moves.
//! - A topic whose DoPut is gone does not stay *receiving*: it ends complete, or interrupted with its durable prefix.
//! - A session's manifest is durable before the session is final, and removed before its deletion is answered.
//! - The files of a deleted topic are purged only after its writer let go of them.
//!
//! What a crash leaves behind: a manifest of a session that is still open (removed by [`Sessions::recover`]), tombstones
//! (the sweep goes on with them), and topics that were receiving (the catalog's boot makes them interrupted).

mod admission;
mod config;
mod delete;
mod error;
mod finalize;
mod gate;
mod manifest;
mod put;
mod rebuild;
mod registry;
mod rescue;
mod room;
mod seal;
mod sessions;
mod sweep;

pub use config::SessionConfig;
pub use error::SessionError;
pub use manifest::MANIFEST_FORMAT;
pub use manifest::ManifestError;
pub use manifest::verify_manifest;
pub use put::Put;
pub use put::StreamSchema;
pub use rebuild::Lost;
pub use rebuild::OpenRemains;
pub use rebuild::Recalled;
pub use rebuild::RestoreError;
pub use rebuild::Restored;
pub use rebuild::restore_open;
pub use sessions::SessionRef;
pub use sessions::Sessions;
pub use sessions::TopicRequest;
