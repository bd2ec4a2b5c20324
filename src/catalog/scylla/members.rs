//! The servers that share the catalog, each with the address where the others reach it. A row has one writer, the node itself,
//! and two of them when a data directory was copied: so it is written by conditions, and the later start has it.

use uuid::Uuid;

use super::cluster::Certainty;
use super::cluster::Conditional;
use super::cluster::Rounds;
use super::node::Node;
use crate::catalog::CatalogError;
use crate::catalog::Member;
use crate::model::NodeId;
use crate::model::StartId;

type Row = (Uuid, String);

/// Says where this node is reached. Repeating it changes nothing.
pub async fn announce(node: &Node, member: &Member) -> Result<(), CatalogError> {
    let (cluster, statements) = (&node.cluster, &node.cluster.statements);
    let mut rounds = Rounds::of("telling the address of this node");
    loop {
        let found: Option<Row> = cluster.row(&statements.member_read, (node.id,), rounds.certainty()).await?;
        let tried = match &found {
            Some((start, address)) if *start == member.start.0 && *address == member.address => return Ok(()),
            Some((before, _)) => {
                let values = (member.start.0, &member.address, node.id, before);
                cluster.try_to(&statements.member_move, values).await?
            }
            None => cluster.try_to(&statements.member_add, (node.id, member.start.0, &member.address)).await?,
        };
        match tried {
            Conditional::Applied => return Ok(()),
            other => rounds.again(&other).await?,
        }
    }
}

/// What a node said last.
pub async fn find(own: &Node, node: NodeId) -> Result<Option<Member>, CatalogError> {
    let (cluster, statements) = (&own.cluster, &own.cluster.statements);
    let found: Option<Row> = cluster.row(&statements.member_read, (node.0,), Certainty::Answered).await?;
    Ok(found.map(|(start, address)| Member { start: StartId(start), address }))
}
