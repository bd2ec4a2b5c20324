//! One thread, usually pinned to one core, that runs one shard.
//!
//! There are two kinds, after the back end that [`probe`](crate::io::probe) chose: glommio's executor, and a plain thread
//! with `block_on`. What runs on them is the same: a shard is *one* future that joins others and spawns none, takes its clock
//! and devices from [`Local`], and may be polled by either.
//!
//! A panic in that future ends the thread in good order and comes out of [`Executor::join`]. Orderly or not, a shard should
//! await the reads and writes it has begun before it ends: glommio does not wait for those that were given up.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::FutureExt;
use futures::executor::block_on;
use glommio::LocalExecutorBuilder;
use glommio::Placement;

use super::cores::pin;
use super::local::Local;
use super::nudge::nudge;
use super::pulse::PACE;
use super::pulse::pulsed;
use crate::io::Backend;
use crate::io::BlockingPool;
use crate::io::WRITE_SIZE;

/// A running executor. Dropping it lets it run on, unwatched.
#[must_use = "only `join` tells how it ended"]
pub struct Executor {
    name: String,
    thread: JoinHandle<Result<(), ExecutorError>>,
}

/// What one executor gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// Of its thread; the kernel shows the first 15 bytes.
    pub name: String,
    /// The CPU to pin it to; `None` leaves it to the scheduler.
    pub core: Option<usize>,
    /// Write buffers of 1 MiB in its pool. When all are in use, writers wait.
    pub blocks: usize,
    /// Room for reads in its registered memory, in buffers of 1 MiB. Reads beyond it work, but cost a mapping each. Unused
    /// by the thread back end.
    pub read_blocks: usize,
    /// Data directories that it will open, each with threads of its own: a disk that hangs holds up no other one.
    pub devices: usize,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self { name: "executor".to_owned(), core: None, blocks: 32, read_blocks: 16, devices: 1 }
    }
}

impl ExecutorConfig {
    /// Bytes of memory that glommio registers with the kernel, which keeps them in RAM: the arena of its buddy allocator.
    /// Blocks of 1 MiB fit without loss; the one more holds the allocator's own bookkeeping, which lies in the arena too,
    /// and a file's last, shorter write.
    pub fn registered_bytes(&self) -> usize {
        (self.blocks + self.read_blocks + 1) * WRITE_SIZE
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    #[error("executor {name}: cannot start its threads")]
    Spawn {
        name: String,
        #[source]
        cause: io::Error,
    },
    #[error("executor {name}: cannot be pinned to core {core}")]
    Pin {
        name: String,
        core: usize,
        #[source]
        cause: io::Error,
    },
    #[error("executor {name}: the {backend} back end does not start: {reason}")]
    Start { name: String, backend: &'static str, reason: String },
    #[error("executor {name}: panicked: {message}")]
    Panicked { name: String, message: String },
}

/// The future of a shard.
pub type Main = Pin<Box<dyn Future<Output = ()>>>;

/// How long a task may run before glommio interrupts it at its next await: messages of other threads wait that long.
const PREEMPT: Duration = Duration::from_millis(5);

/// Operations in flight per ring; more wait in user space.
const RING_DEPTH: usize = 256;

/// Of the kernel, for what would block (`io_wq`), unless the ring is smaller.
const WORKERS_PER_CORE: usize = 4;

/// Threads for what is done to names, of each device.
const NAME_THREADS: usize = 4;

/// Threads that move blocks, in the thread back end: that many reads and writes of a device are in flight.
const BLOCK_THREADS: usize = 8;

impl Executor {
    /// Starts the thread, and returns once `main` is about to run on it. Call it from a thread that is not pinned: the
    /// threads for blocking calls inherit its cores.
    ///
    /// # Errors
    /// When threads, the pin or io_uring are refused. Nothing is left running then.
    pub fn spawn(
        backend: &Backend,
        config: ExecutorConfig,
        main: impl FnOnce(Local) -> Main + Send + 'static,
    ) -> Result<Self, ExecutorError> {
        let name = config.name.clone();
        let spawn = |cause: io::Error| ExecutorError::Spawn { name: name.clone(), cause };
        let devices = 0..config.devices.max(1);
        // Here and not on the thread, which is pinned and sees one core.
        let at_once = changes_at_once(devices.len(), thread::available_parallelism().map_or(1, usize::from));
        let names = devices.clone().map(|_| BlockingPool::new("names", NAME_THREADS));
        let names = names.collect::<io::Result<Vec<_>>>().map_err(spawn)?;
        let (started, wait) = mpsc::sync_channel(1);
        let run: Box<dyn FnOnce() -> Result<(), ExecutorError> + Send> = match backend {
            Backend::Uring => Box::new(move || run_uring(&config, (names, at_once), main, &started)),
            Backend::Threads { .. } => {
                let blocks = devices.map(|_| BlockingPool::new("blocks", BLOCK_THREADS));
                let blocks = blocks.collect::<io::Result<Vec<_>>>().map_err(spawn)?;
                Box::new(move || run_threads(&config, names, blocks, main, &started))
            }
        };
        let thread = thread::Builder::new().name(name.clone()).spawn(run).map_err(spawn)?;
        let executor = Self { name: name.clone(), thread };
        loop {
            match wait.recv_timeout(PACE) {
                Ok(()) => return Ok(executor),
                // It may sleep with its main future to run, and until that runs there is no pulse.
                Err(RecvTimeoutError::Timeout) => match nudge(&executor.thread) {
                    // One that has ended cannot be, and tells why when it is asked again.
                    Err(cause) if !executor.is_finished() => return Err(spawn(cause)),
                    _ => {}
                },
                // The sender went without a word: the thread is ending, with the reason. Should it have ended well after all,
                // there is nothing to watch.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(executor.join().err().unwrap_or_else(|| ExecutorError::Start {
                        name: "executor".to_owned(),
                        backend: "chosen",
                        reason: "it ended before it began".to_owned(),
                    }));
                }
            }
        }
    }

    /// Waits until the executor's main future has ended, and everything it had asked of blocking threads is done.
    pub fn join(self) -> Result<(), ExecutorError> {
        let Self { name, thread } = self;
        thread.join().unwrap_or_else(|panic| Err(ExecutorError::Panicked { name, message: message(panic.as_ref()) }))
    }

    /// Whether it has ended: `join` would not wait.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Changes to files of one device that io_uring may have in hand at once; `None` for as many as come.
///
/// What would block it hands to workers of the kernel, and of those a thread has [`WORKERS_PER_CORE`] for each core, whatever the
/// disk: one that hangs must not have them all.
fn changes_at_once(devices: usize, cores: usize) -> Option<u64> {
    let share = (cores.saturating_mul(WORKERS_PER_CORE).min(RING_DEPTH) / devices.max(1)).saturating_sub(1);
    (devices > 1).then(|| share.max(1) as u64)
}

fn run_uring(
    config: &ExecutorConfig,
    (names, at_once): (Vec<BlockingPool>, Option<u64>),
    main: impl FnOnce(Local) -> Main,
    started: &mpsc::SyncSender<()>,
) -> Result<(), ExecutorError> {
    pin_to(config)?;
    let refused = |reason| ExecutorError::Start { name: config.name.clone(), backend: "io_uring", reason };
    // Pinned already, and not by glommio: its own placement reads more of /sys than a container may show. Its memory is
    // touched first here, so it lies on this core's NUMA node.
    let builder = LocalExecutorBuilder::new(Placement::Unbound)
        .name(&config.name)
        .io_memory(config.registered_bytes())
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT);
    let executor = panic::catch_unwind(AssertUnwindSafe(|| builder.make()))
        .map_err(|panic| refused(message(panic.as_ref())))?
        .map_err(|error| refused(error.to_string()))?;
    let ended = executor.run(pulsed(guard(config, started, move || main(Local::uring(config.blocks, names, at_once)))));
    ended.map_err(|cause| ExecutorError::Spawn { name: config.name.clone(), cause })?
}

fn run_threads(
    config: &ExecutorConfig,
    names: Vec<BlockingPool>,
    blocks: Vec<BlockingPool>,
    main: impl FnOnce(Local) -> Main,
    started: &mpsc::SyncSender<()>,
) -> Result<(), ExecutorError> {
    // Before the pin: the timer thread inherits the cores.
    let refused = |cause: io::Error| ExecutorError::Start {
        name: config.name.clone(),
        backend: "thread",
        reason: cause.to_string(),
    };
    let local = Local::threads(config.blocks, names, blocks).map_err(refused)?;
    pin_to(config)?;
    block_on(guard(config, started, move || main(local)))
}

fn pin_to(config: &ExecutorConfig) -> Result<(), ExecutorError> {
    match config.core {
        Some(core) => pin(core).map_err(|cause| ExecutorError::Pin { name: config.name.clone(), core, cause }),
        None => Ok(()),
    }
}

/// Runs the main future and turns its panic into an error, so that the executor around it ends in good order.
async fn guard(
    config: &ExecutorConfig,
    started: &mpsc::SyncSender<()>,
    main: impl FnOnce() -> Main,
) -> Result<(), ExecutorError> {
    let main = async {
        // Nobody waits for this any more only if the caller is gone.
        let _ = started.send(());
        main().await;
    };
    let ended = AssertUnwindSafe(main).catch_unwind().await;
    ended.map_err(|panic| ExecutorError::Panicked { name: config.name.clone(), message: message(panic.as_ref()) })
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "no message".to_owned(),
    }
}

#[cfg(test)]
mod tests;
