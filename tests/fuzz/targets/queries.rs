//! Queries: as clients send them, and as people type them.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use arrow::datatypes::Int64Type;
use tessera::query;

/// What is understood is evaluated too, on a few rows. Holds: one bit per row, and an error fits a status.
pub fn query(data: &[u8]) {
    let rows = rows();
    match query::parse(data) {
        Ok(query) => {
            for own in &query.root.ontology {
                assert_eq!(query::hits(&own.predicate, &rows).len(), rows.num_rows());
                let _ = query::may_hold(&own.predicate, &rows.schema());
                let _ = query::time_range(&own.predicate);
            }
        }
        Err(error) => short(&error.to_string()),
    }
    if let Err(error) = query::parse_clusters(data) {
        short(&error.to_string());
    }
    if let Err(error) = query::parse_intersection(data) {
        short(&error.to_string());
    }
}

/// Holds: what a typed query becomes is a query that the server understands or refuses by name.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match query::translate(text) {
        Ok(body) => query(body.to_string().as_bytes()),
        Err(error) => short(&error.to_string()),
    }
}

fn short(text: &str) {
    assert!(!text.is_empty() && text.len() < 4096, "an error of {} bytes", text.len());
}

fn rows() -> RecordBatch {
    let columns: [(&str, ArrayRef); 4] = [
        ("timestamp_ns", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("x", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]))),
        ("t", Arc::new(StringArray::from(vec!["base", "", "lidar_7"]))),
        (
            "l",
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([
                Some(vec![Some(1), None]),
                None,
                Some(vec![]),
            ])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

pub fn query_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"sequence": {"name": {"$match": "test_*"}}, "topic": {"name": {"$eq": "/imu"}, "ontology_tag": {"$eq": "A"}}}"#,
        r#"{"topic": {"user_metadata": {"a.**.c[*]": {"$outside": [1, 2]}, "b": {"$nex": null}}}, "limit": 3, "explain": true}"#,
        r#"{"ontology": {"A.x": {"$between": [-1e3, 18446744073709551615]}, "A.t": {"$match": "l[a-z!]*_#?"}, "A.l[?]": {"$neq": 1}}}"#,
        r#"{"ontology": {"$or": [{"A.l[!]": {"$in": [1, 2]}}, {"$not": {"A.l": {"$eq": [1]}}}], "A.timestamp_ns": {"$geq": 2}}}"#,
        r#"{"$or": [{"ontology": {"imu.t": {"$match": "(a|b)+$"}}}, {"$not": {"sequence": {"locator": {"$match": "x"}}}}]}"#,
        r#"{"locator": "a/x", "clustering_dt_ns": 500, "ontology": {"A.x": {"$gt": 0.05}}, "timestamp_range": {"start_ns": 1}}"#,
        r#"{"topics": [{"locator": "a/x", "ontology": {"A.x": {"$gt": 0}}}, {"locator": "a/y", "ontology": {}}], "intersect_dt_ns": 9}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub fn expression_seeds() -> Vec<Vec<u8>> {
    [
        r#"A.x > 9.8 and sequence.metadata.vehicle = "red""#,
        r#"not (A.l[?] in (1, 2) or A.t like 'b*') and topic.tag != "B" and sequence.created between 1 and 2"#,
        r#"(A.x <= -1 or B.x exists) and A.l[!] missing or A.t ~ "x" and A.x outside 0 and 1"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
