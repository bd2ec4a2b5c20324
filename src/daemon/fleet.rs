//! Becomes one of the servers that share a catalog: says where this one is, and learns where the others are.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Catalog;
use crate::catalog::Member;
use crate::catalog::Membership;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::fleet::Setup;
use crate::flight::Listener;
use crate::model::IdSource;
use crate::model::StartId;

use super::serve::ServeError;

/// * `listener`: bound already, so that the address holds from here on.
pub async fn join(
    config: &Config,
    listener: &Listener,
    membership: Membership,
    start: StartId,
    catalog: &Arc<dyn Catalog>,
    ids: &Arc<IdSource>,
) -> Result<Fleet, ServeError> {
    let listen = listener.local_addr().unwrap_or(config.server.listen);
    let address = config.fleet.reached_at().unwrap_or_else(|| format!("grpc://{listen}"));
    let member = Member { start, address: address.clone() };
    catalog.announce(member).await.map_err(ServeError::Fleet)?;
    match config.fleet.address {
        None if listen.ip().is_loopback() => {
            tracing::warn!(%address, "the other servers are told to reach this one there, which only those on this machine can: set fleet.address");
        }
        _ => tracing::info!(%address, "the other servers are told to reach this one there"),
    }
    Ok(Fleet::new(Setup {
        catalog: Arc::clone(catalog),
        membership,
        start,
        address,
        ids: Arc::clone(ids),
        streams: config.fleet.streams(),
        patience: Duration::from_millis(config.memory.read_stall_ms),
    }))
}
