//! The end of a chunk: its file made durable, its record committed, its name published; in this order.

use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::catalog::CatalogError;
use crate::catalog::PutEnd;
use crate::chunk::ChunkEncoder;
use crate::model::ChunkRecord;
use crate::store::ChunkWriter;
use crate::store::WriteError;

use super::error::PutError;
use super::request::TopicSpec;
use super::worker::ShardContext;

/// A chunk being filled.
pub struct OpenChunk {
    pub encoder: ChunkEncoder,
    pub file: ChunkWriter,
}

pub async fn append_all(file: &mut ChunkWriter, pieces: Vec<Buffer>) -> Result<(), WriteError> {
    for piece in pieces {
        file.append(piece.as_slice()).await?;
    }
    Ok(())
}

/// Finishes the file, makes it durable, commits it, publishes it: in this order. Returns its rows.
pub async fn seal(
    context: &ShardContext,
    spec: &TopicSpec,
    chunk: OpenChunk,
    end: Option<PutEnd>,
) -> Result<u64, PutError> {
    let OpenChunk { encoder, mut file } = chunk;
    let topic = || spec.head.name.clone();
    let made = match encoder.finish() {
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
            file.abandon();
            return Err(error);
        }
    };
    assert!(record.file_bytes == length, "{} bytes recorded, {length} written", record.file_bytes);
    let rows = record.rows;
    if let Err(error) = commit(context, spec, vec![record], end).await {
        // Only a refusal says for sure that no record points here. After any other error the next start decides.
        if matches!(&error, PutError::Catalog { cause: CatalogError::NotFound { .. }, .. }) {
            file.abandon();
        }
        return Err(error);
    }
    file.publish();
    Ok(rows)
}

/// Appends records to the catalog and, with `end`, ends the put; durable on return.
pub async fn commit(
    context: &ShardContext,
    spec: &TopicSpec,
    records: Vec<ChunkRecord>,
    end: Option<PutEnd>,
) -> Result<(), PutError> {
    context
        .open_store
        .commit(spec.head.id, records, end)
        .await
        .map_err(|cause| PutError::Catalog { topic: spec.head.name.clone(), cause })
}
