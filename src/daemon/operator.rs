//! The key of a running server's data directory: who can read it may give orders.

use std::path::PathBuf;

use crate::auth::OrderSealer;
use crate::catalog::CatalogError;
use crate::catalog::EmbeddedCatalog;
use crate::catalog::EmbeddedConfig;
use crate::config::Config;
use crate::io::Host;
use crate::io::LockError;
use crate::io::is_directory_held;
use crate::model::DeviceId;
use crate::model::DeviceNumber;

use super::devices;
use super::mount;
use super::scrub::ScrubState;

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error(
        "{} is no data directory of a server (there is no catalog in it): name the one that `tessera serve` was given first, \
         with --data-dir", .0.display()
    )]
    NoCatalog(PathBuf),
    #[error(
        "no server runs on {path}: start it with `tessera serve --data-dir {path}`, then give the order again",
        path = .0.display()
    )]
    NotRunning(PathBuf),
    #[error("data directory {}: {cause}; run this as the user that the server runs as", path.display())]
    Denied { path: PathBuf, cause: std::io::Error },
    #[error("the key in {} cannot be read: {cause}; run this as the user that the server runs as", path.display())]
    Unreadable { path: PathBuf, cause: CatalogError },
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Reads the key in the data directories of a server that is running. Changes nothing.
///
/// # Errors
/// [`OperatorError`]
pub fn order_sealer(config: &Config) -> Result<OrderSealer, OperatorError> {
    let directories = &config.storage.data_dirs;
    let path = find(directories)?;
    if !is_directory_held(path)? {
        return Err(OperatorError::NotRunning(path.clone()));
    }
    match EmbeddedCatalog::key(&EmbeddedConfig::default(), &mount::catalog_file(path)) {
        Ok(key) => Ok(OrderSealer::new(key)),
        Err(cause) => Err(OperatorError::Unreadable { path: path.clone(), cause }),
    }
}

/// What data directories say while a server runs on them, or none.
pub struct DirectoryStatus {
    /// The one with the catalog.
    pub directory: PathBuf,
    pub running: bool,
    /// `None` before the first pass, and when the file cannot be read.
    pub scrub: Option<ScrubState>,
    /// Those that belong to the first and are not among the ones that were named, as far as files tell that can be read.
    pub left_out: Vec<(DeviceNumber, DeviceId)>,
    /// Those that were named and are not there, or cannot be read: most often their disk is not mounted.
    pub not_found: Vec<PathBuf>,
}

/// Looks at the data directories from outside. Changes nothing.
///
/// # Errors
/// [`OperatorError`]
pub fn look(config: &Config) -> Result<DirectoryStatus, OperatorError> {
    let directory = find(&config.storage.data_dirs)?;
    let file = mount::catalog_file(directory);
    let scrub = ScrubState::read(file.parent().unwrap_or(directory)).ok();
    let running = is_directory_held(directory)?;
    let devices: Vec<_> =
        config.storage.data_dirs.iter().map(|path| mount::read_device(&Host::default(), path).ok().flatten()).collect();
    let known = devices::read(&Host::default(), directory).ok().flatten().unwrap_or_default();
    let is_left_out = |device: &DeviceId| !device.is_untold() && !devices.contains(&Some(*device));
    let left_out = known.into_iter().filter(|(_, device)| is_left_out(device)).collect();
    let named = config.storage.data_dirs.iter().zip(&devices);
    let not_found = named.filter(|(_, device)| device.is_none()).map(|(path, _)| path.clone()).collect();
    Ok(DirectoryStatus { directory: directory.clone(), running, scrub, left_out, not_found })
}

/// The directory that has the catalog.
fn find(directories: &[PathBuf]) -> Result<&PathBuf, OperatorError> {
    for path in directories {
        match Host::default().exists(&mount::catalog_file(path)) {
            Ok(true) => return Ok(path),
            Ok(false) => {}
            Err(cause) => return Err(OperatorError::Denied { path: path.clone(), cause }),
        }
    }
    Err(OperatorError::NoCatalog(directories.first().cloned().unwrap_or_default()))
}
