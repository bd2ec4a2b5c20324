//! Which catalog data directories belong to. What is recorded under a shared catalog has its names there: a start without it, or
//! with another one, would give them away twice, and would take what the other one does not know for deleted. So a file `SHARED` in
//! each directory says it, durable before anything is recorded, and a start is refused before it changes anything.
//!
//! | the directories' marks      | a shared catalog is named | and then                                         |
//! |-----------------------------|---------------------------|--------------------------------------------------|
//! | none                        | no                        | its own catalog                                  |
//! | none, nothing recorded      | yes                       | marked                                           |
//! | none, something recorded    | yes                       | refused                                          |
//! | of that one                 | yes                       | it goes on; a directory without one is marked    |
//! | of another one, or of two   | yes, or no                | refused                                          |
//!
//! ```text
//! 0192f3a4-b5c6-4d7e-8f90-a1b2c3d4e5f6
//! scylla://db1:9042,db2:9042/fleet
//! 0192f3a4-c001-4d7e-8f90-a1b2c3d4e5f6
//! ```
//!
//! The last line is what the others know this server by: the id of what was its first data directory when it was marked. It stays
//! the same whichever of its disks is lost.

#[cfg(any(feature = "scylla", test))]
mod mark;

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
use crate::catalog::Member;
use crate::catalog::Membership;
#[cfg(feature = "scylla")]
use crate::catalog::ScyllaCatalog;
use crate::config::Config;
#[cfg(feature = "scylla")]
use crate::fleet;
use crate::io::Host;
use crate::model::DeviceId;
use crate::model::IdSource;
use crate::model::NodeId;
use crate::model::StartId;
use crate::store;

#[cfg(any(feature = "scylla", test))]
use self::mark::write_mark;

/// Bytes of a mark that somebody edited and that can still be meant.
const MARK_LEN_MAX: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    #[error("{}: {cause}", path.display())]
    Mark { path: PathBuf, cause: io::Error },
    #[error(
        "{} is damaged: copy it from another data directory of this server; its first line is what `tessera catalog check` says of \
         the shared catalog",
        .0.display()
    )]
    Damaged(PathBuf),
    #[error(
        "what is recorded in {} has its names in a shared catalog: name it with --catalog (it was {was}). Nothing was changed",
        directory.display()
    )]
    Needed { directory: PathBuf, was: String },
    #[error(
        "what is recorded in {} has its names in another shared catalog (it was {was}) than {now}. Nothing was changed",
        directory.display()
    )]
    Another { directory: PathBuf, was: String, now: String },
    #[error(
        "data directories {} and {} belong to different shared catalogs: name those that belong together. Nothing was changed",
        a.display(), b.display()
    )]
    Mixed { a: PathBuf, b: PathBuf },
    #[error(
        "data directories {} and {} belong to two servers of a shared catalog: name those that belong together. Nothing was changed",
        a.display(), b.display()
    )]
    TwoServers { a: PathBuf, b: PathBuf },
    #[error(
        "{} holds recordings whose names are in its own catalog: a server of a shared one begins with empty data directories. \
         Nothing was changed",
        directory.display()
    )]
    Owned { directory: PathBuf },
    #[error(
        "another server has what is in {}, or a copy of it: it was started since at {address}, and of that start nothing is known here. \
         Two servers with the same directories would take each other's names and rows: go on with that one, or, when it is gone for good \
         with nothing recorded that is missed, start once with fleet.take_over = true (TESSERA_FLEET_TAKE_OVER=true)",
        directory.display()
    )]
    Twin { directory: PathBuf, address: String },
    #[error(
        "a server with what is in {}, or with a copy of it, runs at {address}: two of them would take each other's names and rows. Stop \
         that one, or begin with empty directories here",
        directory.display()
    )]
    Running { directory: PathBuf, address: String },
    #[error("this program was built without the feature scylla: a shared catalog cannot be used")]
    NotBuilt,
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

struct Mark {
    id: Uuid,
    /// As it was written, for people.
    url: String,
    /// What the others know this server by; nothing in marks of earlier versions.
    node: Option<Uuid>,
}

/// The shared catalog to serve from.
pub struct Chosen {
    url: ClusterUrl,
    take_over: bool,
    /// The directories, each with its mark.
    marks: Vec<(PathBuf, Option<Mark>)>,
}

/// Which catalog the configuration and the directories mean; `None` for their own. Changes nothing.
///
/// # Errors
/// [`SharedError`] when they do not agree.
pub async fn choose(
    config: &Config,
    host: &Host,
    directories: &[&Path],
    local: &EmbeddedCatalog,
) -> Result<Option<Chosen>, SharedError> {
    let mut marks: Vec<(PathBuf, Option<Mark>)> = Vec::with_capacity(directories.len());
    for directory in directories {
        marks.push(((*directory).to_owned(), read_mark(host, directory)?));
    }
    let mut marked = marks.iter().filter_map(|(directory, mark)| Some((directory, mark.as_ref()?)));
    let first = marked.clone().next();
    if let Some((a, mark)) = first
        && let Some((b, _)) = marked.find(|(_, other)| other.id != mark.id)
    {
        return Err(SharedError::Mixed { a: a.clone(), b: b.clone() });
    }
    let mut named = marks.iter().filter_map(|(directory, mark)| Some((directory, mark.as_ref()?.node?)));
    if let Some((a, node)) = named.next()
        && let Some((b, _)) = named.find(|(_, other)| *other != node)
    {
        return Err(SharedError::TwoServers { a: a.clone(), b: b.clone() });
    }
    match (config.catalog.cluster()?, first) {
        (None, None) => Ok(None),
        (None, Some((directory, mark))) => {
            Err(SharedError::Needed { directory: directory.clone(), was: mark.url.clone() })
        }
        (Some(url), marked) => {
            let recorded = !local.open_store().sessions_after(0, 1).await?.is_empty();
            match directories.first() {
                Some(directory) if marked.is_none() && recorded => {
                    Err(SharedError::Owned { directory: (*directory).to_owned() })
                }
                _ => Ok(Some(Chosen { url, take_over: config.fleet.take_over, marks })),
            }
        }
    }
}

impl Chosen {
    /// Connects to it, with `local` as this node's own store, which then follows it.
    ///
    /// * `first`: the first data directory's id.
    /// * `named`: starts that the directories named before this one.
    ///
    /// # Errors
    /// [`SharedError::Another`] when it is not the one of the marks: nothing is changed then. Those of the catalog.
    #[cfg(feature = "scylla")]
    pub async fn open(
        self,
        host: &Host,
        first: DeviceId,
        named: &[StartId],
        local: &EmbeddedCatalog,
        ids: &Arc<IdSource>,
    ) -> Result<(Arc<dyn Catalog>, Membership), SharedError> {
        let node = self.marks.iter().find_map(|(_, mark)| mark.as_ref()?.node).unwrap_or(first.0);
        let catalog = ScyllaCatalog::open(&self.url, node, local.clone(), Arc::clone(ids)).await?;
        for (directory, mark) in &self.marks {
            if let Some(mark) = mark.as_ref().filter(|mark| mark.id != catalog.id()) {
                let (was, now) = (mark.url.clone(), self.url.to_string());
                return Err(SharedError::Another { directory: directory.clone(), was, now });
            }
        }
        // Whoever was last started by this name is this one, or was copied.
        if let Some(Member { start, address }) = catalog.member(NodeId(node)).await? {
            let directory = self.marks.first().map(|(directory, _)| directory.clone()).unwrap_or_default();
            if fleet::runs_already(&catalog.membership(), &address, ids).await {
                return Err(SharedError::Running { directory, address });
            }
            let is_known = named.contains(&start) || self.take_over;
            if !is_known && !local.open_store().knows_start(start).await? {
                return Err(SharedError::Twin { directory, address });
            }
        }
        let is_whole = |mark: &Option<Mark>| mark.as_ref().is_some_and(|mark| mark.node.is_some());
        for (directory, _) in self.marks.iter().filter(|(_, mark)| !is_whole(mark)) {
            write_mark(host, directory, catalog.id(), &self.url, node)?;
        }
        // Only now: what another catalog does not know would be taken for deleted.
        catalog.recover().await?;
        tracing::info!(catalog = %self.url, node = %node, "shared catalog");
        let membership = catalog.membership();
        Ok((Arc::new(catalog), membership))
    }

    #[cfg(not(feature = "scylla"))]
    pub async fn open(
        self,
        _: &Host,
        _: DeviceId,
        _: &[StartId],
        _: &EmbeddedCatalog,
        _: &Arc<IdSource>,
    ) -> Result<(Arc<dyn Catalog>, Membership), SharedError> {
        Err(SharedError::NotBuilt)
    }
}

fn read_mark(host: &Host, directory: &Path) -> Result<Option<Mark>, SharedError> {
    let path = directory.join(store::SHARED_FILE);
    let bytes = match host.read_small(&path, MARK_LEN_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(SharedError::Mark { path, cause }),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let id = lines.next().and_then(|line| Uuid::try_parse(line.trim()).ok());
    let Some(id) = id else { return Err(SharedError::Damaged(path)) };
    let url = lines.next().unwrap_or("not told").to_owned();
    let node = lines.next().map(|line| Uuid::try_parse(line.trim())).transpose();
    Ok(Some(Mark { id, url, node: node.map_err(|_| SharedError::Damaged(path))? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::EmbeddedConfig;

    #[test]
    fn a_mark_comes_back_as_it_was_written_without_a_password() {
        let (place, host) = (tempfile::tempdir().unwrap(), Host::default());
        assert!(read_mark(&host, place.path()).unwrap().is_none());
        let url = ClusterUrl::parse("scylla://ann:secret@db1/fleet").unwrap();
        let [id, node] = [7, 9].map(Uuid::from_u128);
        write_mark(&host, place.path(), id, &url, node).unwrap();
        let mark = read_mark(&host, place.path()).unwrap().unwrap();
        assert_eq!((mark.id, mark.url.as_str(), mark.node), (id, "scylla://ann@db1:9042/fleet", Some(node)));
        let put = |text: &str| std::fs::write(place.path().join(store::SHARED_FILE), text).unwrap();
        put(&format!("{id}\nscylla://db1/fleet\n"));
        assert_eq!(read_mark(&host, place.path()).unwrap().unwrap().node, None, "of an earlier version");
        for damaged in ["what is this".to_owned(), format!("{id}\nurl\nno id\n")] {
            put(&damaged);
            assert!(matches!(read_mark(&host, place.path()), Err(SharedError::Damaged(_))));
        }
    }

    fn chosen(config: &Config, paths: &[&Path], local: &EmbeddedCatalog) -> Result<Option<Chosen>, SharedError> {
        futures::executor::block_on(choose(config, &Host::default(), paths, local))
    }

    #[test]
    fn directories_belong_to_one_catalog() {
        let (place, host) = (tempfile::tempdir().unwrap(), Host::default());
        let local = EmbeddedCatalog::open(&EmbeddedConfig::default(), &place.path().join("catalog.db")).unwrap();
        let [a, b] = ["a", "b"].map(|name| place.path().join(name));
        std::fs::create_dir_all(&a).unwrap();
        std::fs::create_dir_all(&b).unwrap();
        let (both, own, mut shared) = ([&*a, &*b], Config::default(), Config::default());
        shared.catalog.url = Some("scylla://db1/fleet".to_owned());
        let url = ClusterUrl::parse("scylla://db1/fleet").unwrap();
        assert!(matches!(chosen(&own, &both, &local), Ok(None)));
        assert!(matches!(chosen(&shared, &both, &local), Ok(Some(_))));
        // The second one alone, as when the first disk is a new one.
        let [id, other, node] = [7, 8, 9].map(Uuid::from_u128);
        write_mark(&host, &b, id, &url, node).unwrap();
        assert!(matches!(chosen(&own, &both, &local), Err(SharedError::Needed { directory, .. }) if directory == b));
        assert!(matches!(chosen(&shared, &both, &local), Ok(Some(_))));
        write_mark(&host, &a, id, &url, other).unwrap();
        assert!(matches!(chosen(&shared, &both, &local), Err(SharedError::TwoServers { .. })));
        write_mark(&host, &a, other, &url, node).unwrap();
        assert!(matches!(chosen(&shared, &both, &local), Err(SharedError::Mixed { .. })));
    }
}
