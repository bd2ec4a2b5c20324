//! The disk alone: sequential direct I/O in blocks of 1 MiB with 8 in flight, through the same back end as the server's.

use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::error::BenchError;
use super::latency::Latency;
use super::usage::Usage;
use crate::io::Backend;
use crate::io::BackendChoice;
use crate::io::BlockDevice;
use crate::io::WRITE_SIZE;
use crate::io::probe;
use crate::runtime::Executor;
use crate::runtime::ExecutorConfig;
use crate::runtime::Local;

const IN_FLIGHT: usize = 8;
const FILE: &str = "device.raw";

/// What moving some bytes took.
#[derive(Clone, Debug)]
pub struct DeviceRun {
    pub bytes: u64,
    /// For writes up to the end of fdatasync.
    pub took: Duration,
    /// CPU time of this process, which does nothing else meanwhile.
    pub cpu: Duration,
    /// Of each block.
    pub blocks: Latency,
}

/// The disk under a directory.
pub struct Device {
    directory: PathBuf,
    backend: Backend,
}

#[derive(Clone, Copy)]
enum Work {
    Write,
    Read,
    Sync { count: u64 },
}

impl Device {
    /// # Errors
    /// [`BenchError::Probe`].
    pub fn of(directory: &Path) -> Result<Self, BenchError> {
        let backend = probe(directory, BackendChoice::Auto)?;
        Ok(Self { directory: directory.to_owned(), backend })
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Writes a new file of `bytes`, rounded up to blocks, and makes it durable. It stays for [`Self::read`].
    ///
    /// # Errors
    /// [`BenchError::Io`], [`BenchError::Executor`].
    pub fn write(&self, bytes: u64) -> Result<DeviceRun, BenchError> {
        self.run(Work::Write, bytes)
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, bytes: u64) -> Result<DeviceRun, BenchError> {
        self.run(Work::Read, bytes)
    }

    /// How long fdatasync takes, each after one written block.
    ///
    /// # Errors
    /// As there.
    pub fn syncs(&self, count: u64) -> Result<Latency, BenchError> {
        Ok(self.run(Work::Sync { count }, count * WRITE_SIZE as u64)?.blocks)
    }

    /// Removes the file.
    ///
    /// # Errors
    /// [`BenchError::Io`].
    pub fn clear(&self) -> Result<(), BenchError> {
        match std::fs::remove_file(self.directory.join(FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(BenchError::io("remove the device's file")(error))
            }
            _ => Ok(()),
        }
    }

    fn run(&self, work: Work, bytes: u64) -> Result<DeviceRun, BenchError> {
        if !matches!(work, Work::Read) {
            self.clear()?;
        }
        let (answer, result) = mpsc::channel();
        let directory = self.directory.clone();
        let config = ExecutorConfig {
            name: "device".to_owned(),
            core: None,
            blocks: IN_FLIGHT,
            read_blocks: IN_FLIGHT,
            devices: 1,
        };
        let executor = Executor::spawn(&self.backend, config, move |local| {
            Box::pin(async move {
                // The receiver waits for it.
                let _ = answer.send(perform(&local, &directory, work, bytes.div_ceil(WRITE_SIZE as u64)).await);
            })
        })?;
        let ran = result.recv();
        executor.join()?;
        ran.unwrap_or_else(|_| Err(std::io::Error::other("it ended early")))
            .map_err(BenchError::io("measure the device"))
    }
}

async fn perform(local: &Local, directory: &Path, work: Work, blocks: u64) -> std::io::Result<DeviceRun> {
    let device = local.device(directory).await?;
    fill(local).await;
    let cpu = || Usage::of("self").map(|usage| usage.cpu).unwrap_or_default();
    let (cpu_before, began) = (cpu(), Instant::now());
    let latency = match work {
        Work::Write => write(local, &*device, blocks).await?,
        Work::Read => read(&*device, blocks).await?,
        Work::Sync { count } => sync(local, &*device, count).await?,
    };
    let took = began.elapsed();
    Ok(DeviceRun { bytes: blocks * WRITE_SIZE as u64, took, cpu: cpu().saturating_sub(cpu_before), blocks: latency })
}

/// Puts something else than zeros into the buffers, which a disk might not store.
async fn fill(local: &Local) {
    let mut taken = Vec::new();
    for seed in 0..IN_FLIGHT as u64 {
        let mut buffer = local.pool.acquire().await;
        for (index, byte) in buffer.as_mut_slice().iter_mut().enumerate() {
            *byte = ((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ seed) >> 32) as u8;
        }
        taken.push(buffer);
    }
}

async fn write(local: &Local, device: &dyn BlockDevice, blocks: u64) -> std::io::Result<Latency> {
    let file = device.create(Path::new(FILE)).await?;
    file.allocate(blocks * WRITE_SIZE as u64).await?;
    let mut latency = Latency::new();
    let mut writes = FuturesUnordered::new();
    for block in 0..blocks {
        if writes.len() == IN_FLIGHT
            && let Some(took) = writes.next().await.transpose()?
        {
            latency.record(took);
        }
        let buffer = local.pool.acquire().await;
        let file = &*file;
        writes.push(async move {
            let began = Instant::now();
            file.write_at(buffer, WRITE_SIZE, block * WRITE_SIZE as u64).await?;
            Ok::<_, std::io::Error>(began.elapsed())
        });
    }
    while let Some(took) = writes.next().await {
        latency.record(took?);
    }
    drop(writes);
    file.sync().await?;
    file.close().await?;
    Ok(latency)
}

async fn read(device: &dyn BlockDevice, blocks: u64) -> std::io::Result<Latency> {
    let file = device.open(Path::new(FILE)).await?;
    let mut latency = Latency::new();
    let mut reads = FuturesUnordered::new();
    for block in 0..blocks {
        if reads.len() == IN_FLIGHT
            && let Some(took) = reads.next().await.transpose()?
        {
            latency.record(took);
        }
        let file = &*file;
        reads.push(async move {
            let began = Instant::now();
            drop(file.read_at(block * WRITE_SIZE as u64, WRITE_SIZE).await?);
            Ok::<_, std::io::Error>(began.elapsed())
        });
    }
    while let Some(took) = reads.next().await {
        latency.record(took?);
    }
    drop(reads);
    file.close().await?;
    Ok(latency)
}

async fn sync(local: &Local, device: &dyn BlockDevice, count: u64) -> std::io::Result<Latency> {
    let file = device.create(Path::new(FILE)).await?;
    file.allocate(count * WRITE_SIZE as u64).await?;
    let mut latency = Latency::new();
    for block in 0..count {
        let buffer = local.pool.acquire().await;
        drop(file.write_at(buffer, WRITE_SIZE, block * WRITE_SIZE as u64).await?);
        let began = Instant::now();
        file.sync().await?;
        latency.record(began.elapsed());
    }
    file.close().await?;
    Ok(latency)
}
