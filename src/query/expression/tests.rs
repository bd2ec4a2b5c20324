use super::super::parse;
use super::*;

#[test]
fn expressions_are_the_wire_s_json() {
    let cases = [
        (
            "IMU.acceleration.x > 9.8 and sequence.metadata.vehicle = \"red\"",
            json!({"ontology": {"IMU.acceleration.x": {"$gt": 9.8}}, "sequence": {"user_metadata": {"vehicle": {"$eq": "red"}}}}),
        ),
        (
            "A.x between -1 and 2 and A.c[?]<=3",
            json!({"ontology": {"A.x": {"$between": [-1, 2]}, "A.c[?]": {"$leq": 3}}}),
        ),
        ("A.x > 1 and A.x < 2", json!({"ontology": {"A.x": {"$and": [{"$gt": 1}, {"$lt": 2}]}}})),
        ("A.x=1 or A.y=2", json!({"ontology": {"$or": [{"A.x": {"$eq": 1}}, {"A.y": {"$eq": 2}}]}})),
        ("A.x=1 or B.y=2", json!({"$or": [{"ontology": {"A.x": {"$eq": 1}}}, {"ontology": {"B.y": {"$eq": 2}}}]})),
        (
            "topic.tag in ('a', 'b') and not topic.name like '/cam*'",
            json!({"topic": {"ontology_tag": {"$in": ["a", "b"]}, "$not": {"name": {"$match": "/cam*"}}}}),
        ),
        (
            "topic.metadata.a.b exists AND sequence.created >= 5",
            json!({"topic": {"user_metadata": {"a.b": {"$ex": null}}}, "sequence": {"created_at_ns": {"$geq": 5}}}),
        ),
        (
            "not (A.x missing or A.b = true)",
            json!({"ontology": {"$not": {"$or": [{"A.x": {"$nex": null}}, {"A.b": {"$eq": true}}]}}}),
        ),
        (
            "(A.x=1 or B.x=1) and A.y outside 1 and 2",
            json!({"$or": [
                {"ontology": {"A.y": {"$outside": [1, 2]}, "A.x": {"$eq": 1}}},
                {"ontology": {"A.y": {"$outside": [1, 2]}, "B.x": {"$eq": 1}}},
            ]}),
        ),
        (
            "C.y = 1 and (A.x=1 or sequence.name = 's')",
            json!({"ontology": {"C.y": {"$eq": 1}}, "$and": [{"$or": [{"ontology": {"A.x": {"$eq": 1}}}, {"sequence": {"name": {"$eq": "s"}}}]}]}),
        ),
    ];
    for (text, expected) in cases {
        let found = translate(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found, expected, "{text}");
        parse(found.to_string().as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    for text in
        ["(A.x=1 or A.y=1) and (A.x=2 or A.y=2) and B.z=1", "A.l[!] != 3 and (A.x=1 or A.x=2) and (B.x=1 or B.x=2)"]
    {
        parse(translate(text).unwrap().to_string().as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

/// A choice between several things keeps what stands beside it on one row with what it says of the same tag.
#[test]
fn conditions_on_one_tag_share_a_row_also_in_a_choice() {
    let text = "A.x > 1 and (A.y < 2 or sequence.name = 's') and (topic.name = 't' or (A.z = 3 and B.x = 1))";
    let (x, y, z, b) = (json!({"$gt": 1}), json!({"$lt": 2}), json!({"$eq": 3}), json!({"$eq": 1}));
    let (s, t) = (json!({"name": {"$eq": "s"}}), json!({"name": {"$eq": "t"}}));
    let expected = json!({"$or": [
        {"ontology": {"A.x": x, "A.y": y}, "topic": t},
        {"ontology": {"A.x": x, "A.y": y, "A.z": z, "B.x": b}},
        {"ontology": {"A.x": x}, "sequence": s, "topic": t},
        {"ontology": {"A.x": x, "A.z": z, "B.x": b}, "sequence": s},
    ]});
    assert_eq!(translate(text).unwrap(), expected);
    parse(expected.to_string().as_bytes()).unwrap();
    let text = "not (A.y < 2 or sequence.name = 's') and A.x > 1";
    assert_eq!(translate(text), Err(ExpressionError::Rows { tag: "A".to_owned() }));
    translate("not (A.y < 2 or sequence.name = 's') and B.x > 1").unwrap();
    let many =
        |count: usize| (0..count).map(|n| format!("(A.x = {n} or topic.name = 't')")).collect::<Vec<_>>().join(" and ");
    // Where only the last of them can be about A, it stays a choice.
    assert_eq!(translate(&many(6)).unwrap()["$or"].as_array().unwrap().len(), 63);
    for count in [7, 1700] {
        assert_eq!(translate(&many(count)), Err(ExpressionError::Alternatives), "{count}");
    }
    let apart: Vec<_> = (0..1000).map(|n| format!("(A{n}.x = 1 or topic.name = 't')")).collect();
    translate(&apart.join(" and ")).unwrap();
}

#[test]
fn quotes_inside_a_text_are_written_twice() {
    for (text, meant) in [
        (r#"topic.name = "5"" disk""#, r#"5" disk"#),
        ("topic.name = 'it''s'", "it's"),
        (r#"topic.name = 'a"b'"#, r#"a"b"#),
        (r#"topic.name = """""#, r#"""#),
        (r#"topic.name = """#, ""),
        (r"topic.name = 'a\*'", r"a\*"),
    ] {
        assert_eq!(translate(text).unwrap(), json!({"topic": {"name": {"$eq": meant}}}), "{text}");
    }
    for text in ["topic.name = 'a''", r#"topic.name = """"#, "topic.name = '"] {
        assert!(translate(text).unwrap_err().to_string().contains("written twice"), "{text}");
    }
}

#[test]
fn however_many_conditions_on_one_field_do_not_nest() {
    let text = (0..200).map(|n| format!("A.x != {n}")).collect::<Vec<_>>().join(" and ");
    let found = translate(&text).unwrap();
    assert_eq!(found.pointer("/ontology/A.x/$and").unwrap().as_array().unwrap().len(), 200);
    parse(found.to_string().as_bytes()).unwrap();
}

/// Goal: no number becomes another, or none, on the way.
#[test]
fn numbers_are_kept_or_refused() {
    for (text, meant) in [
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.7e308", json!(1.7e308)),
        ("1e-400", json!(0.0)),
        ("5.", json!(5.0)),
    ] {
        assert_eq!(
            translate(&format!("A.x = {text}")).unwrap(),
            json!({"ontology": {"A.x": {"$eq": meant}}}),
            "{text}"
        );
    }
    for text in ["1e400", "-1e400", "18446744073709551616", "-9223372036854775809", "99999999999999999999999"] {
        let error = translate(&format!("A.x = {text}")).unwrap_err().to_string();
        assert!(error.contains("character 6") && error.contains(text) && error.contains("out of range"), "{error}");
    }
}

#[test]
fn errors_say_where() {
    for (text, place) in [
        ("A.x >", 5),
        ("A.x > 1 A.y > 2", 8),
        ("x = 1", 0),
        ("A.x = 'a", 6),
        ("(A.x = 1", 8),
        ("A.x in 1", 7),
        ("", 0),
        ("A.x ! 1", 4),
    ] {
        let error = translate(text).unwrap_err().to_string();
        assert!(error.contains(&format!("character {place}:")), "{text}: {error}");
    }
    assert_eq!(translate(&"(".repeat(100)), Err(ExpressionError::Depth));
    assert_eq!(translate(&"not ".repeat(1000)), Err(ExpressionError::Depth));
    assert!(matches!(translate(&" ".repeat(70_000)), Err(ExpressionError::Length { .. })));
}
