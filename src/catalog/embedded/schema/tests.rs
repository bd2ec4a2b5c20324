use std::io::Write;

use futures::executor::block_on;
use rusqlite::StatementStatus;
use rusqlite::params;

use super::*;
use crate::catalog::Catalog;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::embedded::files;
use crate::catalog::embedded::tagged;
use crate::model::OntologyTag;

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::default();
    for (name, sql, found) in [
        ("foreign", "CREATE TABLE theirs (a)", 0),
        ("later", "PRAGMA application_id = 1953722977; PRAGMA user_version = 2", 2),
        ("other", "PRAGMA application_id = 7; PRAGMA user_version = 1", 1),
    ] {
        let path = directory.path().join(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = connect(&config, &path, Role::Writer).unwrap_err();
        assert_eq!(error, CatalogError::SchemaMismatch { found, wanted: LAYOUT }, "{name}");
        let count = "SELECT count(*) FROM sqlite_schema WHERE name = 'journal'";
        let ours: i64 = Connection::open(&path).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(ours, 0);
    }
    let mut text = tempfile::NamedTempFile::new_in(&directory).unwrap();
    text.write_all(b"this is no database, however long it may be").unwrap();
    assert!(matches!(connect(&config, text.path(), Role::Writer), Err(CatalogError::Corrupt { .. })));
    let missing = directory.path().join("no directory").join("catalog");
    assert!(matches!(connect(&config, &missing, Role::Writer), Err(CatalogError::Unavailable { .. })));
}

#[test]
fn the_settings_that_durability_needs_are_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog");
    let connection = connect(&EmbeddedConfig::default(), &path, Role::Writer).unwrap();
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(text("PRAGMA journal_mode"), "wal");
    assert_eq!(number("PRAGMA synchronous"), 2);
    assert_eq!(number("PRAGMA foreign_keys"), 1);
    assert_eq!(number("PRAGMA wal_autocheckpoint"), 0);
}

/// Goal: a file that was made before this index was thought of gets it, and the start's question runs over it alone.
#[test]
fn open_sessions_have_an_index_in_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let (config, path) = (EmbeddedConfig::default(), directory.path().join("catalog"));
    connect(&config, &path, Role::Writer).unwrap().execute_batch("DROP INDEX session_open").unwrap();
    let connection = connect(&config, &path, Role::Writer).unwrap();
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", files::OPEN_SESSIONS)).unwrap();
    let plan = explain.query_map([0, 10], |row| row.get::<_, String>("detail")).unwrap();
    let plan: Vec<_> = plan.map(|line| line.unwrap()).collect();
    assert!(plan.iter().any(|line| line.starts_with("SEARCH s USING") && line.contains("session_open")), "{plan:?}");
    assert!(!plan.iter().any(|line| line.contains("SCAN") || line.contains("B-TREE")), "{plan:?}");
}

fn plan(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let plan = explain.query_map(values, |row| row.get::<_, String>("detail")).unwrap();
    plan.map(|line| line.unwrap()).collect()
}

/// Goal: a file that was made before there was an index of tags answers as a new one does, and over the index.
/// Method: the tables as the first version made them, with rows that no later version had a hand in.
#[test]
fn tags_have_an_index_in_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let (config, path) = (EmbeddedConfig::default(), directory.path().join("catalog"));
    let older = Connection::open(&path).unwrap();
    let header = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {LAYOUT};");
    older.execute_batch(&format!("{header}{TABLES}")).unwrap();
    older
        .execute_batch(
            "INSERT INTO sequence (row, id, name, metadata, created_at)
             VALUES (7, x'00000000000000000000000000000007', 'drive', '{}', 1);
             INSERT INTO session (row, id, sequence, token, state, created_at)
             VALUES (3, x'00000000000000000000000000000003', 7, zeroblob(32), 1, 1);",
        )
        .unwrap();
    for (n, tag) in [(1_u128, "IMU"), (2, "GPS"), (3, "IMU")] {
        let insert =
            "INSERT INTO topic (id, session, sequence, path, token, tag, format, state, shard, device, created_at,
                      metadata) VALUES (?1, 3, 7, ?2, ?3, ?4, 'default', 2, 0, 0, 1, '{}')";
        let token = [n as u8; 32];
        older.execute(insert, params![uuid::Uuid::from_u128(n).as_bytes(), format!("t{n}"), token, tag]).unwrap();
    }
    drop(older);
    let catalog = EmbeddedCatalog::open(&config, &path).unwrap();
    let told = block_on(catalog.tagged(OntologyTag::parse("IMU").unwrap(), None, 10)).unwrap();
    let told: Vec<_> = told.items.iter().map(|topic| (topic.id.0.as_u128(), topic.number)).collect();
    assert_eq!(told, [(1, Some(7)), (3, Some(7))]);
    drop(catalog);
    let connection = connect(&config, &path, Role::Reader).unwrap();
    let plan = plan(&connection, tagged::TAGGED, params!["IMU", 0, 1, 10]);
    assert!(plan.iter().any(|line| line.starts_with("SEARCH t USING") && line.contains("topic_tag")), "{plan:?}");
    assert!(!plan.iter().any(|line| line.contains("SCAN") || line.contains("B-TREE")), "{plan:?}");
}

/// Goal: a statement is prepared once, also where an index is made for some of the values that it is asked with.
#[test]
fn statements_stay_prepared_whatever_they_are_asked_with() {
    let directory = tempfile::tempdir().unwrap();
    let (config, path) = (EmbeddedConfig::default(), directory.path().join("catalog"));
    let writer = connect(&config, &path, Role::Writer).unwrap();
    for connection in [writer, connect(&config, &path, Role::Reader).unwrap()] {
        let mut select = connection.prepare("SELECT row FROM session WHERE state = ?1 AND deleted = 0").unwrap();
        for state in [0, 1, 0] {
            assert!(!select.exists([state]).unwrap());
        }
        assert_eq!(select.get_status(StatementStatus::RePrepare), 0);
    }
}
