//! A vehicle's sensors at their own rates: messages leave when they are due, whether the server keeps up or not.
//!
//! Lateness is measured from the moment a message was *due* to the moment its last byte left for the socket. A server that
//! stands still for a second makes a 30 Hz camera's next thirty messages late, and all thirty count.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::connection::Connection;
use super::connection::PutCall;
use super::connection::Room;
use super::device::Device;
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
use super::sample::Sample;
use super::sample::Turn;
use super::schedule::Schedule;
use super::scratch::Scratch;
use super::sink::DROP;
use super::usage::Usage;
use super::workload::Workload;

/// One kind of sensor.
struct Sensor {
    name: &'static str,
    workload: Workload,
    count: usize,
    /// Messages a second.
    hertz: u32,
    /// Of one message.
    rows: usize,
}

/// IMU rows come at 1 kHz and travel ten at a time.
const SENSORS: [Sensor; 3] = [
    Sensor { name: "camera", workload: Workload::Blobs, count: 4, hertz: 30, rows: 1 },
    Sensor { name: "lidar", workload: Workload::Lidar, count: 2, hertz: 20, rows: 1 },
    Sensor { name: "imu", workload: Workload::Imu100, count: 8, hertz: 100, rows: 10 },
];

/// Nominal seconds that are sent as fast as they go, to find the maximum.
const FLOOD_SECONDS: u32 = 10;

/// fdatasyncs of the bare device in the same run.
const SYNCS: u64 = 50;

/// The run of the mix.
#[derive(Clone, Debug)]
pub struct MixPlan {
    pub terms: Terms,
    pub seconds: u32,
    /// Share of the measured maximum to send at; the sensors' own rates when `None`.
    pub rate: Option<f64>,
}

/// One stream of the mix, ready to be opened.
struct Stream {
    sensor: usize,
    schedule: Schedule,
    messages: u64,
    templates: Arc<[Template]>,
}

/// Sends the mix, to the sink and to the daemon.
///
/// # Errors
/// The first [`BenchError`].
pub fn measure_mix(
    plan: &MixPlan,
    scratch: &Scratch,
    device: &Device,
    mut done: impl FnMut(Row),
) -> Result<(), BenchError> {
    let place = scratch.path().join("mix");
    let runtime = client_runtime()?;
    let sink = Server::sink(&place, plan.terms.transport)?;
    let daemon = Server::daemon(&place, plan.terms.transport)?;
    let templates = SENSORS.iter().map(|sensor| Template::all(sensor.workload, Some(sensor.rows)).map(Arc::from));
    let templates: Vec<Arc<[Template]>> = templates.collect::<Result<_, _>>()?;
    let run = |server: &Server, streams: Vec<Stream>, commands: Vec<String>| {
        runtime.block_on(send(server, streams, commands, plan.terms.connections))
    };
    let record = |name: &str, streams: Vec<Stream>| {
        let recording = Recording::begin(&daemon, name)?;
        let topic = |(index, stream): (usize, &Stream)| {
            recording.topic(&format!("s{index}"), SENSORS.get(stream.sensor).map_or(Workload::Blobs, |s| s.workload))
        };
        let commands: Result<_, _> = streams.iter().enumerate().map(topic).collect();
        run(&daemon, streams, commands?)
    };
    let mut maximum = None;
    let mut speed = 1.0;
    if let Some(share) = plan.rate {
        let (flood, _) = record("flood", streams(&templates, FLOOD_SECONDS, f64::INFINITY))?;
        let times = f64::from(FLOOD_SECONDS) / flood.took.as_secs_f64().max(1e-3);
        maximum = Some(times);
        speed = share * times;
    }
    let stalls = device.write(plan.terms.bytes)?.blocks;
    let syncs = device.syncs(SYNCS)?;
    device.clear()?;
    let mixed = streams(&templates, plan.seconds, speed);
    let drops = vec![DROP.to_owned(); mixed.len()];
    let (floor, floor_late) = run(&sink, mixed, drops)?;
    let (sample, late) = record("mix", streams(&templates, plan.seconds, speed))?;
    let memory = daemon.memory()?;
    let row = |name: &str, streams: usize, late: &Latency| {
        let mut row = Row {
            measure: "mix",
            workload: name.to_owned(),
            streams,
            transport: plan.terms.transport.name(),
            latency_of: "from when a message was due to its last byte's leaving",
            ..Row::default()
        };
        row.percentiles(late);
        row
    };
    for (index, sensor) in SENSORS.iter().enumerate() {
        if let Some(late) = late.get(index) {
            done(row(sensor.name, sensor.count, late));
        }
    }
    let total = |late: &[Latency]| {
        let mut total = Latency::new();
        late.iter().for_each(|one| total.merge(one));
        total
    };
    let (late, floor_late) = (total(&late), total(&floor_late));
    let mut all = row("all", SENSORS.iter().map(|sensor| sensor.count).sum(), &late);
    all.bytes = sample.bytes;
    all.peak_rss = Some(memory.peak);
    all.anonymous_rss = Some(memory.anonymous);
    all.take(&[Turn { daemon: sample, sink: Some(floor), device: None }]);
    all.percentiles(&late);
    all.ratio = None; // the rate was given, not found
    for (name, value) in [
        ("rate", Some(speed)),
        ("rate_maximum", maximum),
        ("sink_p999_ms", Some(floor_late.percentile(99.9))),
        ("device_block_p999_ms", Some(stalls.percentile(99.9))),
        ("device_block_max_ms", Some(stalls.max())),
        ("fdatasync_p99_ms", Some(syncs.percentile(99.0))),
    ] {
        all.more.insert(name.to_owned(), value.into());
    }
    done(all);
    scratch.discard("mix");
    Ok(())
}

/// The streams of all sensors.
///
/// * `seconds`: of the sensors' own time.
/// * `speed`: how much faster than the sensors.
fn streams(templates: &[Arc<[Template]>], seconds: u32, speed: f64) -> Vec<Stream> {
    let stream = |sensor: usize, of: &Sensor, index: usize| {
        let period = Duration::from_secs_f64(1.0 / (f64::from(of.hertz) * speed));
        // Sensors of a kind do not fire at once.
        let offset = period.mul_f64(index as f64 / of.count as f64);
        // The time is the same whatever the speed, so that there are more messages at a higher one; a flood has an end.
        let times = if speed.is_finite() { speed } else { 1.0 };
        let messages = (f64::from(seconds * of.hertz) * times).ceil() as u64;
        let templates = templates.get(sensor).cloned().unwrap_or_default();
        Stream { sensor, schedule: Schedule::new(offset, period), messages, templates }
    };
    let all = SENSORS.iter().enumerate().flat_map(|(sensor, of)| (0..of.count).map(move |index| (sensor, of, index)));
    all.map(|(sensor, of, index)| stream(sensor, of, index)).collect()
}

/// Sends all streams on their schedules: the whole, and the lateness by sensor.
async fn send(
    server: &Server,
    streams: Vec<Stream>,
    commands: Vec<String>,
    connections_max: usize,
) -> Result<(Sample, Vec<Latency>), BenchError> {
    let mut connections = Vec::new();
    for _ in 0..connections_max.clamp(1, streams.len().max(1)) {
        connections.push(Connection::open(server.endpoint(), Room::Exact).await?);
    }
    let mut calls = Vec::new();
    for ((stream, command), connection) in streams.into_iter().zip(commands).zip(connections.iter().cycle()) {
        let workload = SENSORS.get(stream.sensor).map_or(Workload::Blobs, |sensor| sensor.workload);
        calls.push((connection.put(first_message(workload, &command)?).await?, stream));
    }
    let (server_before, client_before) = (server.usage()?, Usage::of("self")?);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let (mut bytes, mut rows) = (0, 0);
    for (call, stream) in calls {
        bytes += stream.messages * stream.templates.first().map_or(0, Template::bytes);
        rows += stream.messages * stream.templates.first().map_or(0, |template| template.rows() as u64);
        tasks.spawn(pace(call, stream, began));
    }
    let mut late = vec![Latency::new(); SENSORS.len()];
    while let Some(ended) = tasks.join_next().await {
        let (sensor, latency) = ended.map_err(|error| BenchError::Connection(error.to_string()))??;
        if let Some(of) = late.get_mut(sensor) {
            of.merge(&latency);
        }
    }
    let took = began.elapsed();
    let (server, client) = (server.usage()?.since(&server_before), Usage::of("self")?.since(&client_before));
    let sample = Sample { bytes, rows, took, server, client_cpu: client.cpu, latency: Latency::new() };
    Ok((sample, late))
}

async fn pace(mut call: PutCall, stream: Stream, began: Instant) -> Result<(usize, Latency), BenchError> {
    let mut latency = Latency::new();
    let mut first_ns = 0;
    for (n, template) in (0..stream.messages).zip(stream.templates.iter().cycle()) {
        let due = began + stream.schedule.due(n);
        sleep_until(due.into()).await; // at once when it is past
        call.send(template.message(first_ns, STEP_NS)).await?;
        call.room().await?;
        latency.record(due.elapsed());
        first_ns += STEP_NS * template.rows() as i64;
    }
    call.close().await?;
    Ok((stream.sensor, latency))
}
