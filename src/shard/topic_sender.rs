//! The sending end of a put.

use std::future::pending;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::channel::oneshot;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::model::TopicName;
use crate::runtime::Permit;
use crate::runtime::Receiver;
use crate::runtime::Sender;
use crate::runtime::mailbox;

use super::config::TOPIC_MESSAGES_MAX;
use super::counted::Counted;
use super::error::PutError;
use super::put_task::PutSignals;
use super::request::PutReceipt;
use super::request::WriterCommand;

/// Bytes of one topic that may wait for its shard while that gets on; a larger single batch waits alone. As few as keep it busy: what
/// waits longer has left the caches when it is written, and costs twice.
const TOPIC_BYTES: usize = 4 << 20;

/// The same while the shard gets nothing done, as when the device pauses: the sensor is not to wait for it.
const TOPIC_BYTES_MAX: usize = 64 << 20;

/// How long a batch waits at [`TOPIC_BYTES`] until the shard counts as pausing. Longer than any step of it takes.
const PAUSE: Duration = Duration::from_millis(20);

/// The sending end of one topic's stream. Dropping it ends the put as broken: what was fully received is sealed and the
/// topic is interrupted.
pub struct TopicSender {
    topic: TopicName,
    commands: Sender<WriterCommand>,
    signals: PutSignals,
    _counted: [Counted; 2],
}

impl TopicSender {
    /// * `counted`: the put, as long as this lives.
    pub(super) fn new(topic: TopicName, signals: PutSignals, counted: [Counted; 2]) -> (Self, Receiver<WriterCommand>) {
        let (commands, inbox) = mailbox(TOPIC_MESSAGES_MAX, TOPIC_BYTES);
        (Self { topic, commands, signals, _counted: counted }, inbox)
    }

    /// Hands one batch over. Waits while the topic has as much waiting as it may; that is the back-pressure.
    ///
    /// * `bytes`: what the batch holds in memory.
    ///
    /// # Errors
    /// [`PutError`] that stopped the writer; the batch is not written then.
    pub async fn push(&mut self, batch: RecordBatch, bytes: usize) -> Result<(), PutError> {
        self.push_paid(batch, bytes, None).await
    }

    /// The same with memory that no received message pays for: `paid` is kept until the rows are written.
    pub async fn push_paid(&mut self, batch: RecordBatch, bytes: usize, paid: Option<Permit>) -> Result<(), PutError> {
        let waiting = Counted::new(&self.signals.backlog);
        let command = WriterCommand::Batch { batch, bytes, paid, waiting };
        let sent = self.commands.send_beyond(command, bytes, pause(), TOPIC_BYTES_MAX);
        sent.await.map_err(|_| self.failure())
    }

    /// Ends the put whole: returns once every row is durable and the catalog knows it.
    ///
    /// # Errors
    /// [`PutError`]; the topic is interrupted then.
    pub async fn close(self) -> Result<PutReceipt, PutError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(WriterCommand::Close { reply }, 0).await.map_err(|_| self.failure())?;
        answer.await.unwrap_or_else(|_| Err(self.failure()))
    }

    /// Ends the put as broken, with a reason that finalize will tell.
    ///
    /// # Errors
    /// [`PutError`] when not even the prefix could be sealed.
    pub async fn interrupt(self, why: String) -> Result<PutReceipt, PutError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(WriterCommand::Interrupt { why, reply }, 0).await.map_err(|_| self.failure())?;
        answer.await.unwrap_or_else(|_| Err(self.failure()))
    }

    /// Stops writing a topic that was deleted; returns once its writer touches no file any more.
    pub async fn discard(self) {
        self.signals.discarded.store(true, Relaxed);
        let (reply, done) = oneshot::channel();
        if self.commands.send(WriterCommand::Discard { reply }, 0).await.is_ok() {
            let _ = done.await;
        }
    }

    fn failure(&self) -> PutError {
        self.signals.failure.get().cloned().unwrap_or_else(|| PutError::Stopped { topic: self.topic.clone() })
    }
}

/// Over after [`PAUSE`]; never, for a sender outside of tokio: that keeps to the low limit.
async fn pause() {
    match Handle::try_current() {
        Ok(_) => sleep(PAUSE).await,
        Err(_) => pending().await,
    }
}
