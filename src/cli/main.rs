//! From arguments to an exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::client::Client;
use crate::client::ClientError;

use super::arguments::Arguments;
use super::arguments::CatalogCommand;
use super::arguments::Command;
use super::arguments::ConfigCommand;
use super::arguments::ServerArguments;
use super::bench;
use super::cat;
use super::catalog;
use super::config;
use super::export;
use super::info;
use super::ls;
use super::notifications;
use super::query;
use super::rescue;
use super::serve;
use super::status;
use super::verify;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done = 0,
    Failed = 1,
    /// What was asked for cannot be meant: clap ends with the same number.
    Usage = 2,
    /// The work is done and something was found that somebody should look at.
    Found = 3,
    Unreachable = 5,
}

/// A failed command: what to print, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub outcome: Outcome,
    pub message: String,
}

impl Failure {
    /// An error with all its causes.
    pub fn new(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some errors already repeat their cause.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Self { outcome: Outcome::Failed, message }
    }

    /// The arguments are wrong, whatever the server would say.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::Usage, message: message.into() }
    }
}

/// For `map_err`: what an argument is not.
pub fn wrong_usage(error: impl std::error::Error) -> Failure {
    Failure { outcome: Outcome::Usage, ..Failure::new(&error) }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let error: &(dyn std::error::Error + 'static) = &error;
        match error.downcast_ref() {
            Some(error) => of_client(error),
            None => Self::new(error),
        }
    }
}

/// Connects to the server that the arguments name.
pub fn connect(arguments: &ServerArguments) -> Result<Client, Failure> {
    Ok(Client::connect(&arguments.server)?)
}

/// As [`connect`], to read many streams side by side.
pub fn connect_reading(arguments: &ServerArguments, streams: usize) -> Result<Client, Failure> {
    Ok(Client::connect_reading(&arguments.server, streams)?)
}

/// With the exit code of its kind, whether nobody answered from the start or not any more.
fn of_client(error: &ClientError) -> Failure {
    match error {
        ClientError::Unreachable { .. } | ClientError::Silent { .. } => {
            Failure { outcome: Outcome::Unreachable, ..Failure::new(error) }
        }
        ClientError::Address(error) => wrong_usage(error),
        _ => Failure::new(error),
    }
}

pub fn main() -> ExitCode {
    let arguments = Arguments::parse(); // exits with 2 on wrong usage
    let result = match &arguments.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Config(ConfigCommand::Check(arguments)) => config::check(arguments),
        Command::Config(ConfigCommand::Explain(arguments)) => config::explain(arguments),
        Command::Ls(arguments) => ls::run(arguments),
        Command::Info(arguments) => info::run(arguments),
        Command::Cat(arguments) => cat::run(arguments),
        Command::Query(arguments) => query::run(arguments),
        Command::Export(arguments) => export::run(arguments),
        Command::Notifications(arguments) => notifications::run(arguments),
        Command::Finalize(arguments) => rescue::finalize(arguments),
        Command::Discard(arguments) => rescue::discard(arguments),
        Command::Catalog(CatalogCommand::Rebuild(arguments)) => catalog::rebuild(arguments),
        Command::Catalog(CatalogCommand::Init(arguments)) => catalog::init(arguments),
        Command::Catalog(CatalogCommand::Check(arguments)) => catalog::check(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
    };
    let outcome = result.unwrap_or_else(|failure| {
        // Standard error may be closed; the exit code still says it.
        let _ = writeln!(std::io::stderr(), "tessera: {}", failure.message);
        failure.outcome
    });
    ExitCode::from(outcome as u8)
}
