//! The forms of a field whose values come through a dictionary.
//!
//! | form  | what                                                | where                                   |
//! |-------|-----------------------------------------------------|-----------------------------------------|
//! | wire  | a dictionary of a key and a value type              | schemas, as clients send and get them   |
//! | keys  | the keys alone                                      | the bodies of batch messages            |
//! | plain | the values, each row with its own (`chunk::plain`)  | everywhere inside: stored, merged, cut  |

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::FieldRef;
use arrow::ipc;

use crate::chunk::VALUE;
use crate::chunk::is_ranked;
use crate::chunk::plain_type;
use crate::chunk::retyped;

/// One field, and what it takes to make its plain values of its keys.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub keys: FieldRef,
    pub plain: FieldRef,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// No dictionary in it, on any level.
    Plain,
    Coded {
        id: i64,
        order: Order,
        values: Box<Column>,
    },
    /// The fields of a struct, or the one of a list or map.
    Nested(Vec<Column>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ranked,
    Unranked,
}

impl Column {
    /// * `wire`: the field in the schema's flatbuffer, which alone knows the ids; `field`: what it was converted to.
    pub fn new(wire: &ipc::Field, field: &FieldRef) -> Self {
        let (Some(coding), DataType::Dictionary(key, value)) = (wire.dictionary(), field.data_type()) else {
            return Self::nested(wire, field);
        };
        let values = Self::nested(wire, &Arc::new(Field::new(VALUE, value.as_ref().clone(), true)));
        let order = order(field);
        let plain = plain_type(order == Order::Ranked, key, values.plain.data_type());
        Self {
            keys: retyped(field, key.as_ref().clone()),
            plain: retyped(field, plain),
            kind: Kind::Coded { id: coding.id(), order, values: Box::new(values) },
        }
    }

    /// A field that has no dictionary itself.
    fn nested(wire: &ipc::Field, field: &FieldRef) -> Self {
        let fields = children(field.data_type());
        let wires = wire.children();
        let columns: Vec<Self> =
            wires.iter().flatten().zip(&fields).map(|(wire, field)| Self::new(&wire, field)).collect();
        if columns.iter().all(|column| matches!(column.kind, Kind::Plain)) {
            return Self { keys: Arc::clone(field), plain: Arc::clone(field), kind: Kind::Plain };
        }
        let with = |form: fn(&Self) -> &FieldRef| {
            let fields = columns.iter().map(|column| Arc::clone(form(column))).collect();
            retyped(field, with_children(field.data_type(), fields))
        };
        Self { keys: with(|column| &column.keys), plain: with(|column| &column.plain), kind: Kind::Nested(columns) }
    }

    /// The values of the dictionary `id`, when it is this field's or one inside it.
    pub fn dictionary(&self, id: i64) -> Option<&Self> {
        match &self.kind {
            Kind::Plain => None,
            Kind::Coded { id: own, values, .. } if *own == id => Some(values),
            Kind::Coded { values, .. } => values.dictionary(id),
            Kind::Nested(columns) => columns.iter().find_map(|column| column.dictionary(id)),
        }
    }
}

/// Whether the places of a field's dictionary mean something.
pub(super) fn order(field: &Field) -> Order {
    if is_ranked(field) { Order::Ranked } else { Order::Unranked }
}

/// The fields inside a type.
pub(super) fn children(data_type: &DataType) -> Vec<FieldRef> {
    match data_type {
        DataType::Struct(fields) => fields.iter().cloned().collect(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![Arc::clone(item)],
        _ => Vec::new(),
    }
}

/// The type with other fields inside.
fn with_children(data_type: &DataType, fields: Vec<FieldRef>) -> DataType {
    if let DataType::Struct(_) = data_type {
        return DataType::Struct(fields.into());
    }
    match (data_type, fields.into_iter().next()) {
        (DataType::List(_), Some(item)) => DataType::List(item),
        (DataType::LargeList(_), Some(item)) => DataType::LargeList(item),
        (DataType::FixedSizeList(_, size), Some(item)) => DataType::FixedSizeList(item, *size),
        (DataType::Map(_, sorted), Some(entries)) => DataType::Map(entries, *sorted),
        (other, _) => other.clone(),
    }
}
