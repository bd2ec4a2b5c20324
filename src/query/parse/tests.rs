use serde_json::Value;
use serde_json::json;

use super::*;

fn refusal(query: Value) -> String {
    parse(query.to_string().as_bytes()).unwrap_err().to_string()
}

/// Goal: everything the SDK sends is understood. Method: what was logged of 0.3 to 0.7.
#[test]
fn what_sdks_send_is_understood() {
    for query in [
        json!({"sequence": {"name": {"$match": "test_*"}}, "topic": {"name": {"$eq": "/imu"}, "ontology_tag": {"$eq": "IMU"}}}),
        json!({"topic": {"user_metadata": {"a.b.c": {"$outside": [1, 2]}, "a.*": {"$nex": null}}}}),
        json!({"topic": {"created_at_ns": {"$leq": 7}}, "sequence": {"created_at": {"$between": [1, 2]}}}),
        json!({"ontology": {"IMU.timestamp_ns": {"$geq": 5}, "IMU.acceleration.x": {"$outside": [-1, 1]},
            "IMU.header.frame_id": {"$match": "base*"}, "IMU.acceleration.covariance[?]": {"$gt": 0.1},
            "IMU.acceleration.covariance[2]": {"$eq": 1.0}}}),
        json!({"ontology": {"RobotJoint.names[0]": {"$in": ["a", "b"]}, "RobotJoint.names[?]": {"$between": ["a", "b"]}}}),
        json!({"sequence": {"locator": {"$match": "drive"}}, "topic": {"locator": {"$eq": "drive/imu"}},
            "ontology": {"imu.acceleration.x": {"$lt": -4.0}, "include_timestamp_range": true}}),
        json!({"sequence": {"created_timestamp": {"$geq": 5}}}),
        json!({"sequence": {}}),
        json!({}),
    ] {
        parse(query.to_string().as_bytes()).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    assert!(parse(b"").unwrap().root.is_empty());
    assert!(parse(br#"{"sequence": {}, "topic": {"user_metadata": {}}}"#).unwrap().root.is_empty());
}

/// Goal: the bare text that the documentation has means the same as the object that SDKs send.
#[test]
fn presence_is_asked_for_with_and_without_null() {
    for op in ["$ex", "$nex"] {
        let parsed = |condition: Value| {
            let query = json!({"sequence": {"user_metadata": {"a": condition}}, "topic": {"name": condition},
                "ontology": {"IMU.a": condition, "IMU.b": {"$not": condition}}});
            parse(query.to_string().as_bytes()).unwrap()
        };
        assert_eq!(parsed(json!(op)), parsed(json!({op: null})));
    }
}

#[test]
fn errors_name_the_key() {
    let cases = [
        (json!({"sequences": {}}), "\"sequences\""),
        (json!({"sequence": {"nam": {"$eq": 1}}}), "\"sequence.nam\""),
        (json!({"sequence": {"ontology_tag": {"$eq": "x"}}}), "\"sequence.ontology_tag\""),
        (json!({"sequence": []}), "\"sequence\""),
        (json!({"sequence": {"name": "x"}}), "\"sequence.name\""),
        (json!({"sequence": {"name": {}}}), "\"sequence.name\""),
        (json!({"sequence": {"name": {"$eq": "a", "$neq": "b"}}}), "\"sequence.name\""),
        (json!({"topic": {"name": {"$like": "a"}}}), "unknown operator \"$like\""),
        (json!({"topic": {"name": {"$match": ""}}}), "\"topic.name\""),
        (json!({"topic": {"name": {"$match": "[a"}}}), "\"topic.name\""),
        (json!({"topic": {"name": {"$eq": null}}}), "$eq takes"),
        (json!({"topic": {"user_metadata": {"a.***": {"$eq": 1}}}}), "\"topic.user_metadata.a.***\""),
        (json!({"topic": {"user_metadata": {"a": {"b": {"$eq": 1}}}}}), "unknown operator \"b\""),
        (json!({"ontology": {"IMU": {"$eq": 1}}}), "\"ontology.IMU\""),
        (json!({"ontology": {"IMU.a[x]": {"$eq": 1}}}), "\"ontology.IMU.a[x]\""),
        (json!({"ontology": {"IMU.a": {"$between": [1]}}}), "two"),
        (json!({"ontology": {"IMU.a": {"$between": [1, "2"]}}}), "one kind"),
        (json!({"ontology": {"IMU.a": {"$in": [1, "2"]}}}), "one kind"),
        (json!({"ontology": {"IMU.a": {"$lt": true}}}), "not a boolean"),
        (json!({"ontology": {"IMU.a": {"$ex": 1}}}), "$ex takes null"),
        (json!({"ontology": {"IMU.a": "$eq"}}), "\"ontology.IMU.a\""),
        (json!({"ontology": {"$or": []}}), "\"ontology.$or\""),
        (json!({"ontology": {"$or": [{"A.x": {"$eq": 1}}, {"B.x": {"$eq": 1}}]}}), "several tags (A, B)"),
        (json!({"$not": {}}), "\"$not\""),
        (json!({"limit": 0}), "\"limit\""),
    ];
    for (query, expected) in cases {
        let found = refusal(query.clone());
        assert!(found.contains(expected), "{query}: {found}");
    }
    assert!(parse(b"[]").unwrap_err().to_string().contains("a list"));
    assert!(
        parse(br#"{"topic": {"name": {"$eq": "a"}, "name": {"$eq": "b"}}}"#).unwrap_err().to_string().contains("twice")
    );
}

#[test]
fn hostile_queries_are_refused() {
    let mut deep = json!({"$eq": 1});
    for _ in 0..30 {
        deep = json!({"$not": deep});
    }
    assert!(refusal(json!({"ontology": {"A.x": deep}})).contains("deep"));
    let mut deep = json!({"A.x": {"$eq": 1}});
    for _ in 0..30 {
        deep = json!({"$not": deep});
    }
    assert!(refusal(json!({"ontology": deep})).contains("deep"));
    let many: serde_json::Map<String, Value> = (0..300).map(|n| (format!("A.x{n}"), json!({"$eq": n}))).collect();
    assert!(refusal(json!({"ontology": many})).contains("256 conditions"));
    // Refused before they are made: one of them takes a megabyte.
    let expressions = vec![json!({"$match": r"\w{20}"}); 1500];
    assert!(refusal(json!({"ontology": {"string.t": {"$or": expressions}}})).contains("too much memory"));
    let expressions = vec![json!({"$match": r"a\d+b"}); 33];
    assert!(refusal(json!({"ontology": {"string.t": {"$or": expressions}}})).contains("more than 32 times"));
    let deep = ["**.a"; 4].join(".");
    assert!(refusal(json!({"topic": {"user_metadata": {deep: {"$eq": 1}}}})).contains("three times"));
    assert!(refusal(json!({"ontology": {"A.x": {"$in": vec![1; 100_001]}}})).contains("values"));
    assert!(refusal(json!({"ontology": {"A.x": {"$eq": vec![1; 1025]}}})).contains("1025"));
    assert!(refusal(json!({"ontology": {"A.x": {"$match": "a".repeat(257)}}})).contains("257"));
    let bytes = format!("{}1", "[".repeat(10_000));
    assert!(parse(bytes.as_bytes()).is_err());
}

#[test]
fn match_means_what_its_client_means() {
    let first = |query: Value| {
        let root = parse(query.to_string().as_bytes()).unwrap().root;
        format!("{:?}{:?}{:?}", root.sequence, root.topic, root.ontology)
    };
    assert!(first(json!({"topic": {"name": {"$match": "cam"}}})).contains("Glob"));
    assert!(first(json!({"topic": {"locator": {"$match": "cam"}}})).contains("Search"));
    assert!(first(json!({"ontology": {"String.data": {"$match": "cam"}}})).contains("Glob"));
    assert!(first(json!({"ontology": {"string.data": {"$match": "cam"}}})).contains("Search"));
    let both = json!({"ontology": {"Mine.data": {"$match": "cam"}, "include_timestamp_range": false}});
    assert!(first(both).contains("Search"));
    assert!(first(json!({"topic": {"user_metadata": {"locator": {"$match": "cam"}}}})).contains("Glob"));
}
