//! One shard: what it owns, and the loop that takes requests.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;

use crate::catalog::Catalog;
use crate::catalog::OpenStore;
use crate::io::Backend;
use crate::io::BlockDevice;
use crate::io::Clock;
use crate::io::FaultDevice;
use crate::io::FaultScript;
use crate::io::Recycler;
use crate::model::DeviceNumber;
use crate::model::IdSource;
use crate::model::ShardIndex;
use crate::runtime::Budget;
use crate::runtime::Executor;
use crate::runtime::ExecutorConfig;
use crate::runtime::ExecutorError;
use crate::runtime::Local;
use crate::runtime::Main;
use crate::runtime::Receiver;
use crate::runtime::Shares;
use crate::runtime::TaskSet;
use crate::runtime::mailbox;
use crate::store::Directory;
use crate::store::Marks;

use super::config::ChunkConfig;
use super::config::ShardMemory;
use super::error::ReadError;
use super::error::ShardError;
use super::files;
use super::handle::Shards;
use super::put_task;
use super::read_budget::ReadBudget;
use super::recovery;
use super::relief::Relief;
use super::request::ReadRequest;
use super::request::ShardRequest;
use super::scrub;
use super::slack::Slack;
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
    /// The mounted data directories in the order of the configuration: the first one has the catalog, and the manifests.
    pub devices: Vec<(DeviceNumber, PathBuf)>,
    pub catalog: Arc<dyn Catalog>,
    pub open_store: OpenStore,
    pub ids: Arc<IdSource>,
    /// Received bytes that no row group holds yet.
    pub received: Shares,
    pub incarnation: u64,
    pub chunk: ChunkConfig,
    pub memory: ShardMemory,
    /// Of room on each device.
    pub marks: Marks,
    /// What goes wrong on every device. For tests: its trace grows without end.
    pub faults: Option<FaultScript>,
}

/// What the tasks of one shard share.
pub struct ShardContext {
    pub index: ShardIndex,
    pub directories: BTreeMap<DeviceNumber, Rc<Directory>>,
    /// As [`ShardSetup::devices`].
    mounts: Vec<(DeviceNumber, PathBuf)>,
    pub clock: Rc<dyn Clock>,
    pub tasks: TaskSet,
    pub catalog: Arc<dyn Catalog>,
    pub open_store: OpenStore,
    pub ids: Arc<IdSource>,
    pub received: Shares,
    /// Called when received bytes are short, and when write blocks are.
    pub memory_short: Relief,
    pub blocks_short: Relief,
    /// Called when the disk of a device is below its hard mark.
    pub room_short: Relief,
    /// Nothing new is asked for, and what repeats ends.
    pub is_stopping: Cell<bool>,
    /// Puts running on this shard.
    pub writers: Cell<usize>,
    pub slack: RefCell<Slack>,
    pub incarnation: u64,
    pub chunk_config: ChunkConfig,
    /// How many shards there are.
    pub shards: usize,
    /// Of the readers of all shards.
    pub read_budget: ReadBudget,
    /// What batches for readers are decoded into.
    pub recycler: Recycler,
    /// One for each window that may be measured at a time.
    pub windows: Budget,
}

impl ShardSetup {
    /// What each shard's executor gets.
    pub fn executors(&self) -> Vec<ExecutorConfig> {
        let config = |(index, core): (usize, &Option<usize>)| {
            let name = format!("shard-{index}");
            let (blocks, devices) = (self.memory.blocks, self.devices.len());
            ExecutorConfig { name, core: *core, blocks, devices, ..ExecutorConfig::default() }
        };
        self.cores.iter().enumerate().map(config).collect()
    }
}

/// Starts all shards. They stop once the last [`Shards`] is gone and their puts and reads have ended.
///
/// # Errors
/// [`ShardError::Executor`] when an executor cannot be started or a shard panics, [`ShardError::Io`] when a data directory
/// cannot be opened. No shard is left running then.
pub async fn start(setup: &ShardSetup) -> Result<(Shards, Vec<Executor>), ShardError> {
    start_as(setup, |_, main| main).await
}

/// * `made`: what runs instead of a shard's main future.
async fn start_as(
    setup: &ShardSetup,
    made: impl Fn(ShardIndex, Main) -> Main + Clone + Send + 'static,
) -> Result<(Shards, Vec<Executor>), ShardError> {
    let read_budget = ReadBudget::new(setup.memory.read_bytes, Duration::from_millis(setup.memory.read_stall_ms));
    let (mut inboxes, mut opened, mut prepared) = (Vec::new(), Vec::new(), Vec::new());
    for (index, config) in setup.executors().into_iter().enumerate() {
        let (inbox, requests) = mailbox(REQUESTS_MAX, usize::MAX);
        let index = ShardIndex(u16::try_from(index).unwrap_or(u16::MAX));
        let (own, reading, made) = (setup.clone(), read_budget.clone(), made.clone());
        let (sender, receiver) = oneshot::channel();
        prepared.push((config, move |local: Local| -> Main {
            made(index, Box::pin(run(index, own, reading, local, requests, sender)))
        }));
        inboxes.push(inbox);
        opened.push(receiver);
    }
    // All at once: each touches all of its registered memory as it starts, and that is most of the time a start takes.
    let backend = &setup.backend;
    let spawned: Vec<Result<Executor, ExecutorError>> = thread::scope(|scope| {
        let spawn = |(config, main)| scope.spawn(move || Executor::spawn(backend, config, main));
        let threads: Vec<_> = prepared.into_iter().map(spawn).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut executors = Vec::with_capacity(spawned.len());
    let mut outcome = Ok(());
    for result in spawned {
        match result {
            Ok(executor) => executors.push(executor),
            Err(error) => outcome = outcome.and(Err(ShardError::Executor(Arc::new(error)))),
        }
    }
    if outcome.is_ok() {
        outcome = all_opened(opened, &mut executors).await;
    }
    if let Err(error) = outcome {
        drop(inboxes);
        // Their own errors are at best the same one.
        executors.into_iter().for_each(|executor| drop(executor.join()));
        return Err(error);
    }
    let devices: Vec<DeviceNumber> = setup.devices.iter().map(|(number, _)| *number).collect();
    let shards = Shards::new(inboxes, &devices, setup.received.clone(), read_budget);
    shards.relieve_when_short(setup.received.whole());
    Ok((shards, executors))
}

type Opened = oneshot::Receiver<Result<(), ShardError>>;

/// Waits until every shard has opened its data directories. One that ends without a word is taken out, and told of.
async fn all_opened(opened: Vec<Opened>, executors: &mut Vec<Executor>) -> Result<(), ShardError> {
    for (index, receiver) in opened.into_iter().enumerate() {
        match receiver.await {
            Ok(result) => result?,
            Err(oneshot::Canceled) => {
                let ended = executors.remove(index).join();
                return Err(ended.map_or_else(|panic| ShardError::Executor(Arc::new(panic)), |()| ShardError::Stopped));
            }
        }
    }
    Ok(())
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
    // A disk that hangs keeps its blocks: those of the others are their own.
    let pools = local.pool.split(setup.devices.len());
    for ((number, path), pool) in setup.devices.iter().zip(pools) {
        let device = match local.device(path).await {
            Ok(device) => device,
            Err(error) => {
                let _ = opened.send(Err(ShardError::Io(format!("{} (number {}): {error}", path.display(), number.0))));
                return;
            }
        };
        let device = match &setup.faults {
            Some(script) => Rc::new(FaultDevice::new(device, path, script.clone())) as Rc<dyn BlockDevice>,
            None => device,
        };
        let directory =
            Directory::new(device, pool, tasks.clone(), Rc::clone(&short)).with_marks(setup.marks).of_shard(index);
        // Something to go by when it hangs later; what is wrong with it now, the first question tells.
        let _ = directory.measure().await;
        directories.insert(*number, Rc::new(directory));
    }
    let _ = opened.send(Ok(()));
    let context = Rc::new(ShardContext {
        index,
        directories,
        mounts: setup.devices,
        clock: Rc::clone(&local.clock),
        tasks: tasks.clone(),
        catalog: setup.catalog,
        open_store: setup.open_store,
        ids: setup.ids,
        received: setup.received,
        memory_short,
        blocks_short,
        room_short: Relief::default(),
        is_stopping: Cell::new(false),
        writers: Cell::new(0),
        slack: RefCell::default(),
        incarnation: setup.incarnation,
        chunk_config: setup.chunk,
        shards: setup.cores.len().max(1),
        recycler: read_budget.recycler(setup.cores.len()),
        read_budget,
        windows: Budget::new(window::WINDOWS_MAX),
    });
    let serving = async {
        serve(Rc::clone(&context), requests).await;
        context.is_stopping.set(true);
    };
    tasks.run_until(serving).await;
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
        ShardRequest::Recover { reply } => {
            context.tasks.push("recovery", async move {
                let _ = reply.send(recovery::start(&own).await);
            });
        }
        ShardRequest::Settle { session, reply } => {
            context.tasks.push("settling", async move {
                let _ = reply.send(recovery::settle(&own, session).await);
            });
        }
        ShardRequest::Audit { session, reply } => {
            context.tasks.push("audit", async move {
                let _ = reply.send(recovery::audit(&own, session).await);
            });
        }
        ShardRequest::Stored { reply } => {
            context.tasks.push("audit", async move {
                let _ = reply.send(recovery::stored(&own).await);
            });
        }
        ShardRequest::Purge { tombstone, reply } => {
            context.tasks.push("purge", async move {
                let _ = reply.send(files::purge(&own, &tombstone).await);
            });
        }
        ShardRequest::WriteManifest { session, bytes, reply } => {
            context.tasks.push("manifest", async move {
                let _ = reply.send(files::write_manifest(&own, session, bytes).await);
            });
        }
        ShardRequest::ReadManifest { session, reply } => {
            context.tasks.push("manifest", async move {
                let _ = reply.send(files::read_manifest(&own, session).await);
            });
        }
        ShardRequest::RemoveManifests { sessions, reply } => {
            context.tasks.push("manifest", async move {
                let _ = reply.send(files::remove_manifests(&own, &sessions).await);
            });
        }
        ShardRequest::Bury { session, topic, reply } => {
            context.tasks.push("tombstone", async move {
                let _ = reply.send(files::bury(&own, session, topic).await);
            });
        }
        ShardRequest::Measure { reply } => {
            context.tasks.push("measuring", async move {
                let _ = reply.send(files::measure(&own).await);
            });
        }
        ShardRequest::Scrub { request, reply } => {
            context.tasks.push("scrub", async move { scrub::answer(&own, &request, reply).await });
        }
        ShardRequest::Relieve => context.memory_short.call(),
    }
}

impl ShardContext {
    /// Manifests lie in the first data directory, beside the catalog they could rebuild.
    pub fn manifest_directory(&self) -> Result<(DeviceNumber, &Rc<Directory>), ShardError> {
        let first = self.mounts.first().map(|(number, _)| *number).ok_or(ShardError::Stopped)?;
        let directory = self.directories.get(&first).ok_or(ShardError::DeviceMissing(first))?;
        Ok((first, directory))
    }

    /// The data directories in the order of the configuration.
    pub fn mounted(&self) -> impl Iterator<Item = (DeviceNumber, &Rc<Directory>)> {
        self.mounts.iter().filter_map(|(number, _)| Some((*number, self.directories.get(number)?)))
    }

    /// Says which data directory an error comes from.
    pub fn io_error(&self, number: DeviceNumber, error: &std::io::Error) -> ShardError {
        let path = self.mounts.iter().find(|(other, _)| *other == number).map(|(_, path)| path.display());
        let path = path.map_or_else(String::new, |path| path.to_string());
        match error.kind() {
            // Clients are told this one as it is, so it names no path of ours.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                ShardError::Full(format!("number {}: {error}", number.0))
            }
            _ => ShardError::Io(format!("{path} (number {}): {error}", number.0)),
        }
    }

    /// Bytes of rows that one topic may hold back for company while received bytes are short: a quarter of them all, shared
    /// by the puts of all shards, taken to be about as many as here on each.
    ///
    /// * `received`: of the topic's data directory.
    pub fn pending_bytes_when_short(&self, received: &Budget) -> usize {
        received.total() / (4 * self.shards * self.writers.get().max(1))
    }

    /// The data directory a chunk lies in.
    pub fn directory(&self, request: &ReadRequest, device: DeviceNumber) -> Result<&Rc<Directory>, ReadError> {
        let missing = || ReadError::DeviceMissing { topic: request.name.clone(), device };
        self.directories.get(&device).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests;
