//! What can go wrong between a caller and the catalog.

use std::fmt;

use uuid::Uuid;

use crate::model::Refusal;

/// What a call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    Sequence,
    Session,
    Topic,
    Segment,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequence => "sequence",
            Self::Session => "session",
            Self::Topic => "topic",
            Self::Segment => "segment",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// There is none, it was deleted, or this caller may not see it yet.
    #[error("{what} {name} does not exist")]
    NotFound { what: Entity, name: String },
    /// The name (or the id) is taken by `id`.
    #[error("{what} {name} already exists, as {id}", id = id.as_simple())]
    AlreadyExists { what: Entity, name: String, id: Uuid },
    /// The state table says no.
    #[error("{what} {name}: {refusal}")]
    Refused { what: Entity, name: String, refusal: Refusal },
    /// The topic's name lies in another sequence than its session.
    #[error("topic {topic} lies outside the session's sequence {sequence}")]
    ForeignSequence { topic: String, sequence: String },
    /// The caller's fault; the same call will fail again.
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    #[error("{what}: {found}, at most {limit}")]
    TooLarge { what: &'static str, limit: u64, found: u64 },
    /// Nobody knows whether the call took effect. Every call may be repeated, after the next start if need be.
    #[error("the catalog cannot answer: {cause}")]
    Unavailable { cause: String },
    /// More calls wait than the queue holds; this one was not taken.
    #[error("the catalog is overloaded: {waiting} calls wait, at most {limit}; try again later")]
    Overloaded { waiting: u64, limit: u64 },
    /// There is no room on its disk for what the call would write; nothing was written.
    #[error("the catalog's disk is full: delete recordings or make room on it, then try again")]
    Full,
    /// The file was written by another program or by another version of this one.
    #[error("the catalog has layout {found}, this program needs {wanted}: run the version that wrote it")]
    SchemaMismatch { found: i64, wanted: i64 },
    /// What is stored cannot be what we wrote.
    #[error("the catalog is damaged at {place}: {detail}")]
    Corrupt { place: String, detail: String },
    #[error("the catalog is closed")]
    Closed,
}

impl CatalogError {
    pub fn not_found(what: Entity, name: impl fmt::Display) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    pub fn refused(what: Entity, name: impl fmt::Display, refusal: Refusal) -> Self {
        Self::Refused { what, name: name.to_string(), refusal }
    }

    /// Of a file that can be made again.
    pub fn corrupt(place: impl fmt::Display, detail: impl fmt::Display) -> Self {
        let remedy = "with the server stopped, `tessera catalog rebuild` makes it again from the files";
        Self::Corrupt { place: place.to_string(), detail: format!("{detail}; {remedy}") }
    }
}
