//! Which start of which catalog wrote last into a data directory: a file `START` in each says it, so that no catalog which is
//! older than the files makes anything of them. It would remove what it does not know, and record beside it.
//!
//! ```text
//! tessera start 1
//! 17 0192f3a4b5c6d7e8f90a1b2c3d4e5f60
//! ```
//!
//! The number is the catalog's count of starts, the id is random: two catalogs that were copied from one count alike. The
//! catalog's own note is durable before the first file is written, and all files are before anything is recorded, so:
//!
//! | a start ended behind               | catalog    | file        | the next start                                      |
//! |------------------------------------|------------|-------------|-----------------------------------------------------|
//! | counting itself                    | 17, no id  | 16          | goes on: whatever the catalog has no note of is old |
//! | its note in the catalog            | 17         | 16          | goes on                                             |
//! | the file of one directory of two   | 17         | 17 and 16   | goes on                                             |
//!
//! | found                                              | means                                     | made of it             |
//! |----------------------------------------------------|-------------------------------------------|------------------------|
//! | no file                                            | never started by a version that writes it | goes on                |
//! | a directory that the catalog does not know         | no chunks: it begins anew here            | goes on                |
//! | a number up to the catalog's, with its id or none  | its own; or of before it was rebuilt      | goes on, away or not   |
//! | a greater number                                   | the catalog is older: a backup, a copy    | refused, nothing done  |
//! | the number of another id                           | a copy of the catalog wrote here          | refused, nothing done  |
//!
//! A catalog that is made again from the files counts from the greatest number that any of them names.

use std::io;
use std::path::Path;

use uuid::Uuid;

use crate::catalog::CatalogError;
use crate::catalog::KnownStart;
use crate::catalog::OpenStore;
use crate::io::Host;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::StartId;
use crate::store;

use super::mount::MountError;
use super::mount::Mounted;
use super::start::StartError;

const HEAD: &str = "tessera start 1";

/// More than every file takes.
const LEN_MAX: u64 = 256;

/// One start of one catalog.
pub type Start = (u64, StartId);

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

/// Refuses a catalog that is older than one of the directories. Before it counts this start.
///
/// # Errors
/// [`MountError::Older`], [`MountError::Forked`], and those of [`read`] and of the catalog.
///
/// * `known`: the data directories of the catalog. Another one has no chunks, or it was refused before this, and is taken as new.
pub async fn check(
    host: &Host,
    mounted: &[Mounted],
    known: &[(DeviceNumber, DeviceId)],
    store: &OpenStore,
) -> Result<(), StartError> {
    let is_known = |directory: &&Mounted| known.iter().any(|(_, id)| directory.device == Some(*id));
    for directory in mounted.iter().filter(is_known) {
        if let Some(start) = read(host, &directory.path)?
            && let Some(error) = judge(directory, mounted, start, store).await?
        {
            return Err(error.into());
        }
    }
    Ok(())
}

async fn judge(
    directory: &Mounted,
    mounted: &[Mounted],
    (number, id): Start,
    store: &OpenStore,
) -> Result<Option<MountError>, CatalogError> {
    let (path, first) = (directory.path.clone(), mounted.first().map(|first| first.path.clone()).unwrap_or_default());
    Ok(match store.known_start(number, id).await? {
        KnownStart::Own => None,
        KnownStart::Later { last } => Some(MountError::Older { path, first, number, last }),
        KnownStart::Foreign => Some(MountError::Forked { path, first, number }),
    })
}

/// Names this start in these directories, durably.
///
/// # Errors
/// [`MountError::Directory`]; not where the disk is full: a start must go on then, for it is what lets recordings be deleted.
pub fn write<'a>(host: &Host, paths: impl Iterator<Item = &'a Path>, (number, id): Start) -> Result<(), MountError> {
    let text = format!("{HEAD}\n{number} {id}\n");
    for path in paths {
        match host.write_small(path, store::START_FILE, text.as_bytes()) {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "{} is not up to date: until the next start, an older catalog would not be told from this one",
                    store::START_FILE
                );
            }
            written => written.map_err(|cause| MountError::Directory { path: path.to_owned(), cause })?,
        }
    }
    Ok(())
}

fn parse(text: &str) -> Option<Start> {
    let (number, id) = text.strip_prefix(HEAD)?.strip_prefix('\n')?.strip_suffix('\n')?.split_once(' ')?;
    Some((number.parse().ok()?, StartId(Uuid::try_parse(id).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let (host, path) = (Host::default(), root.path());
        assert_eq!(read(&host, path).unwrap(), None);
        let start = (17, StartId(Uuid::from_u128(5)));
        write(&host, [path].into_iter(), start).unwrap();
        assert_eq!(read(&host, path).unwrap(), Some(start));
        let whole = std::fs::read_to_string(path.join("START")).unwrap();
        for bad in ["", "tessera start 2\n1 5\n", whole.trim_end(), &whole.replace(' ', "  "), &"x".repeat(1000)] {
            std::fs::write(path.join("START"), bad).unwrap();
            assert!(matches!(read(&host, path), Err(MountError::StartFile(_))), "{bad:?}");
        }
    }
}
