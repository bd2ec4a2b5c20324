//! What a predicate needs of rows: which columns, whether they are there at all, and between which times.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::Schema;

use crate::model::ColumnTest;
use crate::model::Expression;
use crate::model::NumberRange;
use crate::model::Predicate;
use crate::model::Step;
use crate::model::Test;
use crate::model::TimeRange;
use crate::model::integers;

/// The field that every row has its time in.
const TIME: &str = "timestamp_ns";

/// Paths of the columns that are read, each once.
pub fn columns(predicate: &Predicate) -> Vec<Vec<String>> {
    let path = |leaf: &ColumnTest| leaf.path.iter().map(|step| step.name.clone()).collect();
    let mut paths: Vec<Vec<String>> = predicate.leaves().map(path).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Whether a row with this schema could satisfy it: what has no such columns need not be read.
pub fn may_hold(predicate: &Predicate, schema: &Schema) -> bool {
    match predicate {
        Expression::All(parts) => parts.iter().all(|part| may_hold(part, schema)),
        Expression::Any(parts) => parts.iter().any(|part| may_hold(part, schema)),
        Expression::Not(_) => true,
        Expression::Leaf(leaf) => has(schema.fields(), &leaf.path),
    }
}

fn has(fields: &Fields, path: &[Step]) -> bool {
    let Some((step, rest)) = path.split_first() else { return true };
    let Some((_, field)) = fields.find(&step.name) else { return false };
    match (rest.is_empty(), element(field, step)) {
        (_, None) => false,
        (true, Some(_)) => true,
        (false, Some(DataType::Struct(children))) => has(children, rest),
        (false, Some(_)) => false,
    }
}

/// The type that a step leads to.
fn element<'a>(field: &'a Field, step: &Step) -> Option<&'a DataType> {
    match (step.item, field.data_type()) {
        (None, own) => Some(own),
        (
            Some(_),
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _),
        ) => Some(item.data_type()),
        (Some(_), _) => None,
    }
}

/// Times outside of which no row satisfies it; `None` when none does at any time.
pub fn time_range(predicate: &Predicate) -> Option<TimeRange> {
    let (first, last) = times(predicate)?;
    let start = i64::try_from(first).ok().filter(|start| *start > i64::MIN);
    let end = i64::try_from(last + 1).ok();
    TimeRange::new(start, end).ok()
}

/// The first and the last time that can be.
const ALWAYS: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);

fn times(predicate: &Predicate) -> Option<(i128, i128)> {
    let both = |(first, last): (i128, i128), (from, to): (i128, i128)| {
        let both = (first.max(from), last.min(to));
        (both.0 <= both.1).then_some(both)
    };
    let either = |(first, last): (i128, i128), (from, to): (i128, i128)| (first.min(from), last.max(to));
    match predicate {
        Expression::All(parts) => parts.iter().try_fold(ALWAYS, |all, part| both(all, times(part)?)),
        Expression::Any(parts) => parts.iter().filter_map(times).reduce(either),
        Expression::Not(_) => Some(ALWAYS),
        Expression::Leaf(ColumnTest { path, test }) => match (path.as_slice(), test) {
            ([Step { name, item: None }], Test::Numbers { ranges, .. }) if name == TIME => {
                let inside = |range: &NumberRange| both(ALWAYS, integers(range)?);
                ranges.iter().filter_map(inside).reduce(either)
            }
            _ => Some(ALWAYS),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::super::parse;
    use super::*;

    fn predicate(ontology: Value) -> Predicate {
        let body = json!({"ontology": ontology}).to_string();
        parse(body.as_bytes()).unwrap().root.ontology.remove(0).predicate
    }

    #[test]
    fn times_are_narrowed_and_never_too_far() {
        let range = |ontology: Value| time_range(&predicate(ontology)).map(|range| (range.start(), range.end()));
        assert_eq!(range(json!({"A.timestamp_ns": {"$between": [5, 9]}})), Some((Some(5), Some(10))));
        assert_eq!(range(json!({"A.timestamp_ns": {"$gt": 5}, "A.x": {"$eq": 1}})), Some((Some(6), None)));
        assert_eq!(range(json!({"A.timestamp_ns": {"$in": [5, 90]}})), Some((Some(5), Some(91))));
        assert_eq!(range(json!({"A.timestamp_ns": {"$lt": -1e300}})), None);
        assert_eq!(range(json!({"A.timestamp_ns": {"$leq": i64::MAX}})), Some((None, None)));
        assert_eq!(range(json!({"$not": {"A.timestamp_ns": {"$gt": 5}}})), Some((None, None)));
        let either = json!({"$or": [{"A.timestamp_ns": {"$lt": 5}}, {"A.x": {"$eq": 1}}]});
        assert_eq!(range(either), Some((None, None)));
        assert_eq!(range(json!({"A.timestamp_ns": {"$and": [{"$lt": 5}, {"$gt": 5}]}})), None);
    }

    #[test]
    fn missing_columns_are_known_beforehand() {
        let float = Field::new("z", DataType::Float64, true);
        let item = Field::new("item", DataType::Struct(vec![float.clone()].into()), true);
        let schema = Schema::new(vec![float, Field::new("poses", DataType::List(item.into()), true)]);
        let may = |ontology: Value| may_hold(&predicate(ontology), &schema);
        assert!(may(json!({"A.z": {"$eq": 1}})) && may(json!({"A.poses[0].z": {"$eq": 1}})));
        assert!(!may(json!({"A.w": {"$nex": null}})) && !may(json!({"A.poses.z": {"$eq": 1}})));
        assert!(!may(json!({"A.z": {"$eq": 1}, "A.w": {"$eq": 1}})) && !may(json!({"A.z[0]": {"$eq": 1}})));
        assert!(may(json!({"$or": [{"A.z": {"$eq": 1}}, {"A.w": {"$eq": 1}}]})));
    }
}
