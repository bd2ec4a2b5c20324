//! What is found in a session's directory, and what is made of it. Idempotent: any step may be cut off and run again.
//!
//! A *start* looks at the sessions that a crash may have caught (see `touched`), and there only at `.part` files: a crash
//! leaves nothing else. The *audit* looks at everything, while the server serves, and finds what people and other catalogs
//! did. It never judges what a writer may be doing: in an open session it leaves `.part` files alone.
//!
//! | found                                               | made of it                                                   | by    |
//! |-----------------------------------------------------|--------------------------------------------------------------|-------|
//! | `.part` with a record                               | committed, not renamed yet: renamed                          | start |
//! | `.part` without a record                            | never acknowledged: unlinked                                 | start |
//! | a session that nobody knows, with a manifest        | left alone, reported: of an older catalog                    | audit |
//! | both names, with a record                           | reported; kept is the one of the recorded length (`.parquet` if both are), the other is moved to `lost/` | start |
//! | `.parquet` with a record                            | kept                                                         |       |
//! | `.parquet` without a record                         | moved to `lost/`: a delete went before it, or an older catalog | audit |
//! | a file whose record names another data directory    | left alone, reported: somebody moved it                      | audit |
//! | files of something deleted that waits for its purge | left to the purge                                            |       |
//! | record without a file, or with a shorter one        | reported; reading it is DATA_LOSS                            | audit |
//! | record with a longer file                           | reported; its rows are read                                  | audit |
//! | an empty directory of an unknown session            | removed; that of a known session stays                       | both  |
//! | `<session>.json.tmp` in `manifests/`                | a draft cut off: removed                                     | audit |
//! | a name we never give                                | left alone, reported                                         | audit |
//!
//! The directory is listed *before* the catalog is asked. A file gets its last name after its record is committed, so one that
//! is listed under it and then has no record, has none.

use std::cmp::Ordering;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::catalog::ChunkFate;
use crate::catalog::ChunkFile;
use crate::catalog::Standing;
use crate::io::BlockDevice;
use crate::io::DirectoryEntry;
use crate::io::failpoint;
use crate::model::ChunkId;
use crate::model::DeviceNumber;
use crate::model::SessionId;

use super::path;
use super::path::Suffix;
use super::path::failed;
use super::report::RecoveryReport;
use super::retention::gone_is_fine;

/// Files that one chunk may have in `lost/`. More are an error, and stay where they are.
const LOST_MAX: u32 = 100;

/// Makes the fixed directories of a data directory, durably, all but that of the marks.
///
/// # Errors
/// Whatever the device says.
pub async fn prepare(device: &dyn BlockDevice) -> io::Result<()> {
    for name in [path::CHUNKS_DIRECTORY, path::MANIFESTS_DIRECTORY, path::LOST_DIRECTORY] {
        let name = Path::new(name);
        device.make_directory(name).await.map_err(failed("making", name))?;
    }
    let root = Path::new("");
    device.sync_directory(root).await.map_err(failed("syncing", root))?;
    failpoint("recover: prepared");
    Ok(())
}

/// How much of a directory is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The chunks with a `.part`, by name.
    Parts,
    /// Every file, and its length.
    Whole,
}

/// Whether writers may be at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Start,
    Serving,
}

/// A session's directory as it was listed, to be held against its records. Holds some 50 bytes for each file that counts.
pub struct Listing<'a> {
    device: &'a dyn BlockDevice,
    number: DeviceNumber,
    session: SessionId,
    depth: Depth,
    directory: PathBuf,
    /// By chunk.
    files: Vec<Found>,
    /// Whether there is more in the directory than `files`.
    others: bool,
    report: RecoveryReport,
}

/// The files of one chunk.
struct Found {
    chunk: ChunkId,
    part: Option<u64>,
    parquet: Option<u64>,
    record: Option<ChunkFile>,
}

impl<'a> Listing<'a> {
    /// Lists the session's directory; one that is not there is empty.
    ///
    /// # Errors
    /// Whatever the device says.
    pub async fn take(
        device: &'a dyn BlockDevice,
        number: DeviceNumber,
        session: SessionId,
        depth: Depth,
    ) -> io::Result<Self> {
        let directory = path::session_directory(session);
        let listed = match depth {
            Depth::Parts => device.names(&directory).await,
            Depth::Whole => device.list(&directory).await,
        };
        let entries = match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(failed("listing", &directory))?,
        };
        let (files, report) = (Vec::new(), RecoveryReport::default());
        let mut listing = Self { device, number, session, depth, directory, files, others: false, report };
        listing.sort(entries);
        Ok(listing)
    }

    fn sort(&mut self, entries: Vec<DirectoryEntry>) {
        let mut names = Vec::new();
        for entry in entries {
            match entry.name.to_str().and_then(path::parse_chunk_file).filter(|_| !entry.is_directory) {
                Some((chunk, suffix)) => names.push((chunk, suffix, entry.len)),
                None => {
                    self.others = true;
                    if self.depth == Depth::Whole {
                        self.report.foreign += 1;
                        tracing::warn!(name = ?entry.name, session = %self.session, "left alone: no chunk's file has such a name");
                    }
                }
            }
        }
        if self.depth == Depth::Parts {
            let mut parts: Vec<ChunkId> =
                names.iter().filter(|(_, suffix, _)| *suffix == Suffix::Part).map(|(chunk, ..)| *chunk).collect();
            parts.sort_unstable();
            let all = names.len();
            names.retain(|(chunk, ..)| parts.binary_search(chunk).is_ok());
            self.others |= names.len() < all;
        }
        names.sort_unstable_by_key(|(chunk, ..)| *chunk);
        for (chunk, suffix, len) in names {
            if self.files.last().is_none_or(|last| last.chunk != chunk) {
                self.files.push(Found { chunk, part: None, parquet: None, record: None });
            }
            if let Some(found) = self.files.last_mut() {
                let place = if suffix == Suffix::Part { &mut found.part } else { &mut found.parquet };
                *place = Some(len);
            }
        }
    }

    /// Whether the catalog must be asked: there are files to judge, or records that could lack theirs.
    pub fn needs_records(&self) -> bool {
        self.depth == Depth::Whole || !self.files.is_empty()
    }

    /// Takes note of what the catalog says of one file.
    pub fn note(&mut self, file: &ChunkFile) {
        match self.files.binary_search_by_key(&file.chunk, |found| found.chunk) {
            Ok(at) => {
                if let Some(found) = self.files.get_mut(at) {
                    found.record = Some(*file);
                }
            }
            Err(_) if self.depth == Depth::Whole && file.device == self.number && file.fate == ChunkFate::Kept => {
                self.report.missing.push(file.chunk);
            }
            Err(_) => {}
        }
    }

    /// Brings the directory in line with the records that were noted. Names changed are durable on return.
    ///
    /// # Errors
    /// Whatever the device says; nothing is half-done that another run would not finish.
    pub async fn settle(mut self, standing: Standing, moment: Moment) -> io::Result<RecoveryReport> {
        assert!(standing != Standing::Deleted, "the files of session {} are the purge's", self.session);
        let writing = standing == Standing::Open && moment == Moment::Serving;
        let (mut changed, mut stay) = (false, self.others);
        for mut found in std::mem::take(&mut self.files) {
            match found.record {
                _ if writing && found.part.is_some() => stay = true,
                Some(ChunkFile { fate: ChunkFate::Purged, .. }) => stay = true,
                Some(record) if record.device != self.number => {
                    self.report.foreign += 1;
                    stay = true;
                    tracing::error!(
                        chunk = %found.chunk, recorded = record.device.0, found = self.number.0,
                        "left alone: this chunk belongs into another data directory; move it back by hand"
                    );
                }
                Some(record) => {
                    changed |= self.recorded(&record, &mut found).await?;
                    stay = true;
                }
                None => {
                    self.orphan(&found).await?;
                    changed = true;
                }
            }
        }
        // What others renamed must be durable too before the session's mark goes, or no start would find the names undone.
        if changed || (self.others && self.depth == Depth::Parts) {
            self.sync(&self.directory).await?;
            failpoint("recover: names synced");
        }
        if !stay && standing == Standing::Unknown {
            self.remove_directory().await?;
        }
        Ok(self.report)
    }

    /// Files that no record knows.
    async fn orphan(&mut self, found: &Found) -> io::Result<()> {
        let (session, chunk) = (self.session, found.chunk);
        if found.part.is_some() {
            let file = path::chunk_file(session, chunk, Suffix::Part);
            gone_is_fine(self.device.unlink(&file).await).map_err(failed("removing", &file))?;
            self.report.unlinked += 1;
            failpoint("recover: file unlinked");
        }
        if found.parquet.is_some() {
            tracing::warn!(%chunk, %session, "no record knows this chunk: its file is moved to lost/");
            self.lose(chunk, &path::chunk_file(session, chunk, Suffix::Parquet)).await?;
        }
        Ok(())
    }

    /// Files of a committed chunk. Returns whether names changed.
    async fn recorded(&mut self, record: &ChunkFile, found: &mut Found) -> io::Result<bool> {
        let (chunk, length) = (record.chunk, record.file_bytes);
        let part = path::chunk_file(self.session, chunk, Suffix::Part);
        let parquet = path::chunk_file(self.session, chunk, Suffix::Parquet);
        if found.part.is_some() && found.parquet.is_some() && self.depth == Depth::Parts {
            self.measure(found).await?;
        }
        let (kept, rename) = match (found.part, found.parquet) {
            (Some(early), Some(last)) => {
                self.report.twice.push(chunk);
                let keep_part = early == length && last != length;
                tracing::error!(
                    %chunk, session = %self.session, part = early, parquet = last, recorded = length,
                    "a committed chunk has two files: the one of the recorded length is kept, the other moved to lost/"
                );
                self.lose(chunk, if keep_part { &parquet } else { &part }).await?;
                (if keep_part { early } else { last }, keep_part)
            }
            (Some(early), None) => (early, true),
            (None, last) => (last.unwrap_or_default(), false),
        };
        match kept.cmp(&length) {
            Ordering::Less if self.depth == Depth::Whole => self.report.wrong_length.push(chunk),
            Ordering::Greater if self.depth == Depth::Whole => self.report.longer.push(chunk),
            _ => {}
        }
        if rename {
            // A writer that goes about the same may be quicker.
            gone_is_fine(self.device.rename(&part, &parquet).await).map_err(failed("renaming", &part))?;
            self.report.renamed += 1;
            failpoint("recover: file renamed");
        }
        Ok(found.part.is_some())
    }

    /// Brings the lengths of a chunk whose names alone were listed.
    async fn measure(&self, found: &mut Found) -> io::Result<()> {
        let (mut part, mut parquet) = (None, None);
        for entry in self.device.list(&self.directory).await.map_err(failed("listing", &self.directory))? {
            match entry.name.to_str().and_then(path::parse_chunk_file) {
                Some((chunk, Suffix::Part)) if chunk == found.chunk => part = Some(entry.len),
                Some((chunk, Suffix::Parquet)) if chunk == found.chunk => parquet = Some(entry.len),
                _ => {}
            }
        }
        (found.part, found.parquet) = (part, parquet);
        Ok(())
    }

    /// Moves a file to `lost/`, durably, beside what may lie there under its name.
    async fn lose(&mut self, chunk: ChunkId, file: &Path) -> io::Result<()> {
        for nth in 1..=LOST_MAX {
            match self.device.rename(file, &path::lost_file(chunk, nth)).await {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && nth < LOST_MAX => {}
                result => {
                    gone_is_fine(result).map_err(failed("moving to lost/", file))?;
                    break;
                }
            }
        }
        self.report.lost += 1;
        self.sync(Path::new(path::LOST_DIRECTORY)).await
    }

    async fn remove_directory(&self) -> io::Result<()> {
        let removed = self.device.remove_directory(&self.directory).await;
        gone_is_fine(removed).map_err(failed("removing", &self.directory))?;
        self.sync(Path::new(path::CHUNKS_DIRECTORY)).await
    }

    async fn sync(&self, directory: &Path) -> io::Result<()> {
        self.device.sync_directory(directory).await.map_err(failed("syncing", directory))
    }
}

/// Sessions of whose manifest there is a draft.
///
/// # Errors
/// Whatever the device says.
pub async fn drafts(device: &dyn BlockDevice) -> io::Result<Vec<SessionId>> {
    let place = Path::new(path::MANIFESTS_DIRECTORY);
    let names = device.names(place).await.map_err(failed("listing", place))?;
    Ok(names.iter().filter(|e| !e.is_directory).filter_map(|e| path::parse_manifest_draft(e.name.to_str()?)).collect())
}
