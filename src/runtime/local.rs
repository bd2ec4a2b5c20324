//! What a shard finds on its executor.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::io::BlockDevice;
use crate::io::BlockPool;
use crate::io::BlockingPool;
use crate::io::Clock;
use crate::io::DmaDevice;
use crate::io::SystemClock;
use crate::io::ThreadDevice;

/// The clock, the write buffers and the devices of one executor. Stays on its thread; clones share everything.
#[derive(Clone)]
pub struct Local {
    pub clock: Rc<dyn Clock>,
    pub pool: BlockPool,
    devices: Devices,
}

/// Threads for the devices to come, the next one's last.
#[derive(Clone)]
enum Devices {
    Uring { names: Spare, at_once: Option<u64> },
    Threads { names: Spare, blocks: Spare },
}

#[derive(Clone)]
struct Spare(Rc<RefCell<Vec<BlockingPool>>>);

impl Spare {
    fn new(pools: Vec<BlockingPool>) -> Self {
        Self(Rc::new(RefCell::new(pools)))
    }

    /// Those of the next device. One that nobody announced shares with the one before it.
    fn take(&self) -> io::Result<BlockingPool> {
        let mut pools = self.0.borrow_mut();
        let next = if pools.len() > 1 { pools.pop() } else { pools.last().cloned() };
        next.ok_or_else(|| io::Error::other("an executor without threads for blocking calls"))
    }
}

impl Local {
    /// On a glommio executor.
    ///
    /// * `at_once`: changes to files that each device may have under way.
    pub(super) fn uring(blocks: usize, names: Vec<BlockingPool>, at_once: Option<u64>) -> Self {
        Self {
            clock: Rc::new(SystemClock::glommio()),
            // Before any read takes its part of the registered memory.
            pool: BlockPool::dma(blocks),
            devices: Devices::Uring { names: Spare::new(names), at_once },
        }
    }

    /// On any other.
    pub(super) fn threads(count: usize, names: Vec<BlockingPool>, blocks: Vec<BlockingPool>) -> io::Result<Self> {
        Ok(Self {
            clock: Rc::new(SystemClock::threads()?),
            pool: BlockPool::heap(count),
            devices: Devices::Threads { names: Spare::new(names), blocks: Spare::new(blocks) },
        })
    }

    /// Opens a data directory, which must exist. Opening the directory itself blocks: at start only.
    pub async fn device(&self, root: &Path) -> io::Result<Rc<dyn BlockDevice>> {
        Ok(match &self.devices {
            Devices::Uring { names, at_once } => {
                let device = DmaDevice::open(root, names.take()?).await?;
                Rc::new(device.with_changes_at_once(*at_once))
            }
            Devices::Threads { names, blocks } => Rc::new(ThreadDevice::open(root, names.take()?, blocks.take()?)?),
        })
    }
}
