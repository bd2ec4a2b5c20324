//! A session brought back into an empty catalog, from its manifest or from its chunks alone.
//!
//! Everything goes through the calls that recorded it, in their order, so the catalog comes out as it was. What is not in the
//! files does not come back: notifications, tokens, why a topic was interrupted, and of sessions that were open the user
//! metadata and the topics without rows.

use std::collections::BTreeMap;
use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::DictionaryTracker;
use arrow::ipc::writer::IpcDataGenerator;
use arrow::ipc::writer::IpcWriteOptions;
use uuid::Uuid;

use super::manifest::Chunk;
use super::manifest::Manifest;
use super::manifest::ManifestError;
use super::manifest::Topic;
use crate::auth::token_digest;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::NewSequence;
use crate::catalog::NewSession;
use crate::catalog::NewTopic;
use crate::catalog::OpenStore;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::catalog::Visibility;
use crate::chunk::Described;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::Statistics;
use crate::model::TimeBounds;
use crate::model::Token;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::UserMetadata;

/// Records given to the catalog at once: a segment's.
const RECORDS_AT_ONCE: usize = 256;

/// More than the one there can be.
const TOMBSTONES_MAX: u32 = 16;

const WHY_UNKNOWN: &str = "why is not known: the catalog was rebuilt from the files";
const WHY_OPEN: &str = "the catalog was rebuilt from the files while it was open";

/// A manifest that is whole.
pub struct Recalled(Manifest);

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    pub topics: u64,
    pub chunks: u64,
    pub rows: u64,
    pub lost: Vec<Lost>,
}

/// A chunk that did not come back whole.
#[derive(Clone, Debug)]
pub struct Lost {
    pub topic: String,
    pub chunk: ChunkId,
    pub why: String,
}

/// Why a session does not come back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What its files tell cannot be, or cannot be beside what came back before it. Nothing of it is in the catalog.
    #[error("{0}")]
    Refused(String),
    /// The catalog cannot store anything.
    #[error(transparent)]
    Catalog(CatalogError),
}

impl From<CatalogError> for RestoreError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { .. }
            | CatalogError::AlreadyExists { .. }
            | CatalogError::Refused { .. }
            | CatalogError::ForeignSequence { .. }
            | CatalogError::Invalid { .. }
            | CatalogError::TooLarge { .. } => Self::Refused(error.to_string()),
            CatalogError::Unavailable { .. }
            | CatalogError::Overloaded { .. }
            | CatalogError::Full
            | CatalogError::SchemaMismatch { .. }
            | CatalogError::Corrupt { .. }
            | CatalogError::Closed => Self::Catalog(error),
        }
    }
}

/// What files say of a session that has no manifest.
pub struct OpenRemains {
    pub session: SessionId,
    pub chunks: Vec<(Described, SchemaRef)>,
}

impl Recalled {
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(session: SessionId, bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest = Manifest::parse(bytes)?;
        match manifest.session.id == session.to_string() {
            true => Ok(Self(manifest)),
            false => Err(ManifestError::Differs { what: format!("session {session}, whose name the file has") }),
        }
    }

    pub fn session(&self) -> SessionId {
        // `parse` has read it.
        SessionId(uuid(&self.0.session.id).unwrap_or_default())
    }

    /// The later of two that claim one name has the greater one: when its sequence was created, and when it became final.
    pub fn age(&self) -> (i64, i64) {
        (self.0.sequence.created_at_ns, self.0.session.completed_at_ns)
    }

    /// `None` when it is none, and the manifest cannot be restored.
    pub fn sequence_id(&self) -> Option<Uuid> {
        uuid(&self.0.sequence.id)
    }

    /// The whole names of its topics.
    pub fn topics(&self) -> impl Iterator<Item = String> {
        self.0.topics.iter().map(|topic| format!("{}/{}", self.0.sequence.name, topic.path))
    }

    /// Sessions come back in this order.
    pub fn order(&self) -> (i64, i64) {
        (self.0.sequence.created_at_ns, self.0.session.created_at_ns)
    }

    pub fn sequence(&self) -> &str {
        &self.0.sequence.name
    }

    /// Chunks that must be somewhere, with the data directory that the catalog had for each.
    pub fn chunks(&self) -> impl Iterator<Item = (Option<ChunkId>, DeviceNumber)> {
        let chunks = self.0.topics.iter().flat_map(|topic| &topic.chunks);
        chunks.map(|chunk| (uuid(&chunk.id).map(ChunkId), DeviceNumber(chunk.device)))
    }

    /// Brings the session back, final.
    ///
    /// * `found`: what its files say of themselves.
    ///
    /// # Errors
    /// [`RestoreError`]: refused also when the manifest holds what no client could have sent.
    pub async fn restore(
        &self,
        (catalog, open): (&dyn Catalog, &OpenStore),
        ids: &IdSource,
        found: &HashMap<ChunkId, Result<ChunkRecord, String>>,
    ) -> Result<Restored, RestoreError> {
        let Manifest { sequence, session, topics, .. } = &self.0;
        let name = SequenceName::parse(&sequence.name).map_err(|error| odd(&error))?;
        let metadata = UserMetadata::parse(sequence.metadata.0.get()).map_err(|error| odd(&error))?;
        let (id, created_at_ns) = (SequenceId(id(&sequence.id)?), sequence.created_at_ns);
        let new = NewSequence { id, name: name.clone(), metadata, created_at_ns };
        let (id, mut restored) = (SessionId(self::id(&session.id)?), Restored::default());
        // All of it is read before anything is made: half a session must not come back.
        let recalled = topics.iter().map(|topic| recall_topic(ids, id, &name, topic, found, &mut restored));
        let recalled = recalled.collect::<Result<Vec<_>, _>>()?;
        catalog.create_sequence(new).await?;
        let (token, created_at_ns) = (token_digest(&Token::new(ids)), session.created_at_ns);
        catalog.create_session(NewSession { id, sequence: name, token, created_at_ns }).await?;
        let written = async {
            for topic in recalled {
                write((catalog, open), topic, &mut restored).await?;
            }
            catalog.finalize(id, session.completed_at_ns).await.map(drop)
        };
        whole_or_nothing(catalog, id, written.await).await?;
        Ok(restored)
    }
}

/// A topic's whole life.
struct Life {
    new: NewTopic,
    schema: Vec<u8>,
    records: Vec<ChunkRecord>,
    end: PutEnd,
}

fn recall_topic(
    ids: &IdSource,
    session: SessionId,
    sequence: &SequenceName,
    topic: &Topic,
    found: &HashMap<ChunkId, Result<ChunkRecord, String>>,
    restored: &mut Restored,
) -> Result<Life, RestoreError> {
    let (mut records, name) = (Vec::with_capacity(topic.chunks.len()), format!("{sequence}/{}", topic.path));
    for chunk in &topic.chunks {
        let chunk_id = ChunkId(id(&chunk.id)?);
        let told = recorded(chunk_id, chunk).ok_or_else(|| odd(&"a digest that is none"))?;
        let record = match found.get(&chunk_id) {
            Some(Ok(record)) if is_same(record, &told) => Ok(record.clone()),
            Some(Ok(_)) => Err("its file is another one than the manifest names".to_owned()),
            Some(Err(why)) => Err(why.clone()),
            None => Err("its file is missing".to_owned()),
        };
        records.push(record.unwrap_or_else(|why| {
            restored.lost.push(Lost { topic: name.clone(), chunk: chunk_id, why });
            told
        }));
    }
    let new = NewTopic {
        id: TopicId(id(&topic.id)?),
        session,
        token: token_digest(&Token::new(ids)),
        name: TopicName::parse(&name).map_err(|error| odd(&error))?,
        tag: OntologyTag::parse(&topic.tag).map_err(|error| odd(&error))?,
        format: SerializationFormat::parse(&topic.format).map_err(|error| odd(&error))?,
        metadata: UserMetadata::parse(topic.metadata.0.get()).map_err(|error| odd(&error))?,
        shard: records.first().map_or(ShardIndex(0), |record| record.shard),
        device: records.first().map_or(DeviceNumber(0), |record| record.device),
        created_at_ns: topic.created_at_ns,
    };
    let schema =
        topic.schema.as_deref().map_or(Some(Vec::new()), bytes).ok_or_else(|| odd(&"a schema that is none"))?;
    let outcome = match topic.state.as_str() {
        "complete" => PutOutcome::Complete,
        _ => PutOutcome::Interrupted { why: WHY_UNKNOWN.to_owned() },
    };
    let end = PutEnd { outcome, at_ns: topic.completed_at_ns.unwrap_or(topic.created_at_ns) };
    Ok(Life { new, schema, records, end })
}

/// Lives it again, in one go.
async fn write(
    (catalog, open): (&dyn Catalog, &OpenStore),
    Life { new, schema, records, end }: Life,
    restored: &mut Restored,
) -> Result<(), CatalogError> {
    let id = new.id;
    catalog.create_topic(new).await?;
    open.begin_put(id, schema).await?;
    for part in records.chunks(RECORDS_AT_ONCE) {
        open.commit(id, part.to_vec(), None).await?;
    }
    open.commit(id, Vec::new(), Some(end)).await?;
    restored.topics += 1;
    restored.chunks += records.len() as u64;
    restored.rows += records.iter().map(|record| record.rows).sum::<u64>();
    Ok(())
}

/// Takes a session out again of which a part was refused, and its sequence when that has no other.
async fn whole_or_nothing(
    catalog: &dyn Catalog,
    session: SessionId,
    written: Result<(), CatalogError>,
) -> Result<(), RestoreError> {
    let Err(error) = written.map_err(RestoreError::from) else { return Ok(()) };
    if let RestoreError::Refused(_) = error {
        let sequence = catalog.session(session).await?.head.sequence_name;
        catalog.delete_session(session).await?;
        // At once, and without a look at its files: a start would remove what a tombstone names.
        for tombstone in catalog.tombstones(0, TOMBSTONES_MAX).await? {
            assert!(tombstone.session == session, "a catalog that is made again has deleted {}", tombstone.session);
            catalog.purged(tombstone.number).await?;
        }
        let left = catalog.sequence(&sequence, Visibility::All).await?;
        if left.sessions.is_empty() {
            catalog.delete_sequence(left.head.id).await?;
        }
    }
    Err(error)
}

/// Brings a session without a manifest back as open, its topics as interrupted: it may have been open, or deleted and not
/// purged, which the files do not tell. Nobody reads it until somebody finalizes it.
///
/// # Errors
/// [`RestoreError`]: refused also when a sequence or a topic of the name is there under another id.
pub async fn restore_open(
    (catalog, open): (&dyn Catalog, &OpenStore),
    ids: &IdSource,
    remains: OpenRemains,
    at_ns: i64,
) -> Result<Restored, RestoreError> {
    let mut topics: BTreeMap<TopicId, Vec<(Described, SchemaRef)>> = BTreeMap::new();
    for (described, schema) in remains.chunks {
        topics.entry(described.identity.topic).or_default().push((described, schema));
    }
    let mut restored = Restored::default();
    let Some(any) = topics.values().flatten().next().map(|(described, _)| described.identity.clone()) else {
        return Ok(restored);
    };
    let (name, metadata) = (any.name.sequence.clone(), UserMetadata::empty());
    let new = NewSequence { id: any.sequence, name: name.clone(), metadata, created_at_ns: at_ns };
    match catalog.sequence(&name, Visibility::All).await {
        Ok(view) if view.head.id == any.sequence => {}
        _ => drop(catalog.create_sequence(new).await?),
    }
    let token = token_digest(&Token::new(ids));
    catalog.create_session(NewSession { id: remains.session, sequence: name, token, created_at_ns: at_ns }).await?;
    for mut chunks in topics.into_values() {
        chunks.sort_by_key(|(described, _)| described.identity.number);
        // Chunks are committed in their order: behind a hole nothing was.
        let whole = chunks.iter().zip(0..).take_while(|((described, _), n)| described.identity.number == *n).count();
        for (described, _) in chunks.split_off(whole) {
            let (topic, chunk) = (described.identity.name.to_string(), described.identity.chunk);
            let why = "a chunk before it is missing: it is left out of the open session".to_owned();
            restored.lost.push(Lost { topic, chunk, why });
        }
        let Some((first, schema)) = chunks.first() else { continue };
        let identity = first.identity.clone();
        let new = NewTopic {
            id: identity.topic,
            session: remains.session,
            token: token_digest(&Token::new(ids)),
            name: identity.name,
            tag: identity.tag,
            format: identity.format,
            metadata: UserMetadata::empty(),
            shard: identity.shard,
            device: first.record.device,
            created_at_ns: at_ns,
        };
        let schema = message(schema);
        let end = PutEnd { outcome: PutOutcome::Interrupted { why: WHY_OPEN.to_owned() }, at_ns };
        let records = chunks.into_iter().map(|(described, _)| described.record).collect();
        let written = write((catalog, open), Life { new, schema, records, end }, &mut restored).await;
        whole_or_nothing(catalog, remains.session, written).await?;
    }
    Ok(restored)
}

/// The schema message that a client would have sent for these columns.
fn message(schema: &SchemaRef) -> Vec<u8> {
    let mut tracker = DictionaryTracker::new(false);
    let options = IpcWriteOptions::default();
    IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options).ipc_message
}

/// The record of a chunk whose file says nothing: reading it is DATA_LOSS, never fewer rows.
fn recorded(chunk: ChunkId, told: &Chunk) -> Option<ChunkRecord> {
    Some(ChunkRecord {
        chunk,
        device: DeviceNumber(told.device),
        shard: ShardIndex(0),
        rows: told.rows,
        file_bytes: told.bytes,
        logical_bytes: told.bytes,
        bounds: TimeBounds { first: told.first, last: told.last },
        body_bytes: told.bytes,
        footer_offset: told.bytes,
        digest: bytes(&told.digest)?.try_into().ok()?,
        footer_digest: bytes(&told.footer_digest)?.try_into().ok()?,
        row_groups: 1,
        runs: vec![0],
        pages: None,
        statistics: Statistics::default(),
    })
}

fn is_same(found: &ChunkRecord, told: &ChunkRecord) -> bool {
    let digests = (found.digest, found.footer_digest) == (told.digest, told.footer_digest);
    digests && (found.rows, found.file_bytes, found.bounds) == (told.rows, told.file_bytes, told.bounds)
}

fn odd(why: &dyn std::fmt::Display) -> RestoreError {
    RestoreError::Refused(format!("a manifest holds what cannot be: {why}"))
}

fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

fn id(text: &str) -> Result<Uuid, RestoreError> {
    uuid(text).ok_or_else(|| odd(&"an id that is none"))
}

/// Reads hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (text.len().is_multiple_of(2)).then(|| (0..text.len()).step_by(2).map(pair).collect())?
}

#[cfg(test)]
mod tests;
