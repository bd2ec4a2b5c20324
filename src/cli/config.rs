//! `tessera config check` and `tessera config explain`.

use toml::Value;

use crate::config::LoadError;
use crate::config::Loaded;
use crate::config::Origin;
use crate::config::Override;
use crate::daemon;
use crate::io::Host;

use super::arguments::ConfigArguments;
use super::main::Failure;
use super::main::Outcome;
use super::output::Table;

/// The configuration that these arguments give.
pub fn load(arguments: &ConfigArguments) -> Result<Loaded, LoadError> {
    let mut flags = Vec::new();
    if let Some(listen) = arguments.listen {
        let (key, value) = ("server.listen".to_owned(), Value::String(listen.to_string()));
        flags.push(Override { key, value, origin: Origin::Flag("--listen") });
    }
    if !arguments.data_dirs.is_empty() {
        let paths = arguments.data_dirs.iter().map(|path| Value::String(path.to_string_lossy().into_owned()));
        let (key, value) = ("storage.data_dirs".to_owned(), Value::Array(paths.collect()));
        flags.push(Override { key, value, origin: Origin::Flag("--data-dir") });
    }
    if let Some(url) = &arguments.catalog {
        let (key, value) = ("catalog.url".to_owned(), Value::String(url.clone()));
        flags.push(Override { key, value, origin: Origin::Flag("--catalog") });
    }
    if let Some(address) = &arguments.fleet_address {
        let (key, value) = ("fleet.address".to_owned(), Value::String(address.clone()));
        flags.push(Override { key, value, origin: Origin::Flag("--fleet-address") });
    }
    let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    Loaded::load(arguments.config.as_deref(), variables, flags)
}

pub fn check(arguments: &ConfigArguments) -> Result<Outcome, Failure> {
    daemon::check(&load(arguments)?.config, &Host::default())?;
    println!("the configuration is good");
    Ok(Outcome::Done)
}

pub fn explain(arguments: &ConfigArguments) -> Result<Outcome, Failure> {
    let mut table = Table::new(&["key", "value", "origin"]);
    for line in load(arguments)?.explain() {
        table.row(vec![line.key.into(), line.value.into(), line.origin.to_string().into()]);
    }
    table.print()?;
    Ok(Outcome::Done)
}
