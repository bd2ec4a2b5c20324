//! What the recorder remembers: sequences, sessions, topics and the chunks of each.
//!
//! [`Catalog`] says what can be asked, in the terms of the domain. Answers follow durability. Times are arguments.
//!

mod api;
mod error;
mod key;
mod prune;

pub use api::Boot;
pub use api::Catalog;
pub use api::Fut;
pub use api::NewSequence;
pub use api::NewSession;
pub use api::NewTopic;
pub use api::PutEnd;
pub use api::PutOutcome;
pub use api::SegmentView;
pub use api::Tombstone;
pub use api::Visibility;
pub use error::CatalogError;
pub use error::Entity;
pub use key::Cursor;
pub use key::PAGE_ITEMS_MAX;
pub use key::Page;
pub use key::SegmentKey;
pub use key::page_items;
pub use prune::Bounded;
pub use prune::prune;
