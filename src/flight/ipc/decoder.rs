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
use crate::runtime::Budget;

/// A batch message is three tables deep; its vectors hold plain structs.
const VERIFIER: VerifierOptions = VerifierOptions {
    max_depth: 8,
    max_tables: 4096,
    max_apparent_size: 2 * DecodeLimits::HEADER_BYTES_MAX,
    ignore_missing_null_terminator: true,
};

/// Senders pad a body to 8 or 64 bytes; not all of them count the padding.
const PADDING_MAX: usize = 64;

/// Runs what goes through values that a client made.
fn fenced<T>(read: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    // Every length was checked before, so a panic is a case that the checks should know: the fence keeps it to this stream.
    let contradiction = || DecodeError::Batch("its values contradict its lengths".to_owned());
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(contradiction()))
}

/// Decodes the stream of one DoPut. Keeps its dictionaries from one batch to the next, and nothing else.
#[derive(Clone, Debug)]
pub struct StreamDecoder {
    schema: SchemaMessage,
    /// What the messages of batches hold, and what comes out. Both are the same where a dictionary's keys are of the type of its
    /// values: whether there are dictionaries is not to be told from them.
    keys: SchemaRef,
    plain: SchemaRef,
    has_dictionaries: bool,
    dictionaries: Dictionaries,
    timestamp: Option<usize>,
    limits: DecodeLimits,
}

/// A batch that came, its values out of dictionaries not written out yet.
#[derive(Clone, Debug)]
pub struct Coded {
    keys: RecordBatch,
    /// Of its message; of a part of a batch the same part of it.
    bytes: usize,
    /// Bytes that its rows stand for, without what is written out.
    declared: u64,
    written_out: u64,
}

impl Coded {
    /// As they came: keys in place of values.
    pub fn keys(&self) -> &RecordBatch {
        &self.keys
    }

    /// Bytes that writing it out adds to those of its message.
    pub fn written_out_bytes(&self) -> usize {
        usize::try_from(self.written_out).unwrap_or(usize::MAX)
    }
}

/// A batch in its plain form.
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
        let has_dictionaries = schema.has_dictionaries();
        let plain = if has_dictionaries { schema.with(|column| &column.plain) } else { Arc::clone(&keys) };
        let dictionaries = Dictionaries::default();
        Ok(Self { schema, keys, plain, has_dictionaries, dictionaries, timestamp, limits })
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

    /// Makes the stream's dictionaries part of a budget.
    pub fn within(mut self, dictionaries: Budget) -> Self {
        self.dictionaries = Dictionaries::within(dictionaries);
        self
    }

    /// Takes a later message whole: as [`Self::decode`] and [`Self::write_out`].
    ///
    /// # Errors
    /// As these.
    pub fn receive(&mut self, header: &Bytes, body: Bytes) -> Result<Option<Received>, DecodeError> {
        let coded = self.decode(header, body)?;
        coded.map(|coded| self.write_out(coded)).transpose()
    }

    /// Takes a later message: a record batch, or a dictionary of later ones, which gives `None`. The columns share the body's
    /// memory, except for values out of dictionaries, and buffers that are not aligned for their type: those are copied.
    ///
    /// # Errors
    /// [`DecodeError`] saying what to send instead.
    pub fn decode(&mut self, header: &Bytes, body: Bytes) -> Result<Option<Coded>, DecodeError> {
        let len = header.len().saturating_add(body.len());
        if len > self.limits.message_bytes_max {
            return Err(DecodeError::MessageTooLarge { len, max: self.limits.message_bytes_max });
        }
        fenced(|| self.read(header, body, len))
    }

    /// A batch in parts of about `bytes` to be written out each, or of one row.
    ///
    /// # Errors
    /// None that [`Self::decode`] has not met.
    pub fn parts(&self, coded: Coded, bytes: usize) -> Result<Vec<Coded>, DecodeError> {
        let (mut parts, mut rest) = (Vec::new(), vec![coded]);
        while let Some(coded) = rest.pop() {
            let rows = coded.keys.num_rows();
            if rows < 2 || coded.written_out_bytes() <= bytes {
                parts.push(coded);
                continue;
            }
            let half = rows / 2;
            // The last part is taken first.
            for (from, len) in [(half, rows - half), (0, half)] {
                let part = |all: u64| (u128::from(all) * len as u128 / rows as u128) as u64;
                let declared = part(coded.declared);
                let bytes = usize::try_from(part(coded.bytes as u64)).unwrap_or(coded.bytes);
                rest.push(self.coded(coded.keys.slice(from, len), bytes, declared)?);
            }
        }
        Ok(parts)
    }

    /// The plain form of a batch, fully validated, possibly of 0 rows.
    ///
    /// # Errors
    /// [`DecodeError`] saying what to send instead.
    pub fn write_out(&self, coded: Coded) -> Result<Received, DecodeError> {
        let Coded { keys, bytes: len, declared, .. } = coded;
        let (batch, copied) = match self.has_dictionaries {
            true => fenced(|| self.plain_of(&keys, declared))?,
            false => (keys, 0),
        };
        for (field, column) in self.plain.fields().iter().zip(batch.columns()) {
            values::check(field, column)?;
        }
        let nulls = self.timestamp.and_then(|at| batch.columns().get(at)).map_or(0, |times| times.null_count());
        if nulls > 0 {
            return Err(DecodeError::TimestampNull { nulls });
        }
        Ok(Received { batch, bytes: len.saturating_add(copied) })
    }

    fn read(&mut self, header: &[u8], body: Bytes, len: usize) -> Result<Option<Coded>, DecodeError> {
        if header.is_empty() {
            return Err(DecodeError::Empty);
        }
        if header.len() > DecodeLimits::HEADER_BYTES_MAX {
            return Err(DecodeError::HeaderTooLarge { len: header.len() });
        }
        let message = message(header, &VERIFIER)?;
        match (message.header_type(), message.header_as_record_batch(), message.header_as_dictionary_batch()) {
            (MessageHeader::Schema, ..) => Err(DecodeError::SecondSchema),
            (_, Some(batch), _) => self.batch(&message, batch, body, len).map(Some),
            (_, _, Some(batch)) => self.dictionary(&message, &batch, &body).map(|()| None),
            (header, ..) => Err(DecodeError::BatchExpected { found: kind(header) }),
        }
    }

    fn batch(
        &self,
        message: &ipc::Message,
        batch: ipc::RecordBatch,
        body: Bytes,
        len: usize,
    ) -> Result<Coded, DecodeError> {
        check_body(message, &batch, &body)?;
        let declared = Layout::check(&self.keys, &batch, &body, &self.limits)?;
        let keys = decode(message, batch, body.into(), &self.keys)?;
        self.coded(keys, len, declared)
    }

    fn coded(&self, keys: RecordBatch, bytes: usize, declared: u64) -> Result<Coded, DecodeError> {
        let mut weighed = declared;
        if self.has_dictionaries {
            for (column, keys) in self.schema.columns.iter().zip(keys.columns()) {
                self.dictionaries.weigh(column, keys, &mut weighed, self.limits.logical_bytes_max())?;
            }
        }
        Ok(Coded { keys, bytes, declared, written_out: weighed - declared })
    }

    /// The plain values, and how many of their bytes are no part of the body.
    fn plain_of(&self, keys: &RecordBatch, declared: u64) -> Result<(RecordBatch, usize), DecodeError> {
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
        let paid = self.dictionaries.admit(id, body.len(), dictionary.isDelta())?;
        let keys = decode(message, batch, Buffer::from(body.to_vec()), &schema)?;
        let plain = self.dictionaries.plain(column, keys.column(0), &mut bytes, self.limits.logical_bytes_max())?;
        self.dictionaries.insert(id, plain, paid, dictionary.isDelta())
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
