//! The read side of the control plane: which chunks answer a request.
//!
//! Invariants
//! - Only final sessions are read. A topic of an open one is [`RetrievalError::NotFinalized`], never a part of it.
//! - Planning holds segments (sums over 256 chunks), never a topic's chunks: shards ask for those as they read on.
//! - What is kept in memory of names, metadata and values only ever leaves out; the catalog and the rows decide.
//! - Nothing here touches rows; the catalog prunes, the shards read and filter. A search sees the times of hits, no more.

mod bill;
mod config;
mod error;
mod heads;
mod info;
mod looking;
mod matching;
mod patience;
mod plan;
mod search;
mod shortlist;
mod storage;
mod stored;
mod stream;
mod walk;
mod windows;
mod zones;

pub use config::RetrievalConfig;
pub use error::RetrievalError;
pub use info::Info;
pub use info::TopicInfo;
pub use stream::Reading;
pub use stream::Retrieval;
pub use windows::Windows;
