//! The tables of a shared catalog, and how they are made and checked. Only `tessera catalog init` makes anything; a daemon
//! that finds another layout refuses to run.
//!
//! A table is written either by conditional statements alone (*LWT*) or by plain ones alone; mixing them on a row would lose
//! updates silently. Everything that can change hands is LWT: the claim of a name, and the partition of a sequence with its
//! sessions and topic names. Every plain row has one writer, the node that owns the session, and is written once.
//!
//! | table                | LWT | rows                                                                             |
//! |----------------------|-----|----------------------------------------------------------------------------------|
//! | `layout`             | yes | one: which layout, and over how many partitions names are spread                  |
//! | `fleet`              | yes | one: the secret by which servers know each other; made once                       |
//! | `node`               | yes | a server, its last start, and where the others reach it                           |
//! | `name_claim`         | yes | who has a sequence name                                                          |
//! | `sequence`           | yes | kind 0: the sequence; 1: its sessions; 2: the names of its topics                |
//! | `sequence_document`  |     | user metadata, in pieces                                                         |
//! | `name_list`          |     | names in order, in `spread` partitions; a row without a live sequence is garbage |
//! | `session_place`      |     | the sequence of a session                                                        |
//! | `topic_place`        |     | the sequence, session and path of a published topic                              |
//! | `topic`              |     | what is published of a topic                                                     |
//! | `topic_document`     |     | metadata and schemas that are too long for that row, in pieces                   |
//! | `segment`            |     | zone maps                                                                        |
//! | `directory`          |     | chunk records of a segment, in pieces                                            |
//! | `notification`       |     | by sequence or topic                                                             |
//! | `deletion`           |     | per node: sessions of it that may have been deleted by any node                  |

use std::time::Duration;

use scylla::client::session::Session;
use uuid::Uuid;

use super::fault::schema_fault;
use crate::catalog::CatalogError;
use crate::io;

/// Version of the tables below; any other is refused.
const LAYOUT: i32 = 2;

/// The one before, without `fleet` and `node`: `init` adds what is missing.
const LAYOUT_BEFORE: i32 = 1;

/// Partitions over which names are spread: good for 20 000 sequences each.
const SPREAD: i16 = 16;

const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

const TABLES: &[&str] = &[
    "layout (one tinyint PRIMARY KEY, version int, spread smallint, id uuid)",
    "fleet (one tinyint PRIMARY KEY, secret blob)",
    "node (node uuid PRIMARY KEY, start uuid, address text)",
    "name_claim (name text PRIMARY KEY, id uuid)",
    "sequence (sequence_id uuid, kind tinyint, key text, name text STATIC, state tinyint STATIC, created bigint STATIC,
     metadata_len int STATIC, sessions int STATIC, anchor tinyint,
     session_id uuid, session_number int, session_state tinyint, node uuid, session_created bigint, completed bigint,
     topics int, topic_bytes bigint, digest blob,
     topic_id uuid, topic_session uuid, tag text, format text, topic_created bigint,
     PRIMARY KEY ((sequence_id), kind, key))",
    "sequence_document (sequence_id uuid, piece int, bytes blob, PRIMARY KEY ((sequence_id), piece))",
    "name_list (part smallint, name text, id uuid, PRIMARY KEY ((part), name, id))",
    "session_place (session_id uuid PRIMARY KEY, sequence_id uuid)",
    "topic_place (topic_id uuid PRIMARY KEY, sequence_id uuid, session_id uuid, path text)",
    "topic (sequence_id uuid, topic_id uuid, session_id uuid, ordinal int, path text, tag text, format text, state tinyint,
     shard int, device int, created bigint, completed bigint, row_count bigint, file_bytes bigint, chunks bigint,
     first bigint, last bigint, segments int, first_segment bigint,
     metadata blob, metadata_len int, schema_bytes blob, schema_len int,
     PRIMARY KEY ((sequence_id), topic_id))",
    "topic_document (topic_id uuid, kind tinyint, piece int, bytes blob, PRIMARY KEY ((topic_id), kind, piece))",
    "segment (sequence_id uuid, part bigint, topic_id uuid, number int, first bigint, last bigint, zone blob,
     directory_len int, PRIMARY KEY ((sequence_id, part), topic_id, number))",
    "directory (sequence_id uuid, part bigint, topic_id uuid, number int, piece int, bytes blob,
     PRIMARY KEY ((sequence_id, part), topic_id, number, piece))",
    "notification (target uuid, number bigint, id uuid, created bigint, message text,
     PRIMARY KEY ((target), number, id))",
    "deletion (node uuid, session_id uuid, sequence_id uuid, PRIMARY KEY ((node), session_id))",
];

/// What was chosen when the tables were made.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Partitions over which names are spread.
    pub spread: i16,
    /// Of this catalog, so that a node can tell it from another one.
    pub id: Uuid,
    /// By which the servers that share it know each other.
    pub secret: [u8; 32],
}

/// How a keyspace is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// Copies of every row; `None`: three, or as many as there are nodes.
    pub copies: Option<u8>,
}

/// Makes the keyspace and the tables that are missing, in a keyspace of the layout before too. Repeating it changes nothing. One
/// at a time: two that run beside each other can leave the nodes with different schemas.
///
/// # Errors
/// `SchemaMismatch` for a keyspace with a layout that is not known here, `Unavailable` when the cluster does not answer.
pub async fn init(session: &Session, keyspace: &str, replication: Replication) -> Result<(), CatalogError> {
    let run = async |statement: String| session.query_unpaged(statement, ()).await.map_err(|e| schema_fault(&e));
    let local = run("SELECT data_center FROM system.local".to_owned()).await?;
    let local = local.into_rows_result().map_err(|error| schema_fault(&error))?;
    let (center,): (String,) = local.single_row().map_err(|error| schema_fault(&error))?;
    let state = session.get_cluster_state();
    let nodes = state.get_nodes_info().iter().filter(|node| node.datacenter.as_ref() == Some(&center)).count();
    let copies = replication.copies.map_or_else(|| nodes.clamp(1, 3), usize::from);
    let center = center.replace('\'', "''");
    run(format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
         {{'class': 'NetworkTopologyStrategy', '{center}': {copies}}}"
    ))
    .await?;
    for table in TABLES {
        run(format!("CREATE TABLE IF NOT EXISTS {keyspace}.{table}")).await?;
    }
    let no_seed = |error: std::io::Error| CatalogError::Unavailable { cause: format!("no random numbers: {error}") };
    let insert = format!("INSERT INTO {keyspace}.fleet (one, secret) VALUES (0, ?) IF NOT EXISTS");
    let secret = io::seed().map_err(no_seed)?.to_vec();
    session.query_unpaged(insert, (secret,)).await.map_err(|error| schema_fault(&error))?;
    run(format!(
        "INSERT INTO {keyspace}.layout (one, version, spread, id) VALUES (0, {LAYOUT}, {SPREAD}, uuid()) IF NOT EXISTS"
    ))
    .await?;
    // Last: from here on servers of the layout before are refused.
    run(format!("UPDATE {keyspace}.layout SET version = {LAYOUT} WHERE one = 0 IF version = {LAYOUT_BEFORE}")).await?;
    check(session, keyspace).await.map(drop)
}

/// Looks whether the keyspace is a catalog of this layout. A node answers of its own knowledge, and may be behind the others for
/// a moment: so several are asked.
///
/// # Errors
/// `Invalid` for one that is none or of the layout before, `SchemaMismatch` for another one.
pub async fn check(session: &Session, keyspace: &str) -> Result<Layout, CatalogError> {
    for _ in 1..LOOKS {
        match look(session, keyspace).await {
            Err(CatalogError::Invalid { .. }) => tokio::time::sleep(BETWEEN_LOOKS).await,
            other => return other,
        }
    }
    look(session, keyspace).await
}

async fn look(session: &Session, keyspace: &str) -> Result<Layout, CatalogError> {
    let none = || CatalogError::Invalid {
        field: "catalog",
        why: format!("the keyspace {keyspace} holds no catalog: make one with `tessera catalog init --catalog URL`"),
    };
    let found = session
        .query_unpaged(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'layout'",
            (keyspace,),
        )
        .await
        .map_err(|error| schema_fault(&error))?;
    if found.into_rows_result().map_err(|error| schema_fault(&error))?.rows_num() == 0 {
        return Err(none());
    }
    let statement = format!("SELECT version, spread, id FROM {keyspace}.layout WHERE one = 0");
    let found = session.query_unpaged(statement, ()).await.map_err(|error| schema_fault(&error))?;
    let found = found.into_rows_result().map_err(|error| schema_fault(&error))?;
    let (version, spread, id): (i32, i16, Uuid) =
        found.maybe_first_row().map_err(|error| schema_fault(&error))?.ok_or_else(none)?;
    match version {
        LAYOUT if spread > 0 => {}
        LAYOUT_BEFORE => return Err(older(keyspace)),
        other => return Err(CatalogError::SchemaMismatch { found: other.into(), wanted: LAYOUT.into() }),
    }
    let statement = format!("SELECT secret FROM {keyspace}.fleet WHERE one = 0");
    let found = session.query_unpaged(statement, ()).await.map_err(|error| schema_fault(&error))?;
    let found = found.into_rows_result().map_err(|error| schema_fault(&error))?;
    let found: Option<(Vec<u8>,)> = found.maybe_first_row().map_err(|error| schema_fault(&error))?;
    let secret = found.and_then(|(secret,)| <[u8; 32]>::try_from(secret).ok()).ok_or_else(none)?;
    Ok(Layout { spread, id, secret })
}

fn older(keyspace: &str) -> CatalogError {
    CatalogError::Invalid {
        field: "catalog",
        why: format!(
            "the keyspace {keyspace} was made by an older version, before servers knew each other: `tessera catalog init --catalog \
             URL` adds what is missing and changes nothing else; servers of that version can then not be started any more"
        ),
    }
}
