//! What a start does: brings the own store in line with the shared catalog, which decides. Costs what is open here, and what was
//! deleted since.

use super::cluster::Certainty;
use super::heads::Head;
use super::heads::Life;
use super::node::Node;
use super::published;
use super::purge;
use super::sessions;
use super::sessions::Followed;
use super::topics;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::OpenSession;

/// Open sessions that are asked for at a time.
const PAGE: u32 = 256;

pub async fn recover(node: &Node) -> Result<(), CatalogError> {
    purge::take_note(node).await?;
    let mut after = 0;
    loop {
        let page = node.open.open_sessions(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.number;
        for session in &page {
            settle(node, session).await?;
        }
    }
}

async fn settle(node: &Node, session: &OpenSession) -> Result<(), CatalogError> {
    let head = Head::read(&node.cluster, session.sequence, Certainty::Settled).await?;
    match sessions::follow(node, session.id, head.as_ref()).await? {
        Followed::Lives => {}
        Followed::Gone => return Ok(()),
        // All else that is recorded here must go on.
        Followed::Forgotten(error) => {
            tracing::error!(session = %session.id, %error, "an open session stays as it is and cannot be finalized; its chunks are Parquet files in the data directories");
            return Ok(());
        }
    }
    match head.as_ref().and_then(|head| head.live_session(session.id)) {
        None => Ok(()),
        Some(row) => {
            // Also of a final one: a topic that nobody was told of would keep it open.
            settle_unnamed(node, session).await?;
            if row.life == Life::Final {
                sessions::follow_final(node, session.id, row.completed_at_ns.unwrap_or(row.created_at_ns)).await;
            }
            Ok(())
        }
    }
}

/// Topics whose name the shared catalog does not have for them.
async fn settle_unnamed(node: &Node, session: &OpenSession) -> Result<(), CatalogError> {
    let names = published::names(node, session.sequence).await?;
    for topic in node.local.session(session.id).await?.topics {
        if !names.iter().any(|(_, name)| name.topic_id == topic.head.id.0) {
            topics::settle_unnamed(node, session.sequence, &topic.head).await?;
        }
    }
    Ok(())
}
