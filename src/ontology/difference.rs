//! Where a stream's fields differ from a model's.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path from the top, e.g. `poses[].position.x`.
    pub field: String,
    pub expected: String,
    pub found: String,
}

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In both, with types that do not go together.
    Retyped,
    /// In the model only.
    Missing,
    /// In the stream only.
    Extra,
}

/// What text in an error is cut to, in characters: names come from the client.
const TEXT_MAX: usize = 80;
/// How deep a client's type is shown in an error.
const SHOWN_DEPTH_MAX: usize = 3;

/// How `found` differs from `expected`, member by member, in the order of the model, then of the stream.
///
/// Structs are compared by the names of their members; two that share none are of different types. Recursion is as
/// deep as the model, not as the client's schema.
pub(super) fn differences(expected: &Fields, found: &Fields, path: &str) -> Vec<(Kind, Difference)> {
    let mut list = Vec::new();
    for field in expected {
        let field_path = join(path, field.name());
        match named(found, field.name()) {
            Some(other) => list.extend(type_differences(field.data_type(), other.data_type(), &field_path)),
            None => {
                let (expected, found) = (show(field.data_type(), 0), "no such field".to_owned());
                list.push((Kind::Missing, Difference { field: field_path, expected, found }));
            }
        }
    }
    for field in found.iter().filter(|field| named(expected, field.name()).is_none()) {
        let (expected, found) = ("no such field".to_owned(), show(field.data_type(), 0));
        list.push((Kind::Extra, Difference { field: join(path, field.name()), expected, found }));
    }
    list
}

/// How one type differs from another; empty when they are the same but for what this room does not compare.
pub(super) fn type_differences(expected: &DataType, found: &DataType, path: &str) -> Vec<(Kind, Difference)> {
    use DataType::*;
    let same = match (expected, found) {
        (Struct(expected), Struct(found)) if expected.iter().any(|field| named(found, field.name()).is_some()) => {
            return differences(expected, found, path);
        }
        (List(expected), List(found) | LargeList(found) | ListView(found) | LargeListView(found)) => {
            return type_differences(expected.data_type(), found.data_type(), &format!("{path}[]"));
        }
        (FixedSizeList(expected, size), FixedSizeList(found, found_size)) if size == found_size => {
            return type_differences(expected.data_type(), found.data_type(), &format!("{path}[]"));
        }
        (Utf8, Utf8 | LargeUtf8 | Utf8View) | (Binary, Binary | LargeBinary | BinaryView) => true,
        (expected, found) => expected == found,
    };
    if same {
        return Vec::new();
    }
    let (expected, found) = (show(expected, 0), show(found, 0));
    vec![(Kind::Retyped, Difference { field: path.to_owned(), expected, found })]
}

/// The first field of that name.
pub(super) fn named<'a>(fields: &'a Fields, name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name() == name).map(|field| field.as_ref())
}

fn join(path: &str, name: &str) -> String {
    let name: String = name.chars().take(TEXT_MAX).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// A type as it is said in errors: short, however large the client's is.
pub(super) fn show(data_type: &DataType, depth: usize) -> String {
    use DataType::*;
    if depth == SHOWN_DEPTH_MAX {
        return "…".to_owned();
    }
    match data_type {
        Struct(fields) => {
            let names = fields.iter().take(16).map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
            format!("struct<{}>", cut(&names))
        }
        List(item) => format!("list<{}>", show(item.data_type(), depth + 1)),
        LargeList(item) => format!("large_list<{}>", show(item.data_type(), depth + 1)),
        ListView(item) | LargeListView(item) => format!("list_view<{}>", show(item.data_type(), depth + 1)),
        FixedSizeList(item, size) => format!("list<{}; {size}>", show(item.data_type(), depth + 1)),
        Map(..) => "map".to_owned(),
        Dictionary(_, values) => format!("dictionary<{}>", show(values, depth + 1)),
        RunEndEncoded(_, values) => format!("run_end_encoded<{}>", show(values.data_type(), depth + 1)),
        Union(..) => "union".to_owned(),
        Boolean => "bool".to_owned(),
        other => cut(&other.to_string().to_lowercase()),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;

    fn fields(list: &[(&str, DataType)]) -> Fields {
        list.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect()
    }

    fn list_of(item: &str, data_type: DataType) -> DataType {
        DataType::List(Arc::new(Field::new(item, data_type, true)))
    }

    #[test]
    fn what_is_not_compared_makes_no_difference() {
        use DataType::*;
        let model = fields(&[("a", Utf8), ("b", Binary), ("c", list_of("item", Float64))]);
        let large = LargeList(Arc::new(Field::new("element", Float64, false)));
        let stream: Fields = fields(&[("c", large), ("b", LargeBinary), ("a", Utf8View)])
            .iter()
            .map(|field| {
                field
                    .as_ref()
                    .clone()
                    .with_nullable(false)
                    .with_metadata(HashMap::from([("k".to_owned(), "v".to_owned())]))
            })
            .collect();
        assert_eq!(differences(&model, &stream, ""), []);
    }

    #[test]
    fn nested_differences_are_named_by_their_path() {
        use DataType::*;
        let model = fields(&[("p", list_of("item", Struct(fields(&[("x", Float64), ("y", Float64)]))))]);
        let stream = fields(&[("p", list_of("item", Struct(fields(&[("x", Float32), ("z", Float64)]))))]);
        let shown: Vec<_> = differences(&model, &stream, "")
            .into_iter()
            .map(|(kind, difference)| {
                (kind, format!("{}: {}, {}", difference.field, difference.expected, difference.found))
            })
            .collect();
        let expected = [
            (Kind::Retyped, "p[].x: float64, float32"),
            (Kind::Missing, "p[].y: float64, no such field"),
            (Kind::Extra, "p[].z: no such field, float64"),
        ];
        assert_eq!(shown, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn structs_that_share_nothing_are_different_types() {
        use DataType::*;
        let (a, b) = (Struct(fields(&[("x", Float64)])), Struct(fields(&[("y", Float64)])));
        let list = type_differences(&a, &b, "p");
        let expected = Difference { field: "p".into(), expected: "struct<x>".into(), found: "struct<y>".into() };
        assert_eq!(list, [(Kind::Retyped, expected)]);
    }

    #[test]
    fn a_hostile_type_makes_no_long_error() {
        let wide = DataType::Struct(fields(&[(&"\u{e9}".repeat(100_000), DataType::Int8)]));
        let deep = (0..1000).fold(DataType::Int8, |inner, _| list_of("item", inner));
        assert!(show(&wide, 0).len() < 200);
        assert_eq!(show(&deep, 0), "list<list<list<…>>>");
    }
}
