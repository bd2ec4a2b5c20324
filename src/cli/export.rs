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
mod plain;
mod record;

use std::io;
use std::io::Write;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use serde_json::Value;
use serde_json::json;

use crate::client::Batches;
use crate::client::Client;
use crate::client::ClientError;
use crate::client::Endpoint;
use crate::client::Info;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::model::TopicName;
use crate::query;
use crate::query::TagPredicate;
use crate::wire::InfoExtras;

use super::arguments::ExportArguments;
use super::arguments::ExportFormat;
use super::field;
use super::main::Failure;
use super::main::Outcome;
use super::main::wrong_usage;
use super::output;
use super::output::Table;
use super::query::never_of_rows;

pub fn run(arguments: &ExportArguments) -> Result<Outcome, Failure> {
    let Exported { table, damaged } = match arguments.format {
        ExportFormat::Parquet => self::parquet::run(arguments)?,
        ExportFormat::Mcap => self::mcap::run(arguments)?,
    };
    table.print()?;
    match damaged.as_slice() {
        [] => Ok(Outcome::Done),
        topics => Err(Failure {
            outcome: Outcome::Failed,
            message: format!("not exported, or not whole: {}; everything else is", topics.join(", ")),
        }),
    }
}

/// What was written, and the topics whose rows could not be read or written.
struct Exported {
    table: Table,
    damaged: Vec<String>,
}

/// The batches of one topic. What is wrong with it ends them: the rows of others can be had all the same.
struct Rows<'a> {
    batches: Option<Batches<'a>>,
    /// Why they end too early.
    lost: Option<String>,
}

impl<'a> Rows<'a> {
    fn open(client: &'a Client, endpoint: &Endpoint) -> Result<Self, Failure> {
        match client.get(&endpoint.ticket) {
            Ok(batches) => Ok(Self { batches: Some(batches), lost: None }),
            Err(error) if error.is_of_its_rows() => Ok(Self { batches: None, lost: Some(error.to_string()) }),
            Err(error) => Err(error.into()),
        }
    }

    /// No more of them, with the reason.
    fn end(&mut self, why: String) {
        (self.batches, self.lost) = (None, Some(why));
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RecordBatch, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.batches.as_mut()?.next()? {
            Err(error) if error.is_of_its_rows() => {
                self.end(error.to_string());
                None
            }
            batch => Some(batch),
        }
    }
}

/// For people: on standard error, so that the output stays what it is.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "tessera: {text}");
}

/// What there is to export: topics with tickets for the rows that are asked for. Those of another tag than the condition's, and
/// those without a column that is asked for, are left out, with a line.
fn look(client: &Client, locator: &Locator, range: TimeRange, selection: Option<&str>) -> Result<Info, Failure> {
    let mut info = client.info(locator, range)?;
    let Some(selection) = selection else { return Ok(info) };
    let query::Selection { columns, rows } = query::parse_selection(selection.as_bytes())?;
    let tag = rows.as_ref().map(|rows| rows.tag.clone());
    let mut others = Vec::new();
    info.endpoints.retain(|endpoint| {
        let fits = tag.as_ref().is_none_or(|tag| *tag == endpoint.topic.ontology_tag);
        if !fits {
            others.push(output::printable(endpoint.topic.resource_locator.trim_start_matches('/')));
        }
        fits
    });
    if let (false, Some(tag)) = (others.is_empty(), tag) {
        let (count, tag) = (output::count(others.len() as u64, "topic"), output::printable(&tag));
        say(&format!("{count} with another tag than {tag} left out: {}", others.join(", ")));
    }
    let columns: Vec<String> = columns.into_iter().flatten().map(|path| path.join(".")).collect();
    leave_out_unfit(client, &mut info, selection, rows.as_ref(), &columns)?;
    for endpoint in &mut info.endpoints {
        let locator = Locator::parse(endpoint.topic.resource_locator.trim_start_matches('/'))?;
        let extras = InfoExtras { selection: Some(selection.to_owned()), ..InfoExtras::default() };
        if let Some(own) = client.info_with(&locator, range, extras)?.endpoints.pop() {
            *endpoint = own;
        }
    }
    Ok(info)
}

/// Leaves out topics without one of `columns`. Refuses fields that no topic has, and conditions that no value of theirs can
/// satisfy, before anything that was exported earlier is taken for out of date.
///
/// * `selection`: with the condition `rows` as it was asked for.
fn leave_out_unfit(
    client: &Client,
    info: &mut Info,
    selection: &str,
    rows: Option<&TagPredicate>,
    columns: &[String],
) -> Result<(), Failure> {
    let refused = |why: String| {
        let message = format!("{why}: nothing is exported, and nothing removed");
        Err(Failure { outcome: Outcome::Failed, message })
    };
    let topics = info.endpoints.len() as u64;
    let of_rows: Vec<String> =
        rows.iter().flat_map(|rows| query::columns(&rows.predicate)).map(|path| path.join(".")).collect();
    let asked: Value = serde_json::from_str(selection).unwrap_or_default();
    let never = |schema: &Schema| never_of_rows(asked.get("where")?, &rows?.tag, schema);
    let mut missing: Vec<&String> = of_rows.iter().chain(columns).collect();
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    // Of conditions alone it matters whether somebody has the fields, with values that may satisfy them.
    let (mut may, mut why) = (false, None);
    for endpoint in std::mem::take(&mut info.endpoints) {
        let name = endpoint.topic.resource_locator.trim_start_matches('/').to_owned();
        if columns.is_empty() && may {
            fit.push(endpoint);
            continue;
        }
        let schema = client.schema(&TopicName::parse(&name)?)?;
        let has = |path: &str| field::find(&schema, &field::steps(path)).is_some();
        missing.retain(|path| !has(path));
        match columns.iter().all(|path| has(path)) {
            true => fit.push(endpoint),
            false => unfit.push(output::printable(&name)),
        }
        if of_rows.iter().all(|path| has(path)) {
            why = never(&schema);
            may |= why.is_none();
        }
    }
    if !missing.is_empty() && topics > 0 {
        let fields: Vec<&str> = missing.into_iter().map(String::as_str).collect();
        let (fields, topics) = (output::printable(&fields.join(", ")), output::count(topics, "topic"));
        return refused(format!("none of {topics} has the field {fields}"));
    }
    if let Some(why) = why.filter(|_| !may) {
        return refused(why);
    }
    if fit.is_empty() && topics > 0 {
        let (columns, topics) = (output::printable(&columns.join(", ")), output::count(topics, "topic"));
        return refused(format!("none of {topics} has all of {columns}"));
    }
    if !unfit.is_empty() {
        let (count, columns) = (output::count(unfit.len() as u64, "topic"), output::printable(&columns.join(", ")));
        say(&format!("{count} without {columns} left out: {}", output::listed(unfit)));
    }
    info.endpoints = fit;
    Ok(())
}

/// What to ask for beside the range, as the tickets carry it.
fn selection(arguments: &ExportArguments) -> Result<Option<String>, Failure> {
    let rows = match &arguments.rows {
        Some(expression) => match query::translate(expression).map_err(wrong_usage)? {
            Value::Object(mut body) if body.keys().all(|key| key == "ontology") => body.remove("ontology"),
            _ => return Err(Failure::usage("--where takes conditions on the rows of one tag: Tag.field > 1")),
        },
        None => None,
    };
    let columns = (!arguments.columns.is_empty()).then_some(&arguments.columns);
    Ok((rows.is_some() || columns.is_some()).then(|| json!({"columns": columns, "where": rows}).to_string()))
}
