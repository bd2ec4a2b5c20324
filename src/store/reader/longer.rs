//! What no server asks of a chunk's file, but `tessera verify` does.

use crate::io::BLOCK_SIZE;
use crate::model::ChunkRecord;

use super::ChunkReader;
use super::FetchError;

impl ChunkReader {
    /// Whether something lies behind the end of the file.
    ///
    /// # Errors
    /// [`FetchError::Io`].
    pub async fn is_longer(&self, record: &ChunkRecord) -> Result<bool, FetchError> {
        let block = BLOCK_SIZE as u64;
        let (offset, len) = (record.file_bytes.saturating_sub(1) / block * block, 2 * BLOCK_SIZE);
        match self.file.read_at(offset, len).await {
            Ok(bytes) => Ok(offset + bytes.len() as u64 > record.file_bytes),
            Err(error) => Err(FetchError::Io { chunk: self.chunk, offset, len, cause: error.to_string() }),
        }
    }
}
