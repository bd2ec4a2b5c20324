//! The threads behind the catalog, and how a call reaches them.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::thread::JoinHandle;

use futures::channel::oneshot;
use rusqlite::Connection;

use super::EmbeddedConfig;
use super::checkpoint::Checkpoint;
use super::fault::Fault;
use super::fault::Outcome;
use super::fault::answer;
use super::fault::is_disk;
use super::poison::Poison;
use super::queue::Queue;
use super::room::Need;
use super::room::Room;
use super::schema::Role;
use super::schema::connect;
use super::tail::Tails;
use super::writer::Work;
use super::writer::WriteCall;
use super::writer::WriteJob;
use super::writer::Writer;
use crate::catalog::CatalogError;
use crate::catalog::Fut;
use crate::io::Host;

type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// Queues and threads, shared by everything that speaks to one file. Dropping the last of them closes it.
pub struct Engine {
    writes: Arc<Queue<WriteCall>>,
    reads: Arc<Queue<ReadJob>>,
    checkpoint: Arc<Checkpoint>,
    poison: Arc<Poison>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a reader makes of a question about a topic that may be open.
pub enum Seen<T> {
    Whole(T),
    /// The answer lies in the tails, which only the writer has.
    NeedsTail,
}

impl Engine {
    /// # Errors
    /// As [`connect`]; `Corrupt` also when the journal cannot be read back; `Unavailable` without a thread.
    pub fn start(host: &Host, config: &EmbeddedConfig, path: &Path) -> Result<Self, CatalogError> {
        let room = Room::new(host, config, path);
        // Also the files that belong to an open one take room. When there is none, opening says so itself.
        let _ = room.for_group(0, Need::Deleting);
        let writer = connect(config, path, Role::Writer)?;
        let tails = Tails::load(&writer).map_err(|fault| match fault {
            Fault::Answer(error) => error,
            Fault::Store(error) => answer(&error),
        })?;
        let readers = (0..config.readers.clamp(1, 64)).map(|_| connect(config, path, Role::Reader));
        let readers = readers.collect::<Result<Vec<_>, _>>()?;
        let checkpointer = connect(config, path, Role::Checkpoint)?;

        let engine = Self {
            writes: Arc::new(Queue::new(config.queue_calls_max, config.queue_bytes_max)),
            reads: Arc::new(Queue::new(config.queue_calls_max, config.queue_bytes_max)),
            checkpoint: Arc::new(Checkpoint::new(config.checkpoint_ms)),
            poison: Arc::new(Poison::default()),
            threads: Mutex::default(),
        };
        // The checkpoint is last: it alone may find the others gone, and closing then joins it last.
        let own = room.clone();
        let (queue, checkpoint, poison) = (engine.writes.clone(), engine.checkpoint.clone(), engine.poison.clone());
        let writer = Writer::new(writer, tails, queue, checkpoint, poison, own).admitting(config.admission);
        engine.spawn("catalog-write", move || writer.run())?;
        for (index, reader) in readers.into_iter().enumerate() {
            let queue = engine.reads.clone();
            engine.spawn(&format!("catalog-read-{index}"), move || read(&reader, &queue))?;
        }
        let (checkpoint, poison) = (engine.checkpoint.clone(), engine.poison.clone());
        engine.spawn("catalog-checkpoint", move || checkpoint.run(&checkpointer, &poison, &room))?;
        Ok(engine)
    }

    /// Runs `operation` in the writer's next transaction and answers after its commit.
    ///
    /// * `bytes`: what the call holds while it waits.
    pub fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        operation: impl FnOnce(&mut Work<'_>) -> Outcome<T> + Send + 'static,
    ) -> Fut<'_, T> {
        self.write_as(Need::Ordinary, bytes, operation)
    }

    /// As [`Self::write`], for a call that may spend the reserve.
    pub fn write_as<T: Send + 'static>(
        &self,
        need: Need,
        bytes: usize,
        operation: impl FnOnce(&mut Work<'_>) -> Outcome<T> + Send + 'static,
    ) -> Fut<'_, T> {
        let (sender, receiver) = oneshot::channel();
        let job: WriteJob = Box::new(move |work| {
            let result = work.attempt(operation);
            // A caller who stopped listening is no error.
            Box::new(move || drop(sender.send(result)))
        });
        self.answer(self.writes.push(WriteCall { need, job }, bytes), receiver)
    }

    /// Runs `question` on a reader, in a snapshot of its own.
    pub fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    ) -> Fut<'_, T> {
        let (sender, receiver) = oneshot::channel();
        let poison = self.poison.clone();
        let job: ReadJob = Box::new(move |connection| {
            let result = snapshot(connection, question);
            if let Err(Fault::Store(error)) = &result
                && is_disk(error)
            {
                poison.set(&format!("reading the catalog failed: {error}"));
            }
            drop(sender.send(result.map_err(|fault| match fault {
                Fault::Answer(error) => error,
                Fault::Store(error) => answer(&error),
            })));
        });
        self.answer(self.reads.push(job, 0), receiver)
    }

    /// Asks a reader, and the writer when the answer lies in a tail.
    pub fn look<T: Send + 'static>(
        &self,
        question: impl Fn(&Connection, Option<&Tails>) -> Outcome<Seen<T>> + Send + Sync + 'static,
    ) -> Fut<'_, T> {
        let question = Arc::new(question);
        let again = question.clone();
        let seen = self.read(move |connection| question(connection, None));
        Box::pin(async move {
            if let Seen::Whole(answer) = seen.await? {
                return Ok(answer);
            }
            let whole = self.write_as(Need::Nothing, 0, move |work| match again(work.connection, Some(work.tails))? {
                Seen::Whole(answer) => Ok(answer),
                Seen::NeedsTail => Err(CatalogError::corrupt("a tail", "an open topic has none in memory").into()),
            });
            whole.await
        })
    }

    /// Rows that were changed since the file was opened.
    pub fn changes(&self) -> u64 {
        self.checkpoint.changes()
    }

    pub fn on_poison(&self, callback: Box<dyn Fn(&str) + Send + Sync>) {
        self.poison.on_set(callback);
    }

    /// Lets waiting calls finish, moves the log into the file and closes it. Repeating it does nothing.
    pub fn close(&self) {
        self.writes.close();
        self.reads.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let (checkpoint, others): (Vec<_>, Vec<_>) =
            threads.into_iter().partition(|thread| thread.thread().name() == Some("catalog-checkpoint"));
        // A thread that panicked has poisoned us, and the panic has been printed.
        others.into_iter().for_each(|thread| drop(thread.join()));
        self.checkpoint.close();
        checkpoint.into_iter().for_each(|thread| drop(thread.join()));
    }

    /// As [`Self::close`], and says whether the file alone holds everything.
    pub fn finish(&self) -> Result<(), CatalogError> {
        self.close();
        match self.poison.cause() {
            Some(cause) => Err(CatalogError::Unavailable { cause }),
            None => self.checkpoint.is_whole(),
        }
    }

    fn spawn(&self, name: &str, main: impl FnOnce() + Send + 'static) -> Result<(), CatalogError> {
        let poison = Guard { poison: self.poison.clone(), writes: self.writes.clone(), reads: self.reads.clone() };
        let guarded = move || {
            let _guard = poison;
            main();
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(guarded);
        let thread = thread.map_err(|error| CatalogError::Unavailable { cause: error.to_string() })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    fn answer<T: Send + 'static>(
        &self,
        pushed: Result<(), CatalogError>,
        receiver: oneshot::Receiver<Result<T, CatalogError>>,
    ) -> Fut<'_, T> {
        Box::pin(async move {
            let result = match pushed {
                // Closing answers all calls it took. One that is not answered met a bug or a poisoned writer.
                Ok(()) => receiver.await.unwrap_or_else(|_| {
                    Err(CatalogError::Unavailable { cause: "it stopped before it answered".to_owned() })
                }),
                Err(refused) => Err(refused),
            };
            // Also for a reader that was quicker than the fault: what it saw may not be there after the next start.
            match self.poison.cause() {
                Some(cause) => Err(CatalogError::Unavailable { cause }),
                None => result,
            }
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Whatever ends a thread early, a bug of ours included, leaves nobody waiting for it.
struct Guard {
    poison: Arc<Poison>,
    writes: Arc<Queue<WriteCall>>,
    reads: Arc<Queue<ReadJob>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.poison.set("a catalog thread panicked: see the log");
        }
        if self.poison.cause().is_some() {
            self.writes.abandon();
            self.reads.abandon();
        }
    }
}

fn read(connection: &Connection, queue: &Queue<ReadJob>) {
    loop {
        let Some(job) = queue.take(1).pop() else { return };
        job(connection);
    }
}

fn snapshot<T>(connection: &Connection, question: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
    let transaction = connection.unchecked_transaction()?;
    let seen = question(&transaction)?;
    transaction.commit()?;
    Ok(seen)
}

#[cfg(test)]
mod tests;
