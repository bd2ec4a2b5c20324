//! Recording as fast as it goes: DoPut from the first byte to the last OK.

use std::path::Path;
use std::sync::Arc;

use super::device::Device;
use super::error::BenchError;
use super::load::Load;
use super::load::Terms;
use super::load::client_runtime;
use super::message::Template;
use super::process::Server;
use super::recording::Recording;
use super::report::Row;
use super::sample::Turn;
use super::scratch::Scratch;
use super::scratch::wait_until_empty;
use super::sink::DROP;
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
    mut done: impl FnMut(Row),
) -> Result<(), BenchError> {
    for &workload in &plan.workloads {
        let templates: Arc<[Template]> = Template::all(workload, None)?.into();
        for &streams in &plan.streams {
            let name = format!("put-{}-{streams}", workload.name());
            let load = Load::of(workload, streams, &plan.terms, &templates);
            done(measure(&plan.terms, &load, &scratch.path().join(&name), device)?);
            scratch.discard(&name);
        }
    }
    Ok(())
}

fn measure(terms: &Terms, load: &Load, place: &Path, device: &Device) -> Result<Row, BenchError> {
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
        let topics: Result<_, _> =
            (0..load.streams).map(|stream| recording.topic(&format!("s{stream}"), load.workload)).collect();
        let sample = runtime.block_on(load.put(&daemon, topics?))?;
        recording.delete()?;
        wait_until_empty(&place.join("data"));
        if repeat > 0 {
            turns.push(Turn { daemon: sample, sink: Some(floor), device: Some(raw) });
        }
    }
    let memory = daemon.memory()?;
    let mut row = Row {
        measure: "put",
        workload: load.workload.name().to_owned(),
        streams: load.streams,
        transport: terms.transport.name(),
        bytes: load.bytes(),
        peak_rss: Some(memory.peak),
        anonymous_rss: Some(memory.anonymous),
        latency_of: "from one message to the next of a stream",
        ..Row::default()
    };
    row.take(&turns);
    Ok(row)
}
