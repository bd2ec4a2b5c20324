//! Why a query could not be understood. Every variant is the client's mistake.

use crate::model::PatternError;
use crate::model::TimeRangeError;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("query of {len} bytes: at most {max}")]
    Length { len: usize, max: usize },
    #[error("query with more than {max} values")]
    Values { max: usize },
    #[error("query is no JSON object: {0}")]
    Json(String),
    #[error("query key {key:?} is missing")]
    Missing { key: &'static str },
    #[error("query key {:?}: {problem}", clipped(key))]
    Key { key: String, problem: Problem },
}

impl QueryError {
    /// Where the keys were parts of keys that begin with `prefix`.
    pub fn behind(self, prefix: &str) -> Self {
        match self {
            Self::Key { key, problem } => Self::Key { key: format!("{prefix}{key}"), problem },
            other => other,
        }
    }
}

/// What is wrong with the value of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("expected {expected}, found {found}")]
    Kind { expected: &'static str, found: &'static str },
    #[error("unknown key; there are {known}")]
    UnknownKey { known: &'static str },
    #[error("unknown operator {0:?}")]
    UnknownOperator(String),
    #[error("{count} operators: exactly one (join several with $and)")]
    Operators { count: usize },
    #[error("{op} takes {expected}, not {found}")]
    Operand { op: String, expected: &'static str, found: &'static str },
    #[error("{op} takes values of one kind")]
    Mixed { op: String },
    #[error("{op} with {count} values: at most {max}")]
    Items { op: String, count: usize, max: usize },
    #[error("more than {max} conditions in one query")]
    Leaves { max: usize },
    #[error("$match more than {max} times in one query, as clients up to 0.5 mean it: a regular expression")]
    Expressions { max: usize },
    #[error("{op}: {cause}")]
    Pattern { op: String, cause: PatternError },
    #[error("expected tag.field or tag.field.field…: {why}")]
    Path { why: &'static str },
    #[error(
        "{why} (keys have letters, digits, '_', '-', ' ' and are joined by '.'; '*' is one level, '**' any number)"
    )]
    MetadataPath { why: &'static str },
    #[error(
        "conditions on several tags ({}, {}): put $or and $not around whole queries instead",
        clipped(first),
        clipped(second)
    )]
    Tags { first: String, second: String },
    #[error("nested more than {max} deep")]
    Depth { max: usize },
    #[error("it holds no condition")]
    Empty,
    #[error("{0}")]
    TimeRange(TimeRangeError),
    #[error("expected {expected}, found {:?}", clipped(found))]
    Value { expected: &'static str, found: String },
}

/// The beginning of what a client sent: as much as helps to find it.
fn clipped(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).collect()
}
