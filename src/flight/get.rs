//! DoGet: a ticket in, a schema and batches in time order out.
//!
//! A damaged chunk or a lost device ends the stream with its status: a reader never gets fewer rows and an OK.

use std::pin::pin;
use std::sync::Arc;

use futures::future::Either;
use futures::future::select;

use super::desk::Desk;
use super::guard;
use super::info::with_metadata;
use super::ipc::Framer;
use super::status::status;
use super::transport::GetReply;
use super::transport::GetRequest;
use super::transport::Status;
use crate::auth::TICKET_LEN;
use crate::auth::Ticket;
use crate::model::TimeRange;
use crate::query;
use crate::query::Selection;
use crate::retrieval::Reading;
use crate::wire::WindowInfo;
use crate::wire::parse_plain_ticket;
use crate::wire::topic_schema_metadata;

/// Serves one DoGet to its end.
pub(super) async fn serve(desk: Arc<Desk>, request: GetRequest, mut reply: GetReply) {
    let result = send(&desk, &request.ticket, &mut reply).await;
    reply.finish(result);
}

async fn send(desk: &Desk, ticket: &[u8], reply: &mut GetReply) -> Result<(), Status> {
    let (Ticket { topic, range }, selection) = open(desk, ticket).await?;
    let whole = range.is_all() && selection == Selection::default();
    let reading = desk.retrieval.read(topic, range, selection).await.map_err(|error| status(&error))?;
    let Reading { view, schema, mut batches } = reading;
    let totals = view.totals;
    let rows = whole.then_some(WindowInfo { bounds: totals.bounds, rows: totals.rows });
    let schema = with_metadata(&schema, topic_schema_metadata(&view, rows));
    let (mut framer, first) = Framer::begin(&schema).map_err(|error| status(&error))?;
    reply.send(first.into_iter().collect()).await.map_err(|gone| status(&gone))?;
    loop {
        // Asking for the next batch gives the memory of the last one to others, so that one must have left: a client that takes
        // nothing would otherwise keep it for free, as often as it likes.
        reply.room().await.map_err(|gone| status(&gone))?;
        // A reader that goes away must not keep a shard busy until the next batch.
        let next = match select(pin!(batches.next()), pin!(reply.gone())).await {
            Either::Left((next, _)) => next,
            Either::Right((gone, _)) => return Err(status(&gone)),
        };
        let batch = match next {
            Some(batch) => batch.map_err(|error| status(&error))?,
            None => return Ok(()),
        };
        if batch.num_rows() == 0 {
            continue;
        }
        let messages = framer.batch(&batch).map_err(|error| status(&error))?;
        drop(batch);
        for message in messages {
            reply.send(message.into_iter().collect()).await.map_err(|gone| status(&gone))?;
        }
    }
}

/// Opens a ticket of ours, or the plain `sequence/topic` of clients that make their own.
async fn open(desk: &Desk, bytes: &[u8]) -> Result<(Ticket, Selection), Status> {
    guard::check_len("ticket", bytes.len(), guard::TICKET_BYTES_MAX).map_err(|error| status(&error))?;
    // What is wanted of the rows stands behind the seal: whoever holds the ticket may choose.
    let (own, selection) = bytes.split_at_checked(TICKET_LEN).unwrap_or((bytes, &[]));
    let sealed = match desk.tickets.open(own) {
        Ok(ticket) => {
            let selection = query::parse_selection(selection).map_err(|error| status(&error))?;
            return Ok((ticket, selection));
        }
        Err(error) => error,
    };
    let name = parse_plain_ticket(bytes).map_err(|_| status(&sealed))?;
    let view = desk.retrieval.topic(&name).await.map_err(|error| status(&error))?;
    Ok((Ticket { topic: view.head.id, range: TimeRange::ALL }, Selection::default()))
}
