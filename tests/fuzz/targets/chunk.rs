//! A chunk whose digests match and whose bytes need make no sense: what a reader is left with when somebody planted it.

use bytes::Bytes;
use tessera::catalog::decode_record;
use tessera::chunk::ChunkLayout;
use tessera::chunk::Columns;
use tessera::chunk::SparseBytes;
use tessera::io::Recycler;
use tessera::io::digest128;
use tessera::model::ChunkRecord;
use tessera::model::TimeRange;

use super::records::resealed;

const DIGEST_MARK: &[u8] = b"\x18\x0etessera:digest\x18\x20";
/// More than any row group of the seeds has.
const LOGICAL_BYTES_MAX: u64 = 16 << 20;
const FOOTER_DIGEST_MARK: &[u8] = b"\x18\x15tessera:footer_digest\x18\x20";

/// `record length (u16), record, file`. Digests and checksums are made right first, so that what lies behind them is met.
pub fn chunk(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk::<2>() else { return };
    let (record, file) = rest.split_at(rest.len().min(u16::from_le_bytes(*len).into()));
    let Ok(record) = decode_record(&resealed(record)) else { return };
    let Some((record, body, tail)) = proven(record, file) else { return };
    let Ok(layout) = ChunkLayout::parse(&record, &tail) else { return };
    let mut sparse = SparseBytes::new();
    sparse.insert(0, Bytes::copy_from_slice(body));
    for (group, info) in layout.row_groups().iter().enumerate().take(8) {
        // The memory of a read is taken for what the row group says.
        if info.logical_bytes > LOGICAL_BYTES_MAX {
            continue;
        }
        for columns in [Columns::TimeOnly, Columns::All] {
            for range in [TimeRange::ALL, TimeRange::new(Some(1), Some(7)).unwrap()] {
                let Some(selection) = layout.select(group, 0..info.rows, &range, columns.clone()) else { continue };
                let _ = layout.needs(&selection);
                let _ = layout.logical_bytes(group, &selection.rows(), &columns);
                if let Ok(batch) = layout.decode(&selection, &sparse, &Recycler::new(0)) {
                    assert!(batch.num_rows() as u64 <= info.rows, "{} rows", batch.num_rows());
                }
            }
        }
    }
}

/// The record and the tail with digests that match.
fn proven(mut record: ChunkRecord, file: &[u8]) -> Option<(ChunkRecord, &[u8], Vec<u8>)> {
    let (body, footer) = (usize::try_from(record.body_bytes).ok()?, usize::try_from(record.footer_offset).ok()?);
    record.file_bytes = file.len() as u64;
    record.digest = digest128(file.get(body..footer)?);
    let mut tail = file.get(body..)?.to_vec();
    let list = footer - body;
    let digits = |digest: &[u8; 16]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    place(tail.get_mut(list..)?, DIGEST_MARK, &digits(&record.digest))?;
    place(tail.get_mut(list..)?, FOOTER_DIGEST_MARK, &"0".repeat(32))?;
    record.footer_digest = digest128(&tail[list..]);
    place(tail.get_mut(list..)?, FOOTER_DIGEST_MARK, &digits(&record.footer_digest))?;
    Some((record, &file[..body], tail))
}

/// Writes `digits` behind the last `mark`.
fn place(footer: &mut [u8], mark: &[u8], digits: &str) -> Option<()> {
    let at = footer.windows(mark.len()).rposition(|window| window == mark)? + mark.len();
    footer.get_mut(at..at + digits.len())?.copy_from_slice(digits.as_bytes());
    Some(())
}
