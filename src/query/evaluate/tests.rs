use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::array::Float32Array;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::StringArray;
use arrow::array::StructArray;
use arrow::array::UInt64Array;
use arrow::buffer::NullBuffer;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use serde_json::Value;
use serde_json::json;

use super::super::parse;
use super::*;

fn rows(batch: &RecordBatch, ontology: Value) -> Vec<usize> {
    let body = json!({"ontology": ontology}).to_string();
    let query = parse(body.as_bytes()).unwrap();
    let [own] = query.root.ontology.as_slice() else { panic!("one tag") };
    hits(&own.predicate, batch).set_indices().collect()
}

fn batch(column: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("v", column, true)]).unwrap()
}

#[test]
fn numbers_compare_by_value() {
    let ints = batch(Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(-1), None, Some(0), Some(i64::MAX)])));
    let of = |test: Value| rows(&ints, json!({"A.v": test}));
    assert_eq!(of(json!({"$eq": i64::MAX})), [4]);
    assert_eq!(of(json!({"$gt": 9223372036854775806i64})), [4]);
    assert_eq!(of(json!({"$lt": 9223372036854775808u64})), [0, 1, 3, 4]);
    assert_eq!(of(json!({"$leq": -0.5})), [0, 1]);
    assert_eq!(of(json!({"$neq": 0})), [0, 1, 4]);
    assert_eq!(of(json!({"$in": [0, 1e300, -1.0]})), [1, 3]);
    assert_eq!(of(json!({"$outside": [-1, 0]})), [0, 4]);
    assert_eq!(of(json!({"$nex": null})), [2]);
    assert_eq!(of(json!({"$eq": "0"})), [] as [usize; 0]);
    let large = batch(Arc::new(UInt64Array::from(vec![0, u64::MAX - 1, u64::MAX])));
    assert_eq!(rows(&large, json!({"A.v": {"$eq": u64::MAX}})), [2]);
    assert_eq!(rows(&large, json!({"A.v": {"$geq": -1}})), [0, 1, 2]);
    let floats = batch(Arc::new(Float64Array::from(vec![f64::NAN, -0.0, 0.0, f64::INFINITY, 9007199254740992.0])));
    let of = |test: Value| rows(&floats, json!({"A.v": test}));
    assert_eq!(of(json!({"$eq": 0})), [1, 2]);
    assert_eq!(of(json!({"$gt": 1e308})), [3]);
    assert_eq!(of(json!({"$neq": 0})), [0, 3, 4]);
    assert_eq!(of(json!({"$eq": 9007199254740993i64})), [] as [usize; 0]);
    assert_eq!(of(json!({"$ex": null})), [0, 1, 2, 3, 4]);
    assert_eq!(of(json!({"$outside": [5, -5]})), [1, 2, 3, 4]);
    assert_eq!(of(json!({"$between": [5, -5]})), [] as [usize; 0]);
    let single = batch(Arc::new(Float32Array::from(vec![0.1f32, 0.5])));
    assert_eq!(rows(&single, json!({"A.v": {"$eq": 0.5}})), [1]);
    assert_eq!(rows(&single, json!({"A.v": {"$gt": 0.1}})), [0, 1], "0.1 as f32 is above 0.1");
}

#[test]
fn texts_and_booleans() {
    let texts = batch(Arc::new(StringArray::from(vec![Some("base"), Some("Base"), None, Some(""), Some("é")])));
    let of = |test: Value| rows(&texts, json!({"A.v": test}));
    assert_eq!(of(json!({"$match": "b*"})), [0]);
    assert_eq!(of(json!({"$gt": "a"})), [0, 4]);
    assert_eq!(of(json!({"$neq": "base"})), [1, 3, 4]);
    assert_eq!(of(json!({"$between": ["", "b"]})), [1, 3]);
    assert_eq!(of(json!({"$outside": ["B", "a"]})), [0, 3, 4]);
    assert_eq!(of(json!({"$in": ["é", "", "x"]})), [3, 4]);
    assert_eq!(of(json!({"$eq": 1})), [] as [usize; 0]);
    let flags = batch(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
    assert_eq!(rows(&flags, json!({"A.v": {"$eq": false}})), [2]);
    assert_eq!(rows(&flags, json!({"A.v": {"$neq": false}})), [0]);
    assert_eq!(rows(&flags, json!({"A.v": {"$eq": 1}})), [] as [usize; 0]);
}

/// `[1, 2] [] null [3, null] [5]`, as the tail of a longer array, so that offsets do not begin at 0.
fn lists() -> RecordBatch {
    let values = Int64Array::from(vec![Some(9), Some(9), Some(1), Some(2), Some(3), None, Some(5)]);
    let offsets = OffsetBuffer::new(vec![0, 2, 4, 4, 4, 6, 7].into());
    let nulls = NullBuffer::from(vec![true, true, true, false, true, true]);
    let field = Arc::new(Field::new("item", DataType::Int64, true));
    let list = ListArray::new(field, offsets, Arc::new(values), Some(nulls));
    batch(Arc::new(list.slice(1, 5)))
}

#[test]
fn list_specifiers() {
    let lists = lists();
    let of = |path: &str, test: Value| rows(&lists, json!({format!("A.{path}"): test}));
    assert_eq!(of("v[0]", json!({"$geq": 1})), [0, 3, 4]);
    assert_eq!(of("v[1]", json!({"$ex": null})), [0]);
    assert_eq!(of("v[1]", json!({"$nex": null})), [1, 2, 3, 4]);
    assert_eq!(of("v[?]", json!({"$gt": 1})), [0, 3, 4]);
    assert_eq!(of("v[!]", json!({"$gt": 1})), [1, 4]);
    assert_eq!(of("v[!]", json!({"$gt": 0})), [0, 1, 4]);
    assert_eq!(of("v", json!({"$eq": [1, 2]})), [0]);
    assert_eq!(of("v", json!({"$neq": [1, 2]})), [1, 3, 4]);
    assert_eq!(of("v", json!({"$eq": []})), [1]);
    assert_eq!(of("v", json!({"$gt": 0})), [] as [usize; 0]);
    assert_eq!(of("v", json!({"$nex": null})), [2]);
    assert_eq!(of("v[0].x", json!({"$nex": null})), [] as [usize; 0], "no such path");
}

#[test]
fn structs_and_lists_of_structs() {
    let fields = Fields::from(vec![Field::new("z", DataType::Float64, true)]);
    let z = Float64Array::from(vec![Some(1.0), None, Some(-3.0), Some(4.0)]);
    let points = StructArray::new(fields.clone(), vec![Arc::new(z)], Some(vec![true, true, true, false].into()));
    let own = batch(Arc::new(points.clone()));
    assert_eq!(rows(&own, json!({"A.v.z": {"$lt": 9}})), [0, 2], "the 4 belongs to a null");
    assert_eq!(rows(&own, json!({"A.v.z": {"$nex": null}})), [1, 3]);
    assert_eq!(rows(&own, json!({"A.v": {"$nex": null}})), [3]);
    let field = Arc::new(Field::new("item", DataType::Struct(fields), true));
    let list = ListArray::new(field, OffsetBuffer::new(vec![0, 1, 3, 4, 4].into()), Arc::new(points), None);
    let own = batch(Arc::new(list));
    assert_eq!(rows(&own, json!({"A.v[?].z": {"$lt": 0}})), [1]);
    assert_eq!(rows(&own, json!({"A.v[!].z": {"$gt": 0}})), [0, 3]);
    assert_eq!(rows(&own, json!({"A.v[0].z": {"$nex": null}})), [1, 2, 3]);
}

#[test]
fn conditions_are_joined() {
    let ints = batch(Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])));
    let of = |ontology: Value| rows(&ints, ontology);
    assert_eq!(of(json!({"A.v": {"$or": [{"$eq": 1}, {"$gt": 4}]}})), [0, 4]);
    assert_eq!(of(json!({"$or": [{"A.v": {"$eq": 1}}, {"A.v": {"$gt": 4}}]})), [0, 4]);
    assert_eq!(of(json!({"$not": {"A.v": {"$gt": 1}}, "A.v": {"$lt": 9}})), [0]);
    assert_eq!(of(json!({"A.v": {"$and": [{"$gt": 1}, {"$not": {"$eq": 3}}]}})), [1, 3, 4]);
    assert_eq!(of(json!({"A.w": {"$neq": 1}})), [] as [usize; 0]);
}
