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

/// What a search looked at, for who wants to know where the time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchCost {
    /// Sequences that were looked at, because indices could not leave them out, and topics of those that names and metadata
    /// let through and a tag was asked for.
    pub sequences: u64,
    pub topics: u64,
    /// Chunks of those topics.
    pub chunks: u64,
    /// Left out by their times or those of their segment, by what their segment's zone map says, or for want of a column.
    pub chunks_skipped_by_segment: u64,
    /// Left out by their own statistics.
    pub chunks_skipped_by_statistics: u64,
    /// Of chunks that were opened: rows of pages that cannot have a match, as their zones tell.
    pub rows_skipped_by_pages: u64,
    /// Of which rows were read, and of which some matched: the others were read in vain.
    pub chunks_read: u64,
    pub chunks_matched: u64,
    /// What was decoded and looked at, up to the first match of each topic.
    pub rows_read: u64,
    pub rows_matched: u64,
    /// Time with the catalog and with rows; side by side, so together they may be more than the whole.
    pub catalog_ns: u64,
    pub rows_ns: u64,
    pub total_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTopic {
    pub name: TopicName,
    pub tag: OntologyTag,
    /// Of the first and the last matching row, when they were asked for and there are rows.
    pub times: Option<TimeBounds>,
}
