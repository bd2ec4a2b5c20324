//! The catalog that was there goes aside, and the new one into its place.

use std::path::Path;
use std::path::PathBuf;

use crate::io::Host;
use crate::store;

use super::RebuildError;
use super::mount;
use super::wrap;

/// What SQLite keeps beside a file.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

/// Moves the old catalog aside and the new one into its place. Returns where the old one is.
pub(super) fn replace(host: &Host, first: &Path, rebuilt: &Path) -> Result<Option<PathBuf>, RebuildError> {
    let (file, place) = (mount::catalog_file(first), first.join(store::CATALOG_DIRECTORY));
    let there = COMPANIONS.iter().any(|companion| is_there(host, &beside(&file, companion)));
    let mut old = None;
    if there {
        let free = |n: &u32| !is_there(host, &place.join(format!("before-rebuild-{n}")));
        let number = (1..u32::MAX).find(free).unwrap_or(u32::MAX);
        let aside = place.join(format!("before-rebuild-{number}"));
        mount::make_directory(host, &aside)?;
        // The log first: a catalog without it would look whole and be older.
        for companion in COMPANIONS.iter().rev() {
            let from = beside(&file, companion);
            if let (true, Some(name)) = (is_there(host, &from), from.file_name()) {
                host.rename(&from, &aside.join(name)).map_err(wrap(&from))?;
            }
        }
        host.sync_directory(&aside).map_err(wrap(&aside))?;
        old = Some(aside);
    }
    host.rename(rebuilt, &file).map_err(wrap(rebuilt))?;
    host.sync_directory(&place).map_err(wrap(&place))?;
    Ok(old)
}

fn is_there(host: &Host, path: &Path) -> bool {
    // What cannot be looked at is taken to be there: nothing is replaced that nobody could see.
    host.exists(path).unwrap_or(true)
}

pub(super) fn remove(host: &Host, file: &Path) -> Result<(), RebuildError> {
    for companion in COMPANIONS {
        let path = beside(file, companion);
        match host.remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrap(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn beside(file: &Path, companion: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(companion);
    PathBuf::from(name)
}
