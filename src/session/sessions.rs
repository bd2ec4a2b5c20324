//! The front desk of the write side: one verb per request of a writer.

use std::sync::Arc;

use super::admission::Admission;
use super::config::SessionConfig;
use super::error::SessionError;
use super::gate::Gate;
use super::gate::Gates;
use super::put;
use super::put::Put;
use super::put::StreamSchema;
use super::registry::Cancel;
use super::registry::Puts;
use super::registry::Registry;
use super::sweep;
use super::sweep::Alarm;
use super::sweep::to_the_end;
use crate::auth::OrderSealer;
use crate::auth::token_digest;
use crate::catalog::Catalog;
use crate::catalog::NewSequence;
use crate::catalog::NewSession;
use crate::catalog::NewTopic;
use crate::catalog::OpenStore;
use crate::model::IdSource;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::OntologyTag;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::Token;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::UserMetadata;
use crate::shard::Shards;

/// Open sessions that a start asks for at a time.
const RECALL_PAGE: u32 = 256;

/// The write side, shared by all connections. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    pub(super) desk: Arc<Desk>,
}

/// What everything here stands on.
pub(super) struct Desk {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) open: OpenStore,
    pub(super) shards: Shards,
    pub(super) admission: Admission,
    pub(super) registry: Arc<Registry>,
    pub(super) gates: Gates,
    pub(super) alarm: Arc<Alarm>,
    pub(super) orders: OrderSealer,
    ids: Arc<IdSource>,
    clock: fn() -> i64,
}

/// A topic that a client asks for.
#[derive(Clone, Debug)]
pub struct TopicRequest {
    /// Proof that it may write into the session.
    pub session: Token,
    pub name: TopicName,
    pub tag: OntologyTag,
    pub format: SerializationFormat,
    pub metadata: UserMetadata,
}

/// Which session: generations of clients name it differently.
#[derive(Clone, Debug)]
pub enum SessionRef {
    Locator { sequence: SequenceName, session: SessionId },
    Token(Token),
    Id(SessionId),
}

impl Sessions {
    /// * `orders`: knows the orders that are given to this server.
    /// * `clock`: the wall clock, in ns of Unix time; a label, never compared.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        open: OpenStore,
        shards: Shards,
        ids: Arc<IdSource>,
        orders: OrderSealer,
        config: SessionConfig,
        clock: fn() -> i64,
    ) -> Self {
        let alarm = Arc::new(Alarm::default());
        let registry = Registry::new(config.puts_max, Arc::clone(&alarm));
        let (admission, gates) = (Admission::new(config), Gates::default());
        Self { desk: Arc::new(Desk { catalog, open, shards, admission, registry, gates, alarm, orders, ids, clock }) }
    }

    /// Takes up what the last start left, before the first request: counts the open sessions, and removes manifests of
    /// finalizes that did not reach the catalog. Harmless to repeat. Costs what is open, not what was recorded.
    ///
    /// # Errors
    /// Of catalog or shards; the daemon should not serve then.
    pub async fn recover(&self) -> Result<(), SessionError> {
        let (mut open, mut after) = (0, 0);
        loop {
            let page = self.desk.open.open_sessions(after, RECALL_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            open += page.len();
            self.desk.remove_manifests(page.iter().map(|session| session.id).collect()).await?;
            for session in &page {
                self.desk.admission.recall(session.id, session.sequence, session.topics);
            }
        }
        if open > 0 {
            tracing::info!(open, "sessions of earlier starts are open: `tessera ls --open` shows them");
        }
        Ok(())
    }

    /// Purges what was deleted, for ever: a task of its own. It may be dropped at any time.
    pub async fn sweep(self) {
        sweep::run(self.desk).await;
    }

    /// Takes no more puts, ends those that run as interrupted, and returns once their rows are durable.
    pub async fn drain(&self) {
        self.desk.registry.close();
        self.desk.registry.cancel(Puts::All, Cancel::Stopping);
        self.desk.registry.idle().await;
    }

    /// # Errors
    /// [`SessionError::AlreadyExists`] when the name is taken, [`SessionError::NoRoom`], [`SessionError::TooMany`] when no session
    /// of it could begin.
    pub async fn create_sequence(
        &self,
        name: SequenceName,
        metadata: UserMetadata,
    ) -> Result<SequenceHead, SessionError> {
        self.desk.room_for("a new sequence").await?;
        // Clients make both in one go: without a place for the session, the name would be taken for nothing.
        drop(self.desk.admission.session()?);
        let id = SequenceId::new(&self.desk.ids);
        let new = NewSequence { id, name, metadata, created_at_ns: self.desk.now() };
        Ok(self.desk.catalog.create_sequence(new).await?)
    }

    /// Opens a session. Its token is told here and never again.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] without the sequence, [`SessionError::TooMany`], [`SessionError::NoRoom`].
    pub async fn create_session(&self, sequence: &SequenceName) -> Result<(SessionHead, Token), SessionError> {
        self.desk.room_for("a new session").await?;
        let place = self.desk.admission.session()?;
        // A delete of the sequence must see every session of it.
        let _passage = self.desk.gates.pass(Gate::Sequence(sequence.clone())).await;
        let (id, token) = (SessionId::new(&self.desk.ids), Token::new(&self.desk.ids));
        let (sequence, created_at_ns) = (sequence.clone(), self.desk.now());
        let new = NewSession { id, sequence, token: token_digest(&token), created_at_ns };
        let head = self.desk.catalog.create_session(new).await?;
        place.opened(head.id, head.sequence);
        Ok((head, token))
    }

    /// Registers a topic in an open session and settles where its chunks go. Its token is told here and never again.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] for an unknown token, [`SessionError::ForeignSequence`], [`SessionError::AlreadyExists`]
    /// when the path is taken in the sequence, [`SessionError::Refused`] in a final session, [`SessionError::TooMany`],
    /// [`SessionError::NoRoom`].
    pub async fn create_topic(&self, request: TopicRequest) -> Result<(TopicHead, Token), SessionError> {
        let TopicRequest { session, name, tag, format, metadata } = request;
        let session_token = token_digest(&session);
        let head = self.desk.open.session_by_token(session_token).await?;
        if head.sequence_name != name.sequence {
            let (topic, sequence) = (name.to_string(), head.sequence_name.to_string());
            return Err(SessionError::ForeignSequence { topic, sequence });
        }
        let _passage = self.desk.gates.pass(Gate::Session(head.id)).await;
        let place = self.desk.admission.topic(head.id, head.sequence)?;
        let (id, token) = (TopicId::new(&self.desk.ids), Token::new(&self.desk.ids));
        let allowed = self.desk.devices_with_room().await?;
        let (shard, device) = self.desk.shards.place_on(&allowed).unwrap_or_else(|| self.desk.shards.place());
        let new = NewTopic {
            id,
            session: head.id,
            token: token_digest(&token),
            name,
            tag,
            format,
            metadata,
            shard,
            device,
            created_at_ns: self.desk.now(),
        };
        let topic = self.desk.catalog.create_topic(new).await?;
        place.keep();
        Ok((topic, token))
    }

    /// Begins the one DoPut of a topic. Everything that can be refused is refused before the topic's state moves.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] for an unknown token, [`SessionError::ForeignTopic`] when it is another topic's,
    /// [`SessionError::Schema`] and [`SessionError::Unsupported`] for the schema, [`SessionError::Refused`] for a topic that
    /// is or was written, [`SessionError::TooMany`], [`SessionError::NoRoom`], [`SessionError::Stopping`],
    /// [`SessionError::Shard`].
    pub async fn begin_put(&self, topic: Token, name: &TopicName, schema: StreamSchema) -> Result<Put, SessionError> {
        let head = self.desk.open.topic_by_token(token_digest(&topic)).await?;
        if head.name != *name {
            return Err(SessionError::ForeignTopic { topic: name.clone() });
        }
        self.desk.admission.schema(name, &head.tag, &schema)?;
        self.desk.room_on(head.device).await?;
        let desk = Arc::clone(&self.desk);
        to_the_end(async move { put::begin(&desk, head, schema).await }).await
    }

    /// Keeps what a client says went wrong. The catalog cuts a message at `Notification::MESSAGE_LEN_MAX` bytes.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] without the target, [`SessionError::Catalog`] when it has too many already.
    pub async fn notify(&self, target: NotificationTarget, message: String) -> Result<(), SessionError> {
        let notification = Notification { message, created_at_ns: self.desk.now() };
        Ok(self.desk.catalog.notify(&target, notification).await?)
    }

    /// Oldest first.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] without the target.
    pub async fn notifications(&self, target: NotificationTarget) -> Result<Vec<Notification>, SessionError> {
        Ok(self.desk.catalog.notifications(&target).await?)
    }

    /// # Errors
    /// [`SessionError::NotFound`] without the target.
    pub async fn purge_notifications(&self, target: NotificationTarget) -> Result<(), SessionError> {
        Ok(self.desk.catalog.purge_notifications(&target).await?)
    }
}

impl Desk {
    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// The sequence of an open session.
    pub(super) async fn sequence_of(&self, session: SessionId) -> Result<SequenceId, SessionError> {
        match self.admission.sequence_of(session) {
            Some(sequence) => Ok(sequence),
            None => Ok(self.catalog.session(session).await?.head.sequence),
        }
    }

    pub(super) async fn remove_manifests(&self, sessions: Vec<SessionId>) -> Result<(), SessionError> {
        let what = match sessions.as_slice() {
            [session] => format!("manifest of session {session}"),
            more => format!("manifests of {} sessions", more.len()),
        };
        let removed = self.shards.remove_manifests(sessions).await;
        removed.map_err(|cause| SessionError::Shard { what, cause: Box::new(cause) })
    }

    /// Says beside the manifests what the catalog has deleted.
    pub(super) async fn note_deleted(&self, session: SessionId, topic: Option<TopicId>) -> Result<(), SessionError> {
        let what = || match topic {
            Some(topic) => format!("tombstone of topic {topic}"),
            None => format!("tombstone of session {session}"),
        };
        let buried = self.shards.bury(session, topic).await;
        buried.map_err(|cause| SessionError::Shard { what: what(), cause: Box::new(cause) })
    }
}
