//! The values of a page: slices of the batch's buffers where its bytes are Parquet's, converted otherwise.

use std::ops::Range;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::ArrowPrimitiveType;
use arrow::array::AsArray;
use arrow::array::BooleanBufferBuilder;
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use arrow::datatypes::BinaryType;
use arrow::datatypes::ByteArrayType;
use arrow::datatypes::DataType;
use arrow::datatypes::Int8Type;
use arrow::datatypes::Int16Type;
use arrow::datatypes::LargeBinaryType;
use arrow::datatypes::LargeUtf8Type;
use arrow::datatypes::UInt8Type;
use arrow::datatypes::UInt16Type;
use arrow::datatypes::Utf8Type;
use parquet::basic::Encoding;

use super::hybrid::encode_lengths;
use super::sink::Pieces;

// Buffers go to disk as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"), "Parquet's PLAIN values are little-endian");

/// Values of one array, as ascending ranges.
pub(super) type Part = (ArrayRef, Vec<Range<usize>>);

/// Whether [`encode`] knows the type.
pub(super) fn is_direct(data_type: &DataType) -> bool {
    match data_type {
        DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => true,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => true,
        other => plain_width(other).is_some(),
    }
}

/// Bytes per value of types whose Arrow values are their PLAIN values.
pub(super) fn plain_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Float16 => Some(2),
        DataType::Int32 | DataType::UInt32 | DataType::Float32 | DataType::Date32 | DataType::Time32(_) => Some(4),
        DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Date64 | DataType::Time64(_) => Some(8),
        DataType::Timestamp(..) | DataType::Duration(_) => Some(8),
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok().filter(|width| *width > 0),
        _ => None,
    }
}

/// Appends the values of all `parts`, which have one type, in their order. Returns how they are encoded.
pub(super) fn encode(out: &mut Pieces, parts: &[Part]) -> Encoding {
    let Some((first, _)) = parts.first() else {
        return Encoding::PLAIN;
    };
    match first.data_type() {
        DataType::Boolean => bits(out, parts),
        DataType::Int8 => widened::<Int8Type>(out, parts, i32::from),
        DataType::Int16 => widened::<Int16Type>(out, parts, i32::from),
        DataType::UInt8 => widened::<UInt8Type>(out, parts, i32::from),
        DataType::UInt16 => widened::<UInt16Type>(out, parts, i32::from),
        DataType::Utf8 => return bytes::<Utf8Type>(out, parts),
        DataType::LargeUtf8 => return bytes::<LargeUtf8Type>(out, parts),
        DataType::Binary => return bytes::<BinaryType>(out, parts),
        DataType::LargeBinary => return bytes::<LargeBinaryType>(out, parts),
        other => plain(out, plain_width(other).unwrap_or(0), parts),
    }
    Encoding::PLAIN
}

fn plain(out: &mut Pieces, width: usize, parts: &[Part]) {
    for (array, ranges) in parts {
        let data = array.to_data();
        if let Some(values) = data.buffers().first() {
            for range in ranges {
                out.slice(values, (data.offset() + range.start) * width, range.len() * width);
            }
        }
    }
}

/// Narrow integers as 32 bits each.
fn widened<T: ArrowPrimitiveType>(out: &mut Pieces, parts: &[Part], widen: impl Fn(T::Native) -> i32) {
    let mut wide: Vec<i32> = Vec::with_capacity(parts.iter().flat_map(|(_, ranges)| ranges).map(Range::len).sum());
    for (array, ranges) in parts {
        let values = array.as_primitive::<T>().values();
        for range in ranges {
            wide.extend(values.get(range.clone()).unwrap_or(&[]).iter().map(|value| widen(*value)));
        }
    }
    out.buffer(Buffer::from_vec(wide));
}

fn bits(out: &mut Pieces, parts: &[Part]) {
    let mut packed = BooleanBufferBuilder::new(0);
    for (array, ranges) in parts {
        let values = array.as_boolean().values();
        for range in ranges {
            packed.append_packed_range(values.offset() + range.start..values.offset() + range.end, values.values());
        }
    }
    out.buffer(packed.finish().into_inner());
}

/// One value as PLAIN (a length, then its bytes); several as DELTA_LENGTH_BYTE_ARRAY, which keeps their bytes together.
fn bytes<T: ByteArrayType>(out: &mut Pieces, parts: &[Part]) -> Encoding {
    let mut lengths = Vec::new();
    for (array, ranges) in parts {
        let offsets = array.as_bytes::<T>().value_offsets();
        for range in ranges {
            let offsets = offsets.get(range.start..=range.end).unwrap_or(&[]);
            let ends = offsets.iter().skip(1);
            // A page is at most 2 GiB, which its writer checks, so longer values never get as far as a reader.
            lengths.extend(offsets.iter().zip(ends).map(|(a, b)| (b.as_usize() - a.as_usize()) as i32));
        }
    }
    let mut head = Vec::new();
    let encoding = match lengths.as_slice() {
        [] => return Encoding::PLAIN,
        [one] => {
            head.extend_from_slice(&one.to_le_bytes());
            Encoding::PLAIN
        }
        several => {
            encode_lengths(&mut head, several);
            Encoding::DELTA_LENGTH_BYTE_ARRAY
        }
    };
    out.bytes(&head);
    for (array, ranges) in parts {
        let array = array.as_bytes::<T>();
        for range in ranges {
            let offset = |at: usize| array.value_offsets().get(at).map_or(0, |offset| offset.as_usize());
            let (start, end) = (offset(range.start), offset(range.end));
            out.slice(array.values(), start, end - start);
        }
    }
    encoding
}
