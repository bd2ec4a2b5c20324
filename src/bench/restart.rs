//! The start after a crash: a daemon with many chunks and running puts is killed, and started again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::connection::Room;
use super::error::BenchError;
use super::latency::Latency;
use super::load::STEP_NS;
use super::load::Terms;
use super::load::client_runtime;
use super::message::Template;
use super::message::first_message;
use super::process::Server;
use super::recording::Recording;
use super::report::Row;
use super::scratch::Scratch;
use super::scratch::chunk_files;
use super::scratch::until;
use super::workload::Workload;

/// Rows of a chunk, so that small messages make many chunks.
const ROWS_OF_A_CHUNK: usize = 100;

/// Topics that are written at once, and are open when the daemon is killed.
const STREAMS: usize = 8;

/// Longer than any chunk should take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much there is to recover.
#[derive(Clone, Debug)]
pub struct RestartPlan {
    pub terms: Terms,
    /// Chunks on disk when the daemon is killed, about.
    pub chunks: usize,
}

/// Kills and starts, as often as there are repeats.
///
/// # Errors
/// The first [`BenchError`].
pub fn measure_restart(plan: &RestartPlan, scratch: &Scratch, mut done: impl FnMut(Row)) -> Result<(), BenchError> {
    let place = scratch.path().join("restart");
    let runtime = client_runtime()?;
    let start = || Server::daemon_with(&place, plan.terms.transport, &[("TESSERA_CHUNK_ROWS_MAX", "100")]);
    let mut daemon = start()?;
    let templates: Arc<[Template]> = Template::all(Workload::Imu100, Some(ROWS_OF_A_CHUNK))?.into();
    let mut latency = Latency::new();
    let mut chunks = 0;
    for repeat in 0..plan.terms.repeats {
        let recording = Recording::begin(&daemon, &format!("bench-{repeat}"))?;
        // All chunks come in the first round; later ones find puts to interrupt.
        let wanted = if repeat == 0 { plan.chunks } else { STREAMS };
        let topic = |stream| recording.topic(&format!("s{stream}"), Workload::Imu100);
        let commands = (0..STREAMS).map(topic).collect::<Result<Vec<_>, _>>()?;
        chunks += runtime.block_on(leave_open(&daemon, &commands, &templates, wanted, &place))?;
        drop(daemon); // as kill -9
        daemon = start()?;
        latency.record(daemon.started_in());
    }
    let mut row = Row {
        measure: "restart",
        workload: "imu100".to_owned(),
        streams: STREAMS,
        transport: plan.terms.transport.name(),
        repeats: plan.terms.repeats,
        latency_of: "from the start of the process to its readiness, after a kill",
        ..Row::default()
    };
    row.percentiles(&latency);
    row.more.insert("chunks".to_owned(), chunks.into());
    done(row);
    drop(daemon);
    scratch.discard("restart");
    Ok(())
}

/// Writes until so many chunks more are there, and leaves the puts open: the chunks.
async fn leave_open(
    daemon: &Server,
    commands: &[String],
    templates: &Arc<[Template]>,
    chunks: usize,
    place: &Path,
) -> Result<usize, BenchError> {
    let connection = Connection::open(daemon.endpoint(), Room::Early).await?;
    let before = chunk_files(&place.join("data"));
    let mut calls = Vec::new();
    for command in commands {
        calls.push(connection.put(first_message(Workload::Imu100, command)?).await?);
    }
    let mut first_ns = 0;
    for (_, template) in (0..chunks.div_ceil(STREAMS)).zip(templates.iter().cycle()) {
        for call in &mut calls {
            call.send(template.message(first_ns, STEP_NS)).await?;
        }
        first_ns += STEP_NS * template.rows() as i64;
    }
    let made = || chunk_files(&place.join("data")).saturating_sub(before);
    until(PATIENCE, || made() >= chunks).await;
    Ok(made())
}
