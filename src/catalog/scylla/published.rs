//! Topics of final sessions, as they lie in the shared catalog.

use std::collections::HashMap;

use scylla::DeserializeRow;
use uuid::Uuid;

use super::cluster::Certainty;
use super::documents;
use super::documents::Kind;
use super::fault::damaged;
use super::heads::Head;
use super::heads::SessionRow;
use super::node::Node;
use super::topics::NameRow;
use crate::catalog::CatalogError;
use crate::io::digest128;
use crate::model::DeviceNumber;
use crate::model::NodeId;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::TimeBounds;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::TopicPath;
use crate::model::TopicState;
use crate::model::TopicTotals;
use crate::model::TopicView;
use crate::model::UserMetadata;

/// Segments that lie in one partition, and directories: none has more than 32 MiB.
pub const SEGMENTS_PER_PART: i64 = 128;
pub const DIRECTORIES_PER_PART: i64 = 8;

/// Zone maps are kept below this: a longer one says nothing of its columns instead, and is never skipped by their values.
pub const ZONE_LEN_MAX: usize = 256 << 10;

/// What a directory may have.
const DIRECTORY_LEN_MAX: usize = 4 << 20;

/// Both servers like partitions below this.
const PARTITION_LEN_MAX: usize = 32 << 20;

const _: () = {
    assert!(SEGMENTS_PER_PART as usize * ZONE_LEN_MAX <= PARTITION_LEN_MAX);
    assert!(DIRECTORIES_PER_PART as usize * DIRECTORY_LEN_MAX <= PARTITION_LEN_MAX);
};

/// The numbers of a session's parts begin here: the parts of a session are its own.
const PARTS_PER_SESSION: i64 = 1 << 32;

/// Which documents a view has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Documents {
    All,
    WithoutSchemas,
}

/// Where the segments of a topic are: its first one counts from the first of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPlace {
    pub session: i32,
    pub first: i64,
    pub count: i32,
}

impl SegmentPlace {
    /// The partition of its zone map.
    pub fn segment_part(&self, number: u32) -> i64 {
        self.part(number, SEGMENTS_PER_PART)
    }

    /// The partition of its directory.
    pub fn directory_part(&self, number: u32) -> i64 {
        self.part(number, DIRECTORIES_PER_PART)
    }

    fn part(&self, number: u32, per_part: i64) -> i64 {
        i64::from(self.session) * PARTS_PER_SESSION + (self.first + i64::from(number)) / per_part
    }

    /// All partitions that a session with this many segments can have.
    pub fn parts(session: i32, segments: i64, per_part: i64) -> impl Iterator<Item = i64> {
        (0..=segments / per_part).map(move |part| i64::from(session) * PARTS_PER_SESSION + part)
    }
}

/// A topic's row.
#[derive(Clone, Debug)]
pub struct Published {
    pub head: TopicHead,
    pub ordinal: i32,
    pub totals: TopicTotals,
    pub segments: i32,
    pub first_segment: i64,
    pub metadata: (Option<Vec<u8>>, i32),
    /// The length is below zero without one.
    pub schema: (Option<Vec<u8>>, i32),
}

macro_rules! stored {
    ($($column:ident: $type:ty,)*) => {
        #[derive(DeserializeRow)]
        struct Stored {
            $($column: $type,)*
            schema_bytes: Option<Vec<u8>>,
        }

        /// The same without its schema.
        #[derive(DeserializeRow)]
        struct Bare {
            $($column: $type,)*
        }

        impl From<Bare> for Stored {
            fn from(bare: Bare) -> Self {
                Self { $($column: bare.$column,)* schema_bytes: None }
            }
        }
    };
}

stored! {
    topic_id: Uuid,
    session_id: Uuid,
    ordinal: i32,
    path: String,
    tag: String,
    format: String,
    state: i8,
    shard: i32,
    device: i32,
    created: i64,
    completed: Option<i64>,
    row_count: i64,
    file_bytes: i64,
    chunks: i64,
    first: Option<i64>,
    last: Option<i64>,
    segments: i32,
    first_segment: i64,
    metadata: Option<Vec<u8>>,
    metadata_len: i32,
    schema_len: i32,
}

/// Of all sessions of the sequence, also of those that are just being published, each in the order of creation.
pub async fn of_sequence(
    node: &Node,
    head: &Head,
    documents: Documents,
) -> Result<HashMap<SessionId, Vec<Published>>, CatalogError> {
    let (cluster, statements) = (&node.cluster, &node.cluster.statements);
    let rows: Vec<Stored> = match documents {
        Documents::All => cluster.rows(&statements.topic_all, (head.id.0,)).await?,
        Documents::WithoutSchemas => {
            let bare: Vec<Bare> = cluster.rows(&statements.topic_bare, (head.id.0,)).await?;
            bare.into_iter().map(Stored::from).collect()
        }
    };
    let mut all: HashMap<SessionId, Vec<Published>> = HashMap::new();
    for row in rows {
        let topic = row.parse(&head.name)?;
        all.entry(topic.head.session).or_default().push(topic);
    }
    all.values_mut().for_each(|topics| topics.sort_by_key(|topic| topic.ordinal));
    Ok(all)
}

pub async fn one(node: &Node, head: &Head, id: TopicId) -> Result<Option<Published>, CatalogError> {
    let statement = &node.cluster.statements.topic_read;
    let row: Option<Stored> = node.cluster.row(statement, (head.id.0, id.0), Certainty::Answered).await?;
    row.map(|row| row.parse(&head.name)).transpose()
}

/// All topic names of a sequence, also those of deleted sessions.
pub async fn names(node: &Node, sequence: SequenceId) -> Result<Vec<(String, NameRow)>, CatalogError> {
    type Row = (String, Uuid, Uuid, String, String, i64);
    let rows: Vec<Row> = node.cluster.rows(&node.cluster.statements.name_all, (sequence.0,)).await?;
    let named = |(key, topic_id, topic_session, tag, format, topic_created)| {
        (key, NameRow { topic_id, topic_session, tag, format, topic_created })
    };
    Ok(rows.into_iter().map(named).collect())
}

/// What a final session says of its topics: proof that none is missing.
pub fn digest(topics: &[Published]) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(topics.len() * 44);
    for topic in topics {
        bytes.extend_from_slice(topic.head.id.0.as_bytes());
        for sum in [topic.totals.chunks, topic.totals.rows, topic.totals.file_bytes] {
            bytes.extend_from_slice(&sum.to_le_bytes());
        }
        bytes.extend_from_slice(&topic.segments.to_le_bytes());
    }
    digest128(&bytes)
}

/// Whether these are all topics of a session.
pub fn is_whole(session: &SessionRow, topics: &[Published]) -> bool {
    usize::try_from(session.topics) == Ok(topics.len()) && session.digest == digest(topics)
}

impl Published {
    pub fn place(&self, session: &SessionRow) -> SegmentPlace {
        SegmentPlace { session: session.number, first: self.first_segment, count: self.segments }
    }

    pub async fn into_view(
        self,
        node: &Node,
        session: &SessionRow,
        documents: Documents,
    ) -> Result<TopicView, CatalogError> {
        let Self { mut head, totals, metadata, schema, .. } = self;
        let bytes = documents::of_topic(&node.cluster, head.id, Kind::Metadata, metadata).await?;
        head.metadata = documents::metadata(bytes, || format!("the metadata of topic {}", head.id))?;
        let schema = match documents {
            Documents::All if schema.1 >= 0 => {
                Some(documents::of_topic(&node.cluster, head.id, Kind::Schema, schema).await?)
            }
            Documents::All | Documents::WithoutSchemas => None,
        };
        let elsewhere = (session.node != node.id).then_some(NodeId(session.node));
        Ok(TopicView { head, schema, totals, node: elsewhere })
    }
}

impl Stored {
    fn parse(self, sequence: &SequenceName) -> Result<Published, CatalogError> {
        let id = self.topic_id;
        let place = || format!("topic {id}");
        let wrong = |error: &dyn std::fmt::Display| damaged(place(), error);
        let count = |number: i64| u64::try_from(number).map_err(|error| wrong(&error));
        let state = TopicState::from_number(i64::from(self.state));
        let head = TopicHead {
            id: TopicId(id),
            session: SessionId(self.session_id),
            name: TopicName {
                sequence: sequence.clone(),
                path: TopicPath::parse(&self.path).map_err(|error| wrong(&error))?,
            },
            tag: OntologyTag::parse(&self.tag).map_err(|error| wrong(&error))?,
            format: SerializationFormat::parse(&self.format).map_err(|error| wrong(&error))?,
            metadata: UserMetadata::empty(),
            state: state.ok_or_else(|| wrong(&format_args!("state {} is no value of ours", self.state)))?,
            shard: ShardIndex(u16::try_from(self.shard).map_err(|error| wrong(&error))?),
            device: DeviceNumber(u16::try_from(self.device).map_err(|error| wrong(&error))?),
            created_at_ns: self.created,
            completed_at_ns: self.completed,
        };
        let totals = TopicTotals {
            rows: count(self.row_count)?,
            file_bytes: count(self.file_bytes)?,
            chunks: count(self.chunks)?,
            bounds: self.first.zip(self.last).map(|(first, last)| TimeBounds { first, last }),
        };
        Ok(Published {
            head,
            totals,
            ordinal: self.ordinal,
            segments: self.segments,
            first_segment: self.first_segment,
            metadata: (self.metadata, self.metadata_len),
            schema: (self.schema_bytes, self.schema_len),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_different_sessions_never_share_a_partition_and_a_purge_finds_all() {
        let place = SegmentPlace { session: 3, first: 100, count: 200 };
        assert_eq!((place.segment_part(27), place.segment_part(28)), (3 << 32, (3 << 32) + 1));
        assert_eq!(place.directory_part(0), (3 << 32) + 12);
        let segments: Vec<i64> = SegmentPlace::parts(3, 300, SEGMENTS_PER_PART).collect();
        assert_eq!(segments, [3 << 32, (3 << 32) + 1, (3 << 32) + 2]);
        let directories: Vec<i64> = SegmentPlace::parts(3, 300, DIRECTORIES_PER_PART).collect();
        assert!((0..200).all(|number| directories.contains(&place.directory_part(number))));
        assert!(directories.iter().all(|part| part >> 32 == 3));
    }
}
