//! Flight messages made once and sent many times, with other timestamps each time.

use arrow::array::RecordBatch;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;

use super::error::BenchError;
use super::workload::Workload;
use crate::flight::ipc::FrameError;
use crate::flight::ipc::Framer;
use crate::flight::transport::Rope;

/// Timestamps a template is made with; they are looked for in the encoded message, and occur nowhere else.
const MARKER: i64 = 0x7e55_e7a0_51de_0000;

const GRPC_PREFIX_BYTES: usize = 5;
/// Of `FlightData.flight_descriptor`, `FlightDescriptor.cmd` and `Ticket.ticket`: length-delimited fields.
const DESCRIPTOR_TAG: u8 = (1 << 3) | 2;
const COMMAND_TAG: u8 = (2 << 3) | 2;
const TICKET_TAG: u8 = (1 << 3) | 2;
/// `FlightDescriptor.type` = CMD.
const COMMAND_KIND: [u8; 2] = [1 << 3, 2];

/// One encoded batch, ready to be sent with any timestamps.
#[derive(Clone, Debug)]
pub struct Template {
    /// gRPC prefix and all that precedes the timestamps.
    head: Bytes,
    /// All that follows them.
    tail: Bytes,
    rows: usize,
    bytes: u64,
}

impl Template {
    /// The templates of a workload.
    ///
    /// * `rows`: of one message; those of the workload when `None`.
    ///
    /// # Errors
    /// [`BenchError::Frame`].
    pub fn all(workload: Workload, rows: Option<usize>) -> Result<Vec<Self>, BenchError> {
        let rows = rows.unwrap_or(workload.rows());
        (0..workload.templates() as u64).map(|seed| Self::of(workload, seed, rows)).collect()
    }

    fn of(workload: Workload, seed: u64, rows: usize) -> Result<Self, BenchError> {
        let markers: Vec<i64> = (0..rows as i64).map(|row| MARKER + row).collect();
        let needle: Vec<u8> = markers.iter().flat_map(|marker| marker.to_le_bytes()).collect();
        let batch = workload.batch(seed, markers).map_err(FrameError::from)?;
        let (mut framer, _) = Framer::begin(&batch.schema())?;
        // Plain columns: one message.
        let message = grpc(&framer.batch(&batch)?.concat());
        // The time column is the first: a short way in.
        let found = message.windows(needle.len()).position(|window| window == needle.as_slice());
        let at = found.ok_or(BenchError::Wrong {
            what: "timestamps in an encoded batch",
            found: "none".to_owned(),
            expected: format!("{rows}"),
        })?;
        let (head, tail) = (message.slice(..at), message.slice(at + needle.len()..));
        Ok(Self { head, tail, rows, bytes: logical_bytes(&batch) })
    }

    /// The message with the timestamps `first_ns`, `first_ns + step_ns`, …
    pub fn message(&self, first_ns: i64, step_ns: i64) -> Rope {
        let mut front = BytesMut::with_capacity(self.head.len() + 8 * self.rows);
        front.put_slice(&self.head);
        for row in 0..self.rows as i64 {
            front.put_i64_le(first_ns + row * step_ns);
        }
        [front.freeze(), self.tail.clone()].into_iter().collect()
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the columns: what is counted as recorded.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Bytes of the values that the batch shows.
pub fn logical_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().filter_map(|column| column.to_data().get_slice_memory_size().ok()).sum::<usize>() as u64
}

/// The first message of a put: descriptor and schema.
///
/// # Errors
/// [`BenchError::Frame`].
pub fn first_message(workload: Workload, command: &str) -> Result<Rope, BenchError> {
    let (_, mut pieces) = Framer::begin(&workload.schema())?;
    let mut descriptor = COMMAND_KIND.to_vec();
    put_field(&mut descriptor, COMMAND_TAG, command.as_bytes());
    let mut field = Vec::new();
    put_field(&mut field, DESCRIPTOR_TAG, &descriptor);
    pieces.push(Bytes::from(field));
    Ok(Rope::from(grpc(&pieces)))
}

/// The request of a get.
pub fn ticket_message(ticket: &[u8]) -> Rope {
    let mut field = Vec::new();
    put_field(&mut field, TICKET_TAG, ticket);
    Rope::from(grpc(&[Bytes::from(field)]))
}

fn grpc(pieces: &[Bytes]) -> Bytes {
    let len: usize = pieces.iter().map(Bytes::len).sum();
    let mut message = BytesMut::with_capacity(GRPC_PREFIX_BYTES + len);
    message.put_u8(0); // not compressed
    message.put_u32(len as u32);
    pieces.iter().for_each(|piece| message.put_slice(piece));
    message.freeze()
}

fn put_field(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let mut len = value.len();
    while len >= 0x80 {
        out.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use bytes::Buf;

    use super::*;
    use crate::flight::ipc::DecodeLimits;
    use crate::flight::ipc::StreamDecoder;

    /// Reads one varint-prefixed field.
    fn field(message: &mut Bytes) -> (u64, Bytes) {
        let varint = |message: &mut Bytes| {
            let (mut value, mut shift) = (0u64, 0);
            loop {
                let byte = message.get_u8();
                value |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    return value;
                }
                shift += 7;
            }
        };
        let tag = varint(message);
        assert_eq!(tag & 7, 2);
        let len = varint(message) as usize;
        (tag >> 3, message.split_to(len))
    }

    /// Goal: what is sent again with other timestamps is the same batch but for them.
    #[test]
    fn a_template_changes_nothing_but_the_timestamps() {
        for workload in [Workload::Blobs, Workload::Lidar, Workload::Imu10k, Workload::Imu100] {
            let mut first = first_message(workload, "{}").unwrap();
            let mut first = first.copy_to_bytes(first.len()).slice(GRPC_PREFIX_BYTES..);
            let (number, header) = field(&mut first);
            assert_eq!((number, field(&mut first).0), (2, 1));
            let mut decoder = StreamDecoder::begin(header, DecodeLimits { message_bytes_max: 64 << 20 }).unwrap();
            for (seed, template) in Template::all(workload, None).unwrap().iter().enumerate().take(2) {
                let mut message = template.message(5_000, 10);
                let mut message = message.copy_to_bytes(message.len()).slice(GRPC_PREFIX_BYTES..);
                let ((_, header), (_, body)) = (field(&mut message), field(&mut message));
                assert!(message.is_empty());
                let batch = decoder.receive(&header, body).unwrap().unwrap().batch;
                let times: Vec<i64> = (0..workload.rows() as i64).map(|row| 5_000 + 10 * row).collect();
                assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), times.as_slice());
                assert_eq!(batch, workload.batch(seed as u64, times).unwrap());
            }
        }
    }
}
