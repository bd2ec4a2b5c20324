//! Which data directories belong together: a file `DEVICES` in each of them names them all, so that a catalog which is made
//! again knows what is missing, and gives none of their numbers to another.
//!
//! ```text
//! tessera data directories 1
//! 0 0192f3a4b5c6d7e8f90a1b2c3d4e5f60
//! 1 0192f3a4b5c6d7e8f90a1b2c3d4e5f61
//! ```
//!
//! Written durably before the first chunk of a new one can be. Directories that older versions left have none.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use uuid::Uuid;

use crate::io::Host;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::store;

use super::mount::MountError;

const HEAD: &str = "tessera data directories 1";

/// More than every number there is takes.
const LEN_MAX: u64 = 4 << 20;

/// What a directory's file names; `None` without one.
///
/// # Errors
/// [`MountError::Directory`], [`MountError::DevicesFile`].
pub fn read(host: &Host, path: &Path) -> Result<Option<BTreeMap<DeviceNumber, DeviceId>>, MountError> {
    match host.read_small(&path.join(store::DEVICES_FILE), LEN_MAX) {
        Ok(bytes) => {
            let parsed = std::str::from_utf8(&bytes).ok().and_then(parse);
            parsed.map(Some).ok_or_else(|| MountError::DevicesFile(path.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(MountError::Directory { path: path.to_owned(), cause }),
    }
}

/// Brings the files of these directories up to date, durably.
///
/// # Errors
/// [`MountError::Directory`]; not where the disk is full: a start must go on then, for it is what lets recordings be deleted.
pub fn write(host: &Host, paths: &[PathBuf], known: &[(DeviceNumber, DeviceId)]) -> Result<(), MountError> {
    let known: BTreeMap<DeviceNumber, DeviceId> = known.iter().copied().collect();
    for path in paths {
        // One that is damaged is written anew.
        if let Ok(Some(there)) = read(host, path)
            && there == known
        {
            continue;
        }
        match host.write_small(path, store::DEVICES_FILE, text(&known).as_bytes()) {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                tracing::warn!(path = %path.display(), %error, "{} is not up to date", store::DEVICES_FILE);
            }
            written => written.map_err(|cause| MountError::Directory { path: path.clone(), cause })?,
        }
    }
    Ok(())
}

fn text(known: &BTreeMap<DeviceNumber, DeviceId>) -> String {
    let mut text = format!("{HEAD}\n");
    for (number, id) in known {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{} {id}", number.0);
    }
    text
}

fn parse(text: &str) -> Option<BTreeMap<DeviceNumber, DeviceId>> {
    let mut lines = text.lines();
    (lines.next()? == HEAD && text.ends_with('\n')).then_some(())?;
    let line = |line: &str| {
        let (number, id) = line.split_once(' ')?;
        Some((DeviceNumber(number.parse().ok()?), DeviceId(Uuid::try_parse(id).ok()?)))
    };
    lines.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let root = tempfile::tempdir().unwrap();
        let (host, path) = (Host::default(), root.path().to_owned());
        assert_eq!(read(&host, &path).unwrap(), None);
        let known: Vec<_> = [0, 7].map(|n| (DeviceNumber(n), DeviceId(Uuid::from_u128(n.into())))).to_vec();
        write(&host, std::slice::from_ref(&path), &known).unwrap();
        assert_eq!(read(&host, &path).unwrap(), Some(known.iter().copied().collect()));
        let whole = std::fs::read_to_string(path.join("DEVICES")).unwrap();
        for bad in ["", "tessera data directories 2\n", whole.trim_end(), &whole.replace(' ', "  ")] {
            std::fs::write(path.join("DEVICES"), bad).unwrap();
            assert!(matches!(read(&host, &path), Err(MountError::DevicesFile(_))), "{bad:?}");
        }
        write(&host, std::slice::from_ref(&path), &known).unwrap();
        assert_eq!(std::fs::read_to_string(path.join("DEVICES")).unwrap(), whole);
    }
}
