//! Admission: what is checked before any state moves. Schemas against ontology and storage, and the limits on what may
//! be open at once.
//!
//! The counts are of this start; [`Admission::recall`] seeds them from the catalog. A create that is abandoned halfway
//! (its client went away) may be missing in them until the next start: limits guard memory, they are not accounting.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::config::SessionConfig;
use super::error::SessionError;
use super::put::StreamSchema;
use crate::chunk::supports;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SessionId;
use crate::model::TopicName;
use crate::ontology::Ontology;

pub(super) struct Admission {
    ontology: Ontology,
    config: SessionConfig,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    open: HashMap<SessionId, Open>,
    /// Sessions that are being created.
    pending: u32,
}

/// An open session.
struct Open {
    sequence: SequenceId,
    topics: u32,
}

impl Admission {
    pub(super) fn new(config: SessionConfig) -> Self {
        Self { ontology: Ontology::builtin(), config, counts: Mutex::default() }
    }

    /// Whether a stream of this schema may be recorded under the topic's tag.
    ///
    /// # Errors
    /// [`SessionError::Schema`] naming the first field that differs from the tag's model, [`SessionError::Unsupported`]
    /// for a type that cannot be stored and come back exactly.
    pub(super) fn schema(
        &self,
        topic: &TopicName,
        tag: &OntologyTag,
        schema: &StreamSchema,
    ) -> Result<(), SessionError> {
        let schema_error = |cause| SessionError::Schema { topic: topic.clone(), cause: Box::new(cause) };
        self.ontology.check(tag, &schema.wire, self.config.ontology).map_err(schema_error)?;
        supports(&schema.stored)
            .map_err(|cause| SessionError::Unsupported { topic: topic.clone(), cause: Box::new(cause) })
    }

    /// Takes a place for a session that is about to be created.
    ///
    /// # Errors
    /// [`SessionError::TooMany`].
    pub(super) fn session(&self) -> Result<SessionPlace<'_>, SessionError> {
        let (mut counts, max) = (self.counts(), self.config.sessions_max);
        if counts.open.len() + counts.pending as usize >= max as usize {
            let remedy = "`tessera ls --open` lists them, `tessera finalize` and `tessera discard` end those whose writer is gone; \
                          or raise sessions.sessions_max";
            return Err(SessionError::TooMany { what: "open sessions".to_owned(), max, remedy });
        }
        counts.pending += 1;
        Ok(SessionPlace(self))
    }

    /// Takes a place for a topic that is about to be created in an open session.
    ///
    /// # Errors
    /// [`SessionError::TooMany`].
    pub(super) fn topic(&self, session: SessionId, sequence: SequenceId) -> Result<TopicPlace<'_>, SessionError> {
        let (mut counts, max) = (self.counts(), self.config.topics_max);
        let open = counts.open.entry(session).or_insert(Open { sequence, topics: 0 });
        if open.topics >= max {
            let remedy = "write the rest into another session of the sequence, or raise sessions.topics_max";
            return Err(SessionError::TooMany { what: format!("topics of session {session}"), max, remedy });
        }
        open.topics += 1;
        Ok(TopicPlace { admission: self, session, kept: false })
    }

    /// An open session that an earlier start left.
    pub(super) fn recall(&self, session: SessionId, sequence: SequenceId, topics: u32) {
        self.counts().open.insert(session, Open { sequence, topics });
    }

    /// The sequence of an open session, when this start has seen it.
    pub(super) fn sequence_of(&self, session: SessionId) -> Option<SequenceId> {
        self.counts().open.get(&session).map(|open| open.sequence)
    }

    /// A topic of an open session was deleted.
    pub(super) fn forget_topic(&self, session: SessionId) {
        if let Some(open) = self.counts().open.get_mut(&session) {
            open.topics = open.topics.saturating_sub(1);
        }
    }

    /// The session is final or deleted.
    pub(super) fn forget_session(&self, session: SessionId) {
        self.counts().open.remove(&session);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a session; given back on drop unless the session opened.
pub(super) struct SessionPlace<'a>(&'a Admission);

impl SessionPlace<'_> {
    pub(super) fn opened(self, session: SessionId, sequence: SequenceId) {
        self.0.recall(session, sequence, 0);
    }
}

impl Drop for SessionPlace<'_> {
    fn drop(&mut self) {
        self.0.counts().pending -= 1;
    }
}

/// The place of a topic; given back on drop unless kept.
pub(super) struct TopicPlace<'a> {
    admission: &'a Admission,
    session: SessionId,
    kept: bool,
}

impl TopicPlace<'_> {
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for TopicPlace<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.admission.forget_topic(self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::IdSource;

    fn admission(sessions_max: u32, topics_max: u32) -> (Admission, IdSource) {
        let config = SessionConfig { sessions_max, topics_max, ..SessionConfig::default() };
        (Admission::new(config), IdSource::from_seed([5; 32]))
    }

    #[test]
    fn sessions_are_counted_while_they_open_and_while_they_are_open() {
        let (admission, ids) = admission(2, 10);
        let (session, sequence) = (SessionId::new(&ids), SequenceId::new(&ids));
        let (one, two) = (admission.session().unwrap(), admission.session().unwrap());
        assert!(matches!(admission.session(), Err(SessionError::TooMany { max: 2, .. })));
        one.opened(session, sequence);
        assert!(admission.session().is_err());
        drop(two); // its creation failed
        drop(admission.session().unwrap());
        assert_eq!(admission.sequence_of(session), Some(sequence));
        admission.forget_session(session);
        assert_eq!(admission.sequence_of(session), None);
        let places: Vec<_> = (0..2).map(|_| admission.session().unwrap()).collect();
        assert_eq!(places.len(), 2);
    }

    #[test]
    fn topics_are_counted_per_session() {
        let (admission, ids) = admission(10, 2);
        let (a, b, sequence) = (SessionId::new(&ids), SessionId::new(&ids), SequenceId::new(&ids));
        admission.topic(a, sequence).unwrap().keep();
        drop(admission.topic(a, sequence).unwrap());
        admission.topic(a, sequence).unwrap().keep();
        assert!(matches!(admission.topic(a, sequence), Err(SessionError::TooMany { max: 2, .. })));
        assert!(admission.topic(b, sequence).is_ok());
        admission.forget_topic(a);
        assert!(admission.topic(a, sequence).is_ok());
    }

    #[test]
    fn what_an_earlier_start_left_counts() {
        let (admission, ids) = admission(1, 3);
        let (session, sequence) = (SessionId::new(&ids), SequenceId::new(&ids));
        admission.recall(session, sequence, 3);
        assert!(admission.session().is_err());
        assert!(admission.topic(session, sequence).is_err());
    }
}
