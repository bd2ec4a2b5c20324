//! Why another server does not give what it has.

use crate::auth::PassError;
use crate::catalog::CatalogError;
use crate::model::NodeId;

#[derive(Clone, Debug, thiserror::Error)]
pub enum FleetError {
    /// It runs a version that does not know how, or never ran since it could.
    #[error("node {node} has told nobody where it is: start it with this version of the program")]
    Untold { node: NodeId },
    #[error(
        "node {node} at {address} does not answer ({cause}): what it recorded can be read again once it runs there, or somewhere else \
         with the same data directories"
    )]
    Unreachable { node: NodeId, address: String, cause: String },
    #[error("node {node} said it is at {address}, and there {found}: set fleet.address of that node")]
    Stranger { node: NodeId, address: String, found: String },
    #[error("node {node} at {address} ended the stream before its end ({cause}): read again once it runs")]
    Broken { node: NodeId, address: String, cause: String },
    /// Its own word.
    #[error("{message}")]
    Refused { code: i32, message: String },
    /// It gave the read up because our client took nothing.
    #[error("the server that has the rows gave the read up, because nothing was taken for long and others wait")]
    Cut,
    #[error(
        "{max} streams from other servers are under way, as many as there may be: try again, or raise fleet.relay_bytes_max"
    )]
    Busy { max: u32 },
    #[error(transparent)]
    Pass(#[from] PassError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}
