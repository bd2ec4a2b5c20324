//! The checksum that ends a manifest.

use crate::io::digest128;

/// What precedes the digits, and what follows them.
const MARK: &[u8] = b",\"checksum\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 32;

/// What the end of a manifest says of all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seal {
    Whole,
    Broken,
    /// It ends without a checksum.
    None,
}

impl Seal {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let open = bytes.len().checked_sub(MARK.len() + DIGITS + END.len()).and_then(|at| bytes.split_at_checked(at));
        match open {
            Some((open, end)) if end.starts_with(MARK) => match seal(open.to_vec()) == bytes {
                true => Self::Whole,
                false => Self::Broken,
            },
            _ => Self::None,
        }
    }
}

/// `open`, a JSON object without its last brace, closed by the checksum of all of it.
pub(super) fn seal(mut open: Vec<u8>) -> Vec<u8> {
    open.extend_from_slice(MARK);
    let digits = open.len();
    open.resize(digits + DIGITS, b'0');
    open.extend_from_slice(END);
    let checksum = hex(&digest128(&open));
    open.truncate(digits);
    open.extend_from_slice(checksum.as_bytes());
    open.extend_from_slice(END);
    open
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
