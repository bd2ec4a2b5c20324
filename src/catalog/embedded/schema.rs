//! The file: its tables, its settings, and how it is opened.
//!
//! Rows refer to one another by small surrogate numbers (`row`); a deleted sequence, session or topic keeps its row
//! with `deleted = 1`, which gives up its name, until its files are gone. Times are Unix nanoseconds, ids 16 bytes.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::TransactionBehavior;
use rusqlite::config::DbConfig;

use super::EmbeddedConfig;
use super::fault::answer;
use super::fault::is_full;
use crate::catalog::CatalogError;

/// `tsra`: tells our files from other SQLite files.
const APPLICATION_ID: i64 = 0x7473_7261;
/// Version of the tables below; a file of any other is refused.
const LAYOUT: i64 = 1;
/// Statements kept prepared per connection; there are fewer.
const STATEMENTS: usize = 128;
/// Readers map this much of the file, in bytes.
const MAP_BYTES: i64 = 1 << 30;

const TABLES: &str = "
CREATE TABLE server (
    one INTEGER PRIMARY KEY CHECK (one = 1), incarnation INTEGER NOT NULL, ticket_key BLOB NOT NULL
) STRICT;
CREATE TABLE device (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE sequence (
    row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL, metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL, deleted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX sequence_name ON sequence (name) WHERE deleted = 0;
CREATE TABLE session (
    row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, sequence INTEGER NOT NULL REFERENCES sequence (row),
    token BLOB NOT NULL UNIQUE, state INTEGER NOT NULL, created_at INTEGER NOT NULL, completed_at INTEGER,
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX session_sequence ON session (sequence);
CREATE INDEX session_open ON session (row) WHERE state = 0 AND deleted = 0;
CREATE TABLE topic (
    row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, session INTEGER NOT NULL REFERENCES session (row),
    sequence INTEGER NOT NULL REFERENCES sequence (row), path TEXT NOT NULL, token BLOB NOT NULL UNIQUE,
    tag TEXT NOT NULL, format TEXT NOT NULL, state INTEGER NOT NULL, shard INTEGER NOT NULL, device INTEGER NOT NULL,
    created_at INTEGER NOT NULL, completed_at INTEGER, deleted INTEGER NOT NULL DEFAULT 0,
    rows INTEGER NOT NULL DEFAULT 0, file_bytes INTEGER NOT NULL DEFAULT 0, chunks INTEGER NOT NULL DEFAULT 0,
    first INTEGER, last INTEGER, why TEXT, metadata TEXT NOT NULL, schema BLOB
) STRICT;
CREATE UNIQUE INDEX topic_path ON topic (sequence, path) WHERE deleted = 0;
CREATE INDEX topic_session ON topic (session);
CREATE INDEX topic_sequence ON topic (sequence);
CREATE INDEX topic_receiving ON topic (row) WHERE state = 1;
CREATE TABLE journal (n INTEGER PRIMARY KEY, topic INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
CREATE TABLE segment (
    topic INTEGER NOT NULL REFERENCES topic (row), number INTEGER NOT NULL, first INTEGER NOT NULL,
    last INTEGER NOT NULL, zone BLOB NOT NULL, PRIMARY KEY (topic, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE segment_directory (
    topic INTEGER NOT NULL REFERENCES topic (row), number INTEGER NOT NULL, packed BLOB NOT NULL,
    PRIMARY KEY (topic, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE tombstone (
    number INTEGER PRIMARY KEY AUTOINCREMENT, session INTEGER NOT NULL REFERENCES session (row),
    topic INTEGER REFERENCES topic (row)
) STRICT;
CREATE INDEX tombstone_session ON tombstone (session);
CREATE INDEX tombstone_topic ON tombstone (topic);
CREATE TABLE notification (
    number INTEGER PRIMARY KEY, sequence INTEGER REFERENCES sequence (row), topic INTEGER REFERENCES topic (row),
    message TEXT NOT NULL, created_at INTEGER NOT NULL, CHECK ((sequence IS NULL) <> (topic IS NULL))
) STRICT;
CREATE INDEX notification_sequence ON notification (sequence) WHERE sequence IS NOT NULL;
CREATE INDEX notification_topic ON notification (topic) WHERE topic IS NOT NULL;
";

/// What later versions of this program added to the layout, found or made at every opening.
const ADDED: &str = "
CREATE INDEX IF NOT EXISTS session_open ON session (row) WHERE state = 0 AND deleted = 0;
CREATE TABLE IF NOT EXISTS start (incarnation INTEGER PRIMARY KEY, id BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS moment (incarnation INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT;
";

/// Found or made at every opening too, in a transaction of its own: the catalog answers the same without it.
const TOPIC_TAG: &str = "CREATE INDEX IF NOT EXISTS topic_tag ON topic (tag) WHERE deleted = 0";

/// Which thread a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Writer,
    Reader,
    Checkpoint,
}

/// Opens the file for one thread. The writer is first: it makes the file when there is none.
///
/// # Errors
/// `SchemaMismatch` for a file that is not ours or of another layout, `Corrupt` for one that is no database,
/// `Unavailable` when it cannot be opened.
pub fn connect(config: &EmbeddedConfig, path: &Path, role: Role) -> Result<Connection, CatalogError> {
    open(config, path, role).map_err(|error| answer(&error)).and_then(|mut connection| {
        if role == Role::Writer {
            prepare(&mut connection)?;
            // Full is the disk of one that was made without it: what is there can still be read, and deleted.
            match connection.execute_batch(TOPIC_TAG) {
                Err(error) if is_full(&error) => tracing::warn!("no room for the index of tags: queries are slower"),
                made => made.map_err(|error| answer(&error))?,
            }
        }
        Ok(connection)
    })
}

fn open(config: &EmbeddedConfig, path: &Path, role: Role) -> rusqlite::Result<Connection> {
    let access = match role {
        Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Role::Checkpoint => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    // Each connection stays on one thread, so SQLite need not lock it.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Else a statement that asks for `state = ?`, which an index is made for some values of, is prepared anew each time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // The checkpoint never makes the writer wait: it tries again a second later.
    connection.busy_timeout(Duration::from_secs(if role == Role::Checkpoint { 0 } else { 5 }))?;
    let cache_kib = i64::try_from(config.cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    match role {
        Role::Writer => {
            connection.pragma_update(None, "page_size", 4096)?;
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
            connection.pragma_update(None, "foreign_keys", "ON")?;
            connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |row| row.get::<_, i64>(0))?;
        }
        Role::Reader => {
            connection.pragma_update_and_check(None, "mmap_size", MAP_BYTES, |row| row.get::<_, i64>(0))?;
        }
        Role::Checkpoint => {}
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Makes the tables of a new file, in one transaction, and refuses every file that is not of this layout.
fn prepare(connection: &mut Connection) -> Result<(), CatalogError> {
    let store = |error: rusqlite::Error| answer(&error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store)?;
    let number = |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(store);
    let (application, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, found, tables) {
        (APPLICATION_ID, LAYOUT, _) => {
            // Files that were made without get it here. It changes no layout: whoever does not know an index keeps it up, and
            // starts and moments that are not in their tables say nothing.
            transaction.execute_batch(ADDED).map_err(store)?;
            transaction.commit().map_err(store)
        }
        (0, 0, 0) => {
            transaction.execute_batch(TABLES).map_err(store)?;
            transaction.execute_batch(ADDED).map_err(store)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(store)?;
            transaction.pragma_update(None, "user_version", LAYOUT).map_err(store)?;
            transaction.commit().map_err(store)
        }
        _ => Err(CatalogError::SchemaMismatch { found, wanted: LAYOUT }),
    }
}

/// Opens a file that another process may be writing, for looking at it. Nothing is made or changed.
///
/// # Errors
/// As [`connect`].
pub fn look(config: &EmbeddedConfig, path: &Path) -> Result<Connection, CatalogError> {
    let connection = connect(config, path, Role::Reader)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| answer(&error));
    let (application, found) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
    match (application, found) {
        (APPLICATION_ID, LAYOUT) => Ok(connection),
        _ => Err(CatalogError::SchemaMismatch { found, wanted: LAYOUT }),
    }
}

#[cfg(test)]
mod tests;
