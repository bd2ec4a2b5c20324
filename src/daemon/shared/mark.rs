//! Makes the mark of a shared catalog: once for each data directory, at the first start with it, and again over one of an earlier version.

use std::path::Path;

use uuid::Uuid;

use crate::catalog::ClusterUrl;
use crate::io::Host;
use crate::store;

use super::SharedError;

/// Durable on return.
///
/// # Errors
/// [`SharedError::Mark`].
pub fn write_mark(host: &Host, directory: &Path, id: Uuid, url: &ClusterUrl, node: Uuid) -> Result<(), SharedError> {
    let text = format!("{}\n{url}\n{}\n", id.as_hyphenated(), node.as_hyphenated());
    host.write_small(directory, store::SHARED_FILE, text.as_bytes())
        .map_err(|cause| SharedError::Mark { path: directory.join(store::SHARED_FILE), cause })
}
