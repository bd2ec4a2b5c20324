//! Writes one topic: batches into row groups, row groups into chunks, chunks into the catalog.
//!
//! Invariants
//! - Chunks are committed in the order of their rows: a chunk's commit waits for its predecessor's. So what a crash leaves
//!   is a prefix of the stream, never a hole.
//! - Beyond one row group nothing of a topic is buffered here, however long it is.
//! - The put is ended exactly once: whole, interrupted, or not at all when the topic was deleted.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::channel::oneshot;
use futures::future::Either;
use futures::future::select;

use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::chunk::ChunkEncoder;
use crate::chunk::ChunkIdentity;
use crate::chunk::Effort;
use crate::model::ChunkId;
use crate::runtime::Receiver;
use crate::store::ChunkWriter;
use crate::store::Directory;

use super::config::ROW_GROUP_BYTES;
use super::cut_policy;
use super::cut_policy::Cut;
use super::error::PutError;
use super::handle::Failure;
use super::request::PutReceipt;
use super::request::TopicSpec;
use super::request::WriterCommand;
use super::seal::OpenChunk;
use super::seal::append_all;
use super::seal::commit;
use super::seal::seal;
use super::worker::ShardContext;

/// Serves one put from its first batch to its end.
pub async fn write_topic(
    context: Rc<ShardContext>,
    spec: TopicSpec,
    directory: Rc<Directory>,
    mut inbox: Receiver<WriterCommand>,
    failure: Failure,
) {
    let mut writer = TopicWriter::new(context, spec, directory);
    let end = loop {
        match writer.next_event(&mut inbox).await {
            Event::Command(Some(WriterCommand::Batch { batch, bytes })) => {
                let waiting = if inbox.is_empty() { Effort::Compact } else { Effort::Direct };
                if let Err(error) = writer.push(batch, bytes, waiting).await {
                    break End::Failed(error);
                }
            }
            Event::Command(Some(WriterCommand::Close { reply })) => break End::Close(reply),
            Event::Command(Some(WriterCommand::Interrupt { why, reply })) => break End::Interrupt(why, Some(reply)),
            Event::Command(Some(WriterCommand::Discard { reply })) => break End::Discard(reply),
            Event::Command(None) => {
                break End::Interrupt("the client went away before it closed the stream".to_owned(), None);
            }
            Event::Relief => {
                if let Err(error) = writer.relieve().await {
                    break End::Failed(error);
                }
            }
            Event::Deadline => {
                if let Err(error) = writer.deadline_passed().await {
                    break End::Failed(error);
                }
            }
        }
    };
    match end {
        End::Close(reply) => {
            let result = writer.end(PutOutcome::Complete).await;
            note(&failure, &result);
            let _ = reply.send(result);
        }
        End::Interrupt(why, reply) => {
            let result = writer.end(PutOutcome::Interrupted { why }).await;
            note(&failure, &result);
            if let Some(reply) = reply {
                let _ = reply.send(result);
            }
        }
        End::Discard(reply) => {
            writer.discard().await;
            let _ = reply.send(());
        }
        End::Failed(error) => {
            // Senders learn the reason from here: set it before the inbox closes.
            let _ = failure.set(error.clone());
            writer.fail(error).await;
        }
    }
}

fn note(failure: &Failure, result: &Result<PutReceipt, PutError>) {
    if let Err(error) = result {
        let _ = failure.set(error.clone());
    }
}

enum Event {
    Command(Option<WriterCommand>),
    Relief,
    Deadline,
}

enum End {
    Close(oneshot::Sender<Result<PutReceipt, PutError>>),
    Interrupt(String, Option<oneshot::Sender<Result<PutReceipt, PutError>>>),
    Discard(oneshot::Sender<()>),
    Failed(PutError),
}

type Sealing = oneshot::Receiver<Result<u64, PutError>>;

struct TopicWriter {
    context: Rc<ShardContext>,
    spec: TopicSpec,
    directory: Rc<Directory>,
    /// Rows that wait for the rest of their row group.
    pending: Vec<RecordBatch>,
    pending_bytes: usize,
    open: Option<OpenChunk>,
    /// Monotonic times of the first row that is in no sealed chunk, and of the newest one.
    first_row: Option<Duration>,
    last_row: Duration,
    /// Chunks begun so far.
    number: u32,
    /// The predecessor's commit, which the next one waits for.
    sealing: Option<Sealing>,
    receipt: PutReceipt,
    relief_calls: u64,
}

impl TopicWriter {
    fn new(context: Rc<ShardContext>, spec: TopicSpec, directory: Rc<Directory>) -> Self {
        let relief_calls = context.relief.calls();
        Self {
            context,
            spec,
            directory,
            pending: Vec::new(),
            pending_bytes: 0,
            open: None,
            first_row: None,
            last_row: Duration::ZERO,
            number: 0,
            sealing: None,
            receipt: PutReceipt::default(),
            relief_calls,
        }
    }

    async fn next_event(&mut self, inbox: &mut Receiver<WriterCommand>) -> Event {
        if self.deadline().is_some_and(|at| self.context.clock.monotonic() >= at) {
            return Event::Deadline;
        }
        if let Some(command) = inbox.try_recv() {
            return Event::Command(Some(command));
        }
        let calls = self.relief_calls;
        let sleep = match self.deadline() {
            Some(at) => self.context.clock.sleep(at.saturating_sub(self.context.clock.monotonic())),
            None => Box::pin(std::future::pending()),
        };
        let relief = Box::pin(self.context.relief.after(calls));
        let event = match select(Box::pin(inbox.recv()), select(relief, sleep)).await {
            Either::Left((command, _)) => Event::Command(command),
            Either::Right((Either::Left(_), _)) => Event::Relief,
            Either::Right((Either::Right(_), _)) => Event::Deadline,
        };
        self.relief_calls = self.context.relief.calls();
        event
    }

    /// Takes one batch. Returns once it is buffered or in the file; durable only after its chunk's commit.
    async fn push(&mut self, batch: RecordBatch, bytes: usize, effort: Effort) -> Result<(), PutError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.last_row = self.context.clock.monotonic();
        self.first_row.get_or_insert(self.last_row);
        self.pending.push(batch);
        self.pending_bytes += bytes;
        if self.pending_bytes >= ROW_GROUP_BYTES || self.context.budget.waiting() {
            self.close_row_group(effort).await?;
            self.cut_if_due().await?;
        }
        Ok(())
    }

    async fn relieve(&mut self) -> Result<(), PutError> {
        self.close_row_group(Effort::Direct).await?;
        let topic = self.spec.head.name.clone();
        match self.open.as_mut() {
            Some(chunk) => chunk.file.spill().await.map_err(|cause| PutError::Write { topic, cause }),
            None => Ok(()),
        }
    }

    async fn deadline_passed(&mut self) -> Result<(), PutError> {
        self.close_row_group(Effort::Compact).await?;
        self.cut_if_due().await
    }

    /// When the age or idleness of the rows that are in no sealed chunk cuts them off.
    fn deadline(&self) -> Option<Duration> {
        let first = self.first_row?;
        let config = &self.context.chunk_config;
        let age = config.age().map(|age| first + age);
        let idle = config.idle().map(|idle| self.last_row + idle);
        age.into_iter().chain(idle).min()
    }

    /// Encodes what is pending and hands it to the file.
    async fn close_row_group(&mut self, effort: Effort) -> Result<(), PutError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut chunk = match self.open.take() {
            Some(chunk) => chunk,
            None => self.open_chunk().await?,
        };
        let batches = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let pieces = match chunk.encoder.row_group(&batches, effort) {
            Ok(pieces) => pieces,
            Err(cause) => {
                chunk.file.abandon();
                return Err(PutError::Encode { topic: self.spec.head.name.clone(), cause: Arc::new(cause) });
            }
        };
        drop(batches);
        let written = append_all(&mut chunk.file, pieces).await;
        match written {
            Ok(()) => {
                self.open = Some(chunk);
                Ok(())
            }
            Err(cause) => {
                chunk.file.abandon();
                Err(PutError::Write { topic: self.spec.head.name.clone(), cause })
            }
        }
    }

    async fn open_chunk(&mut self) -> Result<OpenChunk, PutError> {
        let head = &self.spec.head;
        let identity = ChunkIdentity {
            chunk: ChunkId::new(&self.context.ids),
            device: head.device,
            shard: self.context.index,
            number: self.number,
            incarnation: self.context.incarnation,
            sequence: self.spec.sequence,
            session: head.session,
            topic: head.id,
            name: head.name.clone(),
            tag: head.tag.clone(),
            format: head.format,
        };
        let chunk = identity.chunk;
        let encoder = ChunkEncoder::new(identity, &self.spec.schema)
            .map_err(|cause| PutError::Encode { topic: head.name.clone(), cause: Arc::new(cause) })?;
        let file = ChunkWriter::create(Rc::clone(&self.directory), head.session, chunk)
            .await
            .map_err(|cause| PutError::Write { topic: head.name.clone(), cause })?;
        self.number += 1;
        Ok(OpenChunk { encoder, file })
    }

    async fn cut_if_due(&mut self) -> Result<(), PutError> {
        let (Some(chunk), Some(first)) = (&self.open, self.first_row) else { return Ok(()) };
        let now = self.context.clock.monotonic();
        let (age, idle) = (now.saturating_sub(first), now.saturating_sub(self.last_row));
        match cut_policy::decide(&self.context.chunk_config, &chunk.encoder.progress(), age, idle) {
            Cut::Continue => Ok(()),
            Cut::Seal(reason) => {
                tracing::debug!(topic = %self.spec.head.name, ?reason, "chunk cut");
                self.seal_behind().await
            }
        }
    }

    /// Seals the open chunk in the background, so that the stream goes on; one at a time.
    async fn seal_behind(&mut self) -> Result<(), PutError> {
        self.await_sealing().await?;
        let Some(chunk) = self.open.take() else { return Ok(()) };
        self.first_row = None;
        let (sender, sealing) = oneshot::channel();
        let (context, spec) = (Rc::clone(&self.context), self.spec.clone());
        self.context.tasks.push("seal", async move {
            let _ = sender.send(seal(&context, &spec, chunk, None).await);
        });
        self.sealing = Some(sealing);
        Ok(())
    }

    /// Waits until the predecessor is committed.
    async fn await_sealing(&mut self) -> Result<(), PutError> {
        let Some(sealing) = self.sealing.take() else { return Ok(()) };
        let stopped = PutError::Stopped { topic: self.spec.head.name.clone() };
        self.receipt.rows += sealing.await.unwrap_or(Err(stopped))?;
        self.receipt.chunks += 1;
        Ok(())
    }

    /// Seals what there is and ends the put.
    async fn end(mut self, outcome: PutOutcome) -> Result<PutReceipt, PutError> {
        match self.try_end(outcome).await {
            Ok(receipt) => Ok(receipt),
            Err(error) => {
                self.fail(error.clone()).await;
                Err(error)
            }
        }
    }

    async fn try_end(&mut self, outcome: PutOutcome) -> Result<PutReceipt, PutError> {
        self.close_row_group(Effort::Compact).await?;
        self.await_sealing().await?;
        let end = PutEnd { outcome, at_ns: self.context.clock.wall_ns() };
        match self.open.take() {
            Some(chunk) => {
                self.receipt.rows += seal(&self.context, &self.spec, chunk, Some(end)).await?;
                self.receipt.chunks += 1;
            }
            None => commit(&self.context, &self.spec, Vec::new(), Some(end)).await?,
        }
        Ok(self.receipt)
    }

    /// Ends the put as interrupted with the chunks that are committed.
    async fn fail(mut self, error: PutError) {
        tracing::error!(topic = %self.spec.head.name, %error, "a put failed: the topic keeps its committed prefix");
        if let Some(chunk) = self.open.take() {
            chunk.file.abandon();
        }
        let _ = self.await_sealing().await;
        let outcome = PutOutcome::Interrupted { why: error.to_string() };
        let end = PutEnd { outcome, at_ns: self.context.clock.wall_ns() };
        if let Err(error) = commit(&self.context, &self.spec, Vec::new(), Some(end)).await {
            tracing::error!(topic = %self.spec.head.name, %error, "the end of a failed put could not be recorded");
        }
    }

    /// The topic is gone: nothing is kept.
    async fn discard(mut self) {
        if let Some(chunk) = self.open.take() {
            chunk.file.abandon();
        }
        let _ = self.await_sealing().await;
    }
}
