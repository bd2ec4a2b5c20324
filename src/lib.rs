//! tessera: a recording server for sensor data.
//!
//! A folder is a room; rooms name only rooms on lower floors (`tests/tidy.rs` checks it). The straight lines:
//!
//! ```text
//! WRITE flight::put ▸ session::admission ▸ shard::topic_writer ▸ chunk::encoder ▸ store::writer ▸ catalog commit ▸ ack
//! READ  flight::get ▸ retrieval::plan ▸ catalog::prune ▸ shard::topic_reader ▸ store::reader ▸ chunk::decoder
//! FIND  flight::action ▸ query::parse ▸ retrieval::search ▸ catalog::prune ▸ shard::topic_reader ▸ query::evaluate
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

// Floor 9
pub mod cli;
// Floor 8
pub mod bench;
pub mod daemon;
// Floor 7
pub mod config;
// Floor 6
pub mod flight;
// Floor 5
pub mod retrieval;
pub mod session;
// Floor 4
pub mod fleet;
pub mod shard;
// Floor 3
pub mod store;
// Floor 2
pub mod catalog;
pub mod chunk;
pub mod client;
pub mod query;
pub mod runtime;
// Floor 1
pub mod auth;
pub mod io;
pub mod ontology;
pub mod wire;
// Floor 0
pub mod model;
