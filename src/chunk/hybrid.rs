//! Parquet's small integer encodings: varints, the RLE / bit-packed hybrid of levels, and packed deltas of lengths.
//!
//! Source: apache/parquet-format, Encodings.md.

use super::levels::Run;
use super::levels::push;

/// Values of one bit-packed group of the hybrid.
const GROUP: usize = 8;
/// Deltas per block and per miniblock, as most writers have them.
const BLOCK: usize = 128;
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Unsigned LEB128.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed, small magnitudes first.
pub(super) fn zigzag(out: &mut Vec<u8>, value: i64) {
    varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Bits that levels up to `max` need.
pub(super) fn bits_of(max: u16) -> u32 {
    u16::BITS - max.leading_zeros()
}

/// Levels as the hybrid encoding: runs of at least eight equal levels as runs, the others bit-packed.
pub(super) fn encode_runs(out: &mut Vec<u8>, runs: &[Run], max: u16) {
    let mut packed = Packer::new(bits_of(max));
    for run in runs {
        let mut count = run.count;
        // A bit-packed stretch ends on a whole group.
        let fill = (packed.count.next_multiple_of(GROUP) - packed.count).min(count);
        (0..fill).for_each(|_| packed.push(u64::from(run.level)));
        count -= fill;
        if count < GROUP {
            (0..count).for_each(|_| packed.push(u64::from(run.level)));
            continue;
        }
        end_groups(out, &mut packed);
        varint(out, (count as u64) << 1);
        let level_bytes = bits_of(max).div_ceil(8) as usize;
        out.extend(run.level.to_le_bytes().into_iter().take(level_bytes));
    }
    end_groups(out, &mut packed);
}

fn end_groups(out: &mut Vec<u8>, packed: &mut Packer) {
    let groups = packed.count.div_ceil(GROUP);
    if groups > 0 {
        varint(out, (groups as u64) << 1 | 1);
        packed.finish(out, groups * GROUP);
    }
}

/// Lengths as DELTA_BINARY_PACKED 32-bit integers: the head of a DELTA_LENGTH_BYTE_ARRAY page.
pub(super) fn encode_lengths(out: &mut Vec<u8>, lengths: &[i32]) {
    varint(out, BLOCK as u64);
    varint(out, MINIBLOCKS as u64);
    varint(out, lengths.len() as u64);
    zigzag(out, lengths.first().map_or(0, |first| i64::from(*first)));
    let deltas: Vec<i64> =
        lengths.iter().zip(lengths.iter().skip(1)).map(|(a, b)| i64::from(*b) - i64::from(*a)).collect();
    for block in deltas.chunks(BLOCK) {
        let least = block.iter().copied().min().unwrap_or(0);
        zigzag(out, least);
        let widths = out.len();
        out.extend([0; MINIBLOCKS]);
        for (number, miniblock) in block.chunks(MINIBLOCK).enumerate() {
            let most = miniblock.iter().map(|delta| delta - least).max().unwrap_or(0);
            let bits = i64::BITS - most.leading_zeros();
            if let Some(width) = out.get_mut(widths + number) {
                *width = bits as u8;
            }
            let mut packed = Packer::new(bits);
            miniblock.iter().for_each(|delta| packed.push((delta - least) as u64));
            packed.finish(out, MINIBLOCK);
        }
    }
}

/// The first `count` levels of the hybrid encoding, as runs. `None` when there are fewer or the bytes make no sense.
pub(super) fn decode_runs(mut bytes: &[u8], count: usize, max: u16) -> Option<Vec<Run>> {
    let bits = bits_of(max);
    let (mut runs, mut left) = (Vec::new(), count);
    while left > 0 {
        let head = take_varint(&mut bytes)?;
        let declared = usize::try_from(head >> 1).ok()?;
        if head & 1 == 0 {
            let (level, rest) = bytes.split_at_checked(bits.div_ceil(8) as usize)?;
            let level = level.iter().rev().fold(0, |level, byte| level << 8 | u16::from(*byte));
            let step = declared.min(left);
            push(&mut runs, level, step);
            (bytes, left) = (rest, left - step);
            // An empty run would let a short page loop for long.
            (declared > 0).then_some(())?;
        } else {
            let (packed, rest) = bytes.split_at_checked(declared.checked_mul(bits as usize)?)?;
            let step = declared.checked_mul(GROUP)?.min(left);
            let mut levels = Unpacker { bytes: packed.iter(), bits, open: 0, open_bits: 0 };
            for _ in 0..step {
                push(&mut runs, levels.next()? as u16, 1);
            }
            (bytes, left) = (rest, left - step);
            (declared > 0).then_some(())?;
        }
    }
    runs.iter().all(|run| run.level <= max).then_some(runs)
}

/// What lies behind a list of lengths, of at most `count`, in DELTA_BINARY_PACKED blocks as every writer of ours makes them. `None`
/// when there are fewer than it says.
pub(super) fn skip_lengths(mut bytes: &[u8], count: u32) -> Option<&[u8]> {
    let shape = (take_varint(&mut bytes)?, take_varint(&mut bytes)?);
    let declared = take_varint(&mut bytes)?;
    take_zigzag(&mut bytes)?;
    (shape == (BLOCK as u64, MINIBLOCKS as u64) && declared <= u64::from(count)).then_some(())?;
    let mut left = usize::try_from(declared).ok()?.saturating_sub(1);
    while left > 0 {
        take_zigzag(&mut bytes)?;
        let (widths, mut rest) = bytes.split_at_checked(MINIBLOCKS)?;
        for bits in widths {
            // The last ones have a width and no values.
            if left > 0 {
                rest = rest.get(MINIBLOCK / 8 * usize::from(*bits)..)?;
                left = left.saturating_sub(MINIBLOCK);
            }
        }
        bytes = rest;
    }
    Some(bytes)
}

/// `count` lengths as [`encode_lengths`] writes them, and the bytes behind them.
pub(super) fn decode_lengths(mut bytes: &[u8], count: usize) -> Option<(Vec<usize>, &[u8])> {
    let shape = (take_varint(&mut bytes)?, take_varint(&mut bytes)?, take_varint(&mut bytes)?);
    if shape != (BLOCK as u64, MINIBLOCKS as u64, count as u64) {
        return None;
    }
    let mut value = take_zigzag(&mut bytes)?;
    let mut lengths = vec![usize::try_from(value).ok()?];
    while lengths.len() < count {
        let least = take_zigzag(&mut bytes)?;
        let (widths, mut rest) = bytes.split_at_checked(MINIBLOCKS)?;
        for width in widths {
            let step = MINIBLOCK.min(count - lengths.len());
            if step == 0 {
                break;
            }
            let bits = u32::from(*width);
            let (packed, behind) = rest.split_at_checked(MINIBLOCK / 8 * bits as usize)?;
            (bits <= 32).then_some(())?;
            let mut deltas = Unpacker { bytes: packed.iter(), bits, open: 0, open_bits: 0 };
            for _ in 0..step {
                value = value.checked_add(least)?.checked_add(deltas.next()? as i64)?;
                lengths.push(usize::try_from(value).ok()?);
            }
            rest = behind;
        }
        bytes = rest;
    }
    Some((lengths, bytes))
}

/// Reads what [`varint`] wrote.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Reads what [`zigzag`] wrote.
pub(super) fn take_zigzag(bytes: &mut &[u8]) -> Option<i64> {
    let value = take_varint(bytes)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

struct Unpacker<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// At most 32.
    bits: u32,
    open: u64,
    open_bits: u32,
}

impl Unpacker<'_> {
    fn next(&mut self) -> Option<u64> {
        while self.open_bits < self.bits {
            self.open |= u64::from(*self.bytes.next()?) << self.open_bits;
            self.open_bits += 8;
        }
        let value = self.open & ((1 << self.bits) - 1);
        self.open >>= self.bits;
        self.open_bits -= self.bits;
        Some(value)
    }
}

/// Values of a few bits each, from the least significant bit on.
struct Packer {
    bits: u32,
    count: usize,
    bytes: Vec<u8>,
    open: u64,
    open_bits: u32,
}

impl Packer {
    /// * `bits`: at most 32.
    fn new(bits: u32) -> Self {
        Self { bits, count: 0, bytes: Vec::new(), open: 0, open_bits: 0 }
    }

    fn push(&mut self, value: u64) {
        self.open |= value << self.open_bits;
        self.open_bits += self.bits;
        self.count += 1;
        while self.open_bits >= 8 {
            self.bytes.push(self.open as u8);
            self.open >>= 8;
            self.open_bits -= 8;
        }
    }

    /// Appends what was pushed, padded with zeros to `count` values (whose bits fill whole bytes), and begins anew.
    fn finish(&mut self, out: &mut Vec<u8>, count: usize) {
        while self.count < count {
            self.push(0);
        }
        out.append(&mut self.bytes);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    fn read_zigzag(bytes: &mut &[u8]) -> i64 {
        let value = read_varint(bytes);
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    fn read_packed(bytes: &mut &[u8], bits: u32, count: usize) -> Vec<u64> {
        let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
        let value = |n: usize| (0..bits as usize).map(|b| bit(n * bits as usize + b) << b).sum();
        let values = (0..count).map(value).collect();
        *bytes = &bytes[(count * bits as usize).div_ceil(8)..];
        values
    }

    fn plain_runs(mut bytes: &[u8], max: u16) -> Vec<u16> {
        let mut levels = Vec::new();
        while !bytes.is_empty() {
            let head = read_varint(&mut bytes);
            if head & 1 == 1 {
                levels
                    .extend(read_packed(&mut bytes, bits_of(max), (head >> 1) as usize * 8).iter().map(|v| *v as u16));
            } else {
                let width = bits_of(max).div_ceil(8) as usize;
                let level = bytes[..width].iter().rev().fold(0, |level, byte| level << 8 | u16::from(*byte));
                bytes = &bytes[width..];
                levels.extend(std::iter::repeat_n(level, (head >> 1) as usize));
            }
        }
        levels
    }

    fn plain_lengths(mut bytes: &[u8]) -> Vec<i32> {
        let block = read_varint(&mut bytes) as usize;
        let miniblocks = read_varint(&mut bytes) as usize;
        let count = read_varint(&mut bytes) as usize;
        let mut values = vec![read_zigzag(&mut bytes)];
        while values.len() < count {
            let least = read_zigzag(&mut bytes);
            let widths = bytes[..miniblocks].to_vec();
            bytes = &bytes[miniblocks..];
            for width in widths {
                if values.len() < count {
                    for delta in read_packed(&mut bytes, u32::from(width), block / miniblocks) {
                        values.push(values.last().unwrap() + least + delta as i64);
                    }
                }
            }
            values.truncate(count);
        }
        assert!(bytes.is_empty());
        values.truncate(count);
        values.iter().map(|value| *value as i32).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0usize..100) {
            let _ = decode_runs(&bytes, count, 5);
            let _ = decode_lengths(&bytes, count);
            let _ = skip_lengths(&bytes, count as u32);
        }

        #[test]
        fn levels_come_back(levels in prop::collection::vec((0u16..=9, 1usize..30), 0..20), max in 9u16..600) {
            let (mut runs, mut plain) = (Vec::new(), Vec::new());
            for (level, count) in levels {
                push(&mut runs, level, count);
                plain.extend(std::iter::repeat_n(level, count));
            }
            let mut bytes = Vec::new();
            encode_runs(&mut bytes, &runs, max);
            let back = plain_runs(&bytes, max);
            prop_assert!(back.len() < plain.len() + GROUP);
            prop_assert_eq!(&back[..plain.len()], &plain);
            prop_assert_eq!(decode_runs(&bytes, plain.len(), max), Some(runs));
        }

        #[test]
        fn lengths_come_back(lengths in prop::collection::vec(prop_oneof![0i32..9, 0..i32::MAX, Just(i32::MAX), Just(0)], 1..400)) {
            let mut bytes = Vec::new();
            encode_lengths(&mut bytes, &lengths);
            prop_assert_eq!(plain_lengths(&bytes), lengths.clone());
            let lengths: Vec<usize> = lengths.iter().map(|length| *length as usize).collect();
            bytes.extend(b"behind");
            let count = lengths.len() as u32;
            prop_assert_eq!(skip_lengths(&bytes, count), Some(&b"behind"[..]));
            prop_assert!(skip_lengths(&bytes, count - 1).is_none(), "more than there may be");
            prop_assert_eq!(decode_lengths(&bytes, lengths.len()), Some((lengths, &b"behind"[..])));
        }
    }
}
