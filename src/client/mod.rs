//! The Flight client of the command line and the benches. Its calls block: each drives a small runtime of its own on
//! the calling thread until the answer is there, so a [`Client`] must not be used inside another runtime.
//!
//! Errors say whether nobody answered ([`ClientError::Unreachable`]) or a server did and said no
//! ([`ClientError::Refused`]), and what to do about it.

mod address;
mod batches;
mod connection;
mod error;
mod info;

pub use address::Address;
pub use address::AddressError;
pub use batches::Batches;
pub use connection::Client;
pub use error::ClientError;
pub use info::DataInfo;
pub use info::Endpoint;
pub use info::Info;
pub use info::Interval;
pub use info::OpenTopic;
pub use info::SequenceInfo;
pub use info::ServerInfo;
pub use info::SessionInfo;
pub use info::StorageInfo;
pub use info::TimeWindow;
pub use info::TopicInfo;
