//! One repeat against one server.

use std::time::Duration;

use super::device::DeviceRun;
use super::latency::Latency;
use super::report::Row;
use super::report::median;
use super::usage::Usage;

#[derive(Clone, Debug)]
pub struct Sample {
    pub bytes: u64,
    pub rows: u64,
    pub took: Duration,
    /// Of the server's process.
    pub server: Usage,
    pub client_cpu: Duration,
    pub latency: Latency,
}

/// One repeat against all: the daemon, and the floors of the same minute.
pub struct Turn {
    pub daemon: Sample,
    pub sink: Option<Sample>,
    pub device: Option<DeviceRun>,
}

impl Sample {
    pub fn mb_s(&self) -> f64 {
        speed(self.bytes, self.took)
    }

    pub fn server_s_gb(&self) -> f64 {
        cost(self.server.cpu, self.bytes)
    }
}

pub fn speed(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64().max(1e-9)
}

pub fn cost(cpu: Duration, bytes: u64) -> f64 {
    cpu.as_secs_f64() / (bytes.max(1) as f64 / 1e9)
}

impl Row {
    /// Puts the medians of the turns into the row.
    pub fn take(&mut self, turns: &[Turn]) {
        let all = |number: &dyn Fn(&Turn) -> Option<f64>| median(turns.iter().filter_map(number).collect());
        let sink = |turn: &Turn| turn.sink.as_ref().map(Sample::mb_s);
        let device = |turn: &Turn| turn.device.as_ref().map(|run| speed(run.bytes, run.took));
        let floor = |turn: &Turn| [sink(turn), device(turn)].into_iter().flatten().reduce(f64::min);
        self.repeats = turns.len();
        self.mb_s = all(&|turn| Some(turn.daemon.mb_s()));
        self.rows_s = all(&|turn| Some(turn.daemon.rows as f64 / turn.daemon.took.as_secs_f64().max(1e-9)));
        self.sink_mb_s = all(&sink);
        self.device_mb_s = all(&device);
        self.ratio = all(&|turn| floor(turn).map(|floor| turn.daemon.mb_s() / floor));
        self.server_s_gb = all(&|turn| Some(turn.daemon.server_s_gb()));
        self.sink_s_gb = all(&|turn| turn.sink.as_ref().map(Sample::server_s_gb));
        self.added_s_gb = all(&|turn| turn.sink.as_ref().map(|sink| turn.daemon.server_s_gb() - sink.server_s_gb()));
        self.client_s_gb = all(&|turn| Some(cost(turn.daemon.client_cpu, turn.daemon.bytes)));
        self.device_s_gb = all(&|turn| turn.device.as_ref().map(|run| cost(run.cpu, run.bytes)));
        let mut latency = Latency::new();
        turns.iter().for_each(|turn| latency.merge(&turn.daemon.latency));
        self.percentiles(&latency);
        let raw = |number: &dyn Fn(&Turn) -> Option<f64>| -> serde_json::Value {
            turns.iter().map(|turn| number(turn).map(|n| (n * 1e4).round() / 1e4)).collect::<Vec<_>>().into()
        };
        let mut runs = serde_json::Map::new();
        runs.insert("mb_s".to_owned(), raw(&|turn| Some(turn.daemon.mb_s())));
        runs.insert("sink_mb_s".to_owned(), raw(&sink));
        runs.insert("device_mb_s".to_owned(), raw(&device));
        runs.insert("server_s_gb".to_owned(), raw(&|turn| Some(turn.daemon.server_s_gb())));
        runs.insert("sink_s_gb".to_owned(), raw(&|turn| turn.sink.as_ref().map(Sample::server_s_gb)));
        self.more.insert("runs".to_owned(), runs.into());
    }

    pub fn percentiles(&mut self, latency: &Latency) {
        if latency.count() > 0 {
            self.p50_ms = Some(latency.percentile(50.0));
            self.p99_ms = Some(latency.percentile(99.0));
            self.p999_ms = Some(latency.percentile(99.9));
            self.max_ms = Some(latency.max());
        }
    }
}
