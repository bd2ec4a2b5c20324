//! The states of sessions and topics, and every move between them: one table, asked by whoever changes a state
//! inside the transaction that changes it. A sequence has one state only: it exists, or its name is free.
//!
//! Session
//!
//! | state   | create topic     | finalize                  | delete |
//! |---------|------------------|---------------------------|--------|
//! | open    | open             | final, when topics allow  | gone   |
//! | final   | `SessionFinal`   | final (same answer)       | gone   |
//!
//! Topic
//!
//! | state       | begin put       | end put, whole | end put, broken | delete           | allows finalize |
//! |-------------|-----------------|----------------|-----------------|------------------|-----------------|
//! | created     | receiving       | –              | –               | gone             | `TopicWithoutPut` |
//! | receiving   | `TopicReceiving`| complete       | interrupted     | gone             | `TopicReceiving`  |
//! | complete    | `TopicWritten`  | –              | –               | gone, while open | yes             |
//! | interrupted | `TopicWritten`  | –              | –               | gone, while open | yes             |
//!
//! A dash is a broken promise between two of our own lines: it panics. Every [`Refusal`] is FAILED_PRECONDITION on the
//! wire; `flight::status` says so, variant by variant.

/// Persisted as its number; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    Open = 0,
    Final = 1,
}

/// Persisted as its number; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// Registered; its DoPut has not come yet.
    Created = 0,
    /// Its DoPut runs.
    Receiving = 1,
    /// Its DoPut ended well: every row is durable.
    Complete = 2,
    /// Its DoPut broke, or the daemon stopped under it: a durable prefix, without holes.
    Interrupted = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionMove {
    CreateTopic,
    Finalize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicMove {
    BeginPut,
    Complete,
    Interrupt,
    /// Deletes just this topic.
    Delete,
}

/// Why a move is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the session is finalized and cannot change: open a new session on the sequence")]
    SessionFinal,
    #[error("the session has no topics: create one, or delete the session")]
    SessionEmpty,
    #[error("a DoPut is still running on the topic: close it first")]
    TopicReceiving,
    #[error("the topic was created but never written: send its DoPut (a schema alone will do), or delete it")]
    TopicWithoutPut,
    #[error("the topic is already written, and a topic is written once: create another topic")]
    TopicWritten,
    #[error("another server of this catalog is recording it: ask that one")]
    OtherServer,
}

impl SessionState {
    /// The state after `step`, given the states of the session's topics.
    ///
    /// # Errors
    /// The [`Refusal`] of the table above.
    pub fn after(self, step: SessionMove, topics: impl IntoIterator<Item = TopicState>) -> Result<Self, Refusal> {
        match (self, step) {
            (Self::Open, SessionMove::CreateTopic) => Ok(Self::Open),
            (Self::Final, SessionMove::CreateTopic) => Err(Refusal::SessionFinal),
            (Self::Final, SessionMove::Finalize) => Ok(Self::Final),
            (Self::Open, SessionMove::Finalize) => {
                let mut empty = true;
                for topic in topics {
                    topic.allows_finalize()?;
                    empty = false;
                }
                if empty { Err(Refusal::SessionEmpty) } else { Ok(Self::Final) }
            }
        }
    }

    /// Reads the persisted number; `None` for one we never wrote.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Open, Self::Final].into_iter().find(|state| *state as i64 == number)
    }
}

impl TopicState {
    /// The state after `step` on a topic whose session is in state `session`; `None` when the topic is gone.
    ///
    /// # Errors
    /// The [`Refusal`] of the table above.
    ///
    /// # Panics
    /// On a move that only a bug of ours can ask for: ending a put that does not run.
    pub fn after(self, step: TopicMove, session: SessionState) -> Result<Option<Self>, Refusal> {
        if session == SessionState::Final {
            return Err(Refusal::SessionFinal);
        }
        match (self, step) {
            (_, TopicMove::Delete) => Ok(None),
            (Self::Created, TopicMove::BeginPut) => Ok(Some(Self::Receiving)),
            (Self::Receiving, TopicMove::BeginPut) => Err(Refusal::TopicReceiving),
            (Self::Complete | Self::Interrupted, TopicMove::BeginPut) => Err(Refusal::TopicWritten),
            (Self::Receiving, TopicMove::Complete) => Ok(Some(Self::Complete)),
            (Self::Receiving, TopicMove::Interrupt) => Ok(Some(Self::Interrupted)),
            (state, TopicMove::Complete | TopicMove::Interrupt) => {
                panic!("{step:?} of a put on a topic that is {state:?}")
            }
        }
    }

    fn allows_finalize(self) -> Result<(), Refusal> {
        match self {
            Self::Created => Err(Refusal::TopicWithoutPut),
            Self::Receiving => Err(Refusal::TopicReceiving),
            Self::Complete | Self::Interrupted => Ok(()),
        }
    }

    /// Reads the persisted number; `None` for one we never wrote.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Created, Self::Receiving, Self::Complete, Self::Interrupted]
            .into_iter()
            .find(|state| *state as i64 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_written_once() {
        let open = SessionState::Open;
        let receiving = TopicState::Created.after(TopicMove::BeginPut, open).unwrap().unwrap();
        assert_eq!(receiving.after(TopicMove::BeginPut, open), Err(Refusal::TopicReceiving));
        for end in [TopicMove::Complete, TopicMove::Interrupt] {
            let ended = receiving.after(end, open).unwrap().unwrap();
            assert_eq!(ended.after(TopicMove::BeginPut, open), Err(Refusal::TopicWritten));
        }
    }

    #[test]
    fn a_final_session_does_not_change() {
        for step in [TopicMove::BeginPut, TopicMove::Delete] {
            assert_eq!(TopicState::Complete.after(step, SessionState::Final), Err(Refusal::SessionFinal));
        }
        assert_eq!(SessionState::Final.after(SessionMove::CreateTopic, []), Err(Refusal::SessionFinal));
        assert_eq!(SessionState::Final.after(SessionMove::Finalize, []), Ok(SessionState::Final));
    }

    #[test]
    fn finalize_needs_topics_and_all_of_them_ended() {
        use TopicState::*;
        let finalize = |topics: &[TopicState]| SessionState::Open.after(SessionMove::Finalize, topics.iter().copied());
        assert_eq!(finalize(&[]), Err(Refusal::SessionEmpty));
        assert_eq!(finalize(&[Complete, Created]), Err(Refusal::TopicWithoutPut));
        assert_eq!(finalize(&[Complete, Receiving]), Err(Refusal::TopicReceiving));
        assert_eq!(finalize(&[Complete, Interrupted]), Ok(SessionState::Final));
    }
}
