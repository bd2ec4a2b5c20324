//! A chunk: rows encoded into Parquet pages, the trailer that proves them, and back. Pure: no I/O, no clock, no randomness.
//!
//! Invariants:
//! - Every chunk is a plain Parquet file: other tools read it with the daemon off. `layout` has the bytes.
//! - What is read back equals what came in, value by value, with the exact Arrow schema; `supports` refuses what could not.
//! - Rows ascend in `timestamp_ns` inside a row group; row groups may overlap and `ChunkRecord::runs` says where they do.
//! - Bytes are trusted after their checksum matched, never before; bytes that match and still make no sense are an error,
//!   never a panic.

mod compact;
mod decoder;
mod described;
mod direct;
mod encoder;
mod exact;
mod extremes;
mod footer;
mod guarded;
mod hybrid;
mod identity;
#[cfg(test)]
mod integrity;
mod layout;
mod levels;
mod lift;
mod lift_values;
mod page;
mod page_map;
mod parts;
mod plain;
mod profile;
mod projection;
#[cfg(test)]
mod random;
#[cfg(test)]
mod roundtrip;
mod selection;
mod sink;
mod size;
mod sort;
mod sparse;
mod statistics;
mod stored_page;
mod support;
#[cfg(test)]
mod tests;
mod texts;
mod thrift;
mod trailer;
mod values;
mod zones;

pub use decoder::ChunkLayout;
pub use decoder::DecodeError;
pub use decoder::RowGroupInfo;
pub use described::Described;
pub use described::describe;
pub use described::metadata_len;
pub use encoder::ChunkEncoder;
pub use encoder::EncodeError;
pub use encoder::Progress;
pub use encoder::gap_max;
pub use identity::ChunkIdentity;
pub use layout::TIME_COLUMN;
pub use plain::VALUE;
pub use plain::is_ranked;
pub use plain::plain;
pub use plain::plain_type;
pub use plain::retyped;
pub use profile::Effort;
pub use projection::Projection;
pub use projection::project;
pub use selection::Columns;
pub use selection::Selection;
pub use size::batch_bytes;
pub use size::row_bytes;
pub use sort::sorted;
pub use sparse::SparseBytes;
pub use support::supports;
