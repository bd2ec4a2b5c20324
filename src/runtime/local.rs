//! What a shard finds on its executor.

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

#[derive(Clone)]
enum Devices {
    Uring { names: BlockingPool },
    Threads { names: BlockingPool, blocks: BlockingPool },
}

impl Local {
    /// On a glommio executor.
    pub(super) fn uring(blocks: usize, names: BlockingPool) -> Self {
        Self {
            clock: Rc::new(SystemClock::glommio()),
            // Before any read takes its part of the registered memory.
            pool: BlockPool::dma(blocks),
            devices: Devices::Uring { names },
        }
    }

    /// On any other.
    pub(super) fn threads(count: usize, names: BlockingPool, blocks: BlockingPool) -> io::Result<Self> {
        Ok(Self {
            clock: Rc::new(SystemClock::threads()?),
            pool: BlockPool::heap(count),
            devices: Devices::Threads { names, blocks },
        })
    }

    /// Opens a data directory, which must exist. Opening the directory itself blocks: at start only.
    pub async fn device(&self, root: &Path) -> io::Result<Rc<dyn BlockDevice>> {
        Ok(match &self.devices {
            Devices::Uring { names } => Rc::new(DmaDevice::open(root, names.clone()).await?),
            Devices::Threads { names, blocks } => Rc::new(ThreadDevice::open(root, names.clone(), blocks.clone())?),
        })
    }
}
