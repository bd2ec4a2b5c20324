//! Recording as fast as it goes: DoPut from the first byte to the last OK.

use super::device::Device;
use super::error::BenchError;
use super::load::Terms;
use super::load::client_runtime;
use super::process::Server;
use super::recording::Recording;
use super::report::Row;
use super::sample::Turn;
use super::scratch::Scratch;
use super::scratch::until_empty;
use super::sink::DROP;
use super::trial::Trial;
use super::trial::try_all;
use super::workload::Workload;

/// Before the first repeat, this share of its bytes is sent and not counted: buffers are made, files laid out.
const WARM_UP: u64 = 4;

/// Which puts to measure.
#[derive(Clone, Debug)]
pub struct PutPlan {
    pub terms: Terms,
    pub workloads: Vec<Workload>,
    pub streams: Vec<usize>,
}

/// Measures every workload with every number of streams.
///
/// # Errors
/// The first [`BenchError`]; rows before it have been handed over.
pub fn measure_puts(
    plan: &PutPlan,
    scratch: &Scratch,
    device: &Device,
    done: impl FnMut(Row),
) -> Result<(), BenchError> {
    let variants: Vec<_> = plan.streams.iter().map(|streams| (*streams, plan.terms.clone())).collect();
    try_all("put", &plan.workloads, &variants, scratch, |trial| measure(trial, device), done)
}

fn measure(trial: &Trial, device: &Device) -> Result<Row, BenchError> {
    let Trial { terms, load, place, .. } = trial;
    let runtime = client_runtime()?;
    let sink = Server::sink(place, terms.transport)?;
    let daemon = Server::daemon(place, terms.transport)?;
    let warm = load.share(WARM_UP);
    let mut turns = Vec::new();
    for repeat in 0..=terms.repeats {
        let load = if repeat == 0 { &warm } else { load };
        let raw = device.write(load.bytes())?;
        device.clear()?;
        let floor = runtime.block_on(load.put(&sink, vec![DROP.to_owned(); load.streams]))?;
        let recording = Recording::begin(&daemon, &format!("bench-{repeat}"))?;
        let sample = runtime.block_on(load.put(&daemon, recording.topics(load)?))?;
        recording.delete()?;
        runtime.block_on(until_empty(place));
        if repeat > 0 {
            turns.push(Turn { daemon: sample, sink: Some(floor), device: Some(raw) });
        }
    }
    let mut row = trial.row(&daemon, "from one message to the next of a stream")?;
    row.take(&turns);
    Ok(row)
}
