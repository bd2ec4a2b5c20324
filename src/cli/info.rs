//! `tessera info <locator>`: one screen.

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use serde_json::Value;
use serde_json::json;

use crate::client::Info;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::wire::utc_datetime;

use super::arguments::InfoArguments;
use super::ls;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::output;

pub fn run(arguments: &InfoArguments) -> Result<Outcome, Failure> {
    let locator = Locator::parse(&arguments.locator)?;
    let mut info = connect(&arguments.server)?.info(&locator, TimeRange::ALL)?;
    info.endpoints.sort_by(|a, b| a.topic.resource_locator.cmp(&b.topic.resource_locator));
    if io::stdout().is_terminal() {
        output::quiet_pipe(io::stdout().write_all(head(&locator, &info).as_bytes()))?;
        ls::topic_table(&info.endpoints).print()?;
    } else {
        output::quiet_pipe(io::stdout().write_all(lines(&info).as_bytes()))?;
    }
    Ok(Outcome::Done)
}

/// What stands above the table of topics.
fn head(locator: &Locator, info: &Info) -> String {
    let data = || info.endpoints.iter().map(|e| &e.topic.data_info);
    let first = data().filter_map(|d| d.interval).map(|i| i.start_ns).min();
    let last = data().filter_map(|d| d.interval).map(|i| i.end_ns).max();
    let rows: u64 = data().map(|d| d.total_row_count).sum();
    let size: u64 = data().map(|d| d.total_bytes).sum();
    let chunks: u64 = data().map(|d| d.total_chunks_count).sum();
    let mut text = String::new();
    let mut line = |name: &str, value: String| text += &format!("{name:<10} {}\n", output::printable(&value));
    line("name", locator.to_string());
    if let Some(sequence) = &info.sequence {
        let open = sequence.sessions.iter().filter(|s| !s.locked).count();
        line("created", utc_datetime(sequence.created_at_ns));
        line("sessions", format!("{} finalized, {open} open", sequence.sessions.len() - open));
        line("metadata", sequence.user_metadata.get().to_owned());
    }
    if let [endpoint] = info.endpoints.as_slice()
        && info.sequence.is_none()
    {
        line("created", utc_datetime(endpoint.topic.created_at_ns));
        line("metadata", endpoint.topic.user_metadata.get().to_owned());
    }
    if let (Some(first), Some(last)) = (first, last) {
        let span = last.abs_diff(first);
        line("time", format!("{} … {}  ({})", time(first), time(last), output::duration(span)));
        if span > 0 {
            let per_second = (size as f64 / (span as f64 / 1e9)) as u64;
            line("rate", format!("{}/s mean", output::bytes(per_second)));
        }
    }
    let plural = if chunks == 1 { "chunk" } else { "chunks" };
    line("size", format!("{} in {chunks} {plural}, {rows} rows", output::bytes(size)));
    text + "\n"
}

/// A recent Unix time as a date; anything else (clocks that count from a start) as its number.
fn time(ns: i64) -> String {
    const YEAR_2000: i64 = 946_684_800_000_000_000;
    if ns >= YEAR_2000 { utc_datetime(ns) } else { format!("{ns} ns") }
}

/// For programs: the sequence on a line, then each topic.
fn lines(info: &Info) -> String {
    let sequence = info.sequence.iter().map(|s| json!({ "sequence": s }));
    let topics = info.endpoints.iter().map(|e| json!({ "topic": e.topic }));
    sequence.chain(topics).map(|line: Value| format!("{line}\n")).collect()
}
