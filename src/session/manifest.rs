//! The manifest of a session: what its finalize makes final, beside the files, so that a lost catalog can be rebuilt.
//!
//! # Manifest, format 2
//!
//! One JSON object, UTF-8, without line breaks, its members in this order; a reader ignores members it does not know. Ids and
//! digests are lower-case hexadecimal, times signed nanoseconds.
//!
//! | member           | what                                                            | a reader must               |
//! |------------------|-----------------------------------------------------------------|-----------------------------|
//! | `format`         | 2                                                               | refuse numbers it does not know |
//! | `sequence`       | `id`, `name`, `metadata` (the client's JSON, verbatim), `created_at_ns` |                     |
//! | `session`        | `id`, `created_at_ns`, `completed_at_ns` (of this finalize)     | require the id of the file's name |
//! | `topics`         | in the order of their creation, those without rows too          |                             |
//! | `topics[]`       | `id`, `path`, `tag`, `format`, `metadata`, `state` (`complete` or `interrupted`), `created_at_ns`, `completed_at_ns`, `schema` (the IPC schema message, hex; null without), `rows`, `chunks` | |
//! | `chunks[]`       | in the order of their numbers: `id`, `device`, `rows`, `bytes` (of the file), `first`, `last` (timestamps), `digest`, `footer_digest` | |
//! | `checksum`       | xxh3-128 of the whole file while these 32 digits are `0`; they and `"}` end the file | verify it before it believes one byte |
//!
//! Format 1 is the same without `checksum`: it is read, but nothing proves it.
//!
//! What else a chunk record holds is in the chunk's own footer, which `footer_digest` proves. Notifications and keys are
//! in no manifest. Size: about 230 bytes a chunk, held in memory while it is written.

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use super::error::SessionError;
use super::seal::Seal;
use super::seal::hex;
use super::seal::seal;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::model::ChunkRecord;
use crate::model::SequenceView;
use crate::model::SessionId;
use crate::model::SessionView;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::TopicState;
use crate::model::TopicView;
use crate::model::UserMetadata;

pub const MANIFEST_FORMAT: u32 = 2;

/// The one before checksums.
const FORMAT_WITHOUT_CHECKSUM: u32 = 1;

/// Segments asked for at once.
const SEGMENTS_PAGE: u32 = 256;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) sequence: Sequence,
    pub(super) session: Session,
    pub(super) topics: Vec<Topic>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sequence {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) metadata: Json,
    pub(super) created_at_ns: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) created_at_ns: i64,
    pub(super) completed_at_ns: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Topic {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) tag: String,
    pub(super) format: String,
    pub(super) metadata: Json,
    pub(super) state: String,
    pub(super) created_at_ns: i64,
    pub(super) completed_at_ns: Option<i64>,
    pub(super) schema: Option<String>,
    pub(super) rows: u64,
    pub(super) chunks: Vec<Chunk>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) id: String,
    pub(super) device: u16,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) digest: String,
    pub(super) footer_digest: String,
}

/// JSON as it was written: numbers keep all their digits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Json(pub(super) Box<RawValue>);

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("the manifest does not match its checksum: the file is damaged")]
    Checksum,
    #[error("the manifest of {bytes} bytes is cut off or damaged: {why}")]
    Damaged { bytes: usize, why: String },
    #[error(
        "the manifest has format {found}, and formats up to {MANIFEST_FORMAT} are known: use the version that wrote it"
    )]
    Format { found: u32 },
    #[error("the manifest disagrees with the catalog about {what}")]
    Differs { what: String },
    #[error("the manifest cannot be compared with the catalog: {0}")]
    Catalog(#[source] Box<SessionError>),
}

/// Whether a final session's manifest is whole and says what the catalog says.
///
/// * `bytes`: of the file `manifests/<session id>.json`.
///
/// # Errors
/// [`ManifestError`]: what is wrong with it.
pub async fn verify_manifest(
    catalog: &dyn Catalog,
    sequence: &SequenceView,
    session: SessionId,
    bytes: &[u8],
) -> Result<(), ManifestError> {
    let found = Manifest::parse(bytes)?;
    let differs = |what: String| Err(ManifestError::Differs { what });
    let view = sequence.sessions.iter().find(|view| view.head.id == session);
    let Some((view, completed_at_ns)) = view.and_then(|view| Some((view, view.head.completed_at_ns?))) else {
        return differs(format!("session {session}, which is not final"));
    };
    let recorded = Manifest::gather(catalog, sequence, view, completed_at_ns).await;
    match found.difference(&recorded.map_err(|error| ManifestError::Catalog(Box::new(error)))?) {
        None => Ok(()),
        Some(what) => differs(what),
    }
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
            if chunks.len() as u64 != view.totals.chunks {
                let (place, listed, total) = (format!("topic {}", view.head.name), chunks.len(), view.totals.chunks);
                let detail = format!("{listed} chunks in its segments, {total} in its totals");
                return Err(CatalogError::corrupt(place, detail).into());
            }
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
        let mut bytes = bytes.expect("a manifest is JSON");
        let brace = bytes.pop();
        assert!(brace == Some(b'}'), "a manifest is an object, and it ends with {brace:?}");
        seal(bytes)
    }

    /// Reads a manifest that is proven whole, but for those of format 1.
    ///
    /// # Errors
    /// [`ManifestError::Checksum`], [`ManifestError::Damaged`] or [`ManifestError::Format`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let damaged = |why: String| ManifestError::Damaged { bytes: bytes.len(), why };
        let seal = Seal::of(bytes);
        if seal == Seal::Broken {
            return Err(ManifestError::Checksum);
        }
        // The number alone first: the members of another format may be others.
        let Format { format } = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        match (format, seal) {
            (MANIFEST_FORMAT, Seal::Whole) | (FORMAT_WITHOUT_CHECKSUM, Seal::None) => {}
            (MANIFEST_FORMAT, _) => return Err(damaged("it does not end with its checksum".to_owned())),
            (found, _) => return Err(ManifestError::Format { found }),
        }
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
    }

    /// What the two say differently, the formats aside; `None` when that is nothing.
    fn difference(&self, other: &Self) -> Option<String> {
        if self.sequence != other.sequence {
            return Some(format!("sequence {}", other.sequence.name));
        }
        if self.session != other.session {
            return Some(format!("session {}", other.session.id));
        }
        let pairs = self.topics.iter().zip(&other.topics);
        let topic = pairs.clone().find(|(mine, theirs)| mine != theirs).map(|(_, theirs)| &theirs.path);
        let counts = (self.topics.len(), other.topics.len());
        match topic {
            Some(path) => Some(format!("topic {path}")),
            None if counts.0 != counts.1 => Some(format!("the number of topics: {} and {}", counts.0, counts.1)),
            None => None,
        }
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl Topic {
    fn new(view: &TopicView, chunks: Vec<Chunk>) -> Result<Self, SessionError> {
        let TopicView { head, schema, totals, node: _ } = view;
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
            format: head.format.to_string(),
            metadata: raw(&head.metadata)?,
            state: state.to_owned(),
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
fn raw(metadata: &UserMetadata) -> Result<Json, SessionError> {
    RawValue::from_string(metadata.as_str().to_owned())
        .map(Json)
        .map_err(|error| SessionError::Metadata { why: error.to_string() })
}

#[cfg(test)]
mod tests;
