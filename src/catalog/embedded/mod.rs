//! The catalog in one SQLite file, on the machine that has the chunks.
//!
//! One thread writes. It takes all calls that wait (at most [`writer::GROUP_MAX`]), runs each in a savepoint of one
//! transaction, commits, and only then answers all of them: while one group is being synced the next one gathers, so
//! nobody ever waits for company. Two threads read, each call in a snapshot of its own, so that a reader sees all of a
//! transaction or nothing. A fourth thread moves the write-ahead log into the file.
//!
//! Invariants:
//! - An answer follows the commit it depends on. After a failed commit or any I/O error nobody knows what the file
//!   holds, so the catalog is *poisoned*: every call, waiting or to come, fails, and the daemon is told to exit.
//! - The writer refuses first and writes then: once an operation has changed the file or the tails in memory, only a
//!   fault that poisons can stop it. So a refused call leaves its neighbours in the group, and the tails, as they were.
//! - The journal has exactly the chunks of topics that are being received and that no segment holds yet. The same
//!   records, with their row numbers, are the tails in memory; nobody else reads the journal, so it needs no index.
//!
//! What a crash leaves: SQLite's own recovery gives the state behind some commit, at least the last one answered. Topics
//! found receiving lost their DoPut with the process: `boot` seals their tails and makes them interrupted.

mod boot;
mod catalog;
mod checkpoint;
mod config;
mod convert;
mod engine;
mod fault;
mod files;
mod heads;
mod notifications;
mod open_store;
mod poison;
mod purge;
mod puts;
mod queue;
mod room;
mod schema;
mod segments;
mod sequences;
mod sessions;
#[cfg(feature = "scylla")]
mod shared;
mod tagged;
mod tail;
mod topics;
mod views;
mod writer;

pub use catalog::EmbeddedCatalog;
pub use config::Admission;
pub use config::EmbeddedConfig;
pub use open_store::OpenStore;
#[cfg(feature = "scylla")]
pub use shared::Buried;
