//! Goal: an index never says no to a chunk that has a matching row. Method: chunks are encoded, their records' statistics are
//! asked generated conditions, and the rows decide.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::BooleanArray;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::StringArray;
use arrow::array::StructArray;
use arrow::array::UInt64Array;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::chunk::ChunkEncoder;
use crate::chunk::ChunkIdentity;
use crate::chunk::Effort;
use crate::model::ChunkId;
use crate::model::DeviceNumber;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::Statistics;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::decode_skip_index;
use crate::model::merge_skip_indices;

type Row = (Option<i64>, Option<f64>, Option<String>, Option<bool>, Option<Vec<Option<i64>>>);

fn statistics(batches: &[RecordBatch]) -> Statistics {
    let identity = ChunkIdentity {
        chunk: ChunkId(Uuid::from_u128(1)),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        number: 0,
        incarnation: 1,
        sequence: SequenceId(Uuid::from_u128(2)),
        session: SessionId(Uuid::from_u128(3)),
        topic: TopicId(Uuid::from_u128(4)),
        name: TopicName::parse("drive/all").unwrap(),
        tag: OntologyTag::parse("A").unwrap(),
        format: SerializationFormat::Default,
    };
    let mut encoder = ChunkEncoder::new(identity, &batches[0].schema()).unwrap();
    encoder.row_group(batches, Effort::Direct).unwrap();
    let blocks = encoder.progress().bytes.div_ceil(64 << 10);
    encoder.finish(&vec![0; blocks as usize]).unwrap().1.statistics
}

/// A column of each kind.
fn batch(rows: &[Row]) -> RecordBatch {
    let times = Int64Array::from_iter_values(0..rows.len() as i64);
    let ints: Int64Array = rows.iter().map(|row| row.0).collect();
    let unsigned: UInt64Array = rows.iter().map(|row| row.0.map(|n| n as u64)).collect();
    let floats: Float64Array = rows.iter().map(|row| row.1).collect();
    let texts: StringArray = rows.iter().map(|row| row.2.clone()).collect();
    let flags: BooleanArray = rows.iter().map(|row| row.3).collect();
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(rows.iter().map(|row| row.4.clone()));
    let longitude = Arc::new(Field::new("longitude", DataType::Float64, true));
    let place = StructArray::from(vec![(longitude, Arc::new(floats.clone()) as ArrayRef)]);
    let columns: [(&str, ArrayRef, bool); 8] = [
        ("timestamp_ns", Arc::new(times), false),
        ("i", Arc::new(ints), true),
        ("u", Arc::new(unsigned), true),
        ("f", Arc::new(floats), true),
        ("t", Arc::new(texts), true),
        ("b", Arc::new(flags), true),
        ("l", Arc::new(lists), true),
        ("p", Arc::new(place), true),
    ];
    let field = |(name, column, null): &(&str, ArrayRef, bool)| Field::new(*name, column.data_type().clone(), *null);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.map(|(_, column, _)| column).to_vec()).unwrap()
}

fn predicate(path: &str, test: Value) -> Predicate {
    let body = json!({"ontology": {format!("A.{path}"): test}}).to_string();
    query::parse(body.as_bytes()).unwrap().root.ontology.remove(0).predicate
}

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![-3i64..4, Just(i64::MIN), Just(i64::MAX), Just((1 << 53) + 1)]
}

fn float() -> impl Strategy<Value = f64> {
    let edges = vec![f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, 179.0, -179.0];
    prop_oneof![-3.0f64..4.0, prop::sample::select(edges)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "base_link_[a-z]", "é?\u{10ffff}?"]
}

fn row() -> impl Strategy<Value = Row> {
    let list = prop::collection::vec(prop::option::of(int()), 0..4);
    let (n, x, t) = (prop::option::of(int()), prop::option::of(float()), prop::option::of(text()));
    (n, x, t, prop::option::of(any::<bool>()), prop::option::of(list))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn an_index_never_hides_a_row(
        rows in prop::collection::vec(row(), 2..40),
        path in prop::sample::select(vec!["i", "u", "f", "t", "b", "p.longitude", "l[0]", "l[?]", "l[!]", "l", "p"]),
        op in prop::sample::select(vec!["$eq", "$neq", "$lt", "$leq", "$gt", "$geq", "$match", "$ex", "$nex"]),
        (n, x, t, b) in (int(), float(), text(), any::<bool>()),
        kind in 0..4,
        cut in 1usize..39,
    ) {
        let value = match (op, kind) {
            ("$ex" | "$nex", _) => Value::Null,
            ("$match", _) => format!("{t}*").into(),
            (_, 0) => n.into(),
            (_, 1) if x.is_finite() => x.into(),
            ("$eq" | "$neq", 2) => b.into(),
            _ => t.into(),
        };
        let predicate = predicate(path, json!({op: value}));
        let whole = batch(&rows);
        let cut = cut.min(rows.len() - 1);
        let parts = [whole.slice(0, cut), whole.slice(cut, rows.len() - cut)];
        let hits = query::hits(&predicate, &whole).count_set_bits();
        let own = statistics(&parts);
        prop_assert!(decode_skip_index(&own).is_some());
        prop_assert!(hits == 0 || may_match(&own, &predicate), "{predicate:?} has {hits} rows");
        let each = parts.each_ref().map(|part| statistics(std::slice::from_ref(part)));
        let merged = merge_skip_indices(each.iter());
        prop_assert!(hits == 0 || may_match(&merged, &predicate), "{predicate:?} has {hits} rows in two chunks");
    }
}

#[test]
fn ranges_categories_and_the_date_line_are_told_apart() {
    let row = |n: i64, x: f64, t: &str| (Some(n), Some(x), Some(t.to_owned()), Some(true), Some(vec![Some(n)]));
    let own = statistics(&[batch(&[row(5, 179.5, "base"), row(9, -179.5, "lidar")])]);
    let may = |path: &str, test: Value| may_match(&own, &predicate(path, test));
    assert!(may("i", json!({"$eq": 7})) && !may("i", json!({"$gt": 9})) && !may("i", json!({"$nex": null})));
    assert!(may("t", json!({"$match": "b*"})) && !may("t", json!({"$eq": "camera"})) && !may("t", json!({"$eq": 1})));
    assert!(!may("p.longitude", json!({"$between": [-10, 10]})) && may("p.longitude", json!({"$gt": 179})));
    assert!(may("f", json!({"$between": [-10, 10]})), "other columns have one range");
    assert!(!may("b", json!({"$eq": false})) && !may("l[?]", json!({"$gt": 9})) && may("l[!]", json!({"$eq": 5})));
    assert!(may("unknown", json!({"$eq": 5})));
}

#[test]
fn clouds_of_points_are_not_looked_at() {
    let few = (Some(1), None, None, None, Some(vec![Some(7); 64]));
    let many = (Some(1), None, None, None, Some(vec![Some(7); 65]));
    let may =
        |row: &Row| may_match(&statistics(&[batch(std::slice::from_ref(row))]), &predicate("l[?]", json!({"$gt": 9})));
    assert!(!may(&few) && may(&many));
}
