//! Points in lists, a list for each of their values, as PointCloud2: a point after the other, a value after the other.

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::ListArray;
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;

use super::bind::numbers;
use super::bind::plain_list;
use super::cdr::Cdr;
use super::message::Kind;
use super::node::Node;

/// Models whose rows are clouds of points in lists.
pub const TAGS: [&str; 5] = ["Lidar", "Radar", "RGBDCamera", "ToFCamera", "StereoCamera"];

/// The lists of a batch.
pub struct Cloud {
    header: Node,
    lists: Vec<Values>,
}

/// One value of the points.
struct Values {
    name: String,
    /// As PointField numbers types.
    datatype: u8,
    size: usize,
    list: ListArray,
    bytes: Buffer,
}

impl Cloud {
    /// * `columns`: a struct of the batch's columns; `header`: bound to them.
    /// * returns: `None` without lists x, y and z.
    pub fn bind(header: Node, columns: &ArrayRef) -> Option<Self> {
        let own = columns.as_struct_opt()?;
        let names = own.fields().iter().map(|field| field.name().clone());
        let lists = names.zip(own.columns()).filter_map(|(name, column)| Values::of(name, column));
        let lists: Vec<Values> = lists.collect();
        let has = |name: &str| lists.iter().any(|own| own.name == name);
        (has("x") && has("y") && has("z")).then_some(Self { header, lists })
    }

    pub fn write(&self, row: usize, time: i64, out: &mut Cdr) {
        self.header.write(row, time, out);
        let points = self.lists.iter().find(|own| own.name == "x").map_or(0, |x| x.count(row));
        // Another length says nothing about these points.
        let present = self.lists.iter().filter(|own| own.list.is_valid(row) && own.count(row) == points);
        let present: Vec<&Values> = present.collect();
        let step: usize = present.iter().map(|own| own.size).sum();
        let length = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        out.word(1); // height: in no order
        out.word(length(points));
        out.word(length(present.len()));
        let mut offset = 0;
        for own in &present {
            out.text(&own.name);
            out.word(length(offset));
            out.raw(&[own.datatype]);
            out.word(1);
            offset += own.size;
        }
        out.raw(&[0]); // little-endian
        out.word(length(step));
        out.word(length(step * points));
        out.word(length(step * points));
        for point in 0..points {
            for own in &present {
                let at = (own.first(row) + point) * own.size;
                out.raw(own.bytes.get(at..at + own.size).unwrap_or_default());
            }
        }
        out.raw(&[0]); // not dense: there may be NaN
    }
}

impl Values {
    fn of(name: String, column: &ArrayRef) -> Option<Self> {
        let list = plain_list(column)?;
        let (kind, datatype) = match list.value_type() {
            DataType::Int8 => (Kind::Int(8), 1),
            DataType::UInt8 | DataType::Boolean => (Kind::Unsigned(8), 2),
            DataType::Int16 => (Kind::Int(16), 3),
            DataType::UInt16 => (Kind::Unsigned(16), 4),
            DataType::Int32 => (Kind::Int(32), 5),
            DataType::UInt32 => (Kind::Unsigned(32), 6),
            DataType::Float16 | DataType::Float32 => (Kind::Float(32), 7),
            DataType::Float64 | DataType::Int64 | DataType::UInt64 => (Kind::Float(64), 8),
            _ => return None,
        };
        match numbers(&kind, list.values())? {
            Node::Numbers { size, values, .. } => Some(Self { name, datatype, size, list, bytes: values }),
            _ => None,
        }
    }

    fn first(&self, row: usize) -> usize {
        self.list.value_offsets().get(row).and_then(|at| usize::try_from(*at).ok()).unwrap_or_default()
    }

    fn count(&self, row: usize) -> usize {
        if self.list.is_null(row) { 0 } else { self.first(row + 1) - self.first(row) }
    }
}
