//! Rows that another server has, passed on as they come: nothing is taken apart, and what the client has not taken yet is not asked
//! for. So a slow client slows the owner of the rows, and costs a window of memory here.

use std::pin::pin;

use futures::future::Either;
use futures::future::select;

use super::get::End;
use super::status::status;
use super::transport::GetReply;
use crate::fleet::Fleet;
use crate::fleet::FleetError;
use crate::fleet::Passage;
use crate::model::NodeId;

/// Serves one DoGet from its owner, to its end.
///
/// * `ticket`: that the owner opens.
pub(super) async fn serve(fleet: &Fleet, node: NodeId, ticket: &[u8], reply: &mut GetReply) -> Result<(), End> {
    // It may wait for a place, for the owner, and for memory there: not for a client that is gone.
    let mut passage = match select(pin!(fleet.rows(node, ticket)), pin!(reply.gone())).await {
        Either::Left((passage, _)) => passage.map_err(|error| status(&error))?,
        Either::Right((gone, _)) => return Err(status(&gone).into()),
    };
    loop {
        let next = match select(pin!(passage.next()), pin!(reply.gone())).await {
            Either::Left((next, _)) => next,
            Either::Right((gone, _)) => return Err(status(&gone).into()),
        };
        let piece = match next {
            Ok(Some(piece)) => piece,
            Ok(None) => return last(&passage, reply, Ok(())).await,
            Err(FleetError::Cut) => return Err(End::Overdue),
            Err(error) => return last(&passage, reply, Err(status(&error).into())).await,
        };
        match passage.client(reply.pass(piece.bytes, piece.paid)).await {
            Some(sent) => sent.map_err(|gone| status(&gone))?,
            None => return Err(End::Overdue),
        }
    }
}

/// Ends a stream when its client has taken what there is: its place is not free before.
async fn last(passage: &Passage, reply: &mut GetReply, end: Result<(), End>) -> Result<(), End> {
    match passage.client(select(pin!(passage.gone()), pin!(reply.gone()))).await {
        Some(Either::Left(_)) => end,
        Some(Either::Right((gone, _))) => Err(status(&gone).into()),
        None => Err(End::Overdue),
    }
}
