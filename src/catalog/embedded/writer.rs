//! The thread that writes: group commit.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::Transaction;
use rusqlite::TransactionBehavior;

use super::checkpoint::Checkpoint;
use super::config::Admission;
use super::fault::Fault;
use super::fault::Outcome;
use super::fault::answer;
use super::fault::is_busy;
use super::poison::Poison;
use super::queue::Queue;
use super::room::Need;
use super::room::Room;
use super::tail::Tails;
use crate::catalog::CatalogError;

/// Calls committed together. It bounds how long the first of them waits for the others.
pub const GROUP_MAX: usize = 256;
/// Each waits as long as the connection's busy timeout, 5 s.
const BEGIN_ATTEMPTS: u32 = 12;

/// A call that waits for the writer.
pub struct WriteCall {
    pub need: Need,
    pub job: WriteJob,
}

/// Runs one call inside the transaction; what it returns is called after the commit, and dropped without one.
pub type WriteJob = Box<dyn FnOnce(&mut Work<'_>) -> Reply + Send>;
pub type Reply = Box<dyn FnOnce() + Send>;

/// What an operation works on: the open transaction, and the tails in memory.
pub struct Work<'a> {
    pub connection: &'a Connection,
    pub tails: &'a mut Tails,
    pub admission: Admission,
    /// The first trouble with the file: the group must not be committed.
    trouble: Option<rusqlite::Error>,
    /// Why the call may not be run: it gets this answer.
    refusal: Option<CatalogError>,
}

impl Work<'_> {
    /// Runs one operation. When it is refused its own statements are undone, and only those.
    pub fn attempt<T>(&mut self, operation: impl FnOnce(&mut Self) -> Outcome<T>) -> Result<T, CatalogError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        match self.savepoint(operation) {
            Ok(value) => Ok(value),
            Err(Fault::Answer(error)) => Err(error),
            Err(Fault::Store(error)) => {
                let told = answer(&error);
                self.trouble.get_or_insert(error);
                Err(told)
            }
        }
    }

    fn savepoint<T>(&mut self, operation: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        let run = |sql| self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        run("SAVEPOINT call")?;
        let result = operation(self);
        let run = |sql| self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        if let Err(Fault::Answer(_)) = &result {
            run("ROLLBACK TO call")?;
        }
        if let Err(Fault::Store(_)) = &result {
            return result; // the whole transaction goes
        }
        run("RELEASE call")?;
        result
    }
}

pub struct Writer {
    connection: Connection,
    tails: Tails,
    queue: Arc<Queue<WriteCall>>,
    checkpoint: Arc<Checkpoint>,
    poison: Arc<Poison>,
    room: Room,
    admission: Admission,
}

impl Writer {
    pub fn new(
        connection: Connection,
        tails: Tails,
        queue: Arc<Queue<WriteCall>>,
        checkpoint: Arc<Checkpoint>,
        poison: Arc<Poison>,
        room: Room,
    ) -> Self {
        Self { connection, tails, queue, checkpoint, poison, room, admission: Admission::Limited }
    }

    /// The same, for what comes from there.
    pub fn admitting(self, admission: Admission) -> Self {
        Self { admission, ..self }
    }

    /// Until the queue is closed, or the catalog poisoned.
    pub fn run(mut self) {
        loop {
            let jobs = self.queue.take(GROUP_MAX);
            if jobs.is_empty() || self.poison.cause().is_some() {
                return;
            }
            let Some(replies) = self.group(jobs) else { return };
            replies.into_iter().for_each(|reply| reply());
        }
    }

    /// One transaction over all of `jobs`. The replies may be given once it is committed; `None` when it was not, and
    /// the catalog is poisoned. That happens before a reply is dropped, so that nobody takes a missing one for less.
    fn group(&mut self, calls: Vec<WriteCall>) -> Option<Vec<Reply>> {
        let poison = |error| self.poison.set(&format!("a commit of the catalog failed: {error}"));
        let mut replies = Vec::with_capacity(calls.len());
        let before = self.connection.total_changes();
        let transaction = begin(&self.connection).map_err(poison).ok()?;
        let (tails, admission) = (&mut self.tails, self.admission);
        let mut work = Work { connection: &transaction, tails, admission, trouble: None, refusal: None };
        let refusals = refusals(&self.room, &calls);
        for WriteCall { need, job } in calls {
            // Nothing is written for a call that may not run: a log on a full disk would poison us.
            work.refusal = refusals.get(&need).cloned();
            replies.push(job(&mut work));
            if let Some(error) = work.trouble.take() {
                poison(error);
                return None;
            }
        }
        transaction.commit().map_err(poison).ok()?;
        self.checkpoint.note(self.connection.total_changes().saturating_sub(before));
        Some(replies)
    }
}

/// Why calls of some needs may not run. Those that may spend less of the reserve are asked for first: what is spent for others
/// is not for them.
fn refusals(room: &Room, calls: &[WriteCall]) -> BTreeMap<Need, CatalogError> {
    let needs: BTreeSet<Need> = calls.iter().map(|call| call.need).collect();
    needs.into_iter().filter_map(|need| Some((need, room.for_group(calls.len(), need).err()?))).collect()
}

/// Waits a minute for another program (a shell, a backup) that holds the file: nothing has happened yet.
fn begin(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    let attempt = || Transaction::new_unchecked(connection, TransactionBehavior::Immediate);
    for _ in 1..BEGIN_ATTEMPTS {
        match attempt() {
            Err(error) if is_busy(&error) => {}
            other => return other,
        }
    }
    attempt()
}
