//! `tessera export <locator> --to DIR`: rows as files that other tools read.

mod bind;
mod cdr;
mod cloud;
mod container;
mod encoder;
mod json_schema;
mod mcap;
mod message;
mod node;
mod parquet;
mod record;

use serde_json::Value;
use serde_json::json;

use crate::query;

use super::arguments::ExportArguments;
use super::arguments::ExportFormat;
use super::main::Failure;
use super::main::Outcome;

pub fn run(arguments: &ExportArguments) -> Result<Outcome, Failure> {
    let table = match arguments.format {
        ExportFormat::Parquet => self::parquet::run(arguments)?,
        ExportFormat::Mcap => self::mcap::run(arguments)?,
    };
    table.print()?;
    Ok(Outcome::Done)
}

/// What to ask for beside the range, as the tickets carry it.
fn selection(arguments: &ExportArguments) -> Result<Option<String>, Failure> {
    let rows = match &arguments.rows {
        Some(expression) => match query::translate(expression)? {
            Value::Object(mut body) if body.keys().all(|key| key == "ontology") => body.remove("ontology"),
            _ => {
                let message = "--where takes conditions on the rows of one tag: Tag.field > 1".to_owned();
                return Err(Failure { outcome: Outcome::Failed, message });
            }
        },
        None => None,
    };
    let columns = (!arguments.columns.is_empty()).then_some(&arguments.columns);
    Ok((rows.is_some() || columns.is_some()).then(|| json!({"columns": columns, "where": rows}).to_string()))
}
