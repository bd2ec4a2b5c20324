//! Counts the messages of an answer without looking into them.

const PREFIX_BYTES: usize = 5;

/// Takes an answer's bytes in pieces cut anywhere.
#[derive(Debug, Default)]
pub struct Meter {
    prefix: Vec<u8>,
    /// Bytes of the running message that have not come yet.
    missing: usize,
    messages: usize,
    bytes: u64,
}

impl Meter {
    pub fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let used = if self.missing > 0 { self.body(piece) } else { self.head(piece) };
            piece = piece.get(used..).unwrap_or_default();
        }
    }

    /// Messages that have come whole.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes of messages, without gRPC's prefixes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn body(&mut self, piece: &[u8]) -> usize {
        let count = piece.len().min(self.missing);
        self.missing -= count;
        self.bytes += count as u64;
        self.messages += usize::from(self.missing == 0);
        count
    }

    fn head(&mut self, piece: &[u8]) -> usize {
        let count = piece.len().min(PREFIX_BYTES - self.prefix.len());
        self.prefix.extend(piece.iter().take(count));
        if let [_, len @ ..] = self.prefix.as_slice()
            && len.len() + 1 == PREFIX_BYTES
        {
            self.missing = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            self.messages += usize::from(self.missing == 0);
            self.prefix.clear();
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    #[test]
    fn messages_are_counted_wherever_the_pieces_are_cut() {
        let mut stream = Vec::new();
        for len in [3u32, 0, 300] {
            stream.push(0);
            stream.put_u32(len);
            stream.resize(stream.len() + len as usize, 7);
        }
        for size in 1..40 {
            let mut meter = Meter::default();
            stream.chunks(size).for_each(|piece| meter.take(piece));
            assert_eq!((meter.messages(), meter.bytes()), (3, 303), "pieces of {size}");
        }
        let mut meter = Meter::default();
        meter.take(&stream[..stream.len() - 1]);
        assert_eq!((meter.messages(), meter.bytes()), (2, 302));
    }
}
