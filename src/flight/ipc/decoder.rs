//! The messages of one DoPut, from bytes to record batches.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc;
use arrow::ipc::MessageHeader;
use arrow::ipc::reader::RecordBatchDecoder;
use bytes::Bytes;
use flatbuffers::VerifierOptions;

use super::DecodeError;
use super::DecodeLimits;
use super::SchemaMessage;
use super::dictionaries::Dictionaries;
use super::layout::Layout;
use super::schema::kind;
use super::schema::message;
use super::values;

/// A batch message is three tables deep; its vectors hold plain structs.
const VERIFIER: VerifierOptions = VerifierOptions {
    max_depth: 8,
    max_tables: 4096,
    max_apparent_size: 2 * DecodeLimits::HEADER_BYTES_MAX,
    ignore_missing_null_terminator: true,
};

/// Senders pad a body to 8 or 64 bytes; not all of them count the padding.
const PADDING_MAX: usize = 64;

/// Decodes the stream of one DoPut. Keeps its dictionaries from one batch to the next, and nothing else.
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    schema: SchemaMessage,
    /// What the messages of batches hold, and what comes out.
    keys: SchemaRef,
    plain: SchemaRef,
    dictionaries: Dictionaries,
    timestamp: Option<usize>,
    limits: DecodeLimits,
}

/// A batch that came.
#[derive(Clone, Debug)]
pub struct Received {
    pub batch: RecordBatch,
    /// Bytes that it keeps in memory.
    pub bytes: usize,
}

impl StreamDecoder {
    /// Takes the first message, which must be the schema.
    ///
    /// # Errors
    /// [`DecodeError`] when it is another message, or a schema over a limit.
    pub fn begin(header: Bytes, limits: DecodeLimits) -> Result<Self, DecodeError> {
        let schema = SchemaMessage::parse(header)?;
        let timestamp = schema.schema.index_of("timestamp_ns").ok();
        let keys = schema.with(|column| &column.keys);
        let plain = Some(schema.with(|column| &column.plain)).filter(|plain| *plain != keys);
        let plain = plain.unwrap_or_else(|| Arc::clone(&keys));
        Ok(Self { schema, keys, plain, dictionaries: Dictionaries::default(), timestamp, limits })
    }

    /// As on the wire: with dictionaries.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema.schema
    }

    /// Of the batches that come out: without dictionaries.
    pub fn plain(&self) -> &SchemaRef {
        &self.plain
    }

    /// The schema message as it came.
    pub fn message(&self) -> &Bytes {
        &self.schema.message
    }

    /// Takes a later message: a record batch, or a dictionary of later ones, which gives `None`. The columns share the body's
    /// memory, except for values out of dictionaries, and buffers that are not aligned for their type: those are copied.
    ///
    /// Returns a fully validated batch in its plain form, possibly of 0 rows.
    ///
    /// # Errors
    /// [`DecodeError`] saying what to send instead.
    pub fn receive(&mut self, header: &Bytes, body: Bytes) -> Result<Option<Received>, DecodeError> {
        let len = header.len().saturating_add(body.len());
        if len > self.limits.message_bytes_max {
            return Err(DecodeError::MessageTooLarge { len, max: self.limits.message_bytes_max });
        }
        let read = match catch_unwind(AssertUnwindSafe(|| self.read(header, body))) {
            Ok(read) => read?,
            // Every length was checked before, so this is a case that the checks above should know: the fence keeps it
            // to this stream.
            Err(_) => return Err(DecodeError::Batch("its values contradict its lengths".to_owned())),
        };
        let Some((batch, copied)) = read else { return Ok(None) };
        for (field, column) in self.plain.fields().iter().zip(batch.columns()) {
            values::check(field, column)?;
        }
        let nulls = self.timestamp.and_then(|at| batch.columns().get(at)).map_or(0, |times| times.null_count());
        if nulls > 0 {
            return Err(DecodeError::TimestampNull { nulls });
        }
        Ok(Some(Received { batch, bytes: len.saturating_add(copied) }))
    }

    /// A batch, and how many of its bytes are no part of the body.
    fn read(&mut self, header: &[u8], body: Bytes) -> Result<Option<(RecordBatch, usize)>, DecodeError> {
        if header.is_empty() {
            return Err(DecodeError::Empty);
        }
        if header.len() > DecodeLimits::HEADER_BYTES_MAX {
            return Err(DecodeError::HeaderTooLarge { len: header.len() });
        }
        let message = message(header, &VERIFIER)?;
        match (message.header_type(), message.header_as_record_batch(), message.header_as_dictionary_batch()) {
            (MessageHeader::Schema, ..) => Err(DecodeError::SecondSchema),
            (_, Some(batch), _) => self.batch(&message, batch, body).map(Some),
            (_, _, Some(batch)) => self.dictionary(&message, &batch, &body).map(|()| None),
            (header, ..) => Err(DecodeError::BatchExpected { found: kind(header) }),
        }
    }

    fn batch(
        &self,
        message: &ipc::Message,
        batch: ipc::RecordBatch,
        body: Bytes,
    ) -> Result<(RecordBatch, usize), DecodeError> {
        check_body(message, &batch, &body)?;
        let declared = Layout::check(&self.keys, &batch, &body, &self.limits)?;
        let keys = decode(message, batch, body.into(), &self.keys)?;
        if Arc::ptr_eq(&self.keys, &self.plain) {
            return Ok((keys, 0));
        }
        let mut bytes = declared;
        let pairs = self.schema.columns.iter().zip(keys.columns());
        let plain = pairs
            .map(|(column, keys)| self.dictionaries.plain(column, keys, &mut bytes, self.limits.logical_bytes_max()));
        let plain = plain.collect::<Result<_, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.plain), plain).map_err(invalid)?;
        Ok((batch, usize::try_from(bytes - declared).unwrap_or(usize::MAX)))
    }

    fn dictionary(
        &mut self,
        message: &ipc::Message,
        dictionary: &ipc::DictionaryBatch,
        body: &[u8],
    ) -> Result<(), DecodeError> {
        let id = dictionary.id();
        let wrong = |what: &str| DecodeError::Dictionary { id, what: what.to_owned() };
        let column = self.schema.columns.iter().find_map(|column| column.dictionary(id));
        let column = column.ok_or_else(|| wrong("no field of the schema names it"))?;
        let batch = dictionary.data().ok_or_else(|| wrong("a message without its values"))?;
        check_body(message, &batch, body)?;
        let schema = Arc::new(Schema::new(vec![Arc::clone(&column.keys)]));
        let mut bytes = Layout::check(&schema, &batch, body, &self.limits)?;
        // It stays for as long as the stream, and the body's memory is for what passes through.
        let keys = decode(message, batch, Buffer::from(body.to_vec()), &schema)?;
        let plain = self.dictionaries.plain(column, keys.column(0), &mut bytes, self.limits.logical_bytes_max())?;
        self.dictionaries.insert(id, plain, body.len(), dictionary.isDelta())
    }
}

fn decode(
    message: &ipc::Message,
    batch: ipc::RecordBatch,
    body: Buffer,
    schema: &SchemaRef,
) -> Result<RecordBatch, DecodeError> {
    let none: HashMap<i64, ArrayRef> = HashMap::new();
    let version = message.version();
    RecordBatchDecoder::try_new(&body, batch, Arc::clone(schema), &none, &version)
        .and_then(RecordBatchDecoder::read_record_batch)
        .map_err(invalid)
}

fn invalid(error: ArrowError) -> DecodeError {
    DecodeError::Batch(error.to_string().chars().take(400).collect())
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
