//! Why a request could not be read.

use crate::model::FormatError;
use crate::model::MetadataError;
use crate::model::NameError;
use crate::model::TimeRangeError;

/// Every variant is the client's mistake. No variant carries a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("action {0:?} is unknown")]
    UnknownAction(String),
    #[error("{what} of {len} bytes: at most {max}")]
    Length { what: &'static str, len: usize, max: usize },
    #[error("{what} is nested more than {max} deep")]
    Depth { what: &'static str, max: usize },
    #[error("{what} has more than {max} values")]
    Nodes { what: &'static str, max: usize },
    #[error("{what} has a text of {len} bytes: at most {max}")]
    Text { what: &'static str, len: usize, max: usize },
    #[error("{what} is no JSON object: {cause}")]
    Json { what: &'static str, cause: String },
    #[error("{what} has no key {key:?}")]
    Missing { what: &'static str, key: &'static str },
    #[error("key {key:?}: expected {expected}, found {found}")]
    Type { key: &'static str, expected: &'static str, found: &'static str },
    #[error("key {key:?}: expected {expected}, found {found:?}")]
    Value { key: &'static str, expected: &'static str, found: String },
    #[error("key {key:?}: unknown; there are {known}")]
    UnknownKey { key: String, known: &'static str },
    #[error("key {key:?}: {cause}")]
    Name { key: &'static str, cause: NameError },
    #[error("key \"user_metadata\": {0}")]
    Metadata(#[from] MetadataError),
    #[error("key \"serialization_format\": {0}")]
    Format(#[from] FormatError),
    #[error("{0}")]
    TimeRange(#[from] TimeRangeError),
    #[error("the descriptor is of type {found}: expected {expected}")]
    DescriptorKind { found: &'static str, expected: &'static str },
    #[error("the descriptor's path has {found} elements: expected one, the name of a sequence or a topic")]
    DescriptorPath { found: usize },
    #[error("criteria {0:?} cannot be listed by: leave the expression empty for all sequences")]
    Criteria(String),
    #[error("the ticket is none of ours")]
    Ticket,
}
