//! FlightData messages for a reader, made of slices of the batches themselves.
//!
//! A message is protobuf with two fields: `data_header` (2), the IPC flatbuffer, and `data_body` (1000), which comes last
//! so that the columns' buffers can follow as they are. Only headers, paddings, offsets that have to be rebased and bitmaps
//! that start inside a byte are copied; what a slice does not show is not sent.

use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::BinaryViewType;
use arrow::datatypes::ByteViewType;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow::datatypes::StringViewType;
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::IpcWriteOptions;
use arrow::ipc::writer::StreamEncoder;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;
use std::sync::Arc;

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
    #[error("column {column:?} is dictionary-encoded: its dictionary would have to travel in a message of its own")]
    Dictionary { column: String },
    #[error("the Arrow encoder's message of {pieces} pieces has no whole header")]
    Header { pieces: usize },
}

/// Frames the batches of one stream.
pub struct Framer {
    encoder: StreamEncoder,
}

impl Framer {
    /// Returns the framer and the message that goes first: the schema, without a body.
    ///
    /// # Errors
    /// [`FrameError`] for a schema that IPC cannot carry.
    pub fn begin(schema: &Schema) -> Result<(Self, Vec<Bytes>), FrameError> {
        let is_dictionary = |field: &&&Field| matches!(field.data_type(), DataType::Dictionary(_, _));
        if let Some(field) = schema.flattened_fields().iter().find(is_dictionary) {
            return Err(FrameError::Dictionary { column: field.name().clone() });
        }
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
        let mut encoder = StreamEncoder::try_new_with_options(schema, options)?;
        // The encoder puts the schema before its first batch; an empty one makes it come alone.
        let stream = encoder.encode(&RecordBatch::new_empty(Arc::new(schema.clone())))?;
        let (header, _) = split(stream)?;
        Ok((Self { encoder }, frame(&header, Vec::new())))
    }

    /// Frames one batch of the stream's schema.
    ///
    /// # Errors
    /// [`FrameError`] when the encoder refuses it.
    ///
    /// # Panics
    /// On a batch without rows: clients take it for the end of the stream.
    pub fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, FrameError> {
        assert!(batch.num_rows() > 0, "a batch without rows would end the reader's stream");
        let batch = compact(batch)?;
        let (header, body) = split(self.encoder.encode(&batch)?)?;
        Ok(frame(&header, body))
    }
}

impl std::fmt::Debug for Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Framer(..)")
    }
}

/// Parts the first message of an IPC stream into its header and the pieces behind it.
fn split(stream: Vec<Buffer>) -> Result<(Vec<u8>, Vec<Buffer>), FrameError> {
    let count = stream.len();
    let mut pieces = stream.into_iter();
    let prefix = pieces.next().unwrap_or_default();
    let len = prefix.get(4..PREFIX_BYTES).and_then(|len| len.first_chunk::<4>()).map(|len| i32::from_le_bytes(*len));
    let len = len.and_then(|len| usize::try_from(len).ok()).ok_or(FrameError::Header { pieces: count })?;
    let mut header = Vec::with_capacity(len);
    while header.len() < len {
        let piece = pieces.next().ok_or(FrameError::Header { pieces: count })?;
        header.extend_from_slice(&piece);
    }
    assert!(header.len() == len, "an IPC header of {len} bytes came as {}", header.len());
    Ok((header, pieces.collect()))
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
