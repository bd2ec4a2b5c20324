//! Messages of ROS 2 in the encoding of its wire: CDR, little-endian (OMG DDS-XTypes 1.3, §7.4.1).

/// Little-endian, no options.
const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];

/// A message that is written.
#[derive(Default)]
pub struct Cdr {
    bytes: Vec<u8>,
}

impl Cdr {
    /// Begins another message in the same memory.
    pub fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&ENCAPSULATION);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Numbers lie at multiples of their size, counted from behind the head.
    pub fn align(&mut self, size: usize) {
        let at = self.bytes.len() - ENCAPSULATION.len();
        self.bytes.resize(self.bytes.len() + at.next_multiple_of(size) - at, 0);
    }

    pub fn word(&mut self, value: u32) {
        self.align(4);
        self.raw(&value.to_le_bytes());
    }

    pub fn text(&mut self, text: &str) {
        self.word(u32::try_from(text.len() + 1).unwrap_or(u32::MAX));
        self.raw(text.as_bytes());
        self.raw(&[0]);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn zeros(&mut self, size: usize) {
        self.align(size);
        self.bytes.resize(self.bytes.len() + size, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_at_multiples_of_their_size() {
        let mut out = Cdr::default();
        out.begin();
        out.text("ab");
        out.word(7);
        out.raw(&[1]);
        out.zeros(8);
        let expected =
            [&ENCAPSULATION[..], &[3, 0, 0, 0], b"ab\0", &[0], &[7, 0, 0, 0], &[1], &[0; 3], &[0; 8]].concat();
        assert_eq!(out.bytes(), expected);
        out.begin();
        assert_eq!(out.bytes(), ENCAPSULATION);
    }
}
