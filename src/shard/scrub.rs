//! Reading a chunk again to see that it is still whole, with what nobody else needs.

use std::time::Duration;

use futures::channel::oneshot;

use crate::model::ChunkRecord;
use crate::model::SessionId;
use crate::store::ChunkReader;
use crate::store::FetchError;

use super::error::ShardError;
use super::worker::ShardContext;

/// Times of rest for each time of reading: a tenth of what the device could do is taken, at most.
const REST: u32 = 9;

/// How long it stands back while topics are written, before it looks again.
const STAND_BACK: Duration = Duration::from_millis(100);

/// The longest that it sleeps before it looks whether somebody still wants the answer.
const NAP: Duration = Duration::from_secs(1);

/// A chunk to look at.
pub struct ScrubRequest {
    pub session: SessionId,
    pub record: ChunkRecord,
    /// Bytes a second, at most.
    pub bytes_per_s: u64,
}

/// What became of it.
pub type Scrubbed = Result<(), FetchError>;

/// Verifies every byte of a chunk, in small pieces, while no batch waits for this shard. Ends early when nobody waits for it.
pub async fn answer(
    context: &ShardContext,
    request: &ScrubRequest,
    mut reply: oneshot::Sender<Result<Scrubbed, ShardError>>,
) {
    let scrubbed = match context.directories.get(&request.record.device) {
        Some(directory) => {
            let device = &directory.device;
            futures::select_biased! {
                () = futures::FutureExt::fuse(reply.cancellation()) => return,
                result = futures::FutureExt::fuse(Box::pin(verify(context, device, request))) => Ok(result),
            }
        }
        None => Err(ShardError::DeviceMissing(request.record.device)),
    };
    let _ = reply.send(scrubbed);
}

async fn verify(
    context: &ShardContext,
    device: &std::rc::Rc<dyn crate::io::BlockDevice>,
    request: &ScrubRequest,
) -> Scrubbed {
    let begun = context.clock.monotonic();
    let chunk = ChunkReader::open(device, request.session, &request.record).await?;
    rest(context, begun, request, request.record.file_bytes.saturating_sub(request.record.body_bytes)).await;
    let mut at = Some(0);
    while let Some(from) = at {
        while context.writers.get() > 0 && context.received.of(request.record.device).waiting() {
            context.clock.sleep(STAND_BACK).await;
        }
        let begun = context.clock.monotonic();
        at = chunk.verify_piece(from).await?;
        let to = at.unwrap_or(request.record.body_bytes);
        rest(context, begun, request, to.saturating_sub(from)).await;
    }
    Ok(())
}

/// After a read of `bytes` that was begun at `begun`.
async fn rest(context: &ShardContext, begun: Duration, request: &ScrubRequest, bytes: u64) {
    let took = context.clock.monotonic().saturating_sub(begun);
    let paced = Duration::from_secs_f64(bytes as f64 / request.bytes_per_s.max(1) as f64);
    let mut left = (took * REST).max(paced.saturating_sub(took));
    while !left.is_zero() {
        let nap = left.min(NAP);
        context.clock.sleep(nap).await;
        left -= nap;
    }
}
