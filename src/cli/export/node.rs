//! The fields of a message bound to the columns of a batch, written row by row.

use arrow::array::Array;
use arrow::array::BinaryArray;
use arrow::array::StringArray;
use arrow::buffer::Buffer;
use arrow::buffer::NullBuffer;
use arrow::buffer::OffsetBuffer;

use super::cdr::Cdr;
use super::message::Kind;

/// A field bound to the columns it comes from.
pub enum Node {
    /// No column tells it.
    Nothing(Kind),
    /// Numbers of `size` bytes, as they lie in memory.
    Numbers {
        size: usize,
        values: Buffer,
        nulls: Option<NullBuffer>,
    },
    Text(StringArray),
    Bytes(BinaryArray),
    /// Seconds and nanoseconds; where they are null, the time of the row.
    Stamp {
        seconds: Box<Node>,
        nanoseconds: Box<Node>,
        nulls: Option<NullBuffer>,
    },
    Group {
        kind: Kind,
        parts: Vec<Node>,
        nulls: Option<NullBuffer>,
    },
    List {
        offsets: OffsetBuffer<i32>,
        item: Box<Node>,
        nulls: Option<NullBuffer>,
    },
    /// Of exactly so many; a list that is shorter is filled up. Where `hollow` says so, it begins with -1.
    Array {
        count: usize,
        of: Kind,
        list: Box<Node>,
        hollow: Hollow,
    },
}

/// Where a column is not known because what is around it is not.
pub enum Hollow {
    Never,
    Always,
    Where(NullBuffer),
}

impl Node {
    /// Writes the value of a row of the batch, or of an item of a list in it.
    pub fn write(&self, at: usize, time: i64, out: &mut Cdr) {
        let valid = |nulls: &Option<NullBuffer>| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at));
        match self {
            Self::Nothing(kind) => nothing(kind, time, out),
            Self::Numbers { size, values, nulls } => {
                out.align(*size);
                match values.get(at * size..(at + 1) * size).filter(|_| valid(nulls)) {
                    Some(bytes) => out.raw(bytes),
                    None => out.zeros(*size),
                }
            }
            Self::Text(texts) => out.text(if texts.is_valid(at) { texts.value(at) } else { "" }),
            Self::Bytes(values) => {
                let bytes = if values.is_valid(at) { values.value(at) } else { &[] };
                out.word(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                out.raw(bytes);
            }
            Self::Stamp { seconds, nanoseconds, nulls } if valid(nulls) => {
                seconds.write(at, time, out);
                nanoseconds.write(at, time, out);
            }
            Self::Stamp { .. } => stamp(time, out),
            Self::Group { parts, nulls, .. } if valid(nulls) => parts.iter().for_each(|part| part.write(at, time, out)),
            Self::Group { kind, .. } => nothing(kind, time, out),
            Self::List { offsets, item, nulls } => {
                let items = if valid(nulls) { span(offsets, at) } else { 0..0 };
                out.word(u32::try_from(items.len()).unwrap_or(u32::MAX));
                item.write_all(items, time, out);
            }
            Self::Array { count, of, list, hollow } => {
                let Self::List { offsets, item, nulls } = list.as_ref() else { return };
                let items = if valid(nulls) { span(offsets, at) } else { 0..0 };
                let is_hollow = match hollow {
                    Hollow::Never => false,
                    Hollow::Always => true,
                    Hollow::Where(nulls) => nulls.is_null(at),
                };
                let known = items.len().min(*count);
                let mut rest = count - known;
                if is_hollow && known == 0 && rest > 0 {
                    out.align(8);
                    out.raw(&(-1.0f64).to_le_bytes());
                    rest -= 1;
                }
                item.write_all(items.start..items.start + known, time, out);
                (0..rest).for_each(|_| nothing(of, time, out));
            }
        }
    }

    /// Whether a column is behind it.
    pub fn is_told(&self) -> bool {
        match self {
            Self::Nothing(_) => false,
            Self::Array { list, .. } => match list.as_ref() {
                Self::List { item, .. } => item.is_told(),
                other => other.is_told(),
            },
            _ => true,
        }
    }

    fn write_all(&self, items: std::ops::Range<usize>, time: i64, out: &mut Cdr) {
        match self {
            // All at once: most lists are of numbers, and long.
            Self::Numbers { size, values, nulls: None } if !items.is_empty() => {
                out.align(*size);
                out.raw(values.get(items.start * size..items.end * size).unwrap_or_default());
            }
            _ => items.for_each(|item| self.write(item, time, out)),
        }
    }
}

/// The default of a type. A rotation is none, a time that of the row.
fn nothing(kind: &Kind, time: i64, out: &mut Cdr) {
    match kind {
        Kind::Bool => out.zeros(1),
        Kind::Int(bits) | Kind::Unsigned(bits) | Kind::Float(bits) => out.zeros(usize::from(*bits) / 8),
        Kind::Text => out.text(""),
        Kind::List(_) => out.word(0),
        Kind::Array(count, item) => (0..*count).for_each(|_| nothing(item, time, out)),
        Kind::Message(message) => match message.name.as_str() {
            "builtin_interfaces/Time" => stamp(time, out),
            "geometry_msgs/Quaternion" => {
                out.align(8);
                [0.0, 0.0, 0.0, 1.0f64].iter().for_each(|part| out.raw(&part.to_le_bytes()));
            }
            _ => message.fields.iter().for_each(|(_, kind)| nothing(kind, time, out)),
        },
    }
}

fn stamp(time: i64, out: &mut Cdr) {
    let seconds = i32::try_from(time.div_euclid(1_000_000_000)).unwrap_or(i32::MAX);
    out.align(4);
    out.raw(&seconds.to_le_bytes());
    out.raw(&(time.rem_euclid(1_000_000_000) as u32).to_le_bytes());
}

fn span(offsets: &OffsetBuffer<i32>, at: usize) -> std::ops::Range<usize> {
    let bound = |at: usize| offsets.get(at).and_then(|bound| usize::try_from(*bound).ok()).unwrap_or_default();
    bound(at)..bound(at + 1)
}
