//! The task of one put on its shard: commands in, one end out.
//!
//! Whatever happens, the put is ended exactly once, and whoever sends to it is told of a failure only after that: a client
//! that finalizes right behind an error finds no put that still runs. A panic counts as a failure of its own put.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use futures::FutureExt;
use futures::channel::oneshot;

use crate::catalog::PutOutcome;
use crate::io::failpoint;
use crate::runtime::Receiver;
use crate::store::Directory;

use super::config::TOPIC_MESSAGES_MAX;
use super::error::PutError;
use super::request::PutReceipt;
use super::request::TopicSpec;
use super::request::WriterCommand;
use super::topic_writer::Event;
use super::topic_writer::TopicWriter;
use super::worker::ShardContext;

/// What a put's handle shares with its writer.
#[derive(Clone, Default)]
pub struct PutSignals {
    /// Why the writer stopped, for whoever sends to it.
    pub failure: Arc<OnceLock<PutError>>,
    /// The topic was deleted: batches that still wait are dropped unwritten.
    pub discarded: Arc<AtomicBool>,
    /// Batches that wait for any writer of the shard.
    pub backlog: Arc<AtomicUsize>,
}

/// Serves one put from its first batch to its end.
pub async fn write_topic(
    context: Rc<ShardContext>,
    spec: TopicSpec,
    directory: Rc<Directory>,
    mut inbox: Receiver<WriterCommand>,
    signals: PutSignals,
) {
    context.writers.set(context.writers.get() + 1);
    let mut writer = TopicWriter::new(Rc::clone(&context), spec, directory);
    let run = AssertUnwindSafe(receive(&mut writer, &mut inbox, &signals)).catch_unwind().await;
    let end = run.unwrap_or_else(|_| End::Failed(panicked(&writer)));
    finish(&mut writer, end, &signals).await;
    drop(writer);
    context.writers.set(context.writers.get() - 1);
    // Only now: whoever is told of a failure by the closed inbox finds the put ended.
    drop(inbox);
}

async fn receive(writer: &mut TopicWriter, inbox: &mut Receiver<WriterCommand>, signals: &PutSignals) -> End {
    loop {
        if let Some(error) = writer.shortage() {
            return last(writer, inbox, signals, error).await;
        }
        let step = match writer.next_event(inbox).await {
            Event::Command(Some(command)) => match take(writer, command, signals).await {
                Taken::Went(step) => step,
                Taken::Ended(end) => return end,
            },
            Event::Command(None) => {
                return End::Interrupt("the client went away before it closed the stream".to_owned(), None);
            }
            Event::MemoryShort => writer.release_rows().await,
            Event::BlocksShort => writer.release_block().await,
            Event::RoomShort => Ok(()),
            Event::Deadline => writer.deadline_passed().await,
            Event::Sealed(result) => result,
        };
        if let Err(error) = step {
            return End::Failed(error);
        }
    }
}

/// Below the hard mark: takes what has come already, as far as that leaves room for others to do so too.
async fn last(
    writer: &mut TopicWriter,
    inbox: &mut Receiver<WriterCommand>,
    signals: &PutSignals,
    error: PutError,
) -> End {
    for _ in 0..TOPIC_MESSAGES_MAX {
        if writer.shortage().is_some_and(|error| matches!(error, PutError::Full { shortage, .. } if shortage.is_dire()))
        {
            break;
        }
        let Some(command) = inbox.try_recv() else { break };
        match take(writer, command, signals).await {
            Taken::Went(Ok(())) => {}
            Taken::Went(Err(error)) => return End::Failed(error),
            Taken::Ended(end) => return end,
        }
    }
    End::Full(error)
}

/// What a command made of the put.
enum Taken {
    Went(Result<(), PutError>),
    Ended(End),
}

async fn take(writer: &mut TopicWriter, command: WriterCommand, signals: &PutSignals) -> Taken {
    match command {
        WriterCommand::Batch { .. } if signals.discarded.load(Relaxed) => Taken::Went(Ok(())),
        WriterCommand::Batch { batch, bytes, paid, waiting } => {
            drop(waiting);
            Taken::Went(writer.push(batch, bytes, paid, signals.backlog.load(Relaxed)).await)
        }
        WriterCommand::Close { reply } => Taken::Ended(End::Close(reply)),
        WriterCommand::Interrupt { why, reply } => Taken::Ended(End::Interrupt(why, Some(reply))),
        WriterCommand::Discard { reply } => Taken::Ended(End::Discard(reply)),
    }
}

async fn finish(writer: &mut TopicWriter, end: End, signals: &PutSignals) {
    let note = |result: &Result<PutReceipt, PutError>| {
        if let Err(error) = result {
            let _ = signals.failure.set(error.clone());
        }
    };
    match end {
        End::Close(reply) => {
            let result = end_put(writer, PutOutcome::Complete).await;
            note(&result);
            failpoint("publish: put ended");
            let _ = reply.send(result);
        }
        End::Interrupt(why, reply) => {
            let result = end_put(writer, PutOutcome::Interrupted { why }).await;
            note(&result);
            if let Some(reply) = reply {
                let _ = reply.send(result);
            }
        }
        End::Discard(reply) => {
            if AssertUnwindSafe(writer.discard()).catch_unwind().await.is_err() {
                panicked(writer);
            }
            let _ = reply.send(());
        }
        End::Full(error) => {
            let _ = signals.failure.set(error.clone());
            note(&end_put(writer, PutOutcome::Interrupted { why: error.to_string() }).await);
        }
        End::Failed(error) => {
            let _ = signals.failure.set(error.clone());
            fail(writer, error).await;
        }
    }
}

/// A panic on the way to the end is an end too: what was committed before it stays.
async fn end_put(writer: &mut TopicWriter, outcome: PutOutcome) -> Result<PutReceipt, PutError> {
    match AssertUnwindSafe(writer.end(outcome)).catch_unwind().await {
        Ok(result) => result,
        Err(_) => {
            let error = panicked(writer);
            fail(writer, error.clone()).await;
            Err(error)
        }
    }
}

async fn fail(writer: &mut TopicWriter, error: PutError) {
    if AssertUnwindSafe(writer.fail(error)).catch_unwind().await.is_err() {
        panicked(writer);
    }
}

/// Says so in the log, which has the panic itself already.
fn panicked(writer: &TopicWriter) -> PutError {
    let topic = writer.spec.head.name.clone();
    tracing::error!(%topic, "the writer of a topic panicked: its put ends as interrupted");
    PutError::Panicked { topic }
}

enum End {
    Close(oneshot::Sender<Result<PutReceipt, PutError>>),
    Interrupt(String, Option<oneshot::Sender<Result<PutReceipt, PutError>>>),
    Discard(oneshot::Sender<()>),
    /// There is no more room: what came is kept.
    Full(PutError),
    Failed(PutError),
}
