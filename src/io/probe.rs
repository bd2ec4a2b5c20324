//! Which back end this machine allows for a data directory: asked once, at start, by doing it.
//!
//! io_uring is refused by container profiles, sysctls and small memory-lock limits, O_DIRECT by some file systems. Glommio
//! answers most of that with a panic, on a thread that it or we start: so the trial runs on a thread of its own, whose panics
//! are caught and not printed. This is why the probe, alone besides `runtime::Executor`, starts a glommio executor.

use std::any::Any;
use std::io;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Once;
use std::thread;

use futures::executor::block_on;
use glommio::LocalExecutorBuilder;
use glommio::Placement;
use rustix::process::Resource;
use rustix::process::getrlimit;
use serde::Deserialize;
use serde::Serialize;

use super::block::BLOCK_SIZE;
use super::block::BlockDevice;
use super::blocking::BlockingPool;
use super::buffer::AlignedBuf;
use super::buffer::Memory;
use super::dma::DmaDevice;
use super::threads::ThreadDevice;

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// io_uring where it works, else threads.
    #[default]
    Auto,
    /// io_uring, or refuse to start.
    Uring,
    /// Threads, even where io_uring works.
    Threads,
}

/// What it is going to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    Uring,
    /// And why not io_uring: for the log, and for `tessera host check`.
    Threads {
        reason: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("cannot write and read back a file in {}: check that it exists, belongs to this user and has room (df, df -i)", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("io_uring was asked for and does not work in {}: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
}

/// The file of a trial. Ends like a chunk without a record, so that recovery sweeps it away should we be killed meanwhile.
const TRIAL_FILE: &str = "probe.part";

const TRIAL_THREAD: &str = "io-probe";

/// Registered memory of the trial, in bytes: small, so that it fits any limit that glommio starts with.
const TRIAL_MEMORY: usize = 64 << 10;

/// Glommio refuses to start below this limit.
const MEMORY_LOCK_MIN: u64 = 512 << 10;

/// Decides on the back end for one data directory by writing, syncing and reading back a block in it. Hold the directory's
/// lock: two probes of one directory at a time disturb each other. Blocks for some milliseconds.
pub fn probe(directory: &Path, wanted: BackendChoice) -> Result<Backend, ProbeError> {
    // With threads first: when not even that works, the directory is what is wrong.
    try_threads(directory).map_err(|cause| ProbeError::Directory { path: directory.to_owned(), cause })?;
    if wanted == BackendChoice::Threads {
        return Ok(Backend::Threads { reason: "asked for by the configuration".to_owned() });
    }
    match (try_uring(directory), wanted) {
        (Ok(()), _) => Ok(Backend::Uring),
        (Err(reason), BackendChoice::Uring) => Err(ProbeError::Refused { path: directory.to_owned(), reason }),
        (Err(reason), BackendChoice::Auto | BackendChoice::Threads) => Ok(Backend::Threads { reason }),
    }
}

fn try_threads(directory: &Path) -> io::Result<()> {
    let pool = BlockingPool::new(TRIAL_THREAD, 1)?;
    let device = ThreadDevice::open(directory, pool.clone(), pool)?;
    block_on(try_device(&device, AlignedBuf::zeroed(BLOCK_SIZE)))
}

/// The error is the reason, in words for an operator.
fn try_uring(directory: &Path) -> Result<(), String> {
    let limit = getrlimit(Resource::Memlock).current;
    if let Some(limit) = limit.filter(|limit| *limit < MEMORY_LOCK_MIN) {
        return Err(format!(
            "the memory lock limit is {limit} bytes, at least {MEMORY_LOCK_MIN} are needed (LimitMEMLOCK)"
        ));
    }
    let directory = directory.to_owned();
    contained(move || {
        let names = BlockingPool::new(TRIAL_THREAD, 1)?;
        let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(TRIAL_MEMORY).ring_depth(8).make();
        let executor = executor.map_err(io::Error::from)?;
        executor.run(async move {
            let device = DmaDevice::open(&directory, names).await?;
            try_device(&device, AlignedBuf::of(Memory::dma(BLOCK_SIZE))).await
        })
    })
    .map_err(|error| error.to_string())
}

async fn try_device(device: &dyn BlockDevice, mut buf: AlignedBuf) -> io::Result<()> {
    let path = Path::new(TRIAL_FILE);
    match device.unlink(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written: Vec<u8> = (0..BLOCK_SIZE).map(|at| (at % 251) as u8).collect();
    buf.as_mut_slice().copy_from_slice(&written);
    let result = write_and_read(device, path, buf).await;
    let removed = device.unlink(path).await;
    let read = result?;
    removed?;
    if read == written { Ok(()) } else { Err(io::Error::other("what was read is not what was written")) }
}

async fn write_and_read(device: &dyn BlockDevice, path: &Path, buf: AlignedBuf) -> io::Result<Vec<u8>> {
    let file = device.create(path).await?;
    file.allocate(2 * BLOCK_SIZE as u64).await?;
    file.write_at(buf, BLOCK_SIZE, 0).await?;
    file.truncate(BLOCK_SIZE as u64).await?;
    file.sync().await?;
    file.close().await?;
    let file = device.open(path).await?;
    let read = file.read_at(0, BLOCK_SIZE).await?.as_slice().to_vec();
    file.close().await?;
    Ok(read)
}

/// Runs `trial` on a thread whose panics become errors, silently.
fn contained<T: Send + 'static>(trial: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    mute_trials();
    let trial = move || panic::catch_unwind(AssertUnwindSafe(trial)).unwrap_or_else(|panic| Err(panicked(panic)));
    let thread = thread::Builder::new().name(TRIAL_THREAD.to_owned()).spawn(trial)?;
    thread.join().unwrap_or_else(|panic| Err(panicked(panic)))
}

/// Panics of trial threads are not printed from here on; all others are, as before.
fn mute_trials() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(TRIAL_THREAD) {
                print(info);
            }
        }));
    });
}

fn panicked(panic: Box<dyn Any + Send>) -> io::Error {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "no message".to_owned(),
    };
    // Glommio's words for a kernel that refuses io_uring speak of Romulus and Remus; from the second time on, those of a
    // lock that the first time left poisoned.
    if text.contains("register a probe") || text.contains("Once instance") {
        return io::Error::other(
            "the kernel refuses io_uring (too old, kernel.io_uring_disabled, or a seccomp filter)",
        );
    }
    io::Error::other(format!("the io_uring executor panicked: {text}"))
}

#[cfg(test)]
mod tests;
