//! A small time range out of a long topic: how long it takes, and how much is read for it.

use std::time::Instant;

use super::connection::Connection;
use super::connection::Room;
use super::error::BenchError;
use super::get::read;
use super::get::record;
use super::latency::Latency;
use super::load::STEP_NS;
use super::load::Terms;
use super::load::client_runtime;
use super::process::Server;
use super::report::Row;
use super::sample::cost;
use super::sample::speed;
use super::scratch::Scratch;
use super::trial::Trial;
use super::trial::try_all;
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
pub fn measure_ranges(plan: &RangePlan, scratch: &Scratch, done: impl FnMut(Row)) -> Result<(), BenchError> {
    try_all("range", &plan.workloads, &[(1, plan.terms.clone())], scratch, measure, done)
}

fn measure(trial: &Trial) -> Result<Row, BenchError> {
    let Trial { terms, load, place, .. } = trial;
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
    let mut row = trial.row(&daemon, "a range of 1 %, from the call to the last byte")?;
    row.repeats = tickets.len();
    row.mb_s = Some(speed(received, took));
    row.server_s_gb = Some(cost(used.cpu, received));
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
