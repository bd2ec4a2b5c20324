//! Every statement, prepared once. One that cannot be prepared means that the tables are not ours.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use scylla::client::session::Session;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::Consistency;
use scylla::statement::SerialConsistency;
use scylla::statement::prepared::PreparedStatement;

use super::fault::schema_fault;
use crate::catalog::CatalogError;

const PLAIN_TIMEOUT: Duration = Duration::from_secs(10);
const CONDITIONAL_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Clone, Copy)]
enum Kind {
    /// Reads and writes at LOCAL_QUORUM that may be repeated.
    Plain,
    /// Conditional: never repeated by the driver, because nobody knows what the first attempt did.
    Lwt,
}

macro_rules! statements {
    ($($name:ident: $kind:ident $text:literal;)*) => {
        pub struct Statements {
            $(pub $name: PreparedStatement,)*
        }

        impl Statements {
            /// # Errors
            /// `Unavailable` with what the server says.
            pub async fn prepare(session: &Session, keyspace: &str) -> Result<Self, CatalogError> {
                let texts = [$((Kind::$kind, $text),)*];
                let all = texts.map(|(kind, text)| prepare(session, kind, text.replace("{ks}", keyspace)));
                let mut all = try_join_all(all).await?.into_iter();
                let mut next = || all.next().ok_or(CatalogError::Closed);
                Ok(Self { $($name: next()?,)* })
            }
        }
    };
}

statements! {
    // names
    claim_read: Plain "SELECT id FROM {ks}.name_claim WHERE name = ?";
    claim: Lwt "INSERT INTO {ks}.name_claim (name, id) VALUES (?, ?) IF NOT EXISTS";
    claim_drop: Lwt "DELETE FROM {ks}.name_claim WHERE name = ? IF id = ?";
    list: Plain "INSERT INTO {ks}.name_list (part, name, id) VALUES (?, ?, ?)";
    list_drop: Plain "DELETE FROM {ks}.name_list WHERE part = ? AND name = ? AND id = ?";
    list_read: Plain "SELECT name, id FROM {ks}.name_list WHERE part = ? AND name > ? LIMIT ?";
    // the partition of a sequence
    head: Plain "SELECT name, state, created, metadata_len, sessions, session_id, session_number, session_state, node,
        session_created, completed, topics, topic_bytes, digest FROM {ks}.sequence WHERE sequence_id = ? AND kind < 2";
    sequence_create: Lwt "UPDATE {ks}.sequence SET name = ?, state = 0, created = ?, metadata_len = ?, sessions = 0,
        anchor = 1
        WHERE sequence_id = ? AND kind = 0 AND key = '' IF name = null";
    sequence_withdraw: Lwt "UPDATE {ks}.sequence SET name = null, state = null, created = null, metadata_len = null,
        sessions = null, anchor = null
        WHERE sequence_id = ? AND kind = 0 AND key = '' IF state = ?";
    sequence_delete: Lwt "UPDATE {ks}.sequence SET state = 1, anchor = 1
        WHERE sequence_id = ? AND kind = 0 AND key = '' IF state = 0 AND sessions = ?";
    session_create: Lwt "UPDATE {ks}.sequence SET sessions = ?, session_id = ?, session_number = ?, session_state = 0, node = ?,
        session_created = ? WHERE sequence_id = ? AND kind = 1 AND key = ? IF state = 0 AND sessions = ? AND session_id = null";
    session_finalize: Lwt "UPDATE {ks}.sequence SET session_state = 2, completed = ?, topics = ?, topic_bytes = ?, digest = ?
        WHERE sequence_id = ? AND kind = 1 AND key = ? IF state = 0 AND session_state = 0 AND node = ?";
    session_delete: Lwt "UPDATE {ks}.sequence SET session_state = 3
        WHERE sequence_id = ? AND kind = 1 AND key = ? IF session_state = ?";
    session_drop: Lwt "DELETE FROM {ks}.sequence WHERE sequence_id = ? AND kind = 1 AND key = ? IF session_id = ?";
    name_read: Plain "SELECT topic_id, topic_session, tag, format, topic_created FROM {ks}.sequence
        WHERE sequence_id = ? AND kind = 2 AND key = ?";
    name_all: Plain "SELECT key, topic_id, topic_session, tag, format, topic_created FROM {ks}.sequence
        WHERE sequence_id = ? AND kind = 2";
    name_take: Lwt "UPDATE {ks}.sequence SET topic_id = ?, topic_session = ?, tag = ?, format = ?, topic_created = ?
        WHERE sequence_id = ? AND kind = 2 AND key = ? IF state = 0 AND topic_id = ?";
    name_drop: Lwt "DELETE FROM {ks}.sequence WHERE sequence_id = ? AND kind = 2 AND key = ? IF topic_id = ?";
    document: Plain "INSERT INTO {ks}.sequence_document (sequence_id, piece, bytes) VALUES (?, ?, ?)";
    document_read: Plain "SELECT bytes FROM {ks}.sequence_document WHERE sequence_id = ?";
    document_drop: Plain "DELETE FROM {ks}.sequence_document WHERE sequence_id = ?";
    // where ids are
    session_place: Plain "INSERT INTO {ks}.session_place (session_id, sequence_id) VALUES (?, ?)";
    session_place_read: Plain "SELECT sequence_id FROM {ks}.session_place WHERE session_id = ?";
    session_place_drop: Plain "DELETE FROM {ks}.session_place WHERE session_id = ?";
    topic_place: Plain "INSERT INTO {ks}.topic_place (topic_id, sequence_id, session_id, path) VALUES (?, ?, ?, ?)";
    topic_place_read: Plain "SELECT sequence_id, session_id FROM {ks}.topic_place WHERE topic_id = ?";
    topic_place_drop: Plain "DELETE FROM {ks}.topic_place WHERE topic_id = ?";
    // what is published
    topic: Plain "INSERT INTO {ks}.topic (sequence_id, topic_id, session_id, ordinal, path, tag, format, state, shard, device,
        created, completed, row_count, file_bytes, chunks, first, last, segments, first_segment, metadata, metadata_len,
        schema_bytes, schema_len) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    topic_read: Plain "SELECT topic_id, session_id, ordinal, path, tag, format, state, shard, device, created, completed,
        row_count, file_bytes, chunks, first, last, segments, first_segment, metadata, metadata_len, schema_bytes, schema_len
        FROM {ks}.topic WHERE sequence_id = ? AND topic_id = ?";
    topic_all: Plain "SELECT topic_id, session_id, ordinal, path, tag, format, state, shard, device, created, completed,
        row_count, file_bytes, chunks, first, last, segments, first_segment, metadata, metadata_len, schema_bytes, schema_len
        FROM {ks}.topic WHERE sequence_id = ?";
    topic_bare: Plain "SELECT topic_id, session_id, ordinal, path, tag, format, state, shard, device, created, completed,
        row_count, file_bytes, chunks, first, last, segments, first_segment, metadata, metadata_len, schema_len
        FROM {ks}.topic WHERE sequence_id = ?";
    topic_drop: Plain "DELETE FROM {ks}.topic WHERE sequence_id = ? AND topic_id = ?";
    topic_document: Plain "INSERT INTO {ks}.topic_document (topic_id, kind, piece, bytes) VALUES (?, ?, ?, ?)";
    topic_document_read: Plain "SELECT bytes FROM {ks}.topic_document WHERE topic_id = ? AND kind = ?";
    topic_document_drop: Plain "DELETE FROM {ks}.topic_document WHERE topic_id = ?";
    segment: Plain "INSERT INTO {ks}.segment (sequence_id, part, topic_id, number, first, last, zone, directory_len)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    segment_read: Plain "SELECT number, first, last, zone FROM {ks}.segment
        WHERE sequence_id = ? AND part = ? AND topic_id = ? AND number >= ? LIMIT ?";
    segment_one: Plain "SELECT directory_len FROM {ks}.segment
        WHERE sequence_id = ? AND part = ? AND topic_id = ? AND number = ?";
    segment_drop: Plain "DELETE FROM {ks}.segment WHERE sequence_id = ? AND part = ?";
    directory: Plain "INSERT INTO {ks}.directory (sequence_id, part, topic_id, number, piece, bytes) VALUES (?, ?, ?, ?, ?, ?)";
    directory_read: Plain "SELECT bytes FROM {ks}.directory WHERE sequence_id = ? AND part = ? AND topic_id = ? AND number = ?";
    directory_drop: Plain "DELETE FROM {ks}.directory WHERE sequence_id = ? AND part = ?";
    // notifications
    notify: Plain "INSERT INTO {ks}.notification (target, number, id, created, message) VALUES (?, ?, ?, ?, ?)";
    notified: Plain "SELECT number, id FROM {ks}.notification WHERE target = ?";
    notifications: Plain "SELECT created, message FROM {ks}.notification WHERE target = ?";
    notification_drop: Plain "DELETE FROM {ks}.notification WHERE target = ? AND number = ? AND id = ?";
    notification_drop_all: Plain "DELETE FROM {ks}.notification WHERE target = ?";
    // the servers
    member_read: Plain "SELECT start, address FROM {ks}.node WHERE node = ?";
    member_add: Lwt "INSERT INTO {ks}.node (node, start, address) VALUES (?, ?, ?) IF NOT EXISTS";
    member_move: Lwt "UPDATE {ks}.node SET start = ?, address = ? WHERE node = ? IF start = ?";
    // deletions that a node is told
    deletion: Plain "INSERT INTO {ks}.deletion (node, session_id, sequence_id) VALUES (?, ?, ?)";
    deletions: Plain "SELECT session_id, sequence_id FROM {ks}.deletion WHERE node = ?";
    deletion_drop: Plain "DELETE FROM {ks}.deletion WHERE node = ? AND session_id = ?";
}

/// A read of an LWT table that also settles what is under way on its row.
pub fn serial(statement: &PreparedStatement) -> PreparedStatement {
    let mut serial = statement.clone();
    serial.set_consistency(Consistency::LocalSerial);
    serial
}

async fn prepare(session: &Session, kind: Kind, text: String) -> Result<PreparedStatement, CatalogError> {
    let mut statement = session.prepare(text).await.map_err(|error| schema_fault(&error))?;
    statement.set_consistency(Consistency::LocalQuorum);
    match kind {
        Kind::Plain => {
            statement.set_is_idempotent(true);
            statement.set_request_timeout(Some(PLAIN_TIMEOUT));
        }
        Kind::Lwt => {
            statement.set_is_idempotent(false);
            statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
            statement.set_request_timeout(Some(CONDITIONAL_TIMEOUT));
            statement.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy::new())));
        }
    }
    Ok(statement)
}
