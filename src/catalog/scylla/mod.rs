//! The catalog in a keyspace of ScyllaDB or Cassandra, for several servers with one memory.
//!
//! Every server (*node*) keeps what it records in its own store, the embedded catalog beside the files: open sessions, tokens,
//! journals, tombstones. Shared is what all of them must agree on, names and which sessions live, and what is final.
//!
//! Invariants:
//! - The partition of a sequence decides. A session is visible when its row there says *final*, and that is the last statement
//!   of its finalize, behind the acknowledgement of everything it makes visible. It is gone when its row says so, or the sequence's.
//! - Statements that decide are conditional, each on one row of one partition, and their tables know no others (`layout`). What
//!   one of them did is taken from a read that settles whatever is under way, never from a lost answer (`cluster::Rounds`).
//! - All other rows have one writer and are written once, so writing them again is harmless. Every read and write a result depends
//!   on is at LOCAL_QUORUM: a stale zone map would not be slow, it would be wrong.
//! - A final session says how many topics it has and their digest; a topic says how many segments it has, a segment how long its
//!   directory is. What is missing is damage, or a deletion that came between, and never fewer rows.
//! - Of two that disagree, the shared catalog is right and the own store follows: at a start (`recover`), and by the list of
//!   deletions that each node is told (`purge`).
//!
//! Nothing here is outside what Cassandra 5 and ScyllaDB 2025.4 both have: no secondary index, no materialized view, no collection,
//! no counter, no TTL, no ALLOW FILTERING, no IN, no batch.

mod calls;
mod catalog;
mod cluster;
mod documents;
mod fault;
mod heads;
mod lanes;
mod layout;
mod members;
mod node;
mod notifications;
mod publish;
mod published;
mod purge;
mod recover;
mod segments;
mod sequences;
mod sessions;
mod statements;
mod tagged;
mod topics;
mod views;

pub use catalog::ScyllaCatalog;
pub use layout::Replication;
