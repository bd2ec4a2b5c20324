//! DoPut: a schema and batches in, durable rows out.
//!
//! OK means that every row of the stream is on stable storage. Any other end leaves the topic *interrupted* with what was
//! fully received, and the status is sent only once that is settled: clients finalize the session right after an error,
//! and must find no put that still runs. A topic deleted under the put ends it at once.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::Either;
use futures::future::select;
use tonic::Code;

use super::desk::Desk;
use super::guard::Descriptor;
use super::guard::GuardError;
use super::ipc::Received;
use super::ipc::StreamDecoder;
use super::status::Answerable;
use super::status::status;
use super::transport::PutMessage;
use super::transport::PutReply;
use super::transport::PutStream;
use super::transport::ReceiveError;
use super::transport::Status;
use crate::model::TopicName;
use crate::runtime::Permit;
use crate::session::Put;
use crate::session::SessionError;
use crate::session::StreamSchema;
use crate::shard::PutReceipt;
use crate::wire::PutDescriptor;

/// Bytes of values that are written out of dictionaries at a time: as many as a row group.
pub(super) const WRITTEN_OUT_BYTES: usize = 4 << 20;

/// Serves one DoPut to its end.
pub(super) async fn serve(desk: Arc<Desk>, mut stream: PutStream, mut reply: PutReply) {
    let result = receive(&desk, &mut stream).await;
    if let Ok(PutReceipt { rows, chunks: _ }) = &result {
        // A client that reads no results gets the same news from the status.
        let _ = reply.reply(Bytes::from(format!("{{\"durable_rows\": {rows}}}"))).await;
    }
    reply.finish(result.map(drop));
}

async fn receive(desk: &Desk, stream: &mut PutStream) -> Result<PutReceipt, Status> {
    let first = match stream.next().await {
        Some(first) => first.map_err(|error| status(&error))?,
        None => return Err(status(&GuardError::NoMessage)),
    };
    let (mut put, mut decoder) = begin(desk, first).await?;
    stream.pay_from(desk.received.of(put.device()).clone());
    loop {
        let step = match next(stream, &put).await {
            Next::Message(message) => push(desk, &mut put, &mut decoder, message).await,
            Next::End => break,
            Next::Broken(error) => Err(broken(&put, error)),
            Next::Cancelled(error) => Err(Failure::Put(status(&error))),
        };
        match step {
            Ok(()) => {}
            // The put is over already.
            Err(Failure::Put(status)) => return Err(status),
            Err(Failure::Stream(why, status)) => {
                put.interrupt(why).await;
                return Err(status);
            }
        }
    }
    put.close().await.map_err(|error| status(&error))
}

/// Opens the put that the first message asks for. Nothing is changed when it is refused.
async fn begin(desk: &Desk, first: PutMessage) -> Result<(Put, StreamDecoder), Status> {
    let descriptor = Descriptor::decode(first.descriptor.as_deref()).map_err(|error| status(&error))?;
    let descriptor = PutDescriptor::parse(descriptor.kind, &descriptor.command).map_err(|error| status(&error))?;
    let PutDescriptor { name, topic } = descriptor;
    let decoder = StreamDecoder::begin(first.header, desk.decode_limits());
    let decoder = decoder.map_err(|cause| status(&OfTopic { topic: &name, cause }))?.within(desk.dictionaries.clone());
    let schema = StreamSchema {
        message: decoder.message().to_vec(),
        wire: Arc::clone(decoder.schema()),
        stored: Arc::clone(decoder.plain()),
    };
    let put = desk.sessions.begin_put(topic, &name, schema).await;
    Ok((put.map_err(|error| status(&error))?, decoder))
}

/// What comes next, from either side.
enum Next {
    Message(PutMessage),
    /// The client closed its side: the stream is whole.
    End,
    /// The client is gone, or sent what is no message.
    Broken(ReceiveError),
    /// The topic was deleted, or the server stops.
    Cancelled(SessionError),
}

async fn next(stream: &mut PutStream, put: &Put) -> Next {
    // The cancel comes first: it must not wait behind a sender that never pauses.
    match select(pin!(put.deleted()), pin!(stream.next())).await {
        Either::Left((error, _)) => Next::Cancelled(error),
        Either::Right((Some(Ok(message)), _)) => Next::Message(message),
        Either::Right((Some(Err(error)), _)) => Next::Broken(error),
        Either::Right((None, _)) => Next::End,
    }
}

enum Failure {
    /// The put itself failed, and is over.
    Put(Status),
    /// The stream broke: why, for the operator, and the status. What came before can be kept.
    Stream(String, Status),
}

/// What is wrong with a stream, for a client that has many.
#[derive(Debug, thiserror::Error)]
#[error("topic {topic}: {cause}")]
struct OfTopic<'a, E: fmt::Display> {
    topic: &'a TopicName,
    cause: E,
}

impl<E: Answerable> Answerable for OfTopic<'_, E> {
    fn code(&self) -> Code {
        self.cause.code()
    }
}

/// What is wrong with a message.
fn broken(put: &Put, error: impl Answerable) -> Failure {
    Failure::Stream(error.to_string(), status(&OfTopic { topic: put.topic(), cause: error }))
}

async fn push(desk: &Desk, put: &mut Put, decoder: &mut StreamDecoder, message: PutMessage) -> Result<(), Failure> {
    let Some(coded) = decoder.decode(&message.header, message.body).map_err(|error| broken(put, error))? else {
        return Ok(());
    };
    if coded.written_out_bytes() == 0 {
        let batch = decoder.write_out(coded).map_err(|error| broken(put, error))?;
        return hand_over(put, batch, None).await;
    }
    // A part at a time: all of them may need more memory than there is.
    for part in decoder.parts(coded, WRITTEN_OUT_BYTES).map_err(|error| broken(put, error))? {
        // A single row may be larger: then it waits for all of the budget, whichever disk it is for.
        let (own, whole) = (desk.written_out.of(put.device()), desk.written_out.whole());
        let budget = if part.written_out_bytes() > own.total() { whole } else { own };
        let bytes = part.written_out_bytes().min(budget.total());
        let paid = match select(pin!(put.deleted()), pin!(budget.acquire(bytes))).await {
            Either::Left((error, _)) => return Err(Failure::Put(status(&error))),
            Either::Right((paid, _)) => paid.ok(),
        };
        let batch = decoder.write_out(part).map_err(|error| broken(put, error))?;
        hand_over(put, batch, paid).await?;
    }
    Ok(())
}

/// * `paid`: for what is no part of the message.
async fn hand_over(put: &mut Put, received: Received, paid: Option<Permit>) -> Result<(), Failure> {
    let Received { batch, bytes } = received;
    match batch.num_rows() {
        0 => Ok(()),
        _ => put.push(batch, bytes, paid).await.map_err(|error| Failure::Put(status(&error))),
    }
}
