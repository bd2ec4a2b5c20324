//! The nouns of the house: ids, names, times, records and states. Pure types, no I/O, no clock, no randomness of their own.
//!
//! Text and bytes from outside become one of these types at the border; inside the house the type is the proof.

mod format;
mod id;
mod locator;
mod metadata;
mod name;
mod notification;
mod order;
mod record;
mod state;
mod summary;
mod time;

pub use format::FormatError;
pub use format::SerializationFormat;
pub use id::ChunkId;
pub use id::DeviceId;
pub use id::IdSource;
pub use id::SequenceId;
pub use id::SessionId;
pub use id::Token;
pub use id::TokenDigest;
pub use id::TopicId;
pub use locator::Locator;
pub use locator::TopicName;
pub use metadata::MetadataError;
pub use metadata::UserMetadata;
pub use name::NameError;
pub use name::OntologyTag;
pub use name::SequenceName;
pub use name::TopicPath;
pub use notification::Notification;
pub use notification::NotificationTarget;
pub use order::Order;
pub use order::OrderVerb;
pub use record::ChunkRecord;
pub use record::DeviceNumber;
pub use record::PageFacts;
pub use record::ShardIndex;
pub use record::Statistics;
pub use state::Refusal;
pub use state::SessionMove;
pub use state::SessionState;
pub use state::TopicMove;
pub use state::TopicState;
pub use summary::SequenceHead;
pub use summary::SequenceView;
pub use summary::SessionHead;
pub use summary::SessionView;
pub use summary::TopicHead;
pub use summary::TopicStorage;
pub use summary::TopicTotals;
pub use summary::TopicView;
pub use time::TimeBounds;
pub use time::TimeRange;
pub use time::TimeRangeError;
