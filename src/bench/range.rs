//! A small time range out of a long topic: how long it takes, and how much is read for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::connection::Connection;
use super::connection::Room;
use super::error::BenchError;
use super::get::read;
use super::get::record;
use super::latency::Latency;
use super::load::Load;
use super::load::STEP_NS;
use super::load::Terms;
use super::load::client_runtime;
use super::message::Template;
use super::process::Server;
use super::report::Row;
use super::scratch::Scratch;
use super::workload::Workload;
use crate::model::TimeRange;

/// Ranges asked for, one after another.
const RANGES: i64 = 100;
/// A range is a hundredth of the topic.
const PART: i64 = 100;

/// Which topics to read ranges of.
#[derive(Clone, Debug)]
pub struct RangePlan {
    pub terms: Terms,
    pub workloads: Vec<Workload>,
}

/// Reads 1 % ranges of one topic of each workload.
///
/// # Errors
/// The first [`BenchError`]; rows before it have been handed over.
pub fn measure_ranges(plan: &RangePlan, scratch: &Scratch, mut done: impl FnMut(Row)) -> Result<(), BenchError> {
    for &workload in &plan.workloads {
        let templates: Arc<[Template]> = Template::all(workload, None)?.into();
        let name = format!("range-{}", workload.name());
        let load = Load::of(workload, 1, &plan.terms, &templates);
        done(measure(&plan.terms, &load, &scratch.path().join(&name))?);
        scratch.discard(&name);
    }
    Ok(())
}

fn measure(terms: &Terms, load: &Load, place: &Path) -> Result<Row, BenchError> {
    let runtime = client_runtime()?;
    let daemon = Server::daemon(place, terms.transport)?;
    let recorded = record(&runtime, load, &daemon)?;
    let rows = load.rows() as i64;
    let width = (rows / PART).max(1);
    let mut asked = Latency::new();
    let (mut tickets, mut stored) = (Vec::new(), 0);
    for n in 0..RANGES {
        // Spread over the middle half, in an order without a pattern.
        let first = rows / 4 + (n * 37 % RANGES) * (rows / 2 - width).max(0) / RANGES;
        let range = TimeRange::new(Some(first * STEP_NS), Some((first + width) * STEP_NS));
        let range = range.map_err(|error| BenchError::Connection(error.to_string()))?;
        let began = Instant::now();
        let answer = recorded.tickets(range)?;
        asked.record(began.elapsed());
        for (ticket, bytes) in answer {
            tickets.push(ticket);
            stored = bytes;
        }
    }
    let connection = runtime.block_on(Connection::open(daemon.endpoint(), Room::Early))?;
    let before = daemon.usage()?;
    let mut latency = Latency::new();
    let mut received = 0;
    let began = Instant::now();
    for ticket in &tickets {
        let begun = Instant::now();
        received += runtime.block_on(read(&connection, ticket, usize::MAX))?.1;
        latency.record(begun.elapsed());
    }
    let took = began.elapsed();
    let used = daemon.usage()?.since(&before);
    let wanted = load.bytes() as i64 / rows.max(1) * width * RANGES;
    if (received as i64) < wanted {
        let (found, expected) = (received.to_string(), format!("{wanted} or more"));
        return Err(BenchError::Wrong { what: "bytes of the ranges", found, expected });
    }
    let memory = daemon.memory()?;
    let mut row = Row {
        measure: "range",
        workload: load.workload.name().to_owned(),
        streams: 1,
        transport: terms.transport.name(),
        repeats: tickets.len(),
        bytes: load.bytes(),
        mb_s: Some(received as f64 / 1e6 / took.as_secs_f64().max(1e-9)),
        server_s_gb: Some(super::sample::cost(used.cpu, received)),
        peak_rss: Some(memory.peak),
        anonymous_rss: Some(memory.anonymous),
        latency_of: "a range of 1 %, from the call to the last byte",
        ..Row::default()
    };
    row.percentiles(&latency);
    let share = stored as f64 * width as f64 / rows.max(1) as f64;
    let each = used.read_bytes as f64 / RANGES as f64;
    for (name, value) in [
        ("stored_bytes_of_a_range", share),
        ("bytes_read_for_a_range", each),
        ("read_ratio", each / share.max(1.0)),
        ("info_p50_ms", asked.percentile(50.0)),
        ("info_p99_ms", asked.percentile(99.0)),
    ] {
        row.more.insert(name.to_owned(), value.into());
    }
    Ok(row)
}
