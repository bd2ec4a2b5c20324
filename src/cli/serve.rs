//! `tessera serve`.

use crate::daemon;

use super::arguments::ConfigArguments;
use super::config;
use super::main::Failure;
use super::main::Outcome;

pub fn run(arguments: &ConfigArguments) -> Result<Outcome, Failure> {
    let loaded = config::load(arguments)?;
    daemon::start_log(&loaded.config.log)?;
    daemon::serve(loaded.config)?;
    Ok(Outcome::Done)
}
