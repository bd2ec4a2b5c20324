//! What a search found.

use super::OntologyTag;
use super::SequenceName;
use super::TimeBounds;
use super::TopicName;

/// A sequence with topics that match. It has at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSequence {
    pub name: SequenceName,
    /// In the order of their creation.
    pub topics: Vec<FoundTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTopic {
    pub name: TopicName,
    pub tag: OntologyTag,
    /// Of the first and the last matching row, when they were asked for and there are rows.
    pub times: Option<TimeBounds>,
}
