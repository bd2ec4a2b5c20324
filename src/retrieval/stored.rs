//! Paths of fields as clients know a topic's schema, made those of the schema that its rows are stored in.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::Schema;

use crate::chunk::VALUE;
use crate::chunk::is_ranked;
use crate::model::ColumnTest;
use crate::model::Expression;
use crate::model::Predicate;
use crate::model::Step;

/// The predicate over stored rows: what is asked of a field that comes through an ordered dictionary is asked of its values.
pub(super) fn stored(predicate: Predicate, wire: &Schema) -> Predicate {
    match predicate {
        Expression::All(parts) => Expression::All(parts.into_iter().map(|part| stored(part, wire)).collect()),
        Expression::Any(parts) => Expression::Any(parts.into_iter().map(|part| stored(part, wire)).collect()),
        Expression::Not(part) => Expression::Not(Box::new(stored(*part, wire))),
        Expression::Leaf(ColumnTest { path, test }) => {
            Expression::Leaf(ColumnTest { path: stored_path(path, wire.fields()), test })
        }
    }
}

fn stored_path(path: Vec<Step>, fields: &Fields) -> Vec<Step> {
    let mut fields = Some(fields);
    let mut out = Vec::with_capacity(path.len());
    for mut step in path {
        let field = fields.and_then(|fields| fields.find(&step.name)).map(|(_, field)| field);
        let Some(field) = field else {
            // Whatever is below here, the rows have no such field either.
            out.push(step);
            fields = None;
            continue;
        };
        if is_ranked(field) {
            let item = step.item.take();
            out.push(step);
            step = Step { name: VALUE.to_owned(), item };
        }
        let of_item = step.item.is_some() && item_of(field).is_some_and(is_ranked);
        out.push(step);
        if of_item {
            out.push(Step { name: VALUE.to_owned(), item: None });
        }
        fields = below(field);
    }
    out
}

/// The elements of a list.
fn item_of(field: &Field) -> Option<&Field> {
    match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

/// The fields that a path goes on with: of a struct, or of one in lists or behind a dictionary.
fn below(field: &Field) -> Option<&Fields> {
    fn of(data_type: &DataType) -> Option<&Fields> {
        match data_type {
            DataType::Struct(fields) => Some(fields),
            DataType::Dictionary(_, value) => of(value),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => of(item.data_type()),
            _ => None,
        }
    }
    of(field.data_type())
}

/// Paths of columns, each no longer than leads to the first dictionary: its values travel whole.
///
/// # Errors
/// The first path that leads to no field.
pub(super) fn travelling(columns: Vec<Vec<String>>, wire: &Schema) -> Result<Vec<Vec<String>>, String> {
    columns.into_iter().map(|path| cut(&path, wire.fields()).ok_or_else(|| path.join("."))).collect()
}

fn cut(path: &[String], fields: &Fields) -> Option<Vec<String>> {
    let mut fields = Some(fields);
    let mut coded = None;
    for (nth, name) in path.iter().enumerate() {
        let (_, field) = fields?.find(name)?;
        if coded.is_none() && has_dictionary(field.data_type()) {
            coded = Some(nth);
        }
        fields = below(field);
    }
    Some(path.iter().take(coded.map_or(path.len(), |nth| nth + 1)).cloned().collect())
}

/// Whether the values of a field come through a dictionary, in lists or not.
fn has_dictionary(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(..) => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_dictionary(item.data_type())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Item;
    use crate::model::Test;

    fn schema() -> Schema {
        let coded = |value: DataType| DataType::Dictionary(Box::new(DataType::Int8), Box::new(value));
        let inner = DataType::Struct(vec![Field::new("x", DataType::Float64, true)].into());
        let ranked = Field::new("kind", coded(DataType::Utf8), true).with_dict_is_ordered(true);
        let list = DataType::List(Arc::new(Field::new("item", inner.clone(), true)));
        Schema::new(vec![
            ranked.clone(),
            Field::new("d", coded(inner), true),
            Field::new("s", DataType::Struct(vec![ranked.clone()].into()), true),
            Field::new("l", list, true),
            Field::new("lk", DataType::List(Arc::new(ranked.with_name("item"))), true),
        ])
    }

    #[test]
    fn values_of_ordered_dictionaries_are_a_step_deeper() {
        let of = |names: &[&str]| {
            let item = |name: &&str| name.starts_with("lk").then_some(Item::Any);
            let path = names.iter().map(|name| Step { name: (*name).to_owned(), item: item(name) }).collect();
            let Expression::Leaf(leaf) = stored(Expression::Leaf(ColumnTest { path, test: Test::Exists }), &schema())
            else {
                unreachable!()
            };
            leaf.path.iter().map(|step| step.name.clone()).collect::<Vec<_>>().join(".")
        };
        assert_eq!(of(&["lk"]), "lk.value");
        assert_eq!((of(&["kind"]), of(&["s", "kind"])), ("kind.value".to_owned(), "s.kind.value".to_owned()));
        assert_eq!(
            (of(&["d", "x"]), of(&["l", "x"]), of(&["no", "kind"])),
            ("d.x".into(), "l.x".into(), "no.kind".into())
        );
    }

    #[test]
    fn a_dictionary_travels_whole_and_an_unknown_column_is_named() {
        let of = |path: &str| travelling(vec![path.split('.').map(str::to_owned).collect()], &schema());
        assert_eq!(of("d.x"), Ok(vec![vec!["d".to_owned()]]));
        assert_eq!(of("l.x"), Ok(vec![vec!["l".to_owned(), "x".to_owned()]]));
        assert_eq!((of("l.y"), of("nope")), (Err("l.y".to_owned()), Err("nope".to_owned())));
    }
}
