//! The catalog that was there goes aside, and the new one into its place.

use std::path::Path;
use std::path::PathBuf;

use crate::io::Host;
use crate::store;

use super::RebuildError;
use super::mount;
use super::wrap;
use crate::daemon::scrub::SCRUB_FILE;

/// What SQLite keeps beside a file.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

/// Moves the old catalog aside and the new one into its place. Returns where the old one is.
pub(super) fn replace(host: &Host, first: &Path, rebuilt: &Path) -> Result<Option<PathBuf>, RebuildError> {
    let (file, place) = (mount::catalog_file(first), first.join(store::CATALOG_DIRECTORY));
    let there: Vec<PathBuf> = COMPANIONS.iter().map(|companion| beside(&file, companion)).collect();
    let there: Vec<PathBuf> = there.into_iter().filter(|path| is_there(host, path)).collect();
    let mut old = None;
    if let Some(newest) = there.first() {
        let aside = aside(host, &place, newest != &file)?;
        mount::make_directory(host, &aside)?;
        // The file first, and alone: without its log it would look whole and be older. Nothing opens a log without it.
        for from in &there {
            if let Some(name) = from.file_name() {
                host.rename(from, &aside.join(name)).map_err(wrap(from))?;
            }
            host.sync_directory(&aside).map_err(wrap(&aside))?;
            host.sync_directory(&place).map_err(wrap(&place))?;
        }
        old = Some(aside);
    }
    // What was read again of the old catalog says nothing about this one.
    let scrubbed = place.join(SCRUB_FILE);
    match host.remove_file(&scrubbed) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrap(&scrubbed)(error)),
        _ => {}
    }
    host.rename(rebuilt, &file).map_err(wrap(rebuilt))?;
    host.sync_directory(&place).map_err(wrap(&place))?;
    Ok(old)
}

/// Where the old catalog goes.
///
/// * `goes_on`: an earlier run has moved a part of it, to the last of these places.
fn aside(host: &Host, place: &Path, goes_on: bool) -> Result<PathBuf, RebuildError> {
    let numbered = |n: u32| place.join(format!("before-rebuild-{n}"));
    let mut free = 1;
    // One that is empty was made by a run that ended before it moved anything.
    while host.has_entries(&numbered(free)).map_err(wrap(&numbered(free)))? {
        free += 1;
    }
    Ok(numbered(if goes_on { free.saturating_sub(1).max(1) } else { free }))
}

/// Makes the new catalog durable, and proves that its file is all of it.
pub(super) fn require_whole(host: &Host, rebuilt: &Path) -> Result<(), RebuildError> {
    let log = beside(rebuilt, "-wal");
    match host.read_small(&log, 0) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => return Err(RebuildError::Log(log)),
        Err(error) => return Err(wrap(&log)(error)),
    }
    host.sync_file(rebuilt).map_err(wrap(rebuilt))?;
    let place = rebuilt.parent().unwrap_or(Path::new("."));
    host.sync_directory(place).map_err(wrap(place))
}

/// A catalog of that name, or what is left of one.
pub(super) fn found(host: &Host, file: &Path) -> Option<PathBuf> {
    COMPANIONS.iter().map(|companion| beside(file, companion)).find(|path| is_there(host, path))
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
