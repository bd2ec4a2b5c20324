//! A query, checked: which sequences and topics it is about, and what must hold of their rows.

use crate::model::Expression;
use crate::model::Predicate;
use crate::model::Test;
use crate::model::TimeRange;
use crate::model::TopicName;

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub root: Block,
    /// Sequences of the answer, at most; `None`: all.
    pub items_max: Option<usize>,
    /// Whether the answer says when the first and the last match of each topic is (clients up to 0.5).
    pub with_times: bool,
    /// Whether the answer says what it took.
    pub explain: bool,
}

/// Scopes and what joins them. All of it must hold of a sequence.
///
/// A block that asks nothing of rows chooses topics: it narrows those that everything beside it is about. Blocks that ask
/// something of rows each need a match in the sequence, and the topics of all of them are in the answer, as they are for
/// several tags in one block. A negated one of these leaves out the sequences in which it has a match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    pub sequence: Vec<Expression<HeadTest>>,
    pub topic: Vec<Expression<HeadTest>>,
    /// One per tag. A sequence needs a topic with a matching row for each; all such topics are in the answer.
    pub ontology: Vec<TagPredicate>,
    /// Of each, one must hold.
    pub any: Vec<Vec<Block>>,
    pub all: Vec<Block>,
    pub not: Vec<Block>,
}

impl Block {
    /// Whether it asks something of rows, anywhere in it.
    pub fn reads_rows(&self) -> bool {
        let nested = self.any.iter().flatten().chain(&self.all).chain(&self.not);
        !self.ontology.is_empty() || nested.into_iter().any(Self::reads_rows)
    }

    pub fn any_reads_rows(blocks: &[Self]) -> bool {
        blocks.iter().any(Self::reads_rows)
    }

    /// Asks for nothing, and is answered with nothing: a slip must not list the whole server.
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty()
            && self.topic.is_empty()
            && self.ontology.is_empty()
            && self.any.is_empty()
            && self.all.is_empty()
            && self.not.is_empty()
    }
}

/// What must hold on one row of a topic with this tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TagPredicate {
    pub tag: String,
    pub predicate: Predicate,
}

/// A condition on a sequence or a topic as such.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadTest {
    pub field: HeadField,
    pub test: Test,
}

#[derive(Clone, Debug, PartialEq)]
pub enum HeadField {
    /// Of a topic: its path with a slash in front.
    Name,
    /// Of a topic: its path with or without a slash, or with its sequence; clients up to 0.5 mean any.
    Locator,
    CreatedAt,
    Tag,
    Format,
    Metadata(Vec<MetadataStep>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataStep {
    Key(String),
    /// `*`
    AnyKey,
    /// `**`
    AnyDepth,
    /// `[*]`
    Items,
}

/// Matching rows of one topic that lie close together.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    pub topic: TopicName,
    /// Largest gap inside a window; 0: one window over all.
    pub gap_ns: u64,
    /// `None`: every row.
    pub rows: Option<TagPredicate>,
    pub range: TimeRange,
}

/// Windows that several topics have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Intersection {
    /// Of one sequence, each once.
    pub topics: Vec<Clusters>,
    pub tolerance_ns: u64,
}
