//! What the recorder remembers: sequences, sessions, topics and the chunks of each.
//!
//! [`Catalog`] is the published side, in the terms of the domain; `tests/catalog.rs` says what a back end must do.
//! [`OpenStore`] is the local side: open sessions, their tokens and the journal of chunks. Both answer only after what
//! they say is durable. Times are arguments; nothing here reads a clock, a file by itself, or a random number.

mod api;
mod config;
mod embedded;
mod error;
mod field;
mod file;
mod judge;
mod key;
mod prune;
mod record;
#[cfg(feature = "scylla")]
mod scylla;
mod segment;
mod sieve;
mod url;

#[cfg(feature = "scylla")]
pub use self::scylla::Replication;
#[cfg(feature = "scylla")]
pub use self::scylla::ScyllaCatalog;
pub use api::Boot;
pub use api::Catalog;
pub use api::Fut;
pub use api::HeadMark;
pub use api::HeadPage;
pub use api::KnownStart;
pub use api::Member;
pub use api::Membership;
pub use api::NewSequence;
pub use api::NewSession;
pub use api::NewTopic;
pub use api::PutEnd;
pub use api::PutOutcome;
pub use api::SegmentView;
pub use api::SequenceContents;
pub use api::TaggedTopic;
pub use api::Tombstone;
pub use api::TopicMark;
pub use api::TopicZones;
pub use api::Visibility;
pub use config::CatalogConfig;
pub use embedded::Admission;
pub use embedded::EmbeddedCatalog;
pub use embedded::EmbeddedConfig;
pub use embedded::OpenStore;
pub use error::CatalogError;
pub use error::Entity;
pub use file::ChunkFate;
pub use file::ChunkFile;
pub use file::FileCursor;
pub use file::FilePage;
pub use file::OpenSession;
pub use file::Standing;
pub use key::Cursor;
pub use key::PAGE_BYTES;
pub use key::PAGE_ITEMS_MAX;
pub use key::Page;
pub use key::SegmentKey;
pub use key::page_items;
pub use prune::Bounded;
pub use prune::prune;
pub use record::RecordError;
pub use record::decode_record;
pub use record::encode_record;
pub use segment::SEGMENT_CHUNKS_MAX;
pub use segment::SegmentError;
pub use segment::ZoneMap;
pub use segment::decode_directory;
pub use segment::encode_directory;
pub use sieve::HeadText;
pub use sieve::Sieve;
pub use url::ClusterUrl;
