//! The wait at the end: from a stream's last byte to the OK that says it is durable.

use super::device::Device;
use super::error::BenchError;
use super::latency::Latency;
use super::load::Terms;
use super::load::client_runtime;
use super::process::Server;
use super::recording::Recording;
use super::report::Row;
use super::scratch::Scratch;
use super::scratch::until_empty;
use super::trial::Trial;
use super::trial::try_all;
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
    done: impl FnMut(Row),
) -> Result<(), BenchError> {
    let variants: Vec<_> = plan.sizes.iter().map(|&bytes| (1, Terms { bytes, ..plan.terms.clone() })).collect();
    try_all("close", &plan.workloads, &variants, scratch, |trial| measure(trial, device), done)
}

fn measure(trial: &Trial, device: &Device) -> Result<Row, BenchError> {
    let Trial { terms, load, place, .. } = trial;
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
        runtime.block_on(until_empty(place));
    }
    let mut row = trial.row(&daemon, "from the last byte to the OK")?;
    row.repeats = terms.repeats;
    row.percentiles(&latency);
    let sync = syncs.percentile(99.0);
    row.more.insert("fdatasync_p99_ms".to_owned(), sync.into());
    row.more.insert("allowed_ms".to_owned(), (ALLOWED_MS + 3.0 * sync).into());
    Ok(row)
}
