//! Why a request of a writer failed.

use crate::auth::OrderError;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::chunk::EncodeError;
use crate::model::DeviceNumber;
use crate::model::Refusal;
use crate::model::SequenceName;
use crate::model::TopicName;
use crate::ontology::SchemaError;
use crate::shard::PutError;
use crate::shard::ShardError;
use crate::store::Shortage;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("{what} {name} does not exist")]
    NotFound { what: Entity, name: String },
    #[error("{what} {name} already exists")]
    AlreadyExists { what: Entity, name: String },
    /// The state does not allow the move.
    #[error("{what} {name}: {refusal}")]
    Refused { what: Entity, name: String, refusal: Refusal },
    #[error("topic {topic}: its session belongs to sequence {sequence}, and so must the topic")]
    ForeignSequence { topic: String, sequence: String },
    #[error("topic {topic}: the UUID was given out for another topic")]
    ForeignTopic { topic: TopicName },
    #[error("sequence {sequence}: the key was given out for another sequence")]
    ForeignKey { sequence: SequenceName },
    #[error("topic {topic}: {cause}")]
    Schema { topic: TopicName, cause: Box<SchemaError> },
    #[error("topic {topic}: {cause}")]
    Unsupported { topic: TopicName, cause: Box<EncodeError> },
    #[error("{what}: at most {max}, and there are as many; {remedy}")]
    TooMany { what: String, max: u32, remedy: &'static str },
    #[error(
        "there is too little room for {what}: data directory number {number}: {shortage} ({key}); delete recordings, or make \
         room on its disk: no restart is needed", number = device.0
    )]
    NoRoom { what: &'static str, device: DeviceNumber, shortage: Shortage, key: &'static str },
    #[error("topic {topic} was deleted while it was written: its rows are discarded")]
    Deleted { topic: TopicName },
    #[error("the server is stopping: what it received of an open stream is kept, and the topic is interrupted")]
    Stopping,
    /// A put that failed before is used again.
    #[error("topic {topic}: its DoPut has already ended")]
    Ended { topic: TopicName },
    #[error(transparent)]
    Order(OrderError),
    #[error(transparent)]
    Put(PutError),
    #[error("{what}: {cause}")]
    Shard { what: String, cause: Box<ShardError> },
    #[error("the catalog holds user metadata that is no JSON: {why}")]
    Metadata { why: String },
    /// What the catalog answered and no variant above says better.
    #[error(transparent)]
    Catalog(CatalogError),
}

impl From<CatalogError> for SessionError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { what, name } => Self::NotFound { what, name },
            CatalogError::AlreadyExists { what, name, id: _ } => Self::AlreadyExists { what, name },
            CatalogError::Refused { what, name, refusal } => Self::Refused { what, name, refusal },
            CatalogError::ForeignSequence { topic, sequence } => Self::ForeignSequence { topic, sequence },
            other => Self::Catalog(other),
        }
    }
}
