//! FlightData messages for a reader, made of slices of the batches themselves.
//!
//! A message is protobuf with two fields: `data_header` (2), the IPC flatbuffer, and `data_body` (1000), which comes last
//! so that the columns' buffers can follow as they are. Only headers, paddings, offsets that have to be rebased and bitmaps
//! that start inside a byte are copied; what a slice does not show is not sent. Columns with a dictionary are made anew.

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::BinaryViewType;
use arrow::datatypes::ByteViewType;
use arrow::datatypes::DataType;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::datatypes::StringViewType;
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::DictionaryTracker;
use arrow::ipc::writer::IpcDataGenerator;
use arrow::ipc::writer::IpcWriteOptions;
use arrow::ipc::writer::StreamEncoder;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use flatbuffers::InvalidFlatbuffer;
use std::sync::Arc;

use super::coder;
use super::coder::CodeError;

/// Bytes between the starts of two buffers divide by this, as readers of IPC expect.
const ALIGNMENT: usize = 8;
/// Pieces up to this size are copied together: below it a copy is cheaper than one more piece to queue and write.
const COPY_BYTES_MAX: usize = 2 << 10;
/// What precedes every message of an IPC stream, and is not sent in Flight: a marker and the header's length.
const PREFIX_BYTES: usize = 8;

const HEADER_TAG: u8 = (2 << 3) | 2;
const BODY_TAG: u32 = (1000 << 3) | 2;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("cannot make an Arrow message of the batch: {0}")]
    Encode(#[from] ArrowError),
    #[error("one row alone does not fit its dictionary: {0}")]
    Dictionary(CodeError),
    #[error("the Arrow encoder's message is none: {0}")]
    Message(#[from] InvalidFlatbuffer),
    #[error("the Arrow encoder's message of {pieces} pieces has no whole header")]
    Header { pieces: usize },
}

/// Frames the batches of one stream.
pub struct Framer {
    encoder: StreamEncoder,
    /// With dictionaries; batches come without.
    coded: Option<SchemaRef>,
    begun: bool,
}

impl Framer {
    /// Returns the framer and the message that goes first: the schema, without a body.
    ///
    /// # Errors
    /// [`FrameError`] for a schema that IPC cannot carry.
    pub fn begin(schema: &Schema) -> Result<(Self, Vec<Bytes>), FrameError> {
        let options = || IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5);
        let encoder = StreamEncoder::try_new_with_options(schema, options()?)?;
        // The encoder would put the schema before its first batch: it comes alone here, and is left out there.
        let mut tracker = DictionaryTracker::new(false);
        let message =
            IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options()?);
        let coded = schema.fields().iter().any(|field| coder::has_dictionaries(field));
        let coded = coded.then(|| Arc::new(schema.clone()));
        Ok((Self { encoder, coded, begun: false }, frame(&message.ipc_message, Vec::new())))
    }

    /// Frames one batch of the stream's schema in its plain form: as one message, or more where there are dictionaries.
    ///
    /// # Errors
    /// [`FrameError`] when the encoder refuses it.
    ///
    /// # Panics
    /// On a batch without rows: clients take it for the end of the stream.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<Vec<Bytes>>, FrameError> {
        assert!(batch.num_rows() > 0, "a batch without rows would end the reader's stream");
        let Some(schema) = &self.coded else {
            return self.encode(&compact(batch)?);
        };
        match coder::coded(batch, schema) {
            Ok(coded) => self.encode(&compact(&coded)?),
            Err(CodeError::Keys { .. }) if batch.num_rows() > 1 => {
                let half = batch.num_rows() / 2;
                let mut messages = self.batch(&batch.slice(0, half))?;
                messages.extend(self.batch(&batch.slice(half, batch.num_rows() - half))?);
                Ok(messages)
            }
            Err(CodeError::Arrow(error)) => Err(error.into()),
            Err(error) => Err(FrameError::Dictionary(error)),
        }
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<Vec<Bytes>>, FrameError> {
        let messages = split(self.encoder.encode(batch)?)?;
        let schema = usize::from(!std::mem::replace(&mut self.begun, true));
        Ok(messages.into_iter().skip(schema).map(|(header, body)| frame(&header, body)).collect())
    }
}

impl std::fmt::Debug for Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Framer(..)")
    }
}

pub(super) type Message = (Vec<u8>, Vec<Buffer>);

/// Parts an IPC stream into its messages: each a header, and the pieces behind it.
pub(super) fn split(stream: Vec<Buffer>) -> Result<Vec<Message>, FrameError> {
    let count = stream.len();
    let strange = || FrameError::Header { pieces: count };
    let (mut pieces, mut messages) = (stream.into_iter().filter(|piece| !piece.is_empty()), Vec::new());
    while let Some(prefix) = pieces.next() {
        let len =
            prefix.get(4..PREFIX_BYTES).and_then(|len| len.first_chunk::<4>()).map(|len| i32::from_le_bytes(*len));
        let len = len.and_then(|len| usize::try_from(len).ok()).ok_or_else(strange)?;
        let mut header = Vec::with_capacity(len);
        while header.len() < len {
            header.extend_from_slice(&pieces.next().ok_or_else(strange)?);
        }
        assert!(header.len() == len, "an IPC header of {len} bytes came as {}", header.len());
        let len = usize::try_from(root_as_message(&header)?.bodyLength()).map_err(|_| strange())?;
        let (mut body, mut found) = (Vec::new(), 0);
        while found < len {
            let piece = pieces.next().ok_or_else(strange)?;
            found += piece.len();
            body.push(piece);
        }
        assert!(found == len, "an IPC body of {len} bytes came as {found}");
        messages.push((header, body));
    }
    Ok(messages)
}

/// One message as pieces in order, most of them the batch's own memory.
fn frame(header: &[u8], body: Vec<Buffer>) -> Vec<Bytes> {
    let body_bytes: usize = body.iter().map(Buffer::len).sum();
    let mut rope = Vec::new();
    let mut small = BytesMut::with_capacity(header.len() + 32);
    small.put_u8(HEADER_TAG);
    put_varint(&mut small, header.len() as u64);
    small.put_slice(header);
    if body_bytes > 0 {
        put_varint(&mut small, BODY_TAG.into());
        put_varint(&mut small, body_bytes as u64);
    }
    for piece in body {
        if piece.len() <= COPY_BYTES_MAX {
            small.put_slice(&piece);
        } else {
            if !small.is_empty() {
                rope.push(small.split().freeze());
            }
            rope.push(Bytes::from(piece));
        }
    }
    if !small.is_empty() {
        rope.push(small.freeze());
    }
    rope
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// A slice of a view column still names all buffers of its parent, and all of them would be sent, again for every slice.
/// Columns that use less than half of their buffers get new ones. Views inside lists and structs are left alone.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, FrameError> {
    let is_view = |column: &ArrayRef| matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !batch.columns().iter().any(is_view) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => compact_column::<StringViewType>(column),
        DataType::BinaryView => compact_column::<BinaryViewType>(column),
        _ => column.clone(),
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}

fn compact_column<T: ByteViewType>(column: &ArrayRef) -> ArrayRef {
    let views = column.as_byte_view::<T>();
    let held: usize = views.data_buffers().iter().map(Buffer::len).sum();
    if views.total_buffer_bytes_used() * 2 < held { Arc::new(views.gc()) } else { column.clone() }
}

#[cfg(test)]
mod tests;
