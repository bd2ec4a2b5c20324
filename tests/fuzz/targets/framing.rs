//! The bytes of a DoPut stream, cut into frames anywhere.

use bytes::Bytes;
use tessera::flight::transport::Deframer;
use tessera::flight::transport::Encoding;
use tessera::flight::transport::Pool;
use tessera::flight::transport::Step;

const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// `[bits, frame length] bytes`: bit 0 of `bits` is the encoding.
///
/// Holds: what came out is no more than what went in (or may inflate to), and asking for a body comes before its bytes.
pub fn deframer(data: &[u8]) {
    let Some((&[bits, step], mut rest)) = data.split_first_chunk() else { return };
    let encoding = if bits & 1 == 0 { Encoding::Identity } else { Encoding::Gzip };
    let mut deframer = Deframer::new(encoding, MESSAGE_BYTES_MAX);
    let pool = Pool::new(0);
    let (mut received, mut delivered) = (0, 0);
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(rest.len().min(1 + usize::from(step) * 16));
        rest = tail;
        received += head.len();
        let mut frame = Bytes::copy_from_slice(head);
        loop {
            match deframer.step(&mut frame) {
                Ok(Step::Dry) => break,
                Ok(Step::Again) => {}
                Ok(Step::BodyWanted(len)) => {
                    assert!(len <= MESSAGE_BYTES_MAX, "a body of {len} bytes is wanted");
                    deframer.body(pool.take(len, None));
                }
                Ok(Step::Message(message)) => {
                    let descriptor = message.descriptor.map_or(0, |bytes| bytes.len());
                    let parts = [descriptor, message.header.len(), message.app_metadata.len(), message.body.len()];
                    let bytes: usize = parts.iter().sum();
                    assert!(bytes <= MESSAGE_BYTES_MAX, "a message of {parts:?} bytes");
                    delivered += bytes;
                }
                Err(_) => return,
            }
        }
        assert!(frame.is_empty(), "a dry deframer left {} bytes", frame.len());
    }
    let factor = if encoding == Encoding::Gzip { 1100 } else { 1 };
    assert!(delivered <= received * factor, "{delivered} bytes delivered of {received}");
}
