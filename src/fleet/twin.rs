//! A server that runs under our own id, before we do: with a copy of our directories, or with what ours were copied from.

use super::GREET;
use super::link::Link;
use super::members::SCHEME;
use crate::auth::FleetSealer;
use crate::catalog::Membership;
use crate::model::IdSource;

/// Whether one answers there. Within seconds; no answer is taken for none.
///
/// * `address`: where this node was last said to be reached, before this start listens anywhere.
pub async fn runs_already(own: &Membership, address: &str, ids: &IdSource) -> bool {
    let sealer = FleetSealer::new(&own.secret);
    let Ok(link) = Link::open(address.strip_prefix(SCHEME).unwrap_or(address), 1).await else { return false };
    let nonce = ids.uuid().into_bytes();
    let Ok(answer) = link.ask_unknown(GREET, sealer.question(&nonce)).await else { return false };
    sealer.read_answer(&nonce, &answer).is_some_and(|greeting| greeting.node == own.node)
}
