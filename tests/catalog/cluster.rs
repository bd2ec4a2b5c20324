//! The same catalog on a CQL server, a keyspace for each directory. `TESSERA_TEST_CQL` says where the server is (host:port, …);
//! `tests/cassandra/run start` prints it. Without one these tests say that they did not run, and in CI they fail.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::Once;
use std::sync::OnceLock;
use std::sync::PoisonError;

use futures::executor::block_on;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tessera::catalog::CatalogError;
use tessera::catalog::ClusterUrl;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::EmbeddedConfig;
use tessera::catalog::Replication;
use tessera::catalog::ScyllaCatalog;
use tessera::io::Host;
use tessera::model::IdSource;
use uuid::Uuid;

use crate::stage::Subject;

const ADDRESS: &str = "TESSERA_TEST_CQL";

/// In the directory of a test.
const KEYSPACE_FILE: &str = "keyspace";

/// Whether there is a server; says it aloud when not.
pub fn is_there() -> bool {
    static SAID: Once = Once::new();
    let there = std::env::var_os(ADDRESS).is_some();
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is skipped: set {ADDRESS}");
    if !there {
        // Past the test runner, which would keep it to itself.
        SAID.call_once(|| {
            let line =
                format!("\nSKIPPED: the catalog on a CQL server, because {ADDRESS} is not set (tests/run sets it)\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        });
    }
    there
}

fn address() -> String {
    std::env::var(ADDRESS).unwrap()
}

/// Of one node.
pub fn first_address() -> String {
    address().split(',').next().unwrap().to_owned()
}

/// Schemas are changed one at a time.
fn schema() -> MutexGuard<'static, ()> {
    static SCHEMA: Mutex<()> = Mutex::new(());
    SCHEMA.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn ids() -> Arc<IdSource> {
    Arc::new(IdSource::from_seed(Host::default().seed().unwrap()))
}

/// The keyspace of a directory, made at first sight.
pub fn keyspace(directory: &Path) -> ClusterUrl {
    let file = directory.join(KEYSPACE_FILE);
    let named = std::fs::read_to_string(&file).ok();
    let name = named.clone().unwrap_or_else(|| format!("test_{}", ids().uuid().as_simple()));
    let url = ClusterUrl::parse(&format!("scylla://{}/{name}", address())).unwrap();
    if named.is_none() {
        let _one = schema();
        block_on(ScyllaCatalog::init(&url, Replication { copies: None })).unwrap();
        std::fs::write(file, name).unwrap();
    }
    url
}

/// One node of the fleet: its own store in `directory`, which is also who it is.
pub fn node(url: &ClusterUrl, directory: &Path) -> Subject {
    try_node(url, directory).unwrap()
}

/// The same, when the catalog lets it start.
pub fn try_node(url: &ClusterUrl, directory: &Path) -> Result<Subject, CatalogError> {
    let id = directory.join("node");
    if !id.exists() {
        std::fs::write(&id, ids().uuid().as_bytes()).unwrap();
    }
    let id = Uuid::from_slice(&std::fs::read(id).unwrap()).unwrap();
    let local = EmbeddedCatalog::open(&EmbeddedConfig::default(), &directory.join("catalog.sqlite")).unwrap();
    let open = local.open_store();
    let catalog = block_on(ScyllaCatalog::open(url, id, local, ids()))?;
    block_on(catalog.recover())?;
    Ok(Subject { open, catalog: Arc::new(catalog) })
}

pub fn make(directory: &Path) -> Subject {
    node(&keyspace(directory), directory)
}

/// Drops the keyspace of a directory, if it has one: a server has room for some hundred tables.
pub fn forget(directory: &Path) {
    let Ok(name) = std::fs::read_to_string(directory.join(KEYSPACE_FILE)) else { return };
    let _one = schema();
    let (runtime, session) = administrator();
    let dropped = runtime.block_on(session.query_unpaged(format!("DROP KEYSPACE {name}"), ()));
    if let Err(error) = dropped {
        eprintln!("keyspace {name} stays: {error}");
    }
}

/// Runs a statement as somebody who is no node. Returns the first column of what it answers, when that is text.
pub fn run(statement: &str) -> Vec<String> {
    let (runtime, session) = administrator();
    let answer = runtime.block_on(session.query_unpaged(statement, ())).unwrap();
    let Ok(rows) = answer.into_rows_result() else { return Vec::new() };
    let texts = rows.rows::<(String,)>();
    texts.map_or_else(|_| Vec::new(), |rows| rows.map(|row| row.unwrap().0).collect())
}

fn administrator() -> &'static (tokio::runtime::Runtime, Session) {
    static ADMINISTRATOR: OnceLock<(tokio::runtime::Runtime, Session)> = OnceLock::new();
    ADMINISTRATOR.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let nodes: Vec<String> = address().split(',').map(str::to_owned).collect();
        let session = runtime.block_on(SessionBuilder::new().known_nodes(nodes).build()).unwrap();
        (runtime, session)
    })
}
