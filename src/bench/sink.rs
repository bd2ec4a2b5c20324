//! The null sink: the same listener and receive path as the daemon's, and nothing behind it.
//!
//! Messages of a put are deframed, decoded, validated and dropped, and the put ends with OK. A put whose descriptor says
//! [`KEEP`] replaces what was kept before, and every get is then answered from memory with those batches, framed as the
//! daemon frames them: the floor of reading.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::FutureExt;
use tokio::sync::watch;

use super::error::BenchError;
use super::process::end_with_parent;
use crate::flight::ListenConfig;
use crate::flight::Listener;
use crate::flight::Stop;
use crate::flight::TransportConfig;
use crate::flight::ipc::DecodeLimits;
use crate::flight::ipc::Framer;
use crate::flight::ipc::StreamDecoder;
use crate::flight::transport::GetReply;
use crate::flight::transport::PutReply;
use crate::flight::transport::PutStream;
use crate::flight::transport::Routes;
use crate::flight::transport::Status;
use crate::runtime::Budget;

/// The command of a put that is kept for gets.
pub const KEEP: &str = "keep";
/// Of any other.
pub const DROP: &str = "drop";

/// gRPC's INVALID_ARGUMENT and FAILED_PRECONDITION.
const INVALID: i32 = 3;
const NOTHING_KEPT: i32 = 9;

/// Bytes of received messages at once. More than a daemon's, since what is kept for gets stays in it.
const RECEIVE_BYTES: usize = 4 << 30;

/// Where the sink listens, beside a TCP port the system chooses.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    pub unix_socket: Option<PathBuf>,
}

#[derive(Default)]
struct Kept {
    schema: Option<SchemaRef>,
    batches: Arc<[RecordBatch]>,
}

/// Serves until standard input ends; says `… ready on grpc://…` on standard output first.
///
/// # Errors
/// [`BenchError::Bind`], [`BenchError::Io`].
pub fn serve_sink(options: &SinkOptions) -> Result<(), BenchError> {
    // As the daemon's control plane.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().div_ceil(4).max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(BenchError::io("start a runtime"))?;
    runtime.block_on(serve(options))
}

async fn serve(options: &SinkOptions) -> Result<(), BenchError> {
    let listen =
        ListenConfig { listen: ([127, 0, 0, 1], 0).into(), unix_socket: options.unix_socket.clone(), insecure: false };
    let listener = Listener::bind(&listen).await?;
    let address = listener.local_addr().map_err(BenchError::io("find the own address"))?;
    let kept = Arc::<Mutex<Kept>>::default();
    let config = TransportConfig::default();
    let limits = DecodeLimits { message_bytes_max: config.message_bytes_max };
    let for_puts = Arc::clone(&kept);
    let routes = Routes::bulk(
        Arc::new(move |stream, reply| put(stream, reply, limits, Arc::clone(&for_puts)).boxed()),
        Arc::new(move |request, reply| get(request.ticket.to_vec(), reply, Arc::clone(&kept)).boxed()),
    );
    let (_stop, stopping) = watch::channel(Stop::Run);
    println!("tessera bench sink ready on grpc://{address}");
    end_with_parent();
    listener.serve(config, routes, Budget::new(RECEIVE_BYTES), stopping).await;
    Ok(())
}

async fn put(stream: PutStream, reply: PutReply, limits: DecodeLimits, kept: Arc<Mutex<Kept>>) {
    reply.finish(receive(stream, limits, &kept).await);
}

async fn receive(mut stream: PutStream, limits: DecodeLimits, kept: &Mutex<Kept>) -> Result<(), Status> {
    let invalid = |message: String| Status { code: INVALID, message };
    let first = match stream.next().await {
        Some(first) => first.map_err(|error| Status::from(&error))?,
        None => return Err(invalid("no message".to_owned())),
    };
    let keep = first.descriptor.as_deref().is_some_and(|bytes| bytes.ends_with(KEEP.as_bytes()));
    let mut decoder = StreamDecoder::begin(first.header, limits).map_err(|error| invalid(error.to_string()))?;
    let mut batches = Vec::new();
    while let Some(message) = stream.next().await {
        let message = message.map_err(|error| Status::from(&error))?;
        let received = decoder.receive(&message.header, message.body).map_err(|error| invalid(error.to_string()))?;
        if keep {
            batches.extend(received.map(|received| received.batch).filter(|batch| batch.num_rows() > 0));
        }
    }
    if keep {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept { schema: Some(Arc::clone(decoder.schema())), batches: batches.into() };
    }
    Ok(())
}

/// * `ticket`: how many batches to send, as text; those kept are sent over and over.
async fn get(ticket: Vec<u8>, mut reply: GetReply, kept: Arc<Mutex<Kept>>) {
    let count = String::from_utf8(ticket).ok().and_then(|text| text.parse().ok());
    let (schema, batches) = {
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.schema.clone(), Arc::clone(&kept.batches))
    };
    let result = match (schema, count) {
        (Some(schema), Some(count)) => send(&schema, &batches, count, &mut reply).await,
        _ => Err(Status { code: NOTHING_KEPT, message: "nothing is kept, or the ticket is no number".to_owned() }),
    };
    reply.finish(result);
}

async fn send(schema: &SchemaRef, batches: &[RecordBatch], count: usize, reply: &mut GetReply) -> Result<(), Status> {
    let failed = |message: String| Status { code: INVALID, message };
    let (mut framer, first) = Framer::begin(schema).map_err(|error| failed(error.to_string()))?;
    reply.send(first.into_iter().collect(), None).await.map_err(|gone| failed(gone.to_string()))?;
    for batch in batches.iter().cycle().take(count) {
        for message in framer.batch(batch).map_err(|error| failed(error.to_string()))? {
            reply.send(message.into_iter().collect(), None).await.map_err(|gone| failed(gone.to_string()))?;
        }
    }
    Ok(())
}
