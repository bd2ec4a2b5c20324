//! What the client sends in one repeat, and the sending of it.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::task::JoinSet;

use super::connection::Connection;
use super::connection::Endpoint;
use super::connection::PutCall;
use super::connection::Room;
use super::error::BenchError;
use super::latency::Latency;
use super::message::Template;
use super::message::first_message;
use super::process::Server;
use super::process::Transport;
use super::sample::Sample;
use super::usage::Usage;
use super::workload::Workload;

/// Nanoseconds between the rows of a stream: any will do, as long as time goes on.
pub const STEP_NS: i64 = 1_000_000;

/// What all measurements share.
#[derive(Clone, Debug)]
pub struct Terms {
    pub transport: Transport,
    pub repeats: usize,
    /// Of one repeat, all streams together.
    pub bytes: u64,
    /// At most; streams beyond share them.
    pub connections: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self { transport: Transport::Tcp, repeats: 5, bytes: 1_000_000_000, connections: 8 }
    }
}

/// One worker: on a machine that is shared with the server, the client has no more to do than one core can.
pub fn client_runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    let threads = std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 8));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    runtime.map_err(BenchError::io("start a runtime"))
}

/// What the streams of one repeat send.
#[derive(Clone)]
pub struct Load {
    pub workload: Workload,
    pub streams: usize,
    /// Of each stream.
    pub messages: usize,
    pub connections: usize,
    pub templates: Arc<[Template]>,
}

impl Load {
    /// As many messages as make the wanted bytes, at least one a stream.
    pub fn of(workload: Workload, streams: usize, terms: &Terms, templates: &Arc<[Template]>) -> Self {
        let bytes = templates.first().map_or(1, Template::bytes).max(1);
        let messages = terms.bytes.div_ceil(bytes * streams as u64).max(1) as usize;
        let connections = terms.connections.clamp(1, streams.max(1));
        Self { workload, streams, messages, connections, templates: Arc::clone(templates) }
    }

    /// One `part`th of it.
    pub fn share(&self, part: u64) -> Self {
        Self { messages: self.messages.div_ceil(part as usize), ..self.clone() }
    }

    fn count(&self, of: impl Fn(&Template) -> u64) -> u64 {
        let one: u64 = (0..self.messages).filter_map(|n| self.template(n)).map(of).sum();
        one * self.streams as u64
    }

    pub fn bytes(&self) -> u64 {
        self.count(Template::bytes)
    }

    pub fn rows(&self) -> u64 {
        self.count(|template| template.rows() as u64)
    }

    fn template(&self, message: usize) -> Option<&Template> {
        self.templates.get(message % self.templates.len().max(1))
    }

    /// Puts all streams, one for each command.
    ///
    /// # Errors
    /// The first [`BenchError`] of a stream.
    pub async fn put(&self, server: &Server, commands: Vec<String>) -> Result<Sample, BenchError> {
        let (connections, calls) = self.open(server.endpoint(), commands, Room::Early).await?;
        let (server_before, client_before) = (server.usage()?, Usage::of("self")?);
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for call in calls {
            tasks.spawn(self.clone().stream(call));
        }
        let mut latency = Latency::new();
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.map_err(|error| BenchError::Connection(error.to_string()))?;
            latency.merge(&ended?);
        }
        let took = began.elapsed();
        let (server, client) = (server.usage()?.since(&server_before), Usage::of("self")?.since(&client_before));
        drop(connections);
        Ok(Sample { bytes: self.bytes(), rows: self.rows(), took, server, client_cpu: client.cpu, latency })
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        commands: Vec<String>,
        room: Room,
    ) -> Result<(Vec<Connection>, Vec<PutCall>), BenchError> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(endpoint, room).await?);
        }
        let mut calls = Vec::new();
        for (command, connection) in commands.iter().zip(connections.iter().cycle()) {
            calls.push(connection.put(first_message(self.workload, command)?).await?);
        }
        Ok((connections, calls))
    }

    async fn stream(self, mut call: PutCall) -> Result<Latency, BenchError> {
        let latency = self.send(&mut call).await?;
        call.close().await?;
        Ok(latency)
    }

    async fn send(&self, call: &mut PutCall) -> Result<Latency, BenchError> {
        let mut latency = Latency::new();
        let mut first_ns = 0;
        let mut last = Instant::now();
        for template in (0..self.messages).filter_map(|n| self.template(n)) {
            call.send(template.message(first_ns, STEP_NS)).await?;
            first_ns += STEP_NS * template.rows() as i64;
            let now = Instant::now();
            latency.record(now - last);
            last = now;
        }
        Ok(latency)
    }

    /// Puts one stream: the time from its last byte's leaving to the OK.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn close(&self, server: &Server, command: String) -> Result<Duration, BenchError> {
        let (_connections, calls) = self.open(server.endpoint(), vec![command], Room::Exact).await?;
        let mut waited = Duration::ZERO;
        for mut call in calls {
            self.send(&mut call).await?;
            call.room().await?;
            let left = Instant::now();
            call.close().await?;
            waited = left.elapsed();
        }
        Ok(waited)
    }
}
