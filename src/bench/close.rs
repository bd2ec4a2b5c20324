//! The wait at the end: from a stream's last byte to the OK that says it is durable.

use std::path::Path;
use std::sync::Arc;

use super::device::Device;
use super::error::BenchError;
use super::latency::Latency;
use super::load::Load;
use super::load::Terms;
use super::load::client_runtime;
use super::message::Template;
use super::process::Server;
use super::recording::Recording;
use super::report::Row;
use super::scratch::Scratch;
use super::scratch::wait_until_empty;
use super::workload::Workload;

/// fdatasyncs of the bare device for each repeat.
const SYNCS: u64 = 20;

/// What the wait may take beyond three fdatasyncs.
const ALLOWED_MS: f64 = 100.0;

/// Which topics to close.
#[derive(Clone, Debug)]
pub struct ClosePlan {
    pub terms: Terms,
    pub workloads: Vec<Workload>,
    /// Of each topic; one row each.
    pub sizes: Vec<u64>,
}

/// Records topics of every size, one after another.
///
/// # Errors
/// The first [`BenchError`]; rows before it have been handed over.
pub fn measure_closes(
    plan: &ClosePlan,
    scratch: &Scratch,
    device: &Device,
    mut done: impl FnMut(Row),
) -> Result<(), BenchError> {
    for &workload in &plan.workloads {
        let templates: Arc<[Template]> = Template::all(workload, None)?.into();
        for &bytes in &plan.sizes {
            let name = format!("close-{}-{bytes}", workload.name());
            let terms = Terms { bytes, ..plan.terms.clone() };
            let load = Load::of(workload, 1, &terms, &templates);
            done(measure(&terms, &load, &scratch.path().join(&name), device)?);
            scratch.discard(&name);
        }
    }
    Ok(())
}

fn measure(terms: &Terms, load: &Load, place: &Path, device: &Device) -> Result<Row, BenchError> {
    let runtime = client_runtime()?;
    let daemon = Server::daemon(place, terms.transport)?;
    let (mut latency, mut syncs) = (Latency::new(), Latency::new());
    for repeat in 0..terms.repeats {
        syncs.merge(&device.syncs(SYNCS)?);
        device.clear()?;
        let recording = Recording::begin(&daemon, &format!("bench-{repeat}"))?;
        let command = recording.topic("s0", load.workload)?;
        latency.record(runtime.block_on(load.close(&daemon, command))?);
        recording.delete()?;
        wait_until_empty(&place.join("data"));
    }
    let memory = daemon.memory()?;
    let mut row = Row {
        measure: "close",
        workload: load.workload.name().to_owned(),
        streams: 1,
        transport: terms.transport.name(),
        repeats: terms.repeats,
        bytes: load.bytes(),
        peak_rss: Some(memory.peak),
        anonymous_rss: Some(memory.anonymous),
        latency_of: "from the last byte to the OK",
        ..Row::default()
    };
    row.percentiles(&latency);
    let sync = syncs.percentile(99.0);
    row.more.insert("fdatasync_p99_ms".to_owned(), sync.into());
    row.more.insert("allowed_ms".to_owned(), (ALLOWED_MS + 3.0 * sync).into());
    Ok(row)
}
