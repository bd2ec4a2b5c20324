//! What a start finds in a data directory, and what it makes of it. Idempotent: any step may be cut off and run again.
//!
//! | found                                            | made of it                                                     |
//! |--------------------------------------------------|----------------------------------------------------------------|
//! | `.part` with a record                            | committed, not renamed yet: renamed                            |
//! | `.part` without a record                         | never acknowledged: unlinked                                   |
//! | `.parquet` with a record                         | kept                                                           |
//! | `.parquet` without a record                      | moved to `lost/`: a delete went before it, or an older catalog |
//! | both, with a record                              | reported; kept is the one of the recorded length (`.parquet` if both are), the other is moved to `lost/` |
//! | a file whose record names another data directory | left alone, reported: somebody moved it                        |
//! | files of something deleted that waits for its purge | left to the purge                                           |
//! | record without a file                            | reported; reading it is DATA_LOSS                              |
//! | an empty directory of an unknown session         | removed; that of a known session stays                         |
//! | `<session>.json.tmp` in `manifests/`             | a draft cut off: removed                                       |
//! | a name we never give                             | left alone, reported                                           |

use std::collections::BTreeMap;
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
use super::path::failed;

/// Files that one chunk may have in `lost/`. More are an error, and stay where they are.
const LOST_MAX: u32 = 100;

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
    /// Chunks found under both of their names.
    pub twice: Vec<ChunkId>,
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
        self.twice.extend(other.twice);
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
        let name = Path::new(name);
        device.make_directory(name).await.map_err(failed("making", name))?;
    }
    let root = Path::new("");
    device.sync_directory(root).await.map_err(failed("syncing", root))
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
    let mut recovery = Recovery { device, number, expected, seen: HashSet::new(), report: RecoveryReport::default() };
    recovery.drafts().await?;
    recovery.sessions().await?;
    recovery.missing();
    Ok(recovery.report)
}

struct Recovery<'a> {
    device: &'a dyn BlockDevice,
    number: DeviceNumber,
    expected: &'a Expected,
    /// Recorded chunks that have a file.
    seen: HashSet<ChunkId>,
    report: RecoveryReport,
}

/// The lengths of a chunk's files.
#[derive(Clone, Copy, Default)]
struct Found {
    part: Option<u64>,
    parquet: Option<u64>,
}

impl Recovery<'_> {
    async fn drafts(&mut self) -> io::Result<()> {
        let place = Path::new(path::MANIFESTS_DIRECTORY);
        let mut changed = false;
        for entry in self.device.list(place).await.map_err(failed("listing", place))? {
            if entry.name.to_str().is_some_and(path::is_manifest_draft) && !entry.is_directory {
                self.unlink(&place.join(&entry.name)).await?;
                changed = true;
            }
        }
        if changed { self.sync(place).await } else { Ok(()) }
    }

    async fn sessions(&mut self) -> io::Result<()> {
        let chunks = Path::new(path::CHUNKS_DIRECTORY);
        let mut changed = false;
        for entry in self.device.list(chunks).await.map_err(failed("listing", chunks))? {
            let Some(session) =
                entry.name.to_str().and_then(path::parse_session_directory).filter(|_| entry.is_directory)
            else {
                self.report.foreign += 1;
                tracing::warn!(name = ?entry.name, "left alone: no session's directory has such a name");
                continue;
            };
            if self.expected.purging.contains(&session) {
                continue;
            }
            let emptied = self.session(session).await?;
            if emptied && !self.expected.sessions.contains_key(&session) {
                let directory = path::session_directory(session);
                self.device.remove_directory(&directory).await.map_err(failed("removing", &directory))?;
                changed = true;
            }
        }
        if changed { self.sync(chunks).await } else { Ok(()) }
    }

    /// Returns whether the session's directory is empty afterwards.
    async fn session(&mut self, session: SessionId) -> io::Result<bool> {
        let directory = path::session_directory(session);
        let records: HashMap<ChunkId, &ChunkRecord> = match self.expected.sessions.get(&session) {
            Some(records) => records.iter().map(|record| (record.chunk, record)).collect(),
            None => HashMap::new(),
        };
        let mut files: BTreeMap<ChunkId, Found> = BTreeMap::new();
        let mut stay = 0;
        for entry in self.device.list(&directory).await.map_err(failed("listing", &directory))? {
            let name = entry.name.to_str().and_then(path::parse_chunk_file).filter(|_| !entry.is_directory);
            match name {
                Some((chunk, _)) if self.expected.purging_chunks.contains(&chunk) => stay += 1,
                Some((chunk, Suffix::Part)) => files.entry(chunk).or_default().part = Some(entry.len),
                Some((chunk, Suffix::Parquet)) => files.entry(chunk).or_default().parquet = Some(entry.len),
                None => {
                    self.report.foreign += 1;
                    stay += 1;
                    tracing::warn!(name = ?entry.name, %session, "left alone: no chunk's file has such a name");
                }
            }
        }
        let mut changed = false;
        for (chunk, found) in files {
            match records.get(&chunk) {
                None => {
                    self.orphan(session, chunk, found).await?;
                    changed = true;
                }
                Some(record) if record.device != self.number => {
                    self.report.foreign += 1;
                    stay += 1;
                    tracing::error!(
                        %chunk, recorded = record.device.0, found = self.number.0,
                        "left alone: this chunk belongs into another data directory; move it back by hand"
                    );
                }
                Some(record) => {
                    changed |= self.recorded(session, record, found).await?;
                    stay += 1;
                }
            }
        }
        if changed {
            self.sync(&directory).await?;
        }
        Ok(stay == 0)
    }

    /// Files that no record knows.
    async fn orphan(&mut self, session: SessionId, chunk: ChunkId, found: Found) -> io::Result<()> {
        if found.part.is_some() {
            self.unlink(&path::chunk_file(session, chunk, Suffix::Part)).await?;
            self.report.unlinked += 1;
        }
        if found.parquet.is_some() {
            tracing::warn!(%chunk, %session, "no record knows this chunk: its file is moved to lost/");
            self.lose(chunk, &path::chunk_file(session, chunk, Suffix::Parquet)).await?;
        }
        Ok(())
    }

    /// Files of a committed chunk. Returns whether names changed.
    async fn recorded(&mut self, session: SessionId, record: &ChunkRecord, found: Found) -> io::Result<bool> {
        let (chunk, length) = (record.chunk, record.file_bytes);
        let part = path::chunk_file(session, chunk, Suffix::Part);
        let parquet = path::chunk_file(session, chunk, Suffix::Parquet);
        self.seen.insert(chunk);
        let (kept, rename) = match (found.part, found.parquet) {
            (Some(early), Some(last)) => {
                self.report.twice.push(chunk);
                let keep_part = early == length && last != length;
                tracing::error!(
                    %chunk, %session, part = early, parquet = last, recorded = length,
                    "a committed chunk has two files: the one of the recorded length is kept, the other moved to lost/"
                );
                self.lose(chunk, if keep_part { &parquet } else { &part }).await?;
                (if keep_part { early } else { last }, keep_part)
            }
            (Some(early), None) => (early, true),
            (None, last) => (last.unwrap_or_default(), false),
        };
        if kept != length {
            tracing::error!(%chunk, found = kept, recorded = length, "a chunk's file has another length");
            self.report.wrong_length.push(chunk);
        }
        if rename {
            self.device.rename(&part, &parquet).await.map_err(failed("renaming", &part))?;
            self.report.renamed += 1;
        }
        Ok(rename || found.part.is_some())
    }

    fn missing(&mut self) {
        for record in
            self.expected.sessions.iter().filter(|(s, _)| !self.expected.purging.contains(s)).flat_map(|s| s.1)
        {
            let purging = self.expected.purging_chunks.contains(&record.chunk);
            if record.device == self.number && !purging && !self.seen.contains(&record.chunk) {
                tracing::error!(chunk = %record.chunk, "a committed chunk has no file: reading it will say DATA_LOSS");
                self.report.missing.push(record.chunk);
            }
        }
    }

    /// Moves a file to `lost/`, durably, beside what may lie there under its name.
    async fn lose(&mut self, chunk: ChunkId, file: &Path) -> io::Result<()> {
        for nth in 1..=LOST_MAX {
            match self.device.rename(file, &path::lost_file(chunk, nth)).await {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && nth < LOST_MAX => {}
                result => {
                    result.map_err(failed("moving to lost/", file))?;
                    break;
                }
            }
        }
        self.report.lost += 1;
        self.sync(Path::new(path::LOST_DIRECTORY)).await
    }

    async fn unlink(&self, file: &Path) -> io::Result<()> {
        self.device.unlink(file).await.map_err(failed("removing", file))
    }

    async fn sync(&self, directory: &Path) -> io::Result<()> {
        self.device.sync_directory(directory).await.map_err(failed("syncing", directory))
    }
}
