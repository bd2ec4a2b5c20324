//! Which start of which catalog wrote last into a data directory, and up to when: a file `START` in each says it, so that no
//! catalog which is older than the files makes anything of them. It would remove what it does not know, and record beside it.
//!
//! ```text
//! tessera start 2
//! 17 0192f3a4b5c6d7e8f90a1b2c3d4e5f60 5
//! ```
//!
//! The number is the catalog's count of starts, the id is random: two catalogs that were copied from one count alike. The last
//! number counts moments of this start: one every ten seconds in which the catalog changed, and one at its end, so that a copy
//! of the catalog that was made meanwhile is told from it. The format before, `tessera start 1`, names no moment. The catalog's
//! own note is durable before the first file is written, and all files are before anything is recorded, so:
//!
//! | a start ended behind               | catalog    | file        | the next start                                      |
//! |------------------------------------|------------|-------------|-----------------------------------------------------|
//! | counting itself                    | 17, no id  | 16          | goes on: whatever the catalog has no note of is old |
//! | its note in the catalog            | 17         | 16          | goes on                                             |
//! | the file of one directory of two   | 17         | 17 and 16   | goes on                                             |
//! | a moment in the catalog            | 17, 5      | 17, 4       | goes on                                             |
//!
//! | found                                              | means                                     | made of it             |
//! |----------------------------------------------------|-------------------------------------------|------------------------|
//! | no file                                            | never started by a version that writes it | goes on                |
//! | a directory that the catalog does not know         | no chunks: it begins anew here            | goes on                |
//! | a number up to the catalog's, with its id or none  | its own; or of before it was rebuilt      | goes on, away or not   |
//! | a greater number                                   | the catalog is older: a backup, a copy    | refused, nothing done  |
//! | its own, and a later moment                        | a copy made while that start ran          | refused, nothing done  |
//! | the number of another id                           | a copy of the catalog wrote here          | refused, nothing done  |
//!
//! A copy of the last seconds before a crash is older by less than a moment. What it could do harm with then is a session that
//! was finalized since: [`check`] refuses a catalog that has a session open whose manifest names chunks unknown to it.
//!
//! A catalog that is made again from the files counts from the greatest number that any of them names.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::catalog::CatalogError;
use crate::catalog::FileCursor;
use crate::catalog::KnownStart;
use crate::catalog::OpenStore;
use crate::io::Host;
use crate::model::ChunkId;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::SessionId;
use crate::model::StartId;
use crate::session::Recalled;
use crate::store;

use super::mount::MountError;
use super::mount::Mounted;
use super::start::StartError;

const HEAD: &str = "tessera start 2";
const HEAD_WITHOUT_MOMENT: &str = "tessera start 1";

/// More than every file takes.
const LEN_MAX: u64 = 256;

/// A manifest of an open session that is larger than this is not looked at: one of three million chunks.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// Open sessions asked for at once.
const PAGE: u32 = 256;

/// One start of one catalog, and how far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub number: u64,
    pub id: StartId,
    /// 0 where the file names none.
    pub moment: u64,
}

/// What a directory's file names; `None` without one.
///
/// # Errors
/// [`MountError::Directory`], [`MountError::StartFile`].
pub fn read(host: &Host, path: &Path) -> Result<Option<Start>, MountError> {
    match host.read_small(&path.join(store::START_FILE), LEN_MAX) {
        Ok(bytes) => {
            let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
            parsed.map(Some).ok_or_else(|| MountError::StartFile(path.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(MountError::StartFile(path.to_owned())),
        Err(cause) => Err(MountError::Directory { path: path.to_owned(), cause }),
    }
}

/// Refuses a catalog that is older than one of the directories. Before it counts this start. Returns the starts that they name.
///
/// # Errors
/// [`MountError::Older`], [`MountError::Behind`], [`MountError::Forked`], and those of [`read`] and of the catalog.
///
/// * `known`: the data directories of the catalog. Another one has no chunks, or it was refused before this, and is taken as new.
pub async fn check(
    host: &Host,
    mounted: &[Mounted],
    known: &[(DeviceNumber, DeviceId)],
    store: &OpenStore,
) -> Result<Vec<StartId>, StartError> {
    let is_known = |directory: &&Mounted| known.iter().any(|(_, id)| directory.device == Some(*id));
    let mut named = Vec::new();
    for directory in mounted.iter().filter(is_known) {
        if let Some(start) = read(host, &directory.path)? {
            if let Some(error) = judge(directory, mounted, start, store).await? {
                return Err(error.into());
            }
            named.push(start.id);
        }
    }
    if let Some(first) = mounted.first().filter(is_known) {
        check_open(host, &first.path, store).await?;
    }
    Ok(named)
}

async fn judge(
    directory: &Mounted,
    mounted: &[Mounted],
    Start { number, id, moment }: Start,
    store: &OpenStore,
) -> Result<Option<MountError>, CatalogError> {
    let (path, first) = (directory.path.clone(), mounted.first().map(|first| first.path.clone()).unwrap_or_default());
    Ok(match store.known_start(number, id, moment).await? {
        KnownStart::Own => None,
        KnownStart::Later { last } => Some(MountError::Older { path, first, number, last }),
        KnownStart::Behind => Some(MountError::Behind { path, first, number }),
        KnownStart::Foreign => Some(MountError::Forked { path, first, number }),
    })
}

/// A finalize that a crash cut short leaves an open session with a manifest, and the catalog knows all that it names.
async fn check_open(host: &Host, first: &Path, store: &OpenStore) -> Result<(), StartError> {
    let mut after = 0;
    loop {
        let page = store.open_sessions(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.number;
        for session in &page {
            let path = first.join(store::manifest_file(session.id));
            let bytes = match host.read_small(&path, MANIFEST_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge) => continue,
                Err(cause) => return Err(MountError::Directory { path, cause }.into()),
            };
            // A damaged one proves nothing.
            let Ok(manifest) = Recalled::parse(session.id, &bytes) else { continue };
            let known = chunks(store, session.id).await?;
            if manifest.chunks().any(|(chunk, _)| chunk.is_some_and(|chunk| !known.contains(&chunk))) {
                return Err(MountError::Unfinal {
                    path,
                    first: first.to_owned(),
                    sequence: manifest.sequence().to_owned(),
                }
                .into());
            }
        }
    }
}

/// Every chunk that the catalog has of a session.
async fn chunks(store: &OpenStore, session: SessionId) -> Result<HashSet<ChunkId>, CatalogError> {
    let (mut known, mut next) = (HashSet::new(), Some(FileCursor::default()));
    while let Some(from) = next {
        let page = store.files(session, from).await?;
        known.extend(page.files.iter().map(|file| file.chunk));
        next = page.next;
    }
    Ok(known)
}

/// Names this start in these directories, durably.
///
/// # Errors
/// [`MountError::Directory`]; not where the disk is full: a start must go on then, for it is what lets recordings be deleted.
pub fn write<'a>(host: &Host, paths: impl Iterator<Item = &'a Path>, start: Start) -> Result<(), MountError> {
    for path in paths {
        match write_one(host, path, start) {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "{} is not up to date: until there is room, an older catalog would not be told from this one",
                    store::START_FILE
                );
            }
            written => written.map_err(|cause| MountError::Directory { path: path.to_owned(), cause })?,
        }
    }
    Ok(())
}

/// # Errors
/// Whatever the disk says.
pub fn write_one(host: &Host, path: &Path, Start { number, id, moment }: Start) -> io::Result<()> {
    host.write_small(path, store::START_FILE, format!("{HEAD}\n{number} {id} {moment}\n").as_bytes())
}

fn parse(text: &str) -> Option<Start> {
    let (head, line) = text.strip_suffix('\n')?.split_once('\n')?;
    let (number, rest) = line.split_once(' ')?;
    let (id, moment) = match head {
        HEAD => rest.split_once(' ')?,
        HEAD_WITHOUT_MOMENT => (rest, "0"),
        _ => return None,
    };
    Some(Start { number: number.parse().ok()?, id: StartId(Uuid::try_parse(id).ok()?), moment: moment.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let (host, path) = (Host::default(), root.path());
        assert_eq!(read(&host, path).unwrap(), None);
        let start = Start { number: 17, id: StartId(Uuid::from_u128(5)), moment: 3 };
        write(&host, [path].into_iter(), start).unwrap();
        assert_eq!(read(&host, path).unwrap(), Some(start));
        let whole = std::fs::read_to_string(path.join("START")).unwrap();
        for bad in [
            "",
            "tessera start 2\n1 5\n",
            "tessera start 3\n1 5 1\n",
            whole.trim_end(),
            &whole.replace(' ', "  "),
            &"x".repeat(1000),
        ] {
            std::fs::write(path.join("START"), bad).unwrap();
            assert!(matches!(read(&host, path), Err(MountError::StartFile(_))), "{bad:?}");
        }
        let before = whole.replace("start 2", "start 1").replace(" 3\n", "\n");
        std::fs::write(path.join("START"), before).unwrap();
        assert_eq!(read(&host, path).unwrap(), Some(Start { moment: 0, ..start }));
    }
}
