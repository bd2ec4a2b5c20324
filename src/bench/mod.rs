//! `tessera bench`: what this machine records and reads back, next to the floors of the same run.
//!
//! The server under test is the own binary as a child process, so that its CPU, memory and disk traffic are its own. Beside
//! it, in turn with it, runs the *null sink*: the same listener and receive path, which drops what it decoded; and on the
//! same disk, raw writes of the same block size. A number alone says little on a machine that does other things too: the
//! ratios within one run do.
//!
//! Invariants:
//! * the client prepares its messages once and changes only their timestamps, so that it costs as little as it can, and
//!   its own CPU time is printed beside the server's;
//! * what is put is durable when its time ends; what was read is all there;
//! * latencies of a fixed rate count from the moment a message was *due*: a server that stands still shows in all messages
//!   that it kept waiting;
//! * all files lie in a directory of the run's own, which is removed at its end.

mod catalog;
mod close;
mod connection;
mod device;
mod error;
mod get;
mod latency;
mod load;
mod machine;
mod message;
mod meter;
mod mix;
mod process;
mod put;
mod range;
mod recording;
mod report;
mod restart;
mod sample;
mod schedule;
mod scratch;
mod shard_alone;
mod sink;
mod trial;
mod usage;
mod workload;

pub use catalog::CatalogPlan;
pub use catalog::fill_catalog;
pub use close::ClosePlan;
pub use close::measure_closes;
pub use device::Device;
pub use error::BenchError;
pub use get::GetPlan;
pub use get::measure_gets;
pub use load::Terms;
pub use machine::Machine;
pub use mix::MixPlan;
pub use mix::measure_mix;
pub use process::Transport;
pub use process::end_with_parent;
pub use put::PutPlan;
pub use put::measure_puts;
pub use range::RangePlan;
pub use range::measure_ranges;
pub use report::Row;
pub use restart::RestartPlan;
pub use restart::measure_restart;
pub use scratch::Scratch;
pub use shard_alone::ShardPlan;
pub use shard_alone::measure_shard;
pub use sink::SinkOptions;
pub use sink::serve_sink;
pub use workload::Workload;
