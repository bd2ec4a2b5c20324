//! `tessera ls [locator]`.

use crate::client::Client;
use crate::client::ClientError;
use crate::client::Endpoint;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::wire::utc_datetime;

use super::arguments::LsArguments;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::output;
use super::output::Cell;
use super::output::Table;

pub fn run(arguments: &LsArguments) -> Result<Outcome, Failure> {
    let client = connect(&arguments.server)?;
    let table = match &arguments.locator {
        None => sequences(&client)?,
        Some(text) => topics(&client, &Locator::parse(text)?)?,
    };
    table.print()?;
    Ok(Outcome::Done)
}

fn sequences(client: &Client) -> Result<Table, Failure> {
    let mut table = Table::new(&["sequence", "created", "sessions", "topics", "rows", "size"]);
    for name in client.list_sequences()? {
        let info = match client.info(&Locator::parse(&name)?, TimeRange::ALL) {
            Ok(info) => info,
            // Deleted since it was listed.
            Err(ClientError::Refused { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let rows: u64 = info.endpoints.iter().map(|e| e.topic.data_info.total_row_count).sum();
        let size: u64 = info.endpoints.iter().map(|e| e.topic.data_info.total_bytes).sum();
        let (created, sessions) = info.sequence.map_or((0, 0), |s| (s.created_at_ns, s.sessions.len()));
        table.row(vec![
            name.into(),
            Cell::both(utc_datetime(created), created),
            Cell::number(sessions.to_string(), sessions),
            Cell::number(info.endpoints.len().to_string(), info.endpoints.len()),
            Cell::number(rows.to_string(), rows),
            Cell::number(output::bytes(size), size),
        ]);
    }
    Ok(table)
}

fn topics(client: &Client, locator: &Locator) -> Result<Table, Failure> {
    let mut endpoints = client.info(locator, TimeRange::ALL)?.endpoints;
    endpoints.sort_by(|a, b| a.topic.resource_locator.cmp(&b.topic.resource_locator));
    Ok(topic_table(&endpoints))
}

/// One row per topic: what `ls` and `info` have in common.
pub fn topic_table(endpoints: &[Endpoint]) -> Table {
    let mut table = Table::new(&["topic", "type", "format", "rows", "rate", "span", "size", "chunks"]);
    for Endpoint { topic, .. } in endpoints {
        let data = &topic.data_info;
        let span = data.interval.map_or(0, |i| i.end_ns.abs_diff(i.start_ns));
        let rate = output::rate(data.total_row_count, span);
        table.row(vec![
            topic.resource_locator.trim_start_matches('/').into(),
            topic.ontology_tag.clone().into(),
            topic.serialization_format.clone().into(),
            Cell::number(data.total_row_count.to_string(), data.total_row_count),
            Cell::number(rate.map_or_else(|| "-".to_owned(), |hz| format!("{hz:.1} Hz")), rate),
            Cell::number(output::duration(span), span),
            Cell::number(output::bytes(data.total_bytes), data.total_bytes),
            Cell::number(data.total_chunks_count.to_string(), data.total_chunks_count),
        ]);
    }
    table
}
