//! One pinned executor: the writers and readers of its topics.
//!
//! A topic belongs to one shard for the life of its put. Everything of a shard runs on one thread and is joined by one
//! future; other threads reach it only through bounded mailboxes. Reading needs any shard.

mod batch_receiver;
mod config;
mod counted;
mod cut_policy;
mod error;
mod files;
mod filter;
mod handle;
mod late;
mod merge;
mod pressure;
mod put_task;
mod read_budget;
mod recovery;
mod relief;
mod request;
mod scrub;
mod seal;
mod slack;
mod source;
mod topic_reader;
mod topic_sender;
mod topic_writer;
mod upcoming;
mod window;
mod worker;

pub use batch_receiver::BatchReceiver;
pub use config::ChunkConfig;
pub use config::READERS_MAX;
pub use config::ShardMemory;
pub use config::ShardsConfig;
pub use error::PutError;
pub use error::ReadError;
pub use error::ShardError;
pub use files::Room;
pub use filter::Filter;
pub use filter::Tally;
pub use handle::Shards;
pub use recovery::Stored;
pub use request::PutReceipt;
pub use request::ReadRequest;
pub use request::TopicSpec;
pub use request::Window;
pub use scrub::ScrubRequest;
pub use scrub::Scrubbed;
pub use topic_sender::TopicSender;
pub use worker::ShardSetup;
pub use worker::start;
