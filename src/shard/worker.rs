//! One shard: what it owns, and the loop that takes requests.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use futures::channel::oneshot;

use crate::catalog::Catalog;
use crate::catalog::OpenStore;
use crate::catalog::Tombstone;
use crate::io::Backend;
use crate::io::Clock;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::runtime::Budget;
use crate::runtime::Executor;
use crate::runtime::ExecutorConfig;
use crate::runtime::Local;
use crate::runtime::Main;
use crate::runtime::Receiver;
use crate::runtime::TaskSet;
use crate::runtime::mailbox;
use crate::store;
use crate::store::Directory;
use crate::store::Expected;
use crate::store::RecoveryReport;

use super::config::ChunkConfig;
use super::config::ShardMemory;
use super::error::ReadError;
use super::error::ShardError;
use super::handle::Shards;
use super::put_task;
use super::read_budget::ReadBudget;
use super::relief::Relief;
use super::request::ReadRequest;
use super::request::ShardRequest;
use super::topic_reader;
use super::window;

/// Requests that may wait for one shard; beyond it callers wait.
const REQUESTS_MAX: usize = 4096;

/// What the shards of this start have in common.
#[derive(Clone)]
pub struct ShardSetup {
    pub backend: Backend,
    /// The core each shard is pinned to; one shard per entry. `None` leaves it to the kernel.
    pub cores: Vec<Option<usize>>,
    pub devices: Vec<(DeviceNumber, PathBuf)>,
    pub catalog: Arc<dyn Catalog>,
    pub open_store: OpenStore,
    pub ids: Arc<IdSource>,
    /// Received bytes that no row group holds yet.
    pub budget: Budget,
    pub incarnation: u64,
    pub chunk: ChunkConfig,
    pub memory: ShardMemory,
}

/// What the tasks of one shard share.
pub struct ShardContext {
    pub index: ShardIndex,
    pub directories: BTreeMap<DeviceNumber, Rc<Directory>>,
    pub clock: Rc<dyn Clock>,
    pub tasks: TaskSet,
    pub catalog: Arc<dyn Catalog>,
    pub open_store: OpenStore,
    pub ids: Arc<IdSource>,
    pub budget: Budget,
    /// Called when received bytes are short, and when write blocks are.
    pub memory_short: Relief,
    pub blocks_short: Relief,
    /// Puts running on this shard.
    pub writers: Cell<usize>,
    pub incarnation: u64,
    pub chunk_config: ChunkConfig,
    /// How many shards there are.
    pub shards: usize,
    /// Of the readers of all shards.
    pub read_budget: ReadBudget,
    /// One for each window that may be measured at a time.
    pub windows: Budget,
}

/// Starts all shards. They stop once the last [`Shards`] is gone and their puts and reads have ended.
///
/// # Errors
/// [`ShardError::Executor`] when an executor cannot be started, [`ShardError::Io`] when a data directory cannot be opened.
pub async fn start(setup: &ShardSetup) -> Result<(Shards, Vec<Executor>), ShardError> {
    let read_budget = ReadBudget::new(setup.memory.read_bytes);
    let (mut inboxes, mut executors, mut opened) = (Vec::new(), Vec::new(), Vec::new());
    for (index, core) in setup.cores.iter().enumerate() {
        let (inbox, requests) = mailbox(REQUESTS_MAX, usize::MAX);
        let index = ShardIndex(u16::try_from(index).unwrap_or(u16::MAX));
        let (own, reading) = (setup.clone(), read_budget.clone());
        let (sender, receiver) = oneshot::channel();
        let main = move |local: Local| -> Main { Box::pin(run(index, own, reading, local, requests, sender)) };
        let name = format!("shard-{}", index.0);
        let executor = ExecutorConfig { name, core: *core, blocks: setup.memory.blocks, ..ExecutorConfig::default() };
        executors.push(Executor::spawn(&setup.backend, executor, main).map_err(|e| ShardError::Executor(Arc::new(e)))?);
        inboxes.push(inbox);
        opened.push(receiver);
    }
    for receiver in opened {
        receiver.await.map_err(|_| ShardError::Stopped)??;
    }
    let devices: Vec<DeviceNumber> = setup.devices.iter().map(|(number, _)| *number).collect();
    let shards = Shards::new(inboxes, &devices, read_budget);
    let relieved = shards.downgrade();
    setup.budget.on_short(Arc::new(move || relieved.relieve()));
    Ok((shards, executors))
}

async fn run(
    index: ShardIndex,
    setup: ShardSetup,
    read_budget: ReadBudget,
    local: Local,
    requests: Receiver<ShardRequest>,
    opened: oneshot::Sender<Result<(), ShardError>>,
) {
    let tasks = TaskSet::default();
    let (memory_short, blocks_short) = (Relief::default(), Relief::default());
    let called = blocks_short.clone();
    let short: Rc<dyn Fn()> = Rc::new(move || called.call());
    let mut directories = BTreeMap::new();
    for (number, path) in &setup.devices {
        let device = match local.device(path).await {
            Ok(device) => device,
            Err(error) => {
                let _ = opened.send(Err(ShardError::Io(format!("opening {}: {error}", path.display()))));
                return;
            }
        };
        let directory = Directory::new(device, local.pool.clone(), tasks.clone(), Rc::clone(&short));
        directories.insert(*number, Rc::new(directory));
    }
    let _ = opened.send(Ok(()));
    let context = Rc::new(ShardContext {
        index,
        directories,
        clock: Rc::clone(&local.clock),
        tasks: tasks.clone(),
        catalog: setup.catalog,
        open_store: setup.open_store,
        ids: setup.ids,
        budget: setup.budget,
        memory_short,
        blocks_short,
        writers: Cell::new(0),
        incarnation: setup.incarnation,
        chunk_config: setup.chunk,
        shards: setup.cores.len().max(1),
        read_budget,
        windows: Budget::new(window::WINDOWS_MAX),
    });
    tasks.run_until(serve(context, requests)).await;
}

async fn serve(context: Rc<ShardContext>, mut requests: Receiver<ShardRequest>) {
    while let Some(request) = requests.recv().await {
        dispatch(&context, request);
    }
}

fn dispatch(context: &Rc<ShardContext>, request: ShardRequest) {
    let own = Rc::clone(context);
    match request {
        ShardRequest::OpenWriter { spec, inbox, signals } => match context.directories.get(&spec.head.device) {
            Some(directory) => {
                let directory = Rc::clone(directory);
                let write = put_task::write_topic(own, *spec, directory, inbox, signals);
                context.tasks.push("topic writer", write);
            }
            // The handle has checked the device: only a bug gets here, and the sender sees a stopped writer.
            None => tracing::error!(device = spec.head.device.0, "a writer for a device that is not mounted"),
        },
        ShardRequest::OpenReader { request, account, outbox } => {
            context.tasks.push("topic reader", topic_reader::read_topic(own, *request, account, outbox));
        }
        ShardRequest::Window { request, reply } => {
            context.tasks.push("window", window::answer(own, *request, reply));
        }
        ShardRequest::Recover { expected, reply } => {
            context.tasks.push("recovery", async move {
                let _ = reply.send(recover(&own, &expected).await);
            });
        }
        ShardRequest::Purge { tombstone, reply } => {
            context.tasks.push("purge", async move {
                let _ = reply.send(purge(&own, &tombstone).await);
            });
        }
        ShardRequest::WriteManifest { session, bytes, reply } => {
            context.tasks.push("manifest", async move {
                let _ = reply.send(write_manifest(&own, session, bytes).await);
            });
        }
        ShardRequest::RemoveManifest { session, reply } => {
            context.tasks.push("manifest", async move {
                let _ = reply.send(remove_manifest(&own, session).await);
            });
        }
        ShardRequest::Relieve => context.memory_short.call(),
    }
}

fn io_error(error: std::io::Error) -> ShardError {
    ShardError::Io(error.to_string())
}

async fn recover(context: &ShardContext, expected: &Expected) -> Result<RecoveryReport, ShardError> {
    let mut report = RecoveryReport::default();
    for (number, directory) in &context.directories {
        store::prepare(&*directory.device).await.map_err(io_error)?;
        report.add(store::recover(&*directory.device, *number, expected).await.map_err(io_error)?);
    }
    Ok(report)
}

async fn purge(context: &ShardContext, tombstone: &Tombstone) -> Result<(), ShardError> {
    for (number, directory) in &context.directories {
        match &tombstone.topic {
            None => store::remove_session(directory, tombstone.session).await.map_err(io_error)?,
            Some((_, records)) => {
                let chunks: Vec<_> = records.iter().filter(|r| r.device == *number).map(|r| r.chunk).collect();
                store::remove_chunks(directory, tombstone.session, &chunks).await.map_err(io_error)?;
            }
        }
    }
    Ok(())
}

/// Manifests lie in the first data directory, beside the catalog they could rebuild.
fn manifest_directory(context: &ShardContext) -> Result<&Rc<Directory>, ShardError> {
    context.directories.values().next().ok_or(ShardError::Stopped)
}

async fn write_manifest(context: &ShardContext, session: SessionId, bytes: Vec<u8>) -> Result<(), ShardError> {
    let device = &manifest_directory(context)?.device;
    device.write_small(&store::manifest_file(session), bytes).await.map_err(io_error)
}

async fn remove_manifest(context: &ShardContext, session: SessionId) -> Result<(), ShardError> {
    let device = &manifest_directory(context)?.device;
    let path = store::manifest_file(session);
    match device.unlink(&path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io_error)?,
    }
    let parent = path.parent().unwrap_or(std::path::Path::new(""));
    device.sync_directory(parent).await.map_err(io_error)
}

impl ShardContext {
    /// Bytes of rows that one topic may hold back for company while received bytes are short: a quarter of them all, shared
    /// by the puts of all shards, taken to be about as many as here on each.
    pub fn pending_bytes_when_short(&self) -> usize {
        self.budget.total() / (4 * self.shards * self.writers.get().max(1))
    }

    /// The data directory a chunk lies in.
    pub fn directory(&self, request: &ReadRequest, device: DeviceNumber) -> Result<&Rc<Directory>, ReadError> {
        let missing = || ReadError::DeviceMissing { topic: request.name.clone(), device };
        self.directories.get(&device).ok_or_else(missing)
    }
}
