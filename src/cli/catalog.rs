//! `tessera catalog rebuild`: a lost catalog from the files alone. `init` and `check`: one that several servers share.

use crate::catalog::CatalogError;
use crate::catalog::ClusterUrl;
#[cfg(feature = "scylla")]
use crate::catalog::Replication;
#[cfg(feature = "scylla")]
use crate::catalog::ScyllaCatalog;
use crate::daemon;
use crate::daemon::RebuildPlan;
use crate::io::Host;

use super::arguments::ConfigArguments;
use super::arguments::InitArguments;
use super::arguments::RebuildArguments;
use super::config;
use super::main::Failure;
use super::main::Outcome;
use super::output;
use super::output::Table;

pub fn rebuild(arguments: &RebuildArguments) -> Result<Outcome, Failure> {
    let config = config::load(&arguments.source)?.config;
    let plan = RebuildPlan { to: arguments.to.clone(), without_missing: arguments.without_missing };
    let rebuilt = futures::executor::block_on(daemon::rebuild(&config, &plan, &Host::default()))?;
    output::tell_unlocked(&rebuilt.unlocked);
    let mut problems = Table::new(&["name", "part", "problem"]);
    for problem in &rebuilt.problems {
        problems.row(vec![problem.name.clone().into(), problem.part.clone().into(), problem.problem.clone().into()]);
    }
    if !problems.is_empty() {
        problems.print()?;
    }
    let counts = [
        output::count(rebuilt.sequences, "sequence"),
        format!("{} ({} of them open)", output::count(rebuilt.sessions, "session"), rebuilt.open),
        output::count(rebuilt.topics, "topic"),
        output::count(rebuilt.chunks, "chunk"),
        output::count(rebuilt.rows, "row"),
    ];
    eprintln!("rebuilt: {}; {} with problems", counts.join(", "), rebuilt.problems.len());
    if rebuilt.purged > 0 {
        eprintln!("{} deleted and not purged yet: no files of it are left", rebuilt.purged);
    }
    if let Some(old) = &rebuilt.old {
        eprintln!("the catalog that was there is in {}", old.display());
    }
    eprintln!(
        "not in the files, so not back: notifications, why topics were interrupted, keys and tokens (writers begin new \
         sessions, readers ask for new tickets), sequences without a final session; of sessions that were open the user \
         metadata and topics without rows"
    );
    if rebuilt.open > 0 {
        eprintln!(
            "`tessera ls --open` shows what came back open; `tessera finalize` makes it readable, `tessera discard` deletes it"
        );
    }
    Ok(if rebuilt.problems.is_empty() { Outcome::Done } else { Outcome::Found })
}

/// The shared catalog that these arguments name.
fn shared(arguments: &ConfigArguments) -> Result<ClusterUrl, Failure> {
    let url = config::load(arguments)?.config.catalog.cluster()?;
    let none =
        || CatalogError::Invalid { field: "catalog", why: "name one: --catalog scylla://HOST/KEYSPACE".to_owned() };
    Ok(url.ok_or_else(none)?)
}

#[cfg(feature = "scylla")]
pub fn init(arguments: &InitArguments) -> Result<Outcome, Failure> {
    let url = shared(&arguments.source)?;
    futures::executor::block_on(ScyllaCatalog::init(&url, Replication { copies: arguments.copies }))?;
    println!("{url} is a catalog");
    Ok(Outcome::Done)
}

#[cfg(feature = "scylla")]
pub fn check(arguments: &ConfigArguments) -> Result<Outcome, Failure> {
    let url = shared(arguments)?;
    futures::executor::block_on(ScyllaCatalog::check(&url))?;
    println!("{url} is a catalog that this program can use");
    Ok(Outcome::Done)
}

#[cfg(not(feature = "scylla"))]
pub fn init(arguments: &InitArguments) -> Result<Outcome, Failure> {
    check(&arguments.source)
}

#[cfg(not(feature = "scylla"))]
pub fn check(arguments: &ConfigArguments) -> Result<Outcome, Failure> {
    shared(arguments)?;
    Err(daemon::SharedError::NotBuilt.into())
}
