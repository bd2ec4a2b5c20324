//! One data directory as its shard sees it: its device, its blocks, its room.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::rc::Rc;

use crate::io::AlignedBuf;
use crate::io::BlockDevice;
use crate::io::BlockPool;
use crate::io::Space;
use crate::model::SessionId;
use crate::runtime::TaskSet;

use super::path;
use super::room::Level;
use super::room::Marks;
use super::room::Shortage;
use super::touched;

/// One data directory as its shard sees it.
pub struct Directory {
    pub device: Rc<dyn BlockDevice>,
    pub pool: BlockPool,
    pub tasks: TaskSet,
    /// Called when a block is wanted and none is left: whoever holds one without need gives it back.
    short: Rc<dyn Fn()>,
    marks: Marks,
    /// What was short when the room was last measured.
    shortage: Cell<Option<Shortage>>,
    /// Session directories this shard knows to be durable.
    made: RefCell<HashSet<SessionId>>,
}

impl Directory {
    pub fn new(device: Rc<dyn BlockDevice>, pool: BlockPool, tasks: TaskSet, short: Rc<dyn Fn()>) -> Self {
        let (marks, shortage) = (Marks::default(), Cell::default());
        Self { device, pool, tasks, short, marks, shortage, made: RefCell::default() }
    }

    /// The same, with marks of its own.
    pub fn with_marks(self, marks: Marks) -> Self {
        Self { marks, ..self }
    }

    /// Measures how much room its disk has. Every allocation does it, and somebody has to now and then, for others may fill
    /// the disk.
    ///
    /// # Errors
    /// Whatever the device says.
    pub async fn measure(&self) -> io::Result<Space> {
        let space = self.device.space().await?;
        self.shortage.set(self.marks.shortage(&space, Level::Hard));
        Ok(space)
    }

    /// What is short at the hard mark, as last measured: streams must end.
    pub fn shortage(&self) -> Option<Shortage> {
        self.shortage.get()
    }

    pub fn marks(&self) -> Marks {
        self.marks
    }

    pub(super) async fn block(&self) -> AlignedBuf {
        if let Some(block) = self.pool.try_acquire() {
            return block;
        }
        (self.short)();
        self.pool.acquire().await
    }

    /// Makes the session's directory and its mark durable, once per start: before the first file, so that no crash can leave
    /// a file where no start looks.
    pub(super) async fn make_session(&self, session: SessionId) -> io::Result<()> {
        if self.made.borrow().contains(&session) {
            return Ok(());
        }
        let directory = async {
            self.device.make_directory(&path::session_directory(session)).await?;
            self.device.sync_directory(Path::new(path::CHUNKS_DIRECTORY)).await
        };
        // Side by side: a sync costs milliseconds.
        futures::try_join!(directory, touched::mark(&*self.device, session))?;
        self.made.borrow_mut().insert(session);
        Ok(())
    }

    /// Forgets a session whose directory was removed.
    pub(super) fn forget_session(&self, session: SessionId) {
        self.made.borrow_mut().remove(&session);
    }
}
