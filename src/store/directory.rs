//! One data directory as its shard sees it: its device, its blocks, its room.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use futures::FutureExt;
use futures::TryFutureExt;
use futures::channel::oneshot;
use futures::future::Either;
use futures::future::LocalBoxFuture;
use futures::future::Shared;

use crate::io::AlignedBuf;
use crate::io::BlockDevice;
use crate::io::BlockPool;
use crate::io::Space;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::runtime::TaskSet;

use super::path;
use super::retention::gone_is_fine;
use super::room::Level;
use super::room::Marks;
use super::room::Shortage;
use super::touched;
use super::writer::is_no_room;

/// What a disk is asked once for all who want to know.
type Question = Shared<LocalBoxFuture<'static, Result<Space, Arc<io::Error>>>>;

/// What will have come of a removal that is under way.
type Removal = Shared<oneshot::Receiver<Result<(), Arc<io::Error>>>>;

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
    /// What was last measured, and the question that is under way.
    space: Cell<Option<Space>>,
    asked: RefCell<Option<Question>>,
    /// The removal that is under way.
    removing: RefCell<Option<Removal>>,
    /// Session directories this shard knows to be durable.
    made: RefCell<HashSet<SessionId>>,
    failing: Rc<Cell<Failing>>,
    /// What is written to see whether it still is: each shard's own.
    trial: PathBuf,
}

/// Whether files can be made and written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    No,
    /// One could not be.
    Yes,
    /// Another one is being made, to see.
    Tried,
}

/// The room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    pub space: Space,
    /// The disk does not answer: this is what it said last.
    pub is_late: bool,
}

async fn space_of(device: Rc<dyn BlockDevice>) -> io::Result<Space> {
    device.space().await
}

impl Directory {
    pub fn new(device: Rc<dyn BlockDevice>, pool: BlockPool, tasks: TaskSet, short: Rc<dyn Fn()>) -> Self {
        let (marks, shortage) = (Marks::default(), Cell::default());
        let (space, asked, made) = (Cell::default(), RefCell::default(), RefCell::default());
        let (removing, failing) = (RefCell::default(), Rc::new(Cell::new(Failing::No)));
        let trial = path::trial_file(ShardIndex(0));
        Self { device, pool, tasks, short, marks, shortage, space, asked, removing, made, failing, trial }
    }

    /// The same, for one shard of several.
    pub fn of_shard(self, shard: ShardIndex) -> Self {
        Self { trial: path::trial_file(shard), ..self }
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
        let space = space_of(Rc::clone(&self.device)).await?;
        self.note(space);
        Ok(space)
    }

    /// The same for those who cannot wait for a disk that hangs. There is one question under way at most, whoever asks.
    ///
    /// Where files fail it is tried, behind this, whether one can be made again.
    ///
    /// * `patience`: ends when the last room known must do.
    ///
    /// # Errors
    /// Whatever the device says; `TimedOut` when it never said anything.
    pub async fn measure_within(&self, patience: impl Future<Output = ()>) -> io::Result<Measured> {
        let asked = {
            let ask = || space_of(Rc::clone(&self.device)).map_err(Arc::new).boxed_local().shared();
            self.asked.borrow_mut().get_or_insert_with(ask).clone()
        };
        self.try_again();
        let patience = std::pin::pin!(patience);
        match futures::future::select(asked.clone(), patience).await {
            Either::Left((answer, _)) => {
                // Somebody else may have asked anew by now.
                self.asked.borrow_mut().take_if(|now| now.ptr_eq(&asked));
                let space = answer.map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
                self.note(space);
                Ok(Measured { space, is_late: false })
            }
            Either::Right(_) => match self.space.get() {
                Some(space) => Ok(Measured { space, is_late: true }),
                None => Err(io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer")),
            },
        }
    }

    /// Removes files, for those who remove on other disks too. There is one removal under way at most: while a disk hangs, those
    /// that come later are told so.
    ///
    /// * `patience`: ends when the removal is left to itself.
    /// * `earlier`: ends when the one that was left to itself must be over.
    ///
    /// # Errors
    /// Whatever the device says; `TimedOut` when the removal, or the one before it, is not over.
    pub async fn remove_within(
        &self,
        removal: impl Future<Output = io::Result<()>> + 'static,
        patience: impl Future<Output = ()>,
        earlier: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let left = self.removing.borrow().clone();
        if let Some(left) = left {
            // What came of it is of no matter here: who wanted it comes again.
            let _ = self.end_of(left, earlier).await?;
        }
        let (done, own) = oneshot::channel();
        self.tasks.push("removal", async move {
            // Nobody may wait for it any more.
            let _ = done.send(removal.await.map_err(Arc::new));
        });
        let own = own.shared();
        *self.removing.borrow_mut() = Some(own.clone());
        self.end_of(own, patience).await?.map_err(|error| io::Error::new(error.kind(), error.to_string()))
    }

    /// What came of a removal.
    async fn end_of(
        &self,
        removal: Removal,
        patience: impl Future<Output = ()>,
    ) -> io::Result<Result<(), Arc<io::Error>>> {
        match futures::future::select(removal.clone(), std::pin::pin!(patience)).await {
            Either::Left((answer, _)) => {
                self.removing.borrow_mut().take_if(|now| now.ptr_eq(&removal));
                answer.map_err(|_| io::Error::other("the removal ended early"))
            }
            Either::Right(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the disk hangs or is slow: what is removed on it is not gone yet",
            )),
        }
    }

    /// Whether a file could not be made or written here, and none was since: what is new has a better place elsewhere.
    pub fn is_failing(&self) -> bool {
        self.failing.get() != Failing::No
    }

    /// A call failed that makes or writes a file. Room is another matter, and so is what this process has no more of (`is_ours`).
    pub(super) fn failed(&self, kind: io::ErrorKind, is_ours: bool) {
        if !is_ours && !is_no_room(kind) && self.failing.get() == Failing::No {
            self.failing.set(Failing::Yes);
        }
    }

    /// Sees, behind whoever asks, whether a file can be made again.
    fn try_again(&self) {
        if self.failing.get() != Failing::Yes {
            return;
        }
        self.failing.set(Failing::Tried);
        let (device, failing, trial) = (Rc::clone(&self.device), Rc::clone(&self.failing), self.trial.clone());
        self.tasks.push("trial", async move {
            let made = device.write_small(&trial, b"to see whether files can be made here".to_vec()).await;
            let unmade = gone_is_fine(device.unlink(&trial).await);
            failing.set(if made.and(unmade).is_ok() { Failing::No } else { Failing::Yes });
        });
    }

    fn note(&self, space: Space) {
        self.space.set(Some(space));
        self.shortage.set(self.marks.shortage(&space, Level::Hard));
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
