//! The ends of a put: whole, interrupted, or without a trace.

use std::time::Duration;

use super::*;

/// Between two attempts to record an end that the catalog had no room for.
const END_PAUSE: Duration = Duration::from_secs(1);

impl TopicWriter {
    /// Seals what there is and ends the put.
    pub async fn end(&mut self, outcome: PutOutcome) -> Result<PutReceipt, PutError> {
        match self.try_end(outcome).await {
            Ok(()) => Ok(self.receipt),
            Err(error) => {
                self.fail(error.clone()).await;
                Err(error)
            }
        }
    }

    async fn try_end(&mut self, outcome: PutOutcome) -> Result<(), PutError> {
        self.close_row_group(self.effort(0)).await?;
        self.release_block().await?;
        self.sealed_if_any().await?;
        let end = PutEnd { outcome, at_ns: self.context.clock.wall_ns() };
        match self.open.take() {
            Some(chunk) => {
                self.receipt.rows += seal(&self.context, &self.spec, chunk, Some(end)).await?;
                self.receipt.chunks += 1;
                Ok(())
            }
            None => commit(&self.context, &self.spec, Vec::new(), Some(end)).await,
        }
    }

    /// Ends the put as interrupted with every row that can still be made durable, up to the first one that cannot.
    pub async fn fail(&mut self, error: PutError) {
        self.pending.clear();
        let outcome = || PutOutcome::Interrupted { why: error.to_string() };
        let whole = self.sealed_if_any().await.is_ok() && !self.lost;
        if whole && let Some(chunk) = self.open.take() {
            let end = PutEnd { outcome: outcome(), at_ns: self.context.clock.wall_ns() };
            if seal(&self.context, &self.spec, chunk, Some(end)).await.is_ok() {
                return;
            }
        }
        if let Some(chunk) = self.open.take() {
            chunk.file.abandon().await;
        }
        let end_at = self.context.clock.wall_ns();
        let end = PutEnd { outcome: outcome(), at_ns: end_at };
        match commit(&self.context, &self.spec, Vec::new(), Some(end)).await {
            Err(PutError::Catalog { cause: CatalogError::NotFound { .. }, .. }) | Ok(()) => {}
            Err(error) => {
                tracing::error!(topic = %self.spec.head.name, %error, "the end of a put is not recorded; it is tried again");
                self.record_later(PutEnd { outcome: outcome(), at_ns: end_at });
            }
        }
    }

    /// Until it is recorded nobody can finalize the session: it looks as if it were still being received. A start does it too.
    fn record_later(&self, end: PutEnd) {
        let (context, topic) = (Rc::clone(&self.context), self.spec.head.id);
        self.context.tasks.push("end of a put", async move {
            while !context.is_stopping.get() {
                context.clock.sleep(END_PAUSE).await;
                match context.open_store.commit(topic, Vec::new(), Some(end.clone())).await {
                    Err(CatalogError::NotFound { .. } | CatalogError::Refused { .. }) | Ok(()) => return,
                    Err(_) => {}
                }
            }
        });
    }

    /// The topic is gone: nothing is kept, and nothing touches its files after this.
    pub async fn discard(&mut self) {
        if let Some(chunk) = self.open.take() {
            chunk.file.abandon().await;
        }
        // Its commit finds no topic and removes the file itself.
        let _ = self.sealed_if_any().await;
    }
}
