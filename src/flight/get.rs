//! DoGet: a ticket in, a schema and batches in time order out.
//!
//! A damaged chunk or a lost device ends the stream with its status: a reader never gets fewer rows and an OK.

use std::pin::pin;
use std::sync::Arc;

use futures::future::Either;
use futures::future::select;
use http::HeaderValue;

use super::desk::Caller;
use super::desk::Desk;
use super::guard;
use super::info::with_metadata;
use super::ipc::Framer;
use super::relay;
use super::status::status;
use super::transport::GetReply;
use super::transport::GetRequest;
use super::transport::Gone;
use super::transport::Status;
use crate::auth::Errand;
use crate::auth::TICKET_LEN;
use crate::auth::Ticket;
use crate::fleet::PASS_HEADER;
use crate::model::TimeRange;
use crate::query;
use crate::query::Selection;
use crate::retrieval::Reading;
use crate::retrieval::RetrievalError;
use crate::shard::BatchReceiver;
use crate::wire::WindowInfo;
use crate::wire::parse_plain_ticket;
use crate::wire::topic_schema_metadata;

/// Serves one DoGet to its end.
pub(super) async fn serve(desk: Arc<Desk>, request: GetRequest, mut reply: GetReply) {
    match send(&desk, &request, &mut reply).await {
        Ok(()) => reply.finish(Ok(())),
        Err(End::Told(status)) => reply.finish(Err(status)),
        Err(End::Overdue) => reply.cut(),
    }
}

/// How a get ends early.
pub(super) enum End {
    Told(Status),
    /// Its client took nothing for too long, so it could not be told either.
    Overdue,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Told(status)
    }
}

async fn send(desk: &Desk, request: &GetRequest, reply: &mut GetReply) -> Result<(), End> {
    let pass = request.headers.get(PASS_HEADER).map(HeaderValue::as_bytes);
    let caller = desk.caller(Errand::Rows, &request.ticket, pass).map_err(|error| status(&error))?;
    let (ticket, selection) = open(desk, &request.ticket).await?;
    let Ticket { topic, range } = ticket;
    let selected = query::parse_selection(selection).map_err(|error| status(&error))?;
    let whole = range.is_all() && selected == Selection::default();
    // It may wait for memory, in line: not for a client that is gone.
    let reading = match select(pin!(desk.retrieval.read(topic, range, selected)), pin!(reply.gone())).await {
        Either::Left((reading, _)) => reading,
        Either::Right((gone, _)) => return Err(status(&gone).into()),
    };
    let reading = match (reading, &desk.fleet) {
        (Err(RetrievalError::Elsewhere { node, .. }), Some(fleet)) if caller == Caller::Client => {
            let ticket = [desk.tickets.seal(&ticket).as_slice(), selection].concat();
            return relay::serve(fleet, node, &ticket, reply).await;
        }
        (reading, _) => reading.map_err(|error| status(&error))?,
    };
    let Reading { view, schema, mut batches } = reading;
    reply.count_into(batches.taken());
    let totals = view.totals;
    let rows = whole.then_some(WindowInfo { bounds: totals.bounds, rows: totals.rows });
    let schema = with_metadata(&schema, topic_schema_metadata(&view, rows));
    let (mut framer, first) = Framer::begin(&schema).map_err(|error| status(&error))?;
    in_time(reply.send(first.into_iter().collect(), None), &batches).await?;
    loop {
        // The next batch is asked for when the last one has mostly left: until then it is the client that is waited for.
        in_time(reply.room(), &batches).await?;
        // A reader that goes away must not keep a shard busy until the next batch.
        let next = match select(pin!(batches.next()), pin!(reply.gone())).await {
            Either::Left((next, _)) => next,
            Either::Right((gone, _)) => return Err(status(&gone).into()),
        };
        let paid = batches.take_loan();
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
            in_time(reply.send(message.into_iter().collect(), paid.clone()), &batches).await?;
        }
    }
}

/// Waits for the client, unless it is overdue.
async fn in_time(sending: impl Future<Output = Result<(), Gone>>, batches: &BatchReceiver) -> Result<(), End> {
    match select(pin!(sending), pin!(batches.overdue())).await {
        Either::Left((sent, _)) => Ok(sent.map_err(|gone| status(&gone))?),
        Either::Right(((), _)) => Err(End::Overdue),
    }
}

/// Opens a ticket of ours, or the plain `sequence/topic` of clients that make their own. What is wanted of the rows stands behind
/// the seal: whoever holds the ticket may choose.
async fn open<'a>(desk: &Desk, bytes: &'a [u8]) -> Result<(Ticket, &'a [u8]), Status> {
    guard::check_len("ticket", bytes.len(), guard::TICKET_BYTES_MAX).map_err(|error| status(&error))?;
    let (own, selection) = bytes.split_at_checked(TICKET_LEN).unwrap_or((bytes, &[]));
    let sealed = match desk.tickets.open(own) {
        Ok(ticket) => return Ok((ticket, selection)),
        Err(error) => error,
    };
    let name = parse_plain_ticket(bytes).map_err(|_| status(&sealed))?;
    let view = desk.retrieval.topic(&name).await.map_err(|error| status(&error))?;
    Ok((Ticket { topic: view.head.id, range: TimeRange::ALL }, &[]))
}
