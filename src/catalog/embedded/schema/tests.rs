use std::io::Write;

use rusqlite::StatementStatus;

use super::*;
use crate::catalog::embedded::files;

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
