//! The shard without the network: batches made in this process go to a shard's handle, and from there to the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;

use super::device::Device;
use super::error::BenchError;
use super::latency::Latency;
use super::load::STEP_NS;
use super::load::Terms;
use super::message::logical_bytes;
use super::report::Row;
use super::sample::Sample;
use super::sample::Turn;
use super::scratch::Scratch;
use super::usage::Usage;
use super::workload::Workload;
use crate::catalog::Catalog;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::catalog::NewSequence;
use crate::catalog::NewSession;
use crate::catalog::NewTopic;
use crate::catalog::OpenStore;
use crate::config::Config;
use crate::flight::ipc::FrameError;
use crate::io::Backend;
use crate::io::seed;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SequenceName;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::TokenDigest;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::UserMetadata;
use crate::runtime::Budget;
use crate::runtime::Executor;
use crate::shard;
use crate::shard::ShardMemory;
use crate::shard::ShardSetup;
use crate::shard::Shards;
use crate::shard::TopicSpec;

/// Which streams to hand to the shard, one at a time.
#[derive(Clone, Debug)]
pub struct ShardPlan {
    pub terms: Terms,
    pub workloads: Vec<Workload>,
}

/// Measures one shard next to the raw disk.
///
/// # Errors
/// The first [`BenchError`]; rows before it have been handed over.
pub fn measure_shard(
    plan: &ShardPlan,
    scratch: &Scratch,
    device: &Device,
    mut done: impl FnMut(Row),
) -> Result<(), BenchError> {
    for &workload in &plan.workloads {
        let name = format!("shard-{}", workload.name());
        let directory = scratch.path().join(&name);
        std::fs::create_dir_all(&directory).map_err(BenchError::io("make a directory for the shard"))?;
        let runtime = super::load::client_runtime()?;
        let house = runtime.block_on(House::open(&directory, device.backend()))?;
        let batches = batches(workload)?;
        let mut turns = Vec::new();
        for repeat in 0..=plan.terms.repeats {
            let raw = device.write(plan.terms.bytes)?;
            device.clear()?;
            let sample = runtime.block_on(house.record(repeat, workload, &batches, plan.terms.bytes))?;
            if repeat > 0 {
                turns.push(Turn { daemon: sample, sink: None, device: Some(raw) });
            }
        }
        house.close()?;
        let mut row = Row {
            measure: "shard",
            workload: workload.name().to_owned(),
            streams: 1,
            transport: "none",
            bytes: plan.terms.bytes,
            latency_of: "from one batch to the next",
            ..Row::default()
        };
        row.take(&turns);
        row.client_s_gb = None; // the generator and the shard are one process
        done(row);
        scratch.discard(&name);
    }
    Ok(())
}

/// Batches of different content whose columns are used again and again; only the timestamps are made anew.
fn batches(workload: Workload) -> Result<Vec<RecordBatch>, BenchError> {
    let times = || (0..workload.rows() as i64).map(|row| row * STEP_NS).collect();
    let made = (0..workload.templates() as u64).map(|seed| workload.batch(seed, times()));
    Ok(made.collect::<Result<_, _>>().map_err(FrameError::from)?)
}

/// A storage side with one shard.
struct House {
    catalog: EmbeddedCatalog,
    open: OpenStore,
    shards: Shards,
    executors: Vec<Executor>,
    ids: Arc<IdSource>,
    device: DeviceNumber,
}

fn broken(error: impl std::fmt::Display) -> BenchError {
    BenchError::Start { server: "shard", why: error.to_string() }
}

impl House {
    async fn open(directory: &Path, backend: &Backend) -> Result<Self, BenchError> {
        let random = || seed().map_err(BenchError::io("get random numbers"));
        let catalog = EmbeddedCatalog::open(&EmbeddedConfig::default(), &directory.join("catalog.db"));
        let catalog = catalog.map_err(broken)?;
        let open = catalog.open_store();
        let boot = open.boot(random()?, 0).await.map_err(broken)?;
        let ids = Arc::new(IdSource::from_seed(random()?));
        let device = open.device(DeviceId(ids.uuid())).await.map_err(broken)?;
        let config = Config::default();
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let setup = ShardSetup {
            backend: backend.clone(),
            cores: vec![None],
            devices: vec![(device, directory.to_owned())],
            catalog: Arc::new(catalog.clone()),
            open_store: open.clone(),
            ids: Arc::clone(&ids),
            received: Budget::new(bytes(config.memory.receive_bytes)).into(),
            incarnation: boot.incarnation,
            chunk: config.chunk.clone(),
            memory: ShardMemory {
                blocks: bytes(config.write_blocks()),
                read_bytes: config.memory.read_bytes,
                read_stall_ms: config.memory.read_stall_ms,
            },
            marks: crate::store::Marks::default(),
            faults: None,
        };
        let (shards, executors) = shard::start(&setup).await.map_err(broken)?;
        shards.recover().await.map_err(broken)?;
        Ok(Self { catalog, open, shards, executors, ids, device })
    }

    fn close(self) -> Result<(), BenchError> {
        drop(self.shards);
        for executor in self.executors {
            executor.join()?;
        }
        self.catalog.close();
        Ok(())
    }

    async fn topic(&self, number: usize, workload: Workload) -> Result<TopicSpec, BenchError> {
        let name = format!("bench-{number}");
        let sequence = SequenceName::parse(&name).map_err(broken)?;
        let (id, session, topic) = (SequenceId::new(&self.ids), SessionId::new(&self.ids), TopicId::new(&self.ids));
        let metadata = UserMetadata::empty();
        let token = |id: &[u8; 16]| {
            let mut digest = [0; 32];
            digest.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
            TokenDigest(digest)
        };
        let new = NewSequence { id, name: sequence.clone(), metadata: metadata.clone(), created_at_ns: 0 };
        self.catalog.create_sequence(new).await.map_err(broken)?;
        let new = NewSession { id: session, sequence, token: token(session.0.as_bytes()), created_at_ns: 0 };
        self.catalog.create_session(new).await.map_err(broken)?;
        let (shard, _) = self.shards.place();
        let new = NewTopic {
            id: topic,
            session,
            token: token(topic.0.as_bytes()),
            name: TopicName::parse(&format!("{name}/s0")).map_err(broken)?,
            tag: OntologyTag::parse("bench").map_err(broken)?,
            format: SerializationFormat::Default,
            metadata,
            shard,
            device: self.device,
            created_at_ns: 0,
        };
        self.catalog.create_topic(new).await.map_err(broken)?;
        let head = self.open.begin_put(topic, vec![1]).await.map_err(broken)?;
        Ok(TopicSpec { head, sequence: id, schema: workload.schema() })
    }

    /// One topic of `bytes`, durable at the end.
    async fn record(
        &self,
        number: usize,
        workload: Workload,
        batches: &[RecordBatch],
        bytes: u64,
    ) -> Result<Sample, BenchError> {
        let spec = self.topic(number, workload).await?;
        let (before, began) = (Usage::of("self")?, Instant::now());
        let mut sender = self.shards.open_writer(spec).await.map_err(broken)?;
        let (mut sent, mut rows, mut latency) = (0, 0, Latency::new());
        let mut last = began;
        for batch in batches.iter().cycle() {
            if sent >= bytes {
                break;
            }
            let size = logical_bytes(batch);
            sender.push(batch.clone(), size as usize).await.map_err(broken)?;
            sent += size;
            rows += batch.num_rows() as u64;
            let now = Instant::now();
            latency.record(now - last);
            last = now;
        }
        sender.close().await.map_err(broken)?;
        let took = began.elapsed();
        let server = Usage::of("self")?.since(&before);
        Ok(Sample { bytes: sent, rows, took, client_cpu: server.cpu, server, latency })
    }
}
