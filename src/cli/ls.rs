//! `tessera ls [locator]` and `tessera ls --open`.

use std::io;
use std::io::IsTerminal;

use serde_json::json;

use crate::client::Client;
use crate::client::ClientError;
use crate::client::DataInfo;
use crate::client::Info;
use crate::client::SessionInfo;
use crate::client::TopicInfo;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::wire::InfoExtras;
use crate::wire::utc_datetime;

use super::arguments::LsArguments;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::main::wrong_usage;
use super::output;
use super::output::Cell;
use super::output::Table;

/// Digits of a session's id on a terminal: enough to tell the few sessions of a sequence apart.
const SESSION_DIGITS: usize = 8;

const EXTRAS: InfoExtras = InfoExtras { storage: false, open: true, selection: None };

pub fn run(arguments: &LsArguments) -> Result<Outcome, Failure> {
    let locator = arguments.locator.as_deref().map(Locator::parse).transpose().map_err(wrong_usage)?;
    let client = connect(&arguments.server)?;
    match (arguments.open, locator) {
        (true, locator) => {
            let table = open_sessions(&client, locator)?;
            let (any, people) = (!table.is_empty(), io::stdout().is_terminal());
            table.print()?;
            match any {
                true => note("`tessera finalize SEQUENCE` makes what is durable readable, once the writer is gone"),
                false if people => note("no session is open"),
                false => {}
            }
        }
        (false, None) => sequences(&client)?.print()?,
        (false, Some(locator)) => {
            let info = client.info_with(&locator, TimeRange::ALL, EXTRAS)?;
            topics(&info).print()?;
            if info.sequence.iter().flat_map(|s| &s.sessions).any(|s| !s.locked) {
                note("topics of open sessions cannot be read before their session is finalized (`tessera ls --open`)");
            }
        }
    }
    Ok(Outcome::Done)
}

/// A line for people that is no part of the output.
fn note(text: &str) {
    if io::stdout().is_terminal() && io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// All sequences with what the server tells about each. One that is deleted meanwhile is left out.
fn each_sequence(client: &Client, mut visit: impl FnMut(String, Info)) -> Result<(), Failure> {
    for name in client.list_sequences()? {
        match client.info_with(&Locator::parse(&name)?, TimeRange::ALL, EXTRAS) {
            Ok(info) => visit(name, info),
            Err(ClientError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn sequences(client: &Client) -> Result<Table, Failure> {
    let mut table = Table::new(&["sequence", "created", "sessions", "topics", "rows", "size", "interrupted", "open"]);
    each_sequence(client, |name, info| {
        let total = Sums::of(info.endpoints.iter().map(|e| &e.topic.data_info));
        let cut = info.endpoints.iter().filter(|e| e.topic.interrupted == Some(true)).count();
        let cut_said = if cut == 0 { "-".to_owned() } else { output::count(cut as u64, "topic") };
        let (created, sessions) = info.sequence.map_or((0, Vec::new()), |s| (s.created_at_ns, s.sessions));
        let open: Vec<_> = sessions.iter().filter(|s| !s.locked).collect();
        let so_far = Sums::of(open.iter().flat_map(|s| s.open_topics.iter().flatten()).map(|topic| &topic.data));
        let said = match open.len() as u64 {
            0 => "-".to_owned(),
            n => format!(
                "{}: {}, {} so far",
                output::count(n, "session"),
                output::count(so_far.rows, "row"),
                output::bytes(so_far.bytes)
            ),
        };
        let open = json!({ "sessions": open.len(), "rows": so_far.rows, "bytes": so_far.bytes });
        table.row(vec![
            name.into(),
            Cell::both(utc_datetime(created), created),
            Cell::number(sessions.len().to_string(), sessions.len()),
            Cell::number(info.endpoints.len().to_string(), info.endpoints.len()),
            Cell::number(total.rows.to_string(), total.rows),
            Cell::number(output::bytes(total.bytes), total.bytes),
            Cell::both(cut_said, cut),
            Cell::both(said, open),
        ]);
    })?;
    Ok(table)
}

#[derive(Clone, Copy, Default)]
struct Sums {
    rows: u64,
    bytes: u64,
}

impl Sums {
    fn of<'a>(data: impl Iterator<Item = &'a DataInfo>) -> Self {
        data.fold(Self::default(), |sum, d| Self {
            rows: sum.rows + d.total_row_count,
            bytes: sum.bytes + d.total_bytes,
        })
    }
}

/// The open sessions of one sequence, or of all.
fn open_sessions(client: &Client, locator: Option<Locator>) -> Result<Table, Failure> {
    let mut table = Table::new(&["sequence", "session", "created", "topics", "rows", "size", "state"]);
    let mut add = |name: String, info: Info| {
        let sessions = info.sequence.map(|s| s.sessions).unwrap_or_default();
        for session in sessions.into_iter().filter(|session| !session.locked) {
            let topics = session.open_topics.iter().flatten();
            let Sums { rows, bytes } = Sums::of(topics.clone().map(|topic| &topic.data));
            let (count, id) = (topics.count(), session_id(&session).to_owned());
            table.row(vec![
                name.as_str().into(),
                Cell::both(id.chars().take(SESSION_DIGITS).collect::<String>(), id),
                Cell::both(utc_datetime(session.created_at_ns), session.created_at_ns),
                Cell::number(count.to_string(), count),
                Cell::number(rows.to_string(), rows),
                Cell::number(output::bytes(bytes), bytes),
                state(&session).into(),
            ]);
        }
    };
    match locator {
        None => each_sequence(client, add)?,
        Some(locator) => add(locator.to_string(), client.info_with(&locator, TimeRange::ALL, EXTRAS)?),
    }
    Ok(table)
}

/// The part of a session's locator behind the sequence.
pub fn session_id(session: &SessionInfo) -> &str {
    session.locator.rsplit(':').next().unwrap_or_default()
}

/// What stands between an open session and its end, in a word.
pub fn state(session: &SessionInfo) -> &'static str {
    let has = |state: &str| session.open_topics.iter().flatten().any(|topic| topic.state == state);
    match session.open_topics.as_deref() {
        None => "open",
        Some([]) => "empty",
        Some(_) if has("elsewhere") => "at another server",
        Some(_) if has("receiving") => "receiving",
        Some(_) if has("interrupted") => "interrupted",
        Some(_) if has("created") => "not written",
        Some(_) => "complete",
    }
}

/// Of a topic whose session is final.
fn final_state(topic: &TopicInfo) -> &'static str {
    match topic.interrupted {
        Some(true) => "final, interrupted",
        Some(false) | None => "final",
    }
}

/// One row per topic, those of open sessions too.
fn topics(info: &Info) -> Table {
    let mut table = Table::new(&["topic", "type", "format", "rows", "rate", "span", "size", "chunks", "state"]);
    let final_topics = info.endpoints.iter().map(|e| &e.topic);
    let mut rows: Vec<_> = final_topics
        .map(|t| (&t.resource_locator, &t.ontology_tag, &t.serialization_format, &t.data_info, final_state(t)))
        .collect();
    let open = info.sequence.iter().flat_map(|s| &s.sessions).flat_map(|s| s.open_topics.iter().flatten());
    rows.extend(
        open.map(|t| (&t.resource_locator, &t.ontology_tag, &t.serialization_format, &t.data, t.state.as_str())),
    );
    rows.sort_by_key(|row| row.0);
    for (name, tag, format, data, state) in rows {
        let span = data.interval.map_or(0, |i| i.end_ns.abs_diff(i.start_ns));
        let rate = output::rate(data.total_row_count, span);
        table.row(vec![
            name.trim_start_matches('/').into(),
            tag.as_str().into(),
            format.as_str().into(),
            Cell::number(data.total_row_count.to_string(), data.total_row_count),
            Cell::number(output::hertz(rate), rate),
            Cell::number(output::span(data.total_row_count, span), span),
            Cell::number(output::bytes(data.total_bytes), data.total_bytes),
            Cell::number(data.total_chunks_count.to_string(), data.total_chunks_count),
            state.into(),
        ]);
    }
    table
}
