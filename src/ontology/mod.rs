//! The built-in models as Arrow schemas, and the check of a stream against the model its topic was declared with.
//!
//! The models are those of SDK 0.7.0, a text table in the binary, parsed once at start. Users bring their own models
//! under any tag, and one built-in tag comes with different schemas (SDK versions, ROS message versions), so the check
//! refuses what is certainly a mistake and lets variants pass; [`Ontology::check`] says what that means.
//!
//! Compared are names and types. Not compared: order, metadata, whether values may be null, the names of list items,
//! and the layouts Arrow has for one type (utf8, large_utf8, utf8_view; likewise binary and list).

mod check;
mod difference;
mod table;

pub use check::Ontology;
pub use check::SchemaError;
pub use check::Strictness;
pub use difference::Difference;
