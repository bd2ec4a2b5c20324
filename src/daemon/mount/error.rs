//! What is wrong with data directories that were named together, and the way out.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::io::LockError;
use crate::io::with_remedy;
use crate::model::DeviceId;
use crate::model::DeviceNumber;

#[derive(Debug, thiserror::Error)]
pub enum MountError {
    #[error("data directory {}: {}", path.display(), with_remedy(cause))]
    Directory { path: PathBuf, cause: io::Error },
    #[error("data directory {}: its DEVICE file is damaged: it should hold 32 hexadecimal digits", .0.display())]
    DeviceFile(PathBuf),
    #[error(
        "data directory {}: its DEVICES file is damaged: copy it from another data directory, or remove it and name every \
         data directory that the server had",
        .0.display()
    )]
    DevicesFile(PathBuf),
    #[error(
        "a catalog on a read-only file system is copied to be looked at, and {} takes no copy: {cause}; the variable TMPDIR names \
         another place", path.display()
    )]
    NoCopy { path: PathBuf, cause: io::Error },
    #[error(
        "data directory {}: its START file is damaged: remove it, when the catalog is the one that recorded here last",
        .0.display()
    )]
    StartFile(PathBuf),
    #[error(
        "the catalog in {} is older than the files in {}: start {number} recorded there, and the catalog knows of {last} starts. \
         It was put back from a backup, or is a copy that was used again; {}. Nothing was changed",
        first.display(), path.display(), newer()
    )]
    Older { path: PathBuf, first: PathBuf, number: u64, last: u64 },
    #[error(
        "the catalog in {} is older than the files in {}: it was copied while start {number} ran, which went on to record there; {}. \
         Nothing was changed",
        first.display(), path.display(), newer()
    )]
    Behind { path: PathBuf, first: PathBuf, number: u64 },
    #[error(
        "the catalog in {} is older than the files: sequence {sequence} has a session open there which {} makes final, with chunks that \
         the catalog does not know. It is a copy that was made before; {}. Nothing was changed",
        first.display(), path.display(), newer()
    )]
    Unfinal { path: PathBuf, first: PathBuf, sequence: String },
    #[error(
        "the catalog in {} is not the one that recorded last in {}: start {number} was another one there. One of them is a copy \
         of the other, and both were used; {}. Nothing was changed",
        first.display(), path.display(), newer()
    )]
    Forked { path: PathBuf, first: PathBuf, number: u64 },
    #[error(
        "data directory {} was never used, and storage.must_exist is set: is its disk mounted? For the very first start on it, \
         leave the key out. Nothing was changed",
        .0.display()
    )]
    MustExist(PathBuf),
    #[error("data directory {} lies in data directory {}, which was never used: name one of them", inner.display(), outer.display())]
    Nested { outer: PathBuf, inner: PathBuf },
    #[error("data directory {} holds {found:?} and was never a data directory: name an empty one", path.display())]
    NotEmpty { path: PathBuf, found: String },
    #[error("data directories {} and {} are the same one: name each once", a.display(), b.display())]
    Same { a: PathBuf, b: PathBuf },
    #[error(
        "data directories {} and {} hold the same DEVICE file, so one is a copy of the other: leave the copy out",
        a.display(), b.display()
    )]
    Copy { a: PathBuf, b: PathBuf },
    #[error(
        "{} has no catalog, and {}: {}. Nothing was changed",
        first.display(), what_is_there(first, used), way_out(holder.as_deref())
    )]
    NoCatalog { first: PathBuf, used: PathBuf, holder: Option<PathBuf> },
    #[error(
        "data directories {} and {} both have a catalog, and one start uses one: name only directories that belong \
         together. Nothing was changed",
        first.display(), other.display()
    )]
    TwoCatalogs { first: PathBuf, other: PathBuf },
    #[error(
        "data directory {} holds chunks that the catalog in {} does not know: they belong to another catalog; {}. \
         Nothing was changed",
        path.display(), first.display(), way_out(None)
    )]
    Foreign { path: PathBuf, first: PathBuf },
    #[error(
        "data directory {} was never used, and data directory number {number} with DEVICE {absent}, which this catalog \
         knows, is not there: is its disk mounted? When this one is to replace it, start once with \
         storage.replace_missing = true. Nothing was changed",
        path.display(), number = number.0
    )]
    Unused { path: PathBuf, number: DeviceNumber, absent: DeviceId },
    #[error(transparent)]
    Lock(#[from] LockError),
}

fn what_is_there(first: &Path, used: &Path) -> String {
    match first == used {
        true => "recordings lie there".to_owned(),
        false => format!("recordings lie in {}", used.display()),
    }
}

fn newer() -> &'static str {
    "it would remove what was recorded since: put the newer catalog back, or make one from the files of all data directories \
     with `tessera catalog rebuild`"
}

fn way_out(holder: Option<&Path>) -> String {
    match holder {
        Some(holder) => format!("name {} first, it has one", holder.display()),
        None => {
            "name the directory that holds their catalog first, or make it again from the files with `tessera catalog \
                 rebuild`"
                .to_owned()
        }
    }
}
