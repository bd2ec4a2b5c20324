//! The messages of a DoPut, from IPC to a chunk's pages and back to a reader.

use std::sync::Arc;
use std::sync::LazyLock;

use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use tessera::chunk::ChunkEncoder;
use tessera::chunk::ChunkLayout;
use tessera::chunk::Columns;
use tessera::chunk::Effort;
use tessera::chunk::SparseBytes;
use tessera::chunk::TIME_COLUMN;
use tessera::chunk::batch_bytes;
use tessera::chunk::supports;
use tessera::flight::ipc::DecodeLimits;
use tessera::flight::ipc::Framer;
use tessera::flight::ipc::StreamDecoder;
use tessera::io::Recycler;
use tessera::model::OntologyTag;
use tessera::model::TimeRange;
use tessera::ontology::Ontology;
use tessera::ontology::Strictness;

use super::seeds;

const LIMITS: DecodeLimits = DecodeLimits { message_bytes_max: 1 << 20 };
static ONTOLOGY: LazyLock<Ontology> = LazyLock::new(Ontology::builtin);

/// A stream of `header length (u16), body length (u16), header, body`, all little-endian; the last ones may be cut.
///
/// Holds: an accepted batch is within the limits, can be framed, and comes back from a chunk as it went in.
pub fn ipc(data: &[u8]) {
    let mut messages = Messages(data);
    let Some((header, _)) = messages.next() else { return };
    let Ok(mut decoder) = StreamDecoder::begin(header, LIMITS) else { return };
    let (wire, schema) = (Arc::clone(decoder.schema()), Arc::clone(decoder.plain()));
    let tag = OntologyTag::parse("fuzz").expect("a tag");
    let admitted = ONTOLOGY.check(&tag, &wire, Strictness::Known).is_ok() && supports(&schema).is_ok();
    let mut batches = Vec::new();
    for (header, body) in messages {
        let batch = match decoder.receive(&header, body) {
            Ok(Some(received)) => received.batch,
            Ok(None) => continue,
            Err(_) => break,
        };
        assert!(batch.num_rows() as u64 <= LIMITS.rows_max(), "{} rows", batch.num_rows());
        let bytes = batch_bytes(&batch, 0, batch.num_rows());
        // Bits of validity and offsets stand beside what the limit counts.
        assert!(bytes <= 4 * LIMITS.logical_bytes_max(), "{bytes} bytes");
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
    }
    if !admitted || batches.is_empty() {
        return;
    }
    let (mut framer, _) = Framer::begin(&wire).expect("a recorded schema can be sent");
    for batch in &batches {
        framer.batch(batch).expect("a recorded batch can be sent");
    }
    store(&batches, Effort::Direct);
    store(&batches, Effort::Compact);
}

struct Messages<'a>(&'a [u8]);

impl Iterator for Messages<'_> {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<(Bytes, Bytes)> {
        let (lengths, rest) = self.0.split_first_chunk::<4>()?;
        let [header, body] = [[lengths[0], lengths[1]], [lengths[2], lengths[3]]].map(u16::from_le_bytes);
        let (header, rest) = rest.split_at(rest.len().min(header.into()));
        let (body, rest) = rest.split_at(rest.len().min(body.into()));
        self.0 = rest;
        Some((Bytes::copy_from_slice(header), Bytes::copy_from_slice(body)))
    }
}

fn store(batches: &[RecordBatch], effort: Effort) {
    let schema = batches[0].schema();
    let mut encoder = ChunkEncoder::new(seeds::identity(), &schema).expect("a supported schema");
    let mut file: Vec<u8> = Vec::new();
    for batch in batches {
        let pieces = encoder.row_group(std::slice::from_ref(batch), effort).expect("an accepted batch is encoded");
        pieces.iter().for_each(|piece| file.extend_from_slice(piece));
    }
    encoder.last().iter().for_each(|piece| file.extend_from_slice(piece));
    let (tail, record) = encoder.finish(&seeds::checksums(&file)).expect("a chunk with rows");
    let layout = ChunkLayout::parse(&record, &tail).expect("our own tail");
    let mut bytes = SparseBytes::new();
    bytes.insert(0, Bytes::from(file));
    for (group, batch) in batches.iter().enumerate() {
        let rows = batch.num_rows() as u64;
        let selection = layout.select(group, 0..rows, &TimeRange::ALL, Columns::All).expect("all rows");
        let read = layout.decode(&selection, &bytes, &Recycler::new(0)).expect("our own pages");
        let times = batch.column_by_name(TIME_COLUMN).expect("a time column").as_primitive::<Int64Type>().values();
        if times.is_sorted() {
            assert_eq!(&read, batch, "{effort:?}");
        } else {
            assert_eq!(read.num_rows(), batch.num_rows(), "{effort:?}");
        }
    }
}
