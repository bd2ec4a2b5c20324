//! Which catalog a data directory belongs to. What is recorded under a shared catalog has its names there: a start without it, or
//! with another one, would give them away twice, and is refused.
//!
//! | the first directory's mark  | a shared catalog is named | and then                                         |
//! |-----------------------------|---------------------------|--------------------------------------------------|
//! | none                        | no                        | its own catalog                                  |
//! | none, nothing recorded      | yes                       | marked, before anything is recorded              |
//! | none, something recorded    | yes                       | refused                                          |
//! | of that one                 | yes                       | it goes on                                       |
//! | of another one, or of one   | yes, or no                | refused                                          |

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::ClusterUrl;
use crate::catalog::EmbeddedCatalog;
#[cfg(feature = "scylla")]
use crate::catalog::ScyllaCatalog;
use crate::config::Config;
use crate::io::Host;
use crate::model::DeviceId;
use crate::model::IdSource;

/// In the catalog's directory.
const MARK_FILE: &str = "SHARED";

/// Bytes of a mark that somebody edited and that can still be meant.
const MARK_LEN_MAX: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    #[error("{}: {cause}", path.display())]
    Mark { path: PathBuf, cause: io::Error },
    #[error("{} is damaged: its first line should be the id of a shared catalog", .0.display())]
    Damaged(PathBuf),
    #[error(
        "what is recorded in {} has its names in a shared catalog: name it with --catalog (it was {was})", directory.display()
    )]
    Needed { directory: PathBuf, was: String },
    #[error(
        "what is recorded in {} has its names in another shared catalog (it was {was}) than {now}. Nothing was changed",
        directory.display()
    )]
    Another { directory: PathBuf, was: String, now: String },
    #[error(
        "{} holds recordings whose names are in its own catalog: a server of a shared one begins with empty data directories. \
         Nothing was changed",
        directory.display()
    )]
    Owned { directory: PathBuf },
    #[error("this program was built without the feature scylla: a shared catalog cannot be used")]
    NotBuilt,
    #[error("catalog: {0}")]
    Catalog(#[from] CatalogError),
}

struct Mark {
    id: Uuid,
    /// As it was written, for people.
    url: String,
}

/// The catalog to serve from: the shared one that the configuration names, with `local` as this node's own store, or `local`.
///
/// * `place`: the directory of the local catalog.
/// * `node`: the first data directory's id.
pub async fn open(
    config: &Config,
    host: &Host,
    place: &Path,
    (local, node): (&EmbeddedCatalog, DeviceId),
    ids: &Arc<IdSource>,
) -> Result<Arc<dyn Catalog>, SharedError> {
    let directory = || place.parent().unwrap_or(place).to_owned();
    match (config.catalog.cluster()?, read_mark(host, place)?) {
        (None, None) => Ok(Arc::new(local.clone())),
        (None, Some(mark)) => Err(SharedError::Needed { directory: directory(), was: mark.url }),
        (Some(url), mark) => {
            if mark.is_none() && !local.open_store().sessions_after(0, 1).await?.is_empty() {
                return Err(SharedError::Owned { directory: directory() });
            }
            let (catalog, id) = connect(&url, node, local, ids).await?;
            match mark {
                Some(mark) if mark.id != id => {
                    return Err(SharedError::Another { directory: directory(), was: mark.url, now: url.to_string() });
                }
                Some(_) => {}
                None => write_mark(host, place, id, &url)?,
            }
            tracing::info!(catalog = %url, node = %node, "shared catalog");
            Ok(catalog)
        }
    }
}

#[cfg(feature = "scylla")]
async fn connect(
    url: &ClusterUrl,
    node: DeviceId,
    local: &EmbeddedCatalog,
    ids: &Arc<IdSource>,
) -> Result<(Arc<dyn Catalog>, Uuid), SharedError> {
    let catalog = ScyllaCatalog::open(url, node.0, local.clone(), Arc::clone(ids)).await?;
    let id = catalog.id();
    Ok((Arc::new(catalog), id))
}

#[cfg(not(feature = "scylla"))]
async fn connect(
    _: &ClusterUrl,
    _: DeviceId,
    _: &EmbeddedCatalog,
    _: &Arc<IdSource>,
) -> Result<(Arc<dyn Catalog>, Uuid), SharedError> {
    Err(SharedError::NotBuilt)
}

fn read_mark(host: &Host, place: &Path) -> Result<Option<Mark>, SharedError> {
    let path = place.join(MARK_FILE);
    let bytes = match host.read_small(&path, MARK_LEN_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(SharedError::Mark { path, cause }),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let id = lines.next().and_then(|line| Uuid::try_parse(line.trim()).ok());
    let id = id.ok_or(SharedError::Damaged(path))?;
    Ok(Some(Mark { id, url: lines.next().unwrap_or("not told").to_owned() }))
}

fn write_mark(host: &Host, place: &Path, id: Uuid, url: &ClusterUrl) -> Result<(), SharedError> {
    let text = format!("{}\n{url}\n", id.as_hyphenated());
    host.write_small(place, MARK_FILE, text.as_bytes())
        .map_err(|cause| SharedError::Mark { path: place.join(MARK_FILE), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_as_it_was_written_without_a_password() {
        let (place, host) = (tempfile::tempdir().unwrap(), Host::default());
        assert!(read_mark(&host, place.path()).unwrap().is_none());
        let url = ClusterUrl::parse("scylla://ann:secret@db1/fleet").unwrap();
        write_mark(&host, place.path(), Uuid::from_u128(7), &url).unwrap();
        let mark = read_mark(&host, place.path()).unwrap().unwrap();
        assert_eq!((mark.id, mark.url.as_str()), (Uuid::from_u128(7), "scylla://ann@db1:9042/fleet"));
        std::fs::write(place.path().join(MARK_FILE), "what is this").unwrap();
        assert!(matches!(read_mark(&host, place.path()), Err(SharedError::Damaged(_))));
    }
}
