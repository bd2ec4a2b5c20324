//! Reading back: DoGet to the last byte, next to the same batches out of memory and to the disk's own reads.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;

use super::connection::Connection;
use super::connection::Room;
use super::device::Device;
use super::error::BenchError;
use super::latency::Latency;
use super::load::Load;
use super::load::Terms;
use super::load::client_runtime;
use super::message::Template;
use super::meter::Meter;
use super::process::Server;
use super::recording::Recorded;
use super::recording::Recording;
use super::report::Row;
use super::sample::Sample;
use super::sample::Turn;
use super::scratch::Scratch;
use super::sink::KEEP;
use super::trial::Trial;
use super::trial::try_all;
use super::usage::Usage;
use super::workload::Workload;
use crate::model::TimeRange;

/// The sink holds at most so much, and sends it over and over: far more than a processor caches.
const KEPT_BYTES_MAX: u64 = 512_000_000;

/// Gets that are given up after their first batch: what a user waits for.
const FIRST_BATCHES: usize = 50;

/// The messages of a schema and of the first batch.
const MESSAGES_TO_FIRST_BATCH: usize = 2;

/// Which gets to measure.
#[derive(Clone, Debug)]
pub struct GetPlan {
    pub terms: Terms,
    pub workloads: Vec<Workload>,
    pub streams: Vec<usize>,
}

/// Measures every workload with every number of streams, each reading a topic of its own.
///
/// # Errors
/// The first [`BenchError`]; rows before it have been handed over.
pub fn measure_gets(
    plan: &GetPlan,
    scratch: &Scratch,
    device: &Device,
    done: impl FnMut(Row),
) -> Result<(), BenchError> {
    let variants: Vec<_> = plan.streams.iter().map(|streams| (*streams, plan.terms.clone())).collect();
    try_all("get", &plan.workloads, &variants, scratch, |trial| measure(trial, device), done)
}

fn measure(trial: &Trial, device: &Device) -> Result<Row, BenchError> {
    let Trial { terms, load, place, .. } = trial;
    let runtime = client_runtime()?;
    let sink = Server::sink(place, terms.transport)?;
    let daemon = Server::daemon(place, terms.transport)?;
    let recorded = record(&runtime, load, &daemon)?.tickets(TimeRange::ALL)?;
    let tickets: Vec<_> = recorded.into_iter().map(|(ticket, _)| ticket).collect();
    let repeated = keep(&runtime, load, &sink)?;
    let bytes = load.bytes();
    device.write(bytes)?;
    let mut turns = Vec::new();
    for repeat in 0..=terms.repeats {
        let raw = device.read(bytes)?;
        let floor = runtime.block_on(get(&sink, &repeated, load))?;
        let sample = runtime.block_on(get(&daemon, &tickets, load))?;
        if repeat > 0 {
            turns.push(Turn { daemon: sample, sink: Some(floor), device: Some(raw) });
        }
    }
    device.clear()?;
    let firsts = runtime.block_on(first_batches(&daemon, &tickets))?;
    let mut row = trial.row(&daemon, "from the call to the first batch")?;
    row.take(&turns);
    row.percentiles(&firsts);
    Ok(row)
}

/// Records one topic a stream, and finalizes.
pub fn record(runtime: &tokio::runtime::Runtime, load: &Load, daemon: &Server) -> Result<Recorded, BenchError> {
    let recording = Recording::begin(daemon, "bench")?;
    runtime.block_on(load.put(daemon, recording.topics(load)?))?;
    recording.finalize()
}

/// Puts what the gets of the sink send into its memory: their tickets.
fn keep(runtime: &tokio::runtime::Runtime, load: &Load, sink: &Server) -> Result<Vec<Vec<u8>>, BenchError> {
    let templates: Arc<[Template]> = Template::all(load.workload, Some(load.workload.rows_read()))?.into();
    let terms = Terms { bytes: load.bytes().min(KEPT_BYTES_MAX), ..Terms::default() };
    let kept = Load::of(load.workload, 1, &terms, &templates);
    runtime.block_on(kept.put(sink, vec![KEEP.to_owned()]))?;
    let one = templates.first().map_or(1, Template::bytes);
    let each = load.bytes() / load.streams.max(1) as u64;
    Ok(vec![each.div_ceil(one).to_string().into_bytes(); load.streams])
}

/// Reads all tickets at once, to their ends.
async fn get(server: &Server, tickets: &[Vec<u8>], load: &Load) -> Result<Sample, BenchError> {
    let mut connections = Vec::new();
    for _ in 0..load.connections.min(tickets.len()) {
        connections.push(Arc::new(Connection::open(server.endpoint(), Room::Early).await?));
    }
    let (server_before, client_before) = (server.usage()?, Usage::of("self")?);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (ticket, connection) in tickets.iter().zip(connections.iter().cycle()) {
        let (ticket, connection) = (ticket.clone(), Arc::clone(connection));
        tasks.spawn(async move { read(&connection, &ticket, usize::MAX).await });
    }
    let (mut latency, mut received) = (Latency::new(), 0);
    while let Some(ended) = tasks.join_next().await {
        let (first, bytes) = ended.map_err(|error| BenchError::Connection(error.to_string()))??;
        latency.record(first);
        received += bytes;
    }
    let took = began.elapsed();
    let (server, client) = (server.usage()?.since(&server_before), Usage::of("self")?.since(&client_before));
    let bytes = load.bytes();
    if received < bytes {
        return Err(BenchError::Wrong {
            what: "bytes read back",
            found: received.to_string(),
            expected: format!("{bytes} or more"),
        });
    }
    Ok(Sample { bytes, rows: load.rows(), took, server, client_cpu: client.cpu, latency })
}

/// Reads until `messages` have come, or all: the time to the first batch, and the bytes.
pub async fn read(connection: &Connection, ticket: &[u8], messages: usize) -> Result<(Duration, u64), BenchError> {
    let began = Instant::now();
    let mut call = connection.get(ticket).await?;
    let (mut meter, mut first) = (Meter::default(), None);
    while let Some(frame) = call.next().await? {
        meter.take(&frame);
        if first.is_none() && meter.messages() >= MESSAGES_TO_FIRST_BATCH {
            first = Some(began.elapsed());
        }
        if meter.messages() >= messages {
            break;
        }
    }
    Ok((first.unwrap_or_else(|| began.elapsed()), meter.bytes()))
}

async fn first_batches(server: &Server, tickets: &[Vec<u8>]) -> Result<Latency, BenchError> {
    let connection = Connection::open(server.endpoint(), Room::Early).await?;
    let mut latency = Latency::new();
    for ticket in tickets.iter().cycle().take(FIRST_BATCHES) {
        latency.record(read(&connection, ticket, MESSAGES_TO_FIRST_BATCH).await?.0);
    }
    Ok(latency)
}
