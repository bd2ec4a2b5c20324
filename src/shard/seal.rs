//! The end of a chunk: its file made durable, its record committed, its name published; in this order.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::CatalogError;
use crate::catalog::PutEnd;
use crate::chunk::ChunkEncoder;
use crate::io::failpoint;
use crate::model::ChunkRecord;
use crate::store::ChunkWriter;

use super::error::PutError;
use super::request::TopicSpec;
use super::worker::ShardContext;

/// How often, and how long apart, a catalog that is overloaded or has no room is asked.
const OVERLOAD_TRIES: u32 = 100;
const OVERLOAD_PAUSE: Duration = Duration::from_millis(100);

/// A chunk being filled.
pub struct OpenChunk {
    pub encoder: ChunkEncoder,
    pub file: ChunkWriter,
}

/// Finishes the file, makes it durable, commits it, publishes it: in this order. Returns its rows.
pub async fn seal(
    context: &ShardContext,
    spec: &TopicSpec,
    chunk: OpenChunk,
    end: Option<PutEnd>,
) -> Result<u64, PutError> {
    let OpenChunk { mut encoder, mut file } = chunk;
    let topic = || spec.head.name.clone();
    for piece in encoder.last() {
        if let Err(cause) = file.append(piece.as_slice()).await {
            file.abandon().await;
            return Err(PutError::Write { topic: topic(), cause });
        }
    }
    let made = match encoder.finish(&file.checksums()) {
        Err(cause) => Err(PutError::Encode { topic: topic(), cause: Arc::new(cause) }),
        Ok((trailer, record)) => {
            let durable = async {
                file.append(&trailer).await?;
                file.finish().await
            };
            durable.await.map(|length| (record, length)).map_err(|cause| PutError::Write { topic: topic(), cause })
        }
    };
    let (record, length) = match made {
        Ok(made) => made,
        Err(error) => {
            file.abandon().await;
            return Err(error);
        }
    };
    assert!(record.file_bytes == length, "{} bytes recorded, {length} written", record.file_bytes);
    let rows = record.rows;
    if let Err(error) = commit(context, spec, vec![record], end).await {
        // Only a refusal says for sure that no record points here. After any other error the next start decides.
        if let PutError::Catalog { cause, .. } = &error
            && let CatalogError::NotFound { .. } | CatalogError::Overloaded { .. } | CatalogError::Full = cause
        {
            file.abandon().await;
        }
        return Err(error);
    }
    failpoint("publish: committed");
    file.publish();
    Ok(rows)
}

/// Appends records to the catalog and, with `end`, ends the put; durable on return. A catalog that is overloaded, or whose disk is full, is
/// asked again for a while: rows that are already on disk are worth waiting for.
pub async fn commit(
    context: &ShardContext,
    spec: &TopicSpec,
    records: Vec<ChunkRecord>,
    end: Option<PutEnd>,
) -> Result<(), PutError> {
    for _ in 0..OVERLOAD_TRIES {
        match context.open_store.commit(spec.head.id, records.clone(), end.clone()).await {
            Err(CatalogError::Overloaded { .. } | CatalogError::Full) => context.clock.sleep(OVERLOAD_PAUSE).await,
            result => return result.map_err(|cause| PutError::Catalog { topic: spec.head.name.clone(), cause }),
        }
    }
    let last = context.open_store.commit(spec.head.id, records, end).await;
    last.map_err(|cause| PutError::Catalog { topic: spec.head.name.clone(), cause })
}
