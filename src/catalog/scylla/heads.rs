//! A sequence and its sessions as one read of their partition sees them, at one moment.

use scylla::DeserializeRow;
use uuid::Uuid;

use super::cluster::Certainty;
use super::cluster::Cluster;
use super::documents;
use super::fault::damaged;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::TopicView;

/// Numbers are never reused.
const SEQUENCE_LIVE: i8 = 0;
const SEQUENCE_DELETED: i8 = 1;

/// A sequence's partition without the names of its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub id: SequenceId,
    pub name: SequenceName,
    pub created_at_ns: i64,
    pub state: SequenceState,
    /// Bytes of its metadata.
    pub metadata_len: i32,
    /// Sessions that were ever created in it: the next one's number, and what a delete must know.
    pub sessions_ever: i32,
    /// In the order of their creation, deleted ones too.
    pub sessions: Vec<SessionRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceState {
    Live,
    /// Its name may belong to another one already.
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub id: SessionId,
    /// Its place in the order of creation.
    pub number: i32,
    pub life: Life,
    /// Who has its files.
    pub node: Uuid,
    pub created_at_ns: i64,
    pub completed_at_ns: Option<i64>,
    /// What was published with it.
    pub topics: i32,
    /// Bytes of their metadata.
    pub topic_bytes: i64,
    pub digest: Vec<u8>,
}

/// The numbers are stored and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Open = 0,
    Final = 2,
    Deleted = 3,
}

#[derive(DeserializeRow)]
struct Stored {
    name: Option<String>,
    state: Option<i8>,
    created: Option<i64>,
    metadata_len: Option<i32>,
    sessions: Option<i32>,
    session_id: Option<Uuid>,
    session_number: Option<i32>,
    session_state: Option<i8>,
    node: Option<Uuid>,
    session_created: Option<i64>,
    completed: Option<i64>,
    topics: Option<i32>,
    topic_bytes: Option<i64>,
    digest: Option<Vec<u8>>,
}

impl Head {
    /// `None` when there is none, or nothing of it is left.
    pub async fn read(cluster: &Cluster, id: SequenceId, certainty: Certainty) -> Result<Option<Self>, CatalogError> {
        let rows: Vec<Stored> = cluster.certain_rows(&cluster.statements.head, (id.0,), certainty).await?;
        let place = || format!("sequence {id}");
        let Some(first) = rows.first() else { return Ok(None) };
        let Some(name) = &first.name else { return Ok(None) };
        let name = SequenceName::parse(name).map_err(|error| damaged(place(), error))?;
        let state = match first.state {
            Some(SEQUENCE_LIVE) => SequenceState::Live,
            Some(SEQUENCE_DELETED) => SequenceState::Deleted,
            other => return Err(damaged(place(), format_args!("state {other:?} is no value of ours"))),
        };
        let missing = |what| damaged(place(), format_args!("it has no {what}"));
        let created_at_ns = first.created.ok_or_else(|| missing("time"))?;
        let metadata_len = first.metadata_len.ok_or_else(|| missing("length of metadata"))?;
        let sessions_ever = first.sessions.ok_or_else(|| missing("count of sessions"))?;
        let mut sessions = Vec::new();
        for row in &rows {
            sessions.extend(row.session(id)?);
        }
        sessions.sort_by_key(|session| session.number);
        Ok(Some(Self { id, name, created_at_ns, state, metadata_len, sessions_ever, sessions }))
    }

    /// As [`Self::read`], of a live sequence.
    pub async fn live(cluster: &Cluster, id: SequenceId) -> Result<Option<Self>, CatalogError> {
        let head = Self::read(cluster, id, Certainty::Answered).await?;
        Ok(head.filter(|head| head.state == SequenceState::Live))
    }

    /// # Errors
    /// `NotFound` for a name that no live sequence has.
    pub async fn by_name(cluster: &Cluster, name: &SequenceName) -> Result<Self, CatalogError> {
        let claim: Option<(Uuid,)> =
            cluster.row(&cluster.statements.claim_read, (name.as_str(),), Certainty::Answered).await?;
        let live = match claim {
            Some((id,)) => Self::live(cluster, SequenceId(id)).await?,
            None => None,
        };
        live.ok_or_else(|| CatalogError::not_found(Entity::Sequence, name))
    }

    pub fn session(&self, id: SessionId) -> Option<&SessionRow> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// A session that exists for readers: neither it nor the sequence is deleted.
    pub fn live_session(&self, id: SessionId) -> Option<&SessionRow> {
        self.live_sessions().find(|session| session.id == id)
    }

    pub fn live_sessions(&self) -> impl Iterator<Item = &SessionRow> {
        let live = self.state == SequenceState::Live;
        self.sessions.iter().filter(move |session| live && session.life != Life::Deleted)
    }

    /// # Errors
    /// `NotFound` when it was deleted meanwhile.
    pub async fn to_public(&self, cluster: &Cluster) -> Result<SequenceHead, CatalogError> {
        let metadata = match documents::of_sequence(cluster, self.id, self.metadata_len).await {
            Err(error) if Self::live(cluster, self.id).await?.is_some() => return Err(error),
            Err(_) => return Err(CatalogError::not_found(Entity::Sequence, &self.name)),
            Ok(metadata) => metadata,
        };
        Ok(SequenceHead { id: self.id, name: self.name.clone(), metadata, created_at_ns: self.created_at_ns })
    }

    /// Bytes in memory of what [`Self::to_public`] answers, about.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.metadata_len).unwrap_or(0)
    }

    /// The same with the topics of final sessions, without their schemas.
    pub fn contents_bytes(&self) -> usize {
        let finished = self.live_sessions().filter(|session| session.life == Life::Final);
        let bytes = finished.map(|session| {
            let topics = usize::try_from(session.topics).unwrap_or(0);
            usize::try_from(session.topic_bytes).unwrap_or(0) + topics * size_of::<TopicView>()
        });
        self.bytes() + bytes.sum::<usize>()
    }

    pub fn session_head(&self, row: &SessionRow) -> SessionHead {
        SessionHead {
            id: row.id,
            sequence: self.id,
            sequence_name: self.name.clone(),
            state: if row.life == Life::Final { SessionState::Final } else { SessionState::Open },
            created_at_ns: row.created_at_ns,
            completed_at_ns: row.completed_at_ns,
        }
    }
}

impl Stored {
    /// `None` for the row of the sequence itself.
    fn session(&self, sequence: SequenceId) -> Result<Option<SessionRow>, CatalogError> {
        let Some(id) = self.session_id else { return Ok(None) };
        let missing = || damaged(format_args!("session {id} of sequence {sequence}"), "it has holes");
        let life = [Life::Open, Life::Final, Life::Deleted].into_iter();
        Ok(Some(SessionRow {
            id: SessionId(id),
            number: self.session_number.ok_or_else(missing)?,
            life: life.into_iter().find(|life| Some(*life as i8) == self.session_state).ok_or_else(missing)?,
            node: self.node.ok_or_else(missing)?,
            created_at_ns: self.session_created.ok_or_else(missing)?,
            completed_at_ns: self.completed,
            topics: self.topics.unwrap_or(0),
            topic_bytes: self.topic_bytes.unwrap_or(0),
            digest: self.digest.clone().unwrap_or_default(),
        }))
    }
}
