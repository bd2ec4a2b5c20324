//! DoAction: one JSON request, one JSON answer under the name the client used.

mod resource;
mod search;

use futures::StreamExt;
use futures::stream;
use futures::stream::BoxStream;

use super::desk::Desk;
use super::guard;
use super::status::Answerable;
use super::status::tonic_status;
use super::status::unimplemented;
use crate::query::QueryError;
use crate::retrieval::RetrievalError;
use crate::session::SessionError;
use crate::wire::ActionRequest;
use crate::wire::Answer;
use crate::wire::ServerLimits;

/// Told by ListActions: name and what it does. Older spellings of these are understood too.
pub(super) const SERVED: &[(&str, &str)] = &[
    ("info", "Version of the protocol and message sizes"),
    ("version", "Version of the protocol"),
    ("query", "Finds sequences and topics by name, metadata and the values of their rows"),
    ("topic_filter_clusterize", "Windows of time in which rows of a topic match"),
    ("topic_filter_intersect", "Windows of time in which rows of several topics match"),
    ("sequence_create", "Creates a sequence"),
    ("sequence_delete", "Deletes a sequence with all its sessions"),
    ("session_create", "Opens a session on a sequence"),
    ("session_finalize", "Makes a session's topics visible, and immutable"),
    ("session_delete", "Deletes a session with its topics"),
    ("topic_create", "Creates a topic in an open session"),
    ("topic_delete", "Deletes a topic of an open session"),
    ("sequence_notification_create", "Notes what went wrong with a sequence"),
    ("sequence_notification_list", "Lists the notifications of a sequence"),
    ("sequence_notification_purge", "Removes the notifications of a sequence"),
    ("topic_notification_create", "Notes what went wrong with a topic"),
    ("topic_notification_list", "Lists the notifications of a topic"),
    ("topic_notification_purge", "Removes the notifications of a topic"),
    ("tessera_session_finalize", "Finalizes a session whose writer is gone, for who can read the data directory"),
    ("tessera_session_discard", "Deletes an open session whose writer is gone, for who can read the data directory"),
];

/// Messages sent to readers have no limit but protobuf's; clients are told a round one below it.
const ENCODE_BYTES_MAX: u64 = 512 << 20;

/// JSON documents, one per result. Dropping it ends the work for them.
pub(super) type Answers = BoxStream<'static, Result<String, tonic::Status>>;

/// Runs one action. Most answer with one document; windows come as they are found.
pub(super) async fn run(desk: &Desk, kind: &str, body: &[u8]) -> Result<Answers, tonic::Status> {
    guard::check_len("action body", body.len(), guard::ACTION_BYTES_MAX).map_err(|error| tonic_status(&error))?;
    match ActionRequest::parse(kind, body).map_err(|error| tonic_status(&error))? {
        ActionRequest::Unimplemented(name) => Err(unimplemented(&format!("action {name}"))),
        ActionRequest::Query => one(search::query(desk, kind, body).await),
        ActionRequest::Clusterize => search::clusterize(desk, kind, body).await.map_err(|error| tonic_status(&error)),
        ActionRequest::Intersect => search::intersect(desk, kind, body).await.map_err(|error| tonic_status(&error)),
        request => one(answer(desk, kind, request).await),
    }
}

fn one(answer: Result<String, ActionError>) -> Result<Answers, tonic::Status> {
    let answer = answer.map_err(|error| tonic_status(&error))?;
    Ok(stream::iter([Ok(answer)]).boxed())
}

/// What stops an action.
#[derive(Debug, thiserror::Error)]
enum ActionError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Answerable for ActionError {
    fn code(&self) -> tonic::Code {
        match self {
            Self::Session(error) => error.code(),
            Self::Retrieval(error) => error.code(),
            Self::Query(error) => error.code(),
        }
    }
}

async fn answer(desk: &Desk, kind: &str, request: ActionRequest) -> Result<String, ActionError> {
    use ActionRequest as R;
    let json = |answer: Answer| answer.to_json(kind);
    match request {
        R::Info => Ok(json(Answer::Info(limits(desk)))),
        R::Version => Ok(json(Answer::Version)),
        R::SequenceCreate { name, metadata } => {
            desk.sessions.create_sequence(name, metadata).await?;
            Ok(json(Answer::Empty))
        }
        R::SequenceCreateKeyed { name, metadata } => {
            let token = resource::create_keyed(desk, name, metadata).await?;
            Ok(json(Answer::Key(token)))
        }
        R::SequenceDelete { name } => {
            resource::delete_sequence(desk, &name).await?;
            Ok(json(Answer::Empty))
        }
        R::SequenceAbort { name, session } => {
            resource::abort_sequence(desk, &name, session).await?;
            Ok(json(Answer::Empty))
        }
        R::SessionCreate { sequence } => {
            let (head, token) = desk.sessions.create_session(&sequence).await?;
            let (session, form) = (head.id, desk.config.session_answer);
            Ok(json(Answer::Session { token, sequence: &sequence, session, form }))
        }
        R::SessionFinalize { session, sequence } => {
            resource::finalize(desk, session, sequence).await?;
            Ok(json(Answer::Empty))
        }
        R::SessionDelete(address) => {
            resource::delete_session(desk, address).await?;
            Ok(json(Answer::Empty))
        }
        R::TopicCreate { session, name, tag, format, metadata, form } => {
            let request = crate::session::TopicRequest { session, name, tag, format, metadata };
            let (_, token) = desk.sessions.create_topic(request).await?;
            Ok(json(Answer::Topic { token, form }))
        }
        R::TopicDelete { name } => {
            desk.sessions.delete_topic(&name).await?;
            Ok(json(Answer::Empty))
        }
        R::NotificationCreate { target, message } => {
            desk.sessions.notify(target, message).await?;
            Ok(json(Answer::Empty))
        }
        R::NotificationList { target, form } => {
            let items = desk.sessions.notifications(target.clone()).await?;
            Ok(json(Answer::Notifications { target: &target, items: &items, form }))
        }
        R::NotificationPurge { target } => {
            desk.sessions.purge_notifications(target).await?;
            Ok(json(Answer::Empty))
        }
        R::Order { order, seal } => {
            desk.sessions.obey(order, &seal).await?;
            Ok(json(Answer::Empty))
        }
        R::SequenceSystemInfo { name } => Ok(json(resource::sequence_info(desk, name).await?)),
        R::TopicSystemInfo { name } => Ok(json(resource::topic_info(desk, &name).await?)),
        // Answered before the request came here.
        R::Unimplemented(_) | R::Query | R::Clusterize | R::Intersect => Ok(json(Answer::Empty)),
    }
}

fn limits(desk: &Desk) -> ServerLimits {
    ServerLimits {
        decode_bytes_max: desk.config.message_bytes_max as u64,
        encode_bytes_max: ENCODE_BYTES_MAX,
        target_bytes: desk.config.target_message_bytes as u64,
    }
}
