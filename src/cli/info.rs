//! `tessera info <locator>`: one screen.

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use serde_json::Value;
use serde_json::json;

use crate::client::Info;
use crate::client::StorageInfo;
use crate::client::TopicInfo;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::wire::InfoExtras;
use crate::wire::utc_datetime;

use super::arguments::InfoArguments;
use super::json_text::json_text;
use super::ls;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::main::wrong_usage;
use super::output;
use super::output::Cell;
use super::output::Table;

/// Open sessions that are listed; the rest are counted.
const OPEN_MAX: usize = 5;

pub fn run(arguments: &InfoArguments) -> Result<Outcome, Failure> {
    let locator = Locator::parse(&arguments.locator).map_err(wrong_usage)?;
    let extras = InfoExtras { storage: true, open: true, selection: None };
    let mut info = connect(&arguments.server)?.info_with(&locator, TimeRange::ALL, extras)?;
    info.endpoints.sort_by(|a, b| a.topic.resource_locator.cmp(&b.topic.resource_locator));
    if io::stdout().is_terminal() {
        output::quiet_pipe(io::stdout().write_all(head(&locator, &info).as_bytes()))?;
        if !info.endpoints.is_empty() {
            output::quiet_pipe(io::stdout().write_all(b"\n"))?;
            topics(&info).print()?;
        }
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
    let mut line = |name: &str, value: &str| text += &format!("{name:<10} {}\n", output::printable(value));
    line("name", &locator.to_string());
    if let Some(sequence) = &info.sequence {
        let open: Vec<_> = sequence.sessions.iter().filter(|s| !s.locked).collect();
        line("created", &utc_datetime(sequence.created_at_ns));
        line("sessions", &format!("{} finalized, {} open", sequence.sessions.len() - open.len(), open.len()));
        for session in open.iter().take(OPEN_MAX) {
            let data = || session.open_topics.iter().flatten().map(|topic| &topic.data);
            let rows: u64 = data().map(|d| d.total_row_count).sum();
            let size: u64 = data().map(|d| d.total_bytes).sum();
            let id: String = ls::session_id(session).chars().take(8).collect();
            let (topics, rows) = (output::count(data().count() as u64, "topic"), output::count(rows, "row"));
            let (state, size) = (ls::state(session), output::bytes(size));
            line("  open", &format!("{id}  {state}  {topics}, {rows}, {size} durable so far, not yet readable"));
        }
        if open.len() > OPEN_MAX {
            line("  open", &format!("and {} more: `tessera ls --open {locator}`", open.len() - OPEN_MAX));
        }
        line("metadata", &json_text(sequence.user_metadata.get()));
    }
    let cut: Vec<_> = info.endpoints.iter().filter(|e| e.topic.interrupted == Some(true)).collect();
    if !cut.is_empty() {
        let names: Vec<_> =
            cut.iter().take(OPEN_MAX).map(|e| e.topic.resource_locator.trim_start_matches('/')).collect();
        let more = if cut.len() > OPEN_MAX { ", …" } else { "" };
        let count = output::count(cut.len() as u64, "topic");
        line(
            "cut off",
            &format!("{count} interrupted, with the rows that were durable then: {}{more}", names.join(", ")),
        );
    }
    if let [endpoint] = info.endpoints.as_slice()
        && info.sequence.is_none()
    {
        line("created", &utc_datetime(endpoint.topic.created_at_ns));
        line("format", &endpoint.topic.serialization_format);
        line("metadata", &json_text(endpoint.topic.user_metadata.get()));
    }
    if let (Some(first), Some(last)) = (first, last) {
        line("time", &period(first, last));
        let span = last.abs_diff(first);
        // As many rows as the rate of a topic needs: the mean of a moment says nothing.
        if output::rate(rows, span).is_some() {
            let per_second = (size as f64 / (span as f64 / 1e9)) as u64;
            line("mean", &format!("{}/s stored", output::bytes(per_second)));
        }
    }
    let stored =
        format!("{} in {}, {}", output::bytes(size), output::count(chunks, "chunk"), output::count(rows, "row"));
    line("size", &(stored + &raw(info.endpoints.iter().filter_map(|e| e.topic.storage.as_ref()))));
    text
}

/// What the rows took on the wire, and how much of it the files take.
fn raw<'a>(storage: impl Iterator<Item = &'a StorageInfo>) -> String {
    let (logical, file) = storage.fold((0, 0), |(l, f), s| (l + s.logical_bytes, f + s.file_bytes));
    match logical {
        0 => String::new(),
        _ => format!("; {} as received ({:.0}%)", output::bytes(logical), file as f64 * 100.0 / logical as f64),
    }
}

fn topics(info: &Info) -> Table {
    let mut table = Table::new(&["topic", "type", "rows", "rate", "longest gap", "size", "chunks", "codec"]);
    for TopicInfo { resource_locator, ontology_tag, data_info: data, storage, .. } in
        info.endpoints.iter().map(|e| &e.topic)
    {
        let span = data.interval.map_or(0, |i| i.end_ns.abs_diff(i.start_ns));
        let gap = storage.and_then(|storage| storage.gap_max_ns);
        table.row(vec![
            resource_locator.trim_start_matches('/').into(),
            ontology_tag.as_str().into(),
            Cell::number(data.total_row_count.to_string(), data.total_row_count),
            Cell::number(output::hertz(output::rate(data.total_row_count, span)), Value::Null),
            Cell::number(gap.map_or_else(|| "-".to_owned(), output::duration), Value::Null),
            Cell::number(output::bytes(data.total_bytes), data.total_bytes),
            Cell::number(data.total_chunks_count.to_string(), data.total_chunks_count),
            codec(storage.as_ref()).into(),
        ]);
    }
    table
}

/// How the pages are stored: `zstd`, `plain`, or both with their shares of the bytes; `-` when nobody knows.
fn codec(storage: Option<&StorageInfo>) -> String {
    let Some(storage) = storage else { return "-".to_owned() };
    let parts = [("zstd", storage.zstd_bytes), ("plain", storage.plain_bytes), ("unknown", storage.unknown_bytes)];
    let total: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    let mut parts: Vec<_> = parts.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    match parts.as_slice() {
        [] | [("unknown", _)] => "-".to_owned(),
        [(one, _)] => (*one).to_owned(),
        several => {
            let share = |(name, bytes): &(&str, u64)| match bytes.saturating_mul(100).div_ceil(total).min(99) {
                1 => format!("{name} <1%"),
                percent => format!("{name} {percent}%"),
            };
            several.iter().map(share).collect::<Vec<_>>().join(", ")
        }
    }
}

/// From the first to the last timestamp. The day is said once.
fn period(first: i64, last: i64) -> String {
    let span = output::duration(last.abs_diff(first));
    match (date(first), date(last)) {
        (Some(from), Some(to)) => {
            let (day, time) = to.split_once(' ').unwrap_or(("", &to));
            let to = if from.starts_with(day) { time } else { &to };
            format!("{from} … {to}  ({span})")
        }
        _ => format!("{first} … {last} ns  ({span})"),
    }
}

/// A Unix time as a date; `None` for clocks that count from a start.
fn date(ns: i64) -> Option<String> {
    const YEAR_2000: i64 = 946_684_800_000_000_000;
    (ns >= YEAR_2000).then(|| utc_datetime(ns))
}

/// For programs: the sequence on a line, then each topic.
fn lines(info: &Info) -> String {
    let sequence = info.sequence.iter().map(|s| json!({ "sequence": s }));
    let topics = info.endpoints.iter().map(|e| json!({ "topic": e.topic }));
    sequence.chain(topics).map(|line: Value| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(plain_bytes: u64, zstd_bytes: u64, unknown_bytes: u64) -> StorageInfo {
        let (chunks, logical_bytes, file_bytes, gap_max_ns) = (1, 200, 100, None);
        StorageInfo { chunks, logical_bytes, file_bytes, plain_bytes, zstd_bytes, unknown_bytes, gap_max_ns }
    }

    #[test]
    fn the_codec_is_what_the_pages_have() {
        let of = |plain, zstd, unknown| codec(Some(&storage(plain, zstd, unknown)));
        assert_eq!([of(9, 0, 0), of(0, 9, 0), of(0, 0, 0), of(0, 0, 9)], ["plain", "zstd", "-", "-"]);
        assert_eq!(of(38, 62, 0), "zstd 62%, plain 38%");
        assert_eq!(of(1, 1_000_000, 0), "zstd 99%, plain <1%");
        assert_eq!(of(50, 0, 50), "plain 50%, unknown 50%");
        assert_eq!(codec(None), "-");
    }

    #[test]
    fn a_period_names_its_day_once_and_odd_clocks_as_numbers() {
        let start = 1_772_366_400_000_000_000;
        let text = period(start, start + 90_000_000_000);
        assert_eq!(text, "2026-03-01 12:00:00.000000 UTC … 12:01:30.000000 UTC  (1m30s)");
        let text = period(start, start + 86_400_000_000_000);
        assert!(text.contains("… 2026-03-02 12:00:00"), "{text}");
        assert_eq!(period(0, 1_500_000), "0 … 1500000 ns  (1.5ms)");
    }
}
