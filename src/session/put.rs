//! One DoPut: the way from an admitted schema to a receipt.
//!
//! Every way out ends the topic: `close` completes it, everything else interrupts it, a delete discards it. The put
//! counts as running until its writer has answered, so that no file is purged under a writer.

use std::pin::pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::Either;
use futures::future::select;

use super::error::SessionError;
use super::registry::Cancel;
use super::registry::Closed;
use super::registry::Running;
use super::sessions::Desk;
use super::sweep::behind;
use super::sweep::to_the_end;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::model::DeviceNumber;
use crate::model::TopicHead;
use crate::model::TopicName;
use crate::runtime::Permit;
use crate::shard::PutError;
use crate::shard::PutReceipt;
use crate::shard::TopicSender;
use crate::shard::TopicSpec;

/// What a stream's first message says of all the others.
#[derive(Clone, Debug)]
pub struct StreamSchema {
    /// The IPC schema message as it came: readers get what it says.
    pub message: Vec<u8>,
    pub wire: SchemaRef,
    /// Of the batches that are pushed. Differs from `wire` where that has dictionaries.
    pub stored: SchemaRef,
}

/// A running DoPut. Dropped without [`Self::close`] it leaves the topic interrupted with what was received.
pub struct Put {
    topic: TopicName,
    device: DeviceNumber,
    /// Gone once the put has ended.
    writer: Option<(TopicSender, Running)>,
}

impl Put {
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Where its rows go.
    pub fn device(&self) -> DeviceNumber {
        self.device
    }

    /// Hands one batch of `bytes` to the topic's writer. Waits while the writer has no room; not durable yet.
    ///
    /// * `paid`: for memory that no received message pays for; kept until the rows are written.
    ///
    /// # Errors
    /// [`SessionError::Deleted`] or [`SessionError::Stopping`] when the put was cancelled, [`SessionError::Put`] when its
    /// writer failed. The put is over then.
    pub async fn push(&mut self, batch: RecordBatch, bytes: usize, paid: Option<Permit>) -> Result<(), SessionError> {
        let Some((sender, running)) = self.writer.as_mut() else {
            return Err(SessionError::Ended { topic: self.topic.clone() });
        };
        // The cancel comes first: of two that are ready, a deleted topic takes no more rows.
        let pushed = {
            let (cancelled, push) = (pin!(running.cancelled()), pin!(sender.push_paid(batch, bytes, paid)));
            match select(cancelled, push).await {
                Either::Left((cancel, _)) => Err(cancel.error(&self.topic)),
                Either::Right((pushed, _)) => pushed.map_err(SessionError::Put),
            }
        };
        if pushed.is_err() {
            self.let_go();
        }
        pushed
    }

    /// Ends the stream well. On OK every row is durable and committed. Runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// As [`Self::push`]; the topic is then interrupted, or deleted.
    pub async fn close(mut self) -> Result<PutReceipt, SessionError> {
        let topic = self.topic.clone();
        let Some((sender, running)) = self.writer.take() else {
            return Err(SessionError::Ended { topic });
        };
        to_the_end(async move {
            if let Some(cancel) = running.cancel() {
                cancel.end(sender).await;
                return Err(cancel.error(&topic));
            }
            match (sender.close().await, running.cancel()) {
                (Ok(receipt), _) => Ok(receipt),
                // The writer found its topic gone.
                (Err(_), Some(cancel @ Cancel::Deleted)) => Err(cancel.error(&topic)),
                (Err(cause), _) => Err(SessionError::Put(cause)),
            }
        })
        .await
    }

    /// Ends the stream broken: what was received is made durable, the topic is interrupted.
    pub async fn interrupt(mut self, why: String) {
        let Some((sender, running)) = self.writer.take() else { return };
        let ended = to_the_end(async move {
            match running.cancel() {
                Some(cancel) => cancel.end(sender).await,
                None => interrupt(sender, why).await,
            }
            drop(running);
            Ok(())
        });
        // It has no error of its own; a runtime that went down ended the writer too.
        let _ = ended.await;
    }

    /// Resolves when the put must stop, with the reason for the client: its topic was deleted under it, or the server is
    /// stopping. A put that waits for its client has to watch this, or a delete waits for it before it frees the space.
    pub async fn deleted(&self) -> SessionError {
        match &self.writer {
            Some((_, running)) => running.cancelled().await.error(&self.topic),
            None => futures::future::pending().await,
        }
    }

    /// Ends the writer without a caller who could wait.
    fn let_go(&mut self) {
        let Some((sender, running)) = self.writer.take() else { return };
        behind(async move {
            match running.cancel() {
                Some(cancel) => cancel.end(sender).await,
                None => interrupt(sender, "its client went away before it closed the stream".to_owned()).await,
            }
            drop(running);
        });
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Cancel {
    /// Ends a writer as the reason asks.
    async fn end(self, sender: TopicSender) {
        match self {
            Self::Deleted => sender.discard().await,
            Self::Stopping => interrupt(sender, "the server was stopped".to_owned()).await,
        }
    }

    /// What the client is told.
    fn error(self, topic: &TopicName) -> SessionError {
        match self {
            Self::Deleted => SessionError::Deleted { topic: topic.clone() },
            Self::Stopping => SessionError::Stopping,
        }
    }
}

async fn interrupt(sender: TopicSender, why: String) {
    // What was acknowledged is committed; what is lost here was promised to nobody.
    match sender.interrupt(why).await {
        Ok(_) => {}
        Err(error @ PutError::Full { .. }) => {
            tracing::warn!(%error, "a stream has ended; what it sent behind that is dropped")
        }
        Err(error) => {
            tracing::warn!(%error, "rows of an interrupted stream that were in no chunk yet are dropped: none was acknowledged");
        }
    }
}

/// Moves an admitted topic to *receiving* and opens its writer.
///
/// # Errors
/// Before the state moves: [`SessionError::TooMany`], [`SessionError::Stopping`], [`SessionError::Refused`] for a topic
/// that is or was written. After it: [`SessionError::Shard`], and the topic is interrupted.
pub(super) async fn begin(desk: &Arc<Desk>, head: TopicHead, schema: StreamSchema) -> Result<Put, SessionError> {
    // Before the topic moves: a delete that comes from here on finds the put.
    let running = desk.registry.enter(head.session, head.id).map_err(|closed| match closed {
        Closed::Full { max } => SessionError::TooMany {
            what: "running DoPut streams".to_owned(),
            max,
            remedy: "try again when one has ended, or raise sessions.puts_max",
        },
        Closed::Stopping => SessionError::Stopping,
    })?;
    let (topic, name, device) = (head.id, head.name.clone(), head.device);
    let sequence = desk.sequence_of(head.session).await?;
    // By its name, which the client knows it by.
    let by_name = |error| match error {
        CatalogError::Refused { what: what @ Entity::Topic, refusal, .. } => {
            CatalogError::refused(what, &name, refusal)
        }
        other => other,
    };
    let head = desk.open.begin_put(topic, schema.message).await.map_err(by_name)?;
    match desk.shards.open_writer(TopicSpec { head, sequence, schema: schema.stored }).await {
        Ok(sender) => Ok(Put { topic: name, device, writer: Some((sender, running)) }),
        Err(cause) => {
            let outcome = PutOutcome::Interrupted { why: format!("no writer could be opened: {cause}") };
            let end = PutEnd { outcome, at_ns: desk.now() };
            match desk.open.commit(topic, Vec::new(), Some(end)).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(%name, %error, "the topic has no writer and cannot be marked interrupted")
                }
            }
            Err(SessionError::Shard { what: format!("topic {name}"), cause: Box::new(cause) })
        }
    }
}
