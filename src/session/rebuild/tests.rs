//! Sessions that do not fit beside one another, and limits that were not there when they were recorded.

use serde_json::value::RawValue;

use super::super::manifest::Json;
use super::super::manifest::MANIFEST_FORMAT;
use super::super::manifest::Sequence;
use super::super::manifest::Session;
use super::*;
use crate::catalog::Admission;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::Visibility;

/// A final session with these topics, each without rows.
fn recalled(number: u128, topics: &[(u128, String)]) -> Recalled {
    let json = |text: &str| Json(RawValue::from_string(text.to_owned()).unwrap());
    let hex = |id: u128| Uuid::from_u128(id).as_simple().to_string();
    let topic = |(id, metadata): &(u128, String)| Topic {
        id: hex(*id),
        path: format!("t{id}"),
        tag: "imu".to_owned(),
        format: "default".to_owned(),
        metadata: json(metadata),
        state: "complete".to_owned(),
        created_at_ns: 1,
        completed_at_ns: Some(2),
        schema: Some("00".repeat(8)),
        rows: 0,
        chunks: Vec::new(),
    };
    Recalled(Manifest {
        format: MANIFEST_FORMAT,
        sequence: Sequence { id: hex(number), name: format!("q{number}"), metadata: json("{}"), created_at_ns: 1 },
        session: Session { id: hex(number + 1), created_at_ns: 1, completed_at_ns: 2 },
        topics: topics.iter().map(topic).collect(),
    })
}

fn restore(recalled: &Recalled, catalog: &EmbeddedCatalog) -> Result<Restored, RestoreError> {
    let (ids, store) = (IdSource::from_seed([recalled.session().0.as_bytes()[15]; 32]), catalog.open_store());
    futures::executor::block_on(recalled.restore((catalog, &store), &ids, &HashMap::new()))
}

fn open(root: &std::path::Path) -> EmbeddedCatalog {
    let config = EmbeddedConfig { admission: Admission::Recalled, ..EmbeddedConfig::default() };
    EmbeddedCatalog::open(&config, &root.join("catalog.db")).unwrap()
}

fn topics(catalog: &EmbeddedCatalog, name: &str) -> Option<usize> {
    let name = SequenceName::parse(name).unwrap();
    let view = futures::executor::block_on(catalog.sequence(&name, Visibility::All)).ok()?;
    Some(view.sessions.iter().map(|session| session.topics.len()).sum())
}

/// Goal: a session of which a part is refused costs itself alone, and leaves nothing that a start would remove files for.
#[test]
fn a_refused_session_is_taken_out_again_whole() {
    let root = tempfile::tempdir().unwrap();
    let catalog = open(root.path());
    let plain = |id: u128| (id, "{}".to_owned());
    restore(&recalled(10, &[plain(100), plain(101)]), &catalog).unwrap();
    // Its second topic has the id of another one.
    let refused = restore(&recalled(20, &[plain(200), plain(101)]), &catalog);
    assert!(matches!(refused, Err(RestoreError::Refused(_))), "{refused:?}");
    assert_eq!((topics(&catalog, "q10"), topics(&catalog, "q20")), (Some(2), None));
    assert_eq!(futures::executor::block_on(catalog.tombstones(0, 9)).unwrap(), []);
    restore(&recalled(20, &[plain(200), plain(201)]), &catalog).unwrap();
    assert_eq!(topics(&catalog, "q20"), Some(2));
}

/// Goal: what was recorded comes back, whatever the limits of admission are by now and in whatever order it came.
#[test]
fn more_metadata_than_a_client_may_send_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let catalog = open(root.path());
    let metadata = format!(r#"{{"definition": "{}"}}"#, "x".repeat(60_000));
    let many: Vec<_> = (100..400).map(|id| (id, metadata.clone())).collect();
    assert_eq!(restore(&recalled(10, &many), &catalog).unwrap().topics, 300);
    catalog.close();
    let limited = EmbeddedCatalog::open(&EmbeddedConfig::default(), &root.path().join("catalog.db")).unwrap();
    assert_eq!(topics(&limited, "q10"), Some(300));
    let refused =
        restore(&recalled(20, &many.iter().map(|(id, text)| (id + 400, text.clone())).collect::<Vec<_>>()), &limited);
    assert!(
        matches!(refused, Err(RestoreError::Refused(why)) if why.contains("at most 16777216")),
        "clients are limited"
    );
}
