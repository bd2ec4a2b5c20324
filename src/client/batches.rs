//! The rows of one ticket, batch by batch.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use futures::StreamExt;
use tokio::runtime::Runtime;

use super::Address;
use super::ClientError;

/// An open DoGet. Several can be read in turn on one client; one that nobody reads costs a window of memory.
/// Dropping it cancels the stream.
pub struct Batches<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) address: &'a Address,
    pub(super) stream: FlightRecordBatchStream,
}

impl Batches<'_> {
    /// `None` until the first call of `next`.
    pub fn schema(&self) -> Option<&SchemaRef> {
        self.stream.schema()
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch, ClientError>;

    /// Blocks until the next batch is there. After an error the stream is over.
    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.runtime.block_on(self.stream.next())?;
        Some(batch.map_err(|error| ClientError::stream(self.address, "reading rows", &error)))
    }
}
