//! Writes one topic: batches into row groups, row groups into chunks, chunks into the catalog.
//!
//! Invariants
//! - Chunks are committed in the order of their rows: a chunk's commit waits for its predecessor's. So what a crash leaves
//!   is a prefix of the stream, never a hole.
//! - Beyond one row group nothing of a topic is buffered here, however long it is.
//! - The put is ended exactly once: whole, interrupted, or not at all when the topic was deleted.

use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use futures::FutureExt;
use futures::channel::oneshot;

use crate::catalog::CatalogError;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::chunk::ChunkEncoder;
use crate::chunk::ChunkIdentity;
use crate::chunk::Effort;
use crate::chunk::EncodeError;
use crate::model::ChunkId;
use crate::runtime::Permit;
use crate::runtime::Receiver;
use crate::store::ChunkWriter;
use crate::store::Directory;
use crate::store::WriteError;

use super::config::ROW_GROUP_BYTES;
use super::cut_policy;
use super::cut_policy::Cut;
use super::error::PutError;
use super::request::PutReceipt;
use super::request::TopicSpec;
use super::request::WriterCommand;
use super::seal::OpenChunk;
use super::seal::commit;
use super::seal::seal;
use super::worker::ShardContext;

mod ending;

/// What a writer acts on next.
pub enum Event {
    Command(Option<WriterCommand>),
    /// Received bytes are short over all shards.
    MemoryShort,
    /// Write blocks are short on this shard.
    BlocksShort,
    /// Room is short on some device.
    RoomShort,
    /// Rows that are in no sealed chunk have waited long enough.
    Deadline,
    /// The chunk that was being sealed in the background is committed, or failed.
    Sealed(Result<(), PutError>),
}

type Sealing = oneshot::Receiver<Result<u64, PutError>>;

/// One topic being written.
pub struct TopicWriter {
    context: Rc<ShardContext>,
    pub spec: TopicSpec,
    directory: Rc<Directory>,
    /// Rows that wait for the rest of their row group.
    pending: Vec<RecordBatch>,
    /// For what they hold besides received bytes.
    paid: Vec<Permit>,
    pending_bytes: usize,
    pending_rows: u64,
    open: Option<OpenChunk>,
    /// Monotonic times of the first row that is in no sealed chunk, and of the newest one.
    first_row: Option<Duration>,
    last_row: Duration,
    /// Chunks begun so far.
    number: u32,
    /// The predecessor's commit, which the next one waits for.
    sealing: Option<Sealing>,
    /// A chunk could not be sealed: none behind it may be kept, or the topic would have a hole.
    lost: bool,
    receipt: PutReceipt,
    /// Calls heard so far.
    memory_calls: u64,
    block_calls: u64,
    room_calls: u64,
}

impl TopicWriter {
    pub fn new(context: Rc<ShardContext>, spec: TopicSpec, directory: Rc<Directory>) -> Self {
        let (memory_calls, block_calls) = (context.memory_short.calls(), context.blocks_short.calls());
        let room_calls = context.room_short.calls();
        Self {
            context,
            spec,
            directory,
            pending: Vec::new(),
            paid: Vec::new(),
            pending_bytes: 0,
            pending_rows: 0,
            open: None,
            first_row: None,
            last_row: Duration::ZERO,
            number: 0,
            sealing: None,
            lost: false,
            receipt: PutReceipt::default(),
            memory_calls,
            block_calls,
            room_calls,
        }
    }

    pub async fn next_event(&mut self, inbox: &mut Receiver<WriterCommand>) -> Event {
        let context = Rc::clone(&self.context);
        if self.deadline().is_some_and(|at| context.clock.monotonic() >= at) {
            return Event::Deadline;
        }
        // A call that came while this writer was busy is heard here, before the next message.
        if context.memory_short.calls() > self.memory_calls {
            self.memory_calls = context.memory_short.calls();
            return Event::MemoryShort;
        }
        if context.blocks_short.calls() > self.block_calls {
            self.block_calls = context.blocks_short.calls();
            return Event::BlocksShort;
        }
        if let Some(command) = inbox.try_recv() {
            return Event::Command(Some(command));
        }
        let sleep = match self.deadline() {
            Some(at) => context.clock.sleep(at.saturating_sub(context.clock.monotonic())),
            None => Box::pin(pending()),
        };
        let mut memory = context.memory_short.after(self.memory_calls).fuse();
        let mut blocks = context.blocks_short.after(self.block_calls).fuse();
        let mut room = context.room_short.after(self.room_calls).fuse();
        let mut received = Box::pin(inbox.recv().fuse());
        let mut sealed = Box::pin(self.sealed().fuse());
        let mut sleep = sleep.fuse();
        let event = futures::select_biased! {
            command = received => Event::Command(command),
            result = sealed => Event::Sealed(result),
            () = memory => Event::MemoryShort,
            () = blocks => Event::BlocksShort,
            () = room => Event::RoomShort,
            () = sleep => Event::Deadline,
        };
        drop((received, sealed));
        match event {
            Event::MemoryShort => self.memory_calls = context.memory_short.calls(),
            Event::BlocksShort => self.block_calls = context.blocks_short.calls(),
            Event::RoomShort => self.room_calls = context.room_short.calls(),
            Event::Command(_) | Event::Deadline | Event::Sealed(_) => {}
        }
        event
    }

    /// Why the put must end for want of room, with what it has so far.
    pub fn shortage(&self) -> Option<PutError> {
        let shortage = self.directory.shortage()?;
        let head = &self.spec.head;
        Some(PutError::Full { topic: head.name.clone(), device: head.device, shortage })
    }

    /// Takes one batch. Returns once it is buffered or in the file; durable only after its chunk's commit.
    ///
    /// * `paid`: for what it holds besides received bytes.
    /// * `backlog`: batches that wait for this shard.
    pub async fn push(
        &mut self,
        batch: RecordBatch,
        bytes: usize,
        paid: Option<Permit>,
        backlog: usize,
    ) -> Result<(), PutError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.last_row = self.context.clock.monotonic();
        self.first_row.get_or_insert(self.last_row);
        self.pending_rows += batch.num_rows() as u64;
        self.pending_bytes += bytes;
        self.pending.push(batch);
        self.paid.extend(paid);
        if self.pending_bytes >= self.row_group_bytes() || self.fills_chunk() {
            self.close_row_group(self.effort(backlog)).await?;
            self.cut_if_due().await?;
        }
        Ok(())
    }

    /// Rows that wait for company hold received bytes, so while those are short all topics together may hold back a quarter
    /// of them at most.
    fn row_group_bytes(&self) -> usize {
        let received = self.context.received.of(self.spec.head.device);
        match received.waiting() {
            // Other memory has no part of it for rows that wait.
            _ if self.is_waited_for() => 0,
            true => ROW_GROUP_BYTES.min(self.context.pending_bytes_when_short(received)),
            false => ROW_GROUP_BYTES,
        }
    }

    /// Whether somebody waits for what the rows hold besides received bytes.
    fn is_waited_for(&self) -> bool {
        self.paid.last().is_some_and(Permit::is_waited_for)
    }

    /// Whether the chunk reaches one of its limits with the rows that wait.
    fn fills_chunk(&self) -> bool {
        let mut progress = self.open.as_ref().map(|chunk| chunk.encoder.progress()).unwrap_or_default();
        progress.rows += self.pending_rows;
        progress.bytes += self.pending_bytes as u64;
        cut_policy::decide(&self.context.chunk_config, &progress, Duration::ZERO, Duration::ZERO) != Cut::Continue
    }

    pub async fn release_rows(&mut self) -> Result<(), PutError> {
        let received = self.context.received.of(self.spec.head.device);
        let is_short = received.waiting() && self.pending_bytes >= self.context.pending_bytes_when_short(received);
        if !is_short && !self.is_waited_for() {
            return Ok(());
        }
        self.close_row_group(Effort::Direct).await?;
        self.cut_if_due().await
    }

    pub async fn release_block(&mut self) -> Result<(), PutError> {
        let topic = self.spec.head.name.clone();
        match self.open.as_mut() {
            Some(chunk) => chunk.file.spill().await.map_err(|cause| PutError::Write { topic, cause }),
            None => Ok(()),
        }
    }

    pub async fn deadline_passed(&mut self) -> Result<(), PutError> {
        self.close_row_group(self.effort(0)).await?;
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

    fn effort(&self, backlog: usize) -> Effort {
        self.context.slack.borrow().effort(self.context.clock.monotonic(), backlog)
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
        // Before anything is encoded: a row group that finds no room must not take the chunk along.
        if let Err(cause) = chunk.file.reserve(self.pending_bytes as u64).await {
            match cause {
                WriteError::NoRoom { .. } if chunk.encoder.progress().rows > 0 => self.open = Some(chunk),
                _ => chunk.file.abandon().await,
            }
            return Err(PutError::Write { topic: self.spec.head.name.clone(), cause });
        }
        let (batches, paid) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.paid));
        (self.pending_bytes, self.pending_rows) = (0, 0);
        let began = self.context.clock.monotonic();
        let encoded = chunk.encoder.row_group(&batches, effort);
        if effort == Effort::Compact {
            self.context.slack.borrow_mut().spend(began, self.context.clock.monotonic());
        }
        let result = match encoded {
            Ok(pieces) => {
                drop(batches);
                self.append(&mut chunk, pieces).await
            }
            // One of them cannot be stored: those before it still can.
            Err(_) if batches.len() > 1 => self.append_one_by_one(&mut chunk, batches).await,
            Err(cause) => Err(self.encode_error(cause)),
        };
        drop(paid);
        // A chunk whose file has exactly what was encoded stays whole: a refused batch takes none of its rows along.
        if result.is_ok() || chunk.encoder.progress().bytes == chunk.file.bytes() && chunk.encoder.progress().rows > 0 {
            self.open = Some(chunk);
        } else {
            chunk.file.abandon().await;
        }
        result
    }

    async fn append_one_by_one(&self, chunk: &mut OpenChunk, batches: Vec<RecordBatch>) -> Result<(), PutError> {
        for batch in batches {
            let pieces = chunk.encoder.row_group(&[batch], Effort::Direct).map_err(|cause| self.encode_error(cause))?;
            self.append(chunk, pieces).await?;
        }
        Ok(())
    }

    async fn append(&self, chunk: &mut OpenChunk, pieces: Vec<Buffer>) -> Result<(), PutError> {
        for piece in pieces {
            let written = chunk.file.append(piece.as_slice()).await;
            written.map_err(|cause| PutError::Write { topic: self.spec.head.name.clone(), cause })?;
        }
        Ok(())
    }

    fn encode_error(&self, cause: EncodeError) -> PutError {
        PutError::Encode { topic: self.spec.head.name.clone(), cause: Arc::new(cause) }
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
        // The predecessor may need the very block that this chunk holds.
        self.release_block().await?;
        self.sealed_if_any().await?;
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

    /// Ready once the chunk in the background is committed or has failed; never, when there is none. May be dropped and asked
    /// again.
    async fn sealed(&mut self) -> Result<(), PutError> {
        let Some(sealing) = self.sealing.as_mut() else { return pending().await };
        let result = sealing.await;
        self.sealing = None;
        let result = result.unwrap_or(Err(PutError::Stopped { topic: self.spec.head.name.clone() }));
        self.lost |= result.is_err();
        self.receipt.rows += result?;
        self.receipt.chunks += 1;
        Ok(())
    }

    async fn sealed_if_any(&mut self) -> Result<(), PutError> {
        match self.sealing {
            Some(_) => self.sealed().await,
            None => Ok(()),
        }
    }
}
