//! Why a request of a reader failed.

use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::fleet::FleetError;
use crate::model::NodeId;
use crate::model::TopicName;
use crate::shard::ShardError;

#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    #[error("{what} {name} does not exist")]
    NotFound { what: Entity, name: String },
    /// It is there, but its session may still change.
    #[error(
        "topic {topic} is not finalized yet: it can be read once its session is finalized (by its writer, or when that is \
         gone by `tessera finalize`)"
    )]
    NotFinalized { topic: TopicName },
    /// Its files lie on another server of the fleet.
    #[error("the rows of topic {topic} lie on node {node}: ask that server for them")]
    Elsewhere { topic: TopicName, node: NodeId },
    /// A plan must fit into memory.
    #[error("topic {topic} has more than {max} segments in the time range: ask for less of it at once")]
    TooManySegments { topic: TopicName, max: usize },
    #[error("the catalog holds no usable schema for topic {topic}: {why}")]
    Schema { topic: TopicName, why: String },
    #[error("the query took longer than {seconds} s: ask for fewer sequences or a shorter time")]
    QueryTime { seconds: u32 },
    #[error("the answer has more than {max} topics: narrow the query, or give it a limit")]
    TooManyTopics { max: usize },
    #[error("topic {topic} has the ontology tag {tag}, the conditions are about {asked}")]
    ForeignTag { topic: TopicName, tag: String, asked: String },
    #[error("topic {topic} has no column {column:?}: name fields of its schema, joined by '.'")]
    NoColumn { topic: TopicName, column: String },
    #[error("{}", told(topic, cause))]
    Shard { topic: TopicName, cause: Box<ShardError> },
    /// A query does not leave out in silence what it cannot read.
    #[error(
        "{cause}; the query cannot tell whether it matches: leave its sequence or topic out by name, or delete it (`tessera \
         verify` lists what is damaged)"
    )]
    Unreadable { cause: Box<Self> },
    /// Another server has the rows, and this is what came of asking it.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// What the catalog answered and no variant above says better.
    #[error(transparent)]
    Catalog(CatalogError),
}

/// Errors of a read name their topic themselves.
fn told(topic: &TopicName, cause: &ShardError) -> String {
    match cause {
        ShardError::Read(cause) => cause.to_string(),
        cause => format!("topic {topic}: {cause}"),
    }
}

impl From<CatalogError> for RetrievalError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { what, name } => Self::NotFound { what, name },
            other => Self::Catalog(other),
        }
    }
}
