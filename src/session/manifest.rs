//! The manifest of a session: what its finalize makes final, beside the files, so that a lost catalog can be rebuilt.
//!
//! # Manifest, format 1
//!
//! One JSON object, UTF-8, without line breaks; a reader must refuse another `format` and ignore members it does not know.
//! Ids and digests are lower-case hexadecimal, times signed nanoseconds.
//!
//! | member           | what                                                                                     |
//! |------------------|------------------------------------------------------------------------------------------|
//! | `format`         | 1                                                                                        |
//! | `sequence`       | `id`, `name`, `metadata` (the client's JSON, verbatim), `created_at_ns`                  |
//! | `session`        | `id`, `created_at_ns`, `completed_at_ns` (of this finalize)                              |
//! | `topics`         | in the order of their creation, those without rows too                                   |
//! | `topics[]`       | `id`, `path`, `tag`, `format`, `metadata`, `state` (`complete` or `interrupted`), `created_at_ns`, `completed_at_ns`, `schema` (the IPC schema message, hex; null without), `rows`, `chunks` |
//! | `chunks[]`       | in the order of their numbers: `id`, `device`, `rows`, `bytes` (of the file), `first`, `last` (timestamps), `digest`, `footer_digest` |
//!
//! What else a chunk record holds is in the chunk's own footer, which `footer_digest` proves. Notifications and keys are
//! in no manifest. Size: about 230 bytes a chunk, held in memory while it is written.

use serde::Serialize;
use serde_json::value::RawValue;

use super::error::SessionError;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::model::ChunkRecord;
use crate::model::SequenceView;
use crate::model::SessionView;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicState;
use crate::model::TopicView;
use crate::model::UserMetadata;

pub const MANIFEST_FORMAT: u32 = 1;

/// Segments asked for at once.
const SEGMENTS_PAGE: u32 = 256;

#[derive(Serialize)]
pub(super) struct Manifest {
    format: u32,
    sequence: Sequence,
    session: Session,
    topics: Vec<Topic>,
}

#[derive(Serialize)]
struct Sequence {
    id: String,
    name: String,
    metadata: Box<RawValue>,
    created_at_ns: i64,
}

#[derive(Serialize)]
struct Session {
    id: String,
    created_at_ns: i64,
    completed_at_ns: i64,
}

#[derive(Serialize)]
struct Topic {
    id: String,
    path: String,
    tag: String,
    format: &'static str,
    metadata: Box<RawValue>,
    state: &'static str,
    created_at_ns: i64,
    completed_at_ns: Option<i64>,
    schema: Option<String>,
    rows: u64,
    chunks: Vec<Chunk>,
}

#[derive(Serialize)]
struct Chunk {
    id: String,
    device: u16,
    rows: u64,
    bytes: u64,
    first: i64,
    last: i64,
    digest: String,
    footer_digest: String,
}

impl Manifest {
    /// Collects what the catalog knows about an ended session that nobody changes meanwhile.
    ///
    /// # Errors
    /// Of the catalog.
    pub(super) async fn gather(
        catalog: &dyn Catalog,
        sequence: &SequenceView,
        session: &SessionView,
        completed_at_ns: i64,
    ) -> Result<Self, SessionError> {
        let mut topics = Vec::with_capacity(session.topics.len());
        for view in &session.topics {
            let chunks = chunks(catalog, view.head.id).await?;
            assert!(
                chunks.len() as u64 == view.totals.chunks,
                "topic {}: {} chunks in its segments, {} in its totals",
                view.head.id,
                chunks.len(),
                view.totals.chunks
            );
            topics.push(Topic::new(view, chunks)?);
        }
        let head = &sequence.head;
        Ok(Self {
            format: MANIFEST_FORMAT,
            sequence: Sequence {
                id: head.id.to_string(),
                name: head.name.to_string(),
                metadata: raw(&head.metadata)?,
                created_at_ns: head.created_at_ns,
            },
            session: Session {
                id: session.head.id.to_string(),
                created_at_ns: session.head.created_at_ns,
                completed_at_ns,
            },
            topics,
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let bytes = serde_json::to_vec(self);
        #[expect(clippy::expect_used, reason = "every member is text, a number or JSON that was checked")]
        bytes.expect("a manifest is JSON")
    }
}

impl Topic {
    fn new(view: &TopicView, chunks: Vec<Chunk>) -> Result<Self, SessionError> {
        let TopicView { head, schema, totals } = view;
        let state = match head.state {
            TopicState::Complete => "complete",
            TopicState::Interrupted => "interrupted",
            TopicState::Created | TopicState::Receiving => {
                panic!("topic {} is {:?}: its session cannot be final", head.id, head.state)
            }
        };
        Ok(Self {
            id: head.id.to_string(),
            path: head.name.path.to_string(),
            tag: head.tag.to_string(),
            format: head.format.as_str(),
            metadata: raw(&head.metadata)?,
            state,
            created_at_ns: head.created_at_ns,
            completed_at_ns: head.completed_at_ns,
            schema: schema.as_deref().map(hex),
            rows: totals.rows,
            chunks,
        })
    }
}

impl Chunk {
    fn new(record: &ChunkRecord) -> Self {
        Self {
            id: record.chunk.to_string(),
            device: record.device.0,
            rows: record.rows,
            bytes: record.file_bytes,
            first: record.bounds.first,
            last: record.bounds.last,
            digest: hex(&record.digest),
            footer_digest: hex(&record.footer_digest),
        }
    }
}

/// The chunks of a topic, segment by segment.
async fn chunks(catalog: &dyn Catalog, topic: TopicId) -> Result<Vec<Chunk>, CatalogError> {
    let (mut chunks, mut cursor) = (Vec::new(), None);
    loop {
        let page = catalog.segments(topic, TimeRange::ALL, cursor, SEGMENTS_PAGE).await?;
        for segment in page.items {
            chunks.extend(catalog.directory(segment.key).await?.iter().map(Chunk::new));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(chunks),
        }
    }
}

/// The client's JSON as it came: numbers keep all their digits.
fn raw(metadata: &UserMetadata) -> Result<Box<RawValue>, SessionError> {
    RawValue::from_string(metadata.as_str().to_owned())
        .map_err(|error| SessionError::Metadata { why: error.to_string() })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
