//! Which columns of a batch tell the fields of a message.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::BinaryArray;
use arrow::array::ListArray;
use arrow::array::PrimitiveArray;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::ArrowPrimitiveType;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Float32Type;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Int8Type;
use arrow::datatypes::Int16Type;
use arrow::datatypes::Int32Type;
use arrow::datatypes::Int64Type;
use arrow::datatypes::UInt8Type;
use arrow::datatypes::UInt16Type;
use arrow::datatypes::UInt32Type;
use arrow::datatypes::UInt64Type;

use super::super::field;
use super::super::plot;
use super::message::Kind;
use super::message::Message;
use super::node::Hollow;
use super::node::Node;

/// The message of the rows of a batch.
///
/// * `columns`: a struct of the batch's columns.
/// * returns: `None` when none of them tells anything but a header.
pub fn bind(message: &Rc<Message>, sources: &BTreeMap<String, String>, columns: &ArrayRef) -> Option<Node> {
    let node = bind_all(message, sources, columns);
    let Node::Group { parts, .. } = &node else { return None };
    let told = |(part, (name, _)): (&Node, &(String, Kind))| name != "header" && part.is_told();
    parts.iter().zip(&message.fields).any(told).then_some(node)
}

/// As [`bind`], even where nothing is told.
pub fn bind_all(message: &Rc<Message>, sources: &BTreeMap<String, String>, columns: &ArrayRef) -> Node {
    let binder = Binder { sources };
    let parts = message.fields.iter().map(|(name, kind)| binder.field(kind, name, Some(columns))).collect();
    Node::Group { kind: Kind::Message(message.clone()), parts, nulls: None }
}

struct Binder<'a> {
    sources: &'a BTreeMap<String, String>,
}

impl Binder<'_> {
    /// The field at a path of the message, of the columns around it.
    fn field(&self, kind: &Kind, path: &str, around: Option<&ArrayRef>) -> Node {
        let name = path.rsplit('.').next().unwrap_or(path);
        let source = self.sources.get(path).map_or(name, String::as_str);
        let (source, marks) = match source.strip_suffix("|-1") {
            Some(source) => (source, true),
            None => (source, false),
        };
        let found = around.and_then(|around| column(around, source));
        let node = self.value(kind, path, found);
        match node {
            Node::Array { count, of, list, .. } if marks => {
                let parent = source.rsplit_once('.').and_then(|(parent, _)| column(around?, parent));
                let hollow = match parent.map(|parent| parent.logical_nulls()) {
                    None => Hollow::Always,
                    Some(None) => Hollow::Never,
                    Some(Some(nulls)) => Hollow::Where(nulls),
                };
                Node::Array { count, of, list, hollow }
            }
            other => other,
        }
    }

    fn value(&self, kind: &Kind, path: &str, found: Option<ArrayRef>) -> Node {
        let bound = match (kind, &found) {
            (Kind::Array(count, of), found) => {
                let list = found.as_ref().and_then(|found| self.list(of, path, found)).unwrap_or(empty(of));
                Some(Node::Array { count: *count, of: (**of).clone(), list: Box::new(list), hollow: Hollow::Never })
            }
            (_, None) => None,
            (Kind::Message(message), Some(found)) => self.group(message, path, found),
            (Kind::List(of), Some(found)) => self.list(of, path, found),
            (Kind::Text, Some(found)) => cast(found, &DataType::Utf8)
                .ok()
                .and_then(|texts| texts.as_string_opt::<i32>().cloned())
                .map(Node::Text),
            (kind, Some(found)) => numbers(kind, found),
        };
        bound.unwrap_or_else(|| Node::Nothing(kind.clone()))
    }

    fn group(&self, message: &Rc<Message>, path: &str, found: &ArrayRef) -> Option<Node> {
        let nulls = found.logical_nulls();
        let part = |name: &str, from: &str| {
            let kind = message.fields.iter().find(|(own, _)| own == name).map(|(_, kind)| kind)?;
            let found = column(found, from);
            Some(Box::new(self.value(kind, &format!("{path}.{name}"), found)))
        };
        if message.name == "builtin_interfaces/Time" {
            let (seconds, nanoseconds) = (part("sec", "seconds")?, part("nanosec", "nanoseconds")?);
            return Some(Node::Stamp { seconds, nanoseconds, nulls });
        }
        let own = |(name, kind): &(String, Kind)| match (message.name.as_str(), name.as_str()) {
            ("std_msgs/Header", "stamp") => self.value(kind, &format!("{path}.stamp"), column(found, "timestamp")),
            _ => self.field(kind, &format!("{path}.{name}"), Some(found)),
        };
        // What is no group has no fields: a mapping may pass it on as it is.
        let parts: Vec<Node> = message.fields.iter().map(own).collect();
        if parts.iter().all(|part| matches!(part, Node::Nothing(_))) {
            return None;
        }
        Some(Node::Group { kind: Kind::Message(message.clone()), parts, nulls })
    }

    fn list(&self, of: &Kind, path: &str, found: &ArrayRef) -> Option<Node> {
        let bytes = matches!(of, Kind::Unsigned(8));
        if bytes && let Some(values) = binary(found) {
            return Some(Node::Bytes(values));
        }
        let list = plain_list(found)?;
        let item = self.value(of, path, Some(list.values().clone()));
        Some(Node::List { offsets: list.offsets().clone(), item: Box::new(item), nulls: list.nulls().cloned() })
    }
}

/// A list for which there is no column.
fn empty(of: &Kind) -> Node {
    let item = Box::new(Node::Nothing(of.clone()));
    Node::List { offsets: OffsetBuffer::new_empty(), item, nulls: None }
}

/// A column inside others; `.` is the one around.
fn column(around: &ArrayRef, path: &str) -> Option<ArrayRef> {
    if path == "." {
        return Some(around.clone());
    }
    let mut own = around.clone();
    for name in path.split('.') {
        let parent = own.as_struct_opt()?;
        own = plot::hidden_by(parent.column_by_name(name)?, parent.nulls());
    }
    Some(own)
}

fn binary(found: &ArrayRef) -> Option<BinaryArray> {
    match found.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            cast(found, &DataType::Binary).ok()?.as_binary_opt::<i32>().cloned()
        }
        _ => None,
    }
}

/// Any kind of list as the plain one.
pub fn plain_list(found: &ArrayRef) -> Option<ListArray> {
    let item = field::item(found.data_type())?;
    let plain = DataType::List(Arc::new(Field::new("item", item.data_type().clone(), true)));
    cast(found, &plain).ok()?.as_list_opt::<i32>().cloned()
}

/// Numbers of a type, whatever kind of number they are.
pub fn numbers(kind: &Kind, found: &ArrayRef) -> Option<Node> {
    fn of<T: ArrowPrimitiveType>(found: &ArrayRef) -> Option<Node> {
        // Structs and lists are no numbers, and a text that looks like one is none either.
        if !plot::Column::draws(found.data_type()) {
            return None;
        }
        let own = cast(found, &T::DATA_TYPE).ok()?;
        let own: &PrimitiveArray<T> = own.as_primitive_opt()?;
        let nulls = own.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        Some(Node::Numbers { size: size_of::<T::Native>(), values: own.values().inner().clone(), nulls })
    }
    match kind {
        Kind::Bool | Kind::Unsigned(8) => of::<UInt8Type>(found),
        Kind::Int(8) => of::<Int8Type>(found),
        Kind::Int(16) => of::<Int16Type>(found),
        Kind::Int(32) => of::<Int32Type>(found),
        Kind::Int(_) => of::<Int64Type>(found),
        Kind::Unsigned(16) => of::<UInt16Type>(found),
        Kind::Unsigned(32) => of::<UInt32Type>(found),
        Kind::Unsigned(_) => of::<UInt64Type>(found),
        Kind::Float(32) => of::<Float32Type>(found),
        Kind::Float(_) => of::<Float64Type>(found),
        Kind::Text | Kind::Message(_) | Kind::List(_) | Kind::Array(..) => None,
    }
}
