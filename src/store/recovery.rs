//! What a start finds in a data directory, and what it makes of it. Idempotent: any step may be cut off and run again.
//!
//! | found                                            | made of it                                                     |
//! |--------------------------------------------------|----------------------------------------------------------------|
//! | `.part` with a record                            | committed, not renamed yet: renamed                            |
//! | `.part` without a record                         | never acknowledged: unlinked                                   |
//! | `.parquet` with a record                         | kept                                                           |
//! | `.parquet` without a record, session unknown     | moved to `lost/`: only an older catalog can explain it         |
//! | `.parquet` without a record, session known       | moved to `lost/`                                               |
//! | files of something deleted that waits for its purge | left to the purge                                              |
//! | record without a file                            | reported; reading it is DATA_LOSS                              |
//! | a name we never give                             | left alone, reported                                           |

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::io::BlockDevice;
use crate::model::ChunkId;
use crate::model::ChunkRecord;
use crate::model::DeviceNumber;
use crate::model::SessionId;

use super::path;
use super::path::Suffix;

/// What the catalog says should be there.
#[derive(Default)]
pub struct Expected {
    /// Committed chunks of live sessions, on all devices.
    pub sessions: HashMap<SessionId, Vec<ChunkRecord>>,
    /// Deleted sessions whose files still wait to be removed.
    pub purging: HashSet<SessionId>,
    /// Chunks of deleted topics in live sessions that still wait to be removed.
    pub purging_chunks: HashSet<ChunkId>,
}

/// What was done and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub renamed: u64,
    pub unlinked: u64,
    pub lost: u64,
    pub foreign: u64,
    pub missing: Vec<ChunkId>,
    /// Files whose length is not the record's.
    pub wrong_length: Vec<ChunkId>,
}

impl RecoveryReport {
    pub fn add(&mut self, other: Self) {
        self.renamed += other.renamed;
        self.unlinked += other.unlinked;
        self.lost += other.lost;
        self.foreign += other.foreign;
        self.missing.extend(other.missing);
        self.wrong_length.extend(other.wrong_length);
    }
}

/// Makes the fixed directories of a data directory, durably.
///
/// # Errors
/// Whatever the device says.
pub async fn prepare(device: &dyn BlockDevice) -> io::Result<()> {
    for name in [path::CHUNKS_DIRECTORY, path::MANIFESTS_DIRECTORY, path::LOST_DIRECTORY] {
        device.make_directory(Path::new(name)).await?;
    }
    device.sync_directory(Path::new("")).await
}

/// Brings one data directory in line with the catalog.
///
/// # Errors
/// Whatever the device says; nothing is half-done that a second run would not finish.
pub async fn recover(
    device: &dyn BlockDevice,
    number: DeviceNumber,
    expected: &Expected,
) -> io::Result<RecoveryReport> {
    let mut report = RecoveryReport::default();
    let mut seen = HashSet::new();
    for entry in device.list(Path::new(path::CHUNKS_DIRECTORY)).await? {
        let Some(session) = entry.name.to_str().and_then(path::parse_session_directory).filter(|_| entry.is_directory)
        else {
            report.foreign += 1;
            tracing::warn!(name = ?entry.name, "left alone: no session's directory has such a name");
            continue;
        };
        if expected.purging.contains(&session) {
            continue;
        }
        recover_session(device, number, session, expected, &mut seen, &mut report).await?;
    }
    for record in expected.sessions.iter().filter(|(s, _)| !expected.purging.contains(s)).flat_map(|(_, r)| r) {
        let purging = expected.purging_chunks.contains(&record.chunk);
        if record.device == number && !purging && !seen.contains(&record.chunk) {
            tracing::error!(chunk = %record.chunk, "a committed chunk has no file: reading it will say DATA_LOSS");
            report.missing.push(record.chunk);
        }
    }
    Ok(report)
}

async fn recover_session(
    device: &dyn BlockDevice,
    number: DeviceNumber,
    session: SessionId,
    expected: &Expected,
    seen: &mut HashSet<ChunkId>,
    report: &mut RecoveryReport,
) -> io::Result<()> {
    let directory = path::session_directory(session);
    let records: HashMap<ChunkId, &ChunkRecord> = expected
        .sessions
        .get(&session)
        .map(|records| records.iter().filter(|r| r.device == number).map(|r| (r.chunk, r)).collect())
        .unwrap_or_default();
    let mut changed = false;
    for entry in device.list(&directory).await? {
        let Some((chunk, suffix)) =
            entry.name.to_str().and_then(path::parse_chunk_file).filter(|_| !entry.is_directory)
        else {
            report.foreign += 1;
            tracing::warn!(name = ?entry.name, %session, "left alone: no chunk's file has such a name");
            continue;
        };
        if expected.purging_chunks.contains(&chunk) {
            continue;
        }
        let file = path::chunk_file(session, chunk, suffix);
        let Some(record) = records.get(&chunk) else {
            match suffix {
                Suffix::Part => {
                    device.unlink(&file).await?;
                    report.unlinked += 1;
                }
                Suffix::Parquet => {
                    device.rename(&file, &path::lost_file(chunk)).await?;
                    device.sync_directory(Path::new(path::LOST_DIRECTORY)).await?;
                    tracing::warn!(%chunk, %session, "no record knows this chunk: its file was moved to lost/");
                    report.lost += 1;
                }
            }
            changed = true;
            continue;
        };
        seen.insert(chunk);
        if entry.len != record.file_bytes {
            tracing::error!(%chunk, found = entry.len, recorded = record.file_bytes, "a chunk's file has another length");
            report.wrong_length.push(chunk);
        }
        if suffix == Suffix::Part {
            device.rename(&file, &path::chunk_file(session, chunk, Suffix::Parquet)).await?;
            report.renamed += 1;
            changed = true;
        }
    }
    if changed {
        device.sync_directory(&directory).await?;
    }
    Ok(())
}
