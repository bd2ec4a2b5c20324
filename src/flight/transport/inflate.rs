//! Inflates one gzip-compressed message piece by piece.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzDecoder;

use super::status::ReceiveError;

/// Compressed bytes taken at a time. gzip expands at most 1032 times, so one piece stays near 4 MiB.
pub(super) const PIECE_BYTES: usize = 4096;

pub(super) struct Inflater {
    decoder: GzDecoder<Vec<u8>>,
    /// What the message may still inflate to.
    left: usize,
    max: usize,
}

impl Inflater {
    /// * `max`: bytes the whole message may inflate to.
    pub fn new(max: usize) -> Self {
        Self { decoder: GzDecoder::new(Vec::new()), left: max, max }
    }

    /// What `piece` (at most [`PIECE_BYTES`]) inflates to.
    pub fn push(&mut self, piece: &[u8]) -> Result<Bytes, ReceiveError> {
        self.decoder.write_all(piece).map_err(|_| BAD_GZIP)?;
        self.decoder.flush().map_err(|_| BAD_GZIP)?;
        self.take()
    }

    /// Checks the end of the compressed data (length and CRC) and gives what was left.
    pub fn finish(&mut self) -> Result<Bytes, ReceiveError> {
        self.decoder.try_finish().map_err(|_| BAD_GZIP)?;
        self.take()
    }

    fn take(&mut self) -> Result<Bytes, ReceiveError> {
        let inflated = std::mem::take(self.decoder.get_mut());
        match self.left.checked_sub(inflated.len()) {
            Some(left) => self.left = left,
            None => return Err(ReceiveError::InflatedTooLarge { max: self.max }),
        }
        Ok(Bytes::from(inflated))
    }
}

const BAD_GZIP: ReceiveError = ReceiveError::Malformed { what: "its gzip data is damaged" };
