//! One read as its consumer sees it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::RecordBatch;

use crate::io;
use crate::runtime::Receiver;

use super::error::ReadError;
use super::filter::GivenUp;
use super::pressure::Stall;
use super::read_budget::Loan;
use super::request::Delivery;
use super::request::Served;

/// The receiving end of one read. Dropping it stops the reader and frees all it holds.
pub struct BatchReceiver {
    batches: Receiver<Served>,
    /// Of the batch that was taken last.
    loan: Option<Loan>,
    stall: Arc<Stall>,
    _given_up: GivenUp,
}

impl BatchReceiver {
    pub(super) fn new(batches: Receiver<Served>, stall: Arc<Stall>, given_up: GivenUp) -> Self {
        stall.served(io::monotonic());
        Self { batches, loan: None, stall, _given_up: given_up }
    }

    /// The next batch in time order, never empty; `None` at the end. After an error there is nothing more.
    ///
    /// Asking says that the batch before is done with: its memory is given to others.
    pub async fn next(&mut self) -> Option<Result<RecordBatch, ReadError>> {
        self.loan = None;
        self.stall.asked();
        let delivery = self.batches.recv().await?;
        self.stall.served(io::monotonic());
        Some(delivery.map(|Delivery { batch, loan }| {
            self.loan = Some(loan);
            batch
        }))
    }

    /// What pays for the batch that was taken last, for who keeps it beyond the next call of [`Self::next`].
    pub fn take_loan(&mut self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::new(self.loan.take()?))
    }

    /// Where to count what the client takes.
    pub fn taken(&self) -> Arc<AtomicU64> {
        self.stall.taken()
    }

    /// Ready when the client has taken nothing for `memory.read_stall_ms` and others wait for the memory that this read holds:
    /// it has to be dropped, and its client told.
    pub async fn overdue(&self) {
        self.stall.ended().await;
    }
}
