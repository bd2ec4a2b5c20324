//! The messages of one DoPut, from bytes to record batches.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc;
use arrow::ipc::MessageHeader;
use arrow::ipc::reader::RecordBatchDecoder;
use bytes::Bytes;
use flatbuffers::VerifierOptions;

use super::DecodeError;
use super::DecodeLimits;
use super::SchemaMessage;
use super::layout::Layout;
use super::schema::kind;
use super::schema::message;

/// A batch message is three tables deep; its vectors hold plain structs.
const VERIFIER: VerifierOptions = VerifierOptions {
    max_depth: 8,
    max_tables: 4096,
    max_apparent_size: 2 * DecodeLimits::HEADER_BYTES_MAX,
    ignore_missing_null_terminator: true,
};

/// Senders pad a body to 8 or 64 bytes; not all of them count the padding.
const PADDING_MAX: usize = 64;

/// Decodes the stream of one DoPut. Keeps nothing from one batch to the next.
#[derive(Debug)]
pub struct StreamDecoder {
    schema: SchemaMessage,
    timestamp: Option<usize>,
    limits: DecodeLimits,
}

impl StreamDecoder {
    /// Takes the first message, which must be the schema.
    ///
    /// # Errors
    /// [`DecodeError`] when it is another message, or a schema over a limit.
    pub fn begin(header: Bytes, limits: DecodeLimits) -> Result<Self, DecodeError> {
        let schema = SchemaMessage::parse(header)?;
        let timestamp = schema.schema.index_of("timestamp_ns").ok();
        Ok(Self { schema, timestamp, limits })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema.schema
    }

    /// The schema message as it came.
    pub fn message(&self) -> &Bytes {
        &self.schema.message
    }

    /// Decodes a later message, which must be a record batch. The columns share the body's memory, except for buffers
    /// that are not aligned for their type: those are copied.
    ///
    /// Returns a fully validated batch, possibly of 0 rows.
    ///
    /// # Errors
    /// [`DecodeError`] saying what to send instead.
    pub fn batch(&self, header: &Bytes, body: Bytes) -> Result<RecordBatch, DecodeError> {
        let len = header.len().saturating_add(body.len());
        if len > self.limits.message_bytes_max {
            return Err(DecodeError::MessageTooLarge { len, max: self.limits.message_bytes_max });
        }
        let batch = match catch_unwind(AssertUnwindSafe(|| self.read(header, body))) {
            Ok(batch) => batch?,
            // Every length was checked before, so this is a case that the checks above should know: the fence keeps it
            // to this stream.
            Err(_) => return Err(DecodeError::Batch("its values contradict its lengths".to_owned())),
        };
        let nulls = self.timestamp.and_then(|at| batch.columns().get(at)).map_or(0, |times| times.null_count());
        if nulls > 0 {
            return Err(DecodeError::TimestampNull { nulls });
        }
        Ok(batch)
    }

    fn read(&self, header: &[u8], body: Bytes) -> Result<RecordBatch, DecodeError> {
        if header.is_empty() {
            return Err(DecodeError::Empty);
        }
        if header.len() > DecodeLimits::HEADER_BYTES_MAX {
            return Err(DecodeError::HeaderTooLarge { len: header.len() });
        }
        let message = message(header, &VERIFIER)?;
        let batch = match message.header_type() {
            MessageHeader::Schema => return Err(DecodeError::SecondSchema),
            MessageHeader::DictionaryBatch => return Err(DecodeError::Dictionary { column: String::new() }),
            header => {
                message.header_as_record_batch().ok_or_else(|| DecodeError::BatchExpected { found: kind(header) })?
            }
        };
        check_body(&message, &batch, &body)?;
        Layout::check(self.schema(), &batch, &body, &self.limits)?;
        let body = Buffer::from(body);
        let dictionaries: HashMap<i64, ArrayRef> = HashMap::new();
        let version = message.version();
        RecordBatchDecoder::try_new(&body, batch, self.schema().clone(), &dictionaries, &version)
            .and_then(RecordBatchDecoder::read_record_batch)
            .map_err(|e| DecodeError::Batch(e.to_string().chars().take(400).collect()))
    }
}

fn check_body(message: &ipc::Message, batch: &ipc::RecordBatch, body: &[u8]) -> Result<(), DecodeError> {
    if batch.compression().is_some() {
        return Err(DecodeError::Compressed);
    }
    let (declared, actual) = (message.bodyLength(), body.len());
    let fits = usize::try_from(declared).is_ok_and(|len| len <= actual && actual - len < PADDING_MAX);
    if fits { Ok(()) } else { Err(DecodeError::BodyLength { declared, actual }) }
}

#[cfg(test)]
mod tests;
