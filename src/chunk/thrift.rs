//! A walk over Thrift's compact protocol before the Parquet reader sees it: that one allocates what a list says it holds, and
//! a list that says two thousand million ends the process.

use super::hybrid::take_varint;

/// Structs and lists inside each other; Parquet's footers need five.
const DEPTH_MAX: usize = 16;

/// Whether `bytes` begin with a struct in which nothing says that it is longer than what is there.
pub(super) fn is_sound(mut bytes: &[u8]) -> bool {
    skip_struct(&mut bytes, 0).is_some()
}

fn skip_struct(bytes: &mut &[u8], depth: usize) -> Option<()> {
    (depth < DEPTH_MAX).then_some(())?;
    loop {
        let head = take_byte(bytes)?;
        if head == 0 {
            return Some(());
        }
        // A field id far from the one before stands in a varint of its own.
        if head >> 4 == 0 {
            take_varint(bytes)?;
        }
        match head & 0xf {
            // A field's type is its truth.
            1 | 2 => {}
            kind => skip_value(bytes, kind, depth)?,
        }
    }
}

fn skip_value(bytes: &mut &[u8], kind: u8, depth: usize) -> Option<()> {
    match kind {
        1..=3 => skip(bytes, 1),
        4..=6 => take_varint(bytes).map(|_| ()),
        7 => skip(bytes, size_of::<f64>()),
        8 => {
            let len = take_varint(bytes)?;
            skip(bytes, usize::try_from(len).ok()?)
        }
        9 | 10 => {
            let head = take_byte(bytes)?;
            let count = if head >> 4 == 0xf { take_varint(bytes)? } else { u64::from(head >> 4) };
            // Every element has at least one byte.
            (count <= bytes.len() as u64 && depth < DEPTH_MAX).then_some(())?;
            (0..count).try_for_each(|_| skip_value(bytes, head & 0xf, depth + 1))
        }
        12 => skip_struct(bytes, depth + 1),
        _ => None,
    }
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*byte)
}

fn skip(bytes: &mut &[u8], len: usize) -> Option<()> {
    *bytes = bytes.get(len..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_longer_than_their_bytes_are_unsound() {
        assert!(is_sound(&[0x19, 0x25, 2, 4, 0]), "field 1: a list of two integers");
        assert!(!is_sound(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x07, 2, 4, 0]), "two thousand million integers");
        assert!(!is_sound(&[0x18, 9, b'a', 0]), "a text of nine bytes");
        assert!(!is_sound(&[0x1c; 100]), "structs without end");
        assert!(!is_sound(&[]), "nothing");
    }
}
