//! What clients ask of what was recorded: parsed, checked, evaluated. Pure: no I/O, no clock, no catalog.
//!
//! Invariants:
//! * what is not understood is an error that names the key, never a condition left out;
//! * [`hits`] is the truth: indices only ever spare it rows that it would say no to;
//! * numbers compare by value over all integers of 64 bits; −0 equals 0; NaN is in no range, and differs from every number
//!   (`$neq` holds); texts compare by their bytes;
//! * null, a field of a null, an element behind the end of a list and (in metadata) a null value satisfy `$nex` and nothing
//!   else, `$neq` neither; an empty list satisfies every `[!]` and no `[?]`; a value of another kind satisfies nothing;
//! * time and memory are bounded by what the limits of `parse` let in, times the rows.

mod ast;
mod condition;
mod dialect;
mod error;
mod evaluate;
mod expression;
mod head;
mod head_index;
mod json;
mod parse;
mod path;
mod reach;
mod selection;
mod sieve;
mod token;
mod values;
mod window_parse;
mod windows;

pub use ast::Block;
pub use ast::Clusters;
pub use ast::HeadField;
pub use ast::HeadTest;
pub use ast::Intersection;
pub use ast::Query;
pub use ast::TagPredicate;
pub use error::Problem;
pub use error::QueryError;
pub use evaluate::hits;
pub use evaluate::hits_unless;
pub use expression::ExpressionError;
pub use expression::translate;
pub use head::Head;
pub use head::Metadata;
pub use head::holds;
pub use head_index::HeadIndex;
pub use head_index::May;
pub use head_index::TopicEntry;
pub use parse::DEPTH_MAX;
pub use parse::QUERY_LEN_MAX;
pub use parse::parse;
pub use reach::columns;
pub use reach::may_hold;
pub use reach::time_range;
pub use selection::Selection;
pub use selection::parse_selection;
pub use sieve::RawHead;
pub use sieve::may_be_sequence;
pub use sieve::may_be_topic;
pub use sieve::sieves_sequences;
pub use sieve::sieves_topics;
pub use window_parse::parse_clusters;
pub use window_parse::parse_intersection;
pub use windows::Clusterer;
pub use windows::common;
pub use windows::first_to_end;
