use proptest::prelude::*;

use super::*;

fn refuse(text: &str) -> WireError {
    Body::parse(text.as_bytes(), &Limits::ACTION).err().unwrap()
}

#[test]
fn every_limit_is_exact_and_named() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(Body::parse(nested(33).as_bytes(), &Limits::ACTION).is_ok());
    assert_eq!(refuse(&nested(34)), WireError::Depth { what: "action body", max: 33 });

    // The object and the list count too.
    let wide = |values: usize| format!("{{\"a\":[{}0]}}", "0 ,".repeat(values - 3));
    assert!(Body::parse(wide(10_064).as_bytes(), &Limits::ACTION).is_ok());
    assert_eq!(refuse(&wide(10_065)), WireError::Nodes { what: "action body", max: 10_064 });

    let long = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len));
    assert!(Body::parse(long(65_536).as_bytes(), &Limits::ACTION).is_ok());
    assert_eq!(refuse(&long(65_537)), WireError::Text { what: "action body", len: 65_537, max: 65_536 });
    assert!(Body::parse(long(65_537).as_bytes(), &Limits::NOTIFICATION).is_ok());

    assert_eq!(
        refuse(&" ".repeat(1_048_577)),
        WireError::Length { what: "action body", len: 1_048_577, max: 1_048_576 }
    );
}

#[test]
fn numbers_that_json_does_not_have_are_named() {
    for (text, word, column) in [
        (r#"{"user_metadata": {"a": NaN}}"#, "NaN", 25),
        (r#"{"user_metadata": {"a": [1, Infinity]}}"#, "Infinity", 29),
        (r#"{"user_metadata": {"a": -Infinity}}"#, "Infinity", 26),
        (r#"{"a": NaN}"#, "NaN", 7),
    ] {
        let cause = format!("{word} at column {column}: JSON has no such number, send null or a text");
        assert_eq!(refuse(text), WireError::Json { what: "action body", cause }, "{text}");
    }
    assert!(!refuse(r#"{"a": Nan}"#).to_string().contains("no such number"));
}

#[test]
fn deep_brackets_never_reach_the_parser() {
    assert!(matches!(refuse(&"[".repeat(1 << 20)), WireError::Depth { .. }));
    assert!(matches!(refuse(&"{\"a\":".repeat(1 << 17)), WireError::Depth { .. }));
}

#[test]
fn wrong_kinds_are_named_by_key_expected_and_found() {
    let body =
        Body::parse(br#"{"a": 1, "b": "x", "c": null, "d": 1.5, "e": 9223372036854775808}"#, &Limits::ACTION).unwrap();
    assert_eq!(body.text("a"), Err(WireError::Type { key: "a", expected: "text", found: "number" }));
    assert_eq!(body.text("c"), Err(WireError::Type { key: "c", expected: "text", found: "null" }));
    assert_eq!(body.text("z"), Err(WireError::Missing { what: "action body", key: "z" }));
    assert_eq!(body.integer("b").unwrap_err().to_string(), r#"key "b": expected integer of 64 bits, found text"#);
    assert!(matches!(body.integer("d"), Err(WireError::Value { .. })));
    assert!(matches!(body.integer("e"), Err(WireError::Value { .. })));
    assert_eq!(body.integer("c"), Ok(None));
    assert_eq!(body.integer("a"), Ok(Some(1)));
}

#[test]
fn what_is_no_object_is_refused() {
    for text in ["[]", "1", "\"x\"", "null", "{", "{}x", "{\"a\" 1}", "\u{feff}{}"] {
        assert!(matches!(refuse(text), WireError::Json { .. }), "{text}");
    }
    assert!(Body::parse(b"{\"a\": \"\xff\"}", &Limits::ACTION).is_err());
    assert!(Body::parse(b"", &Limits::ACTION).is_ok());
}

#[test]
fn a_token_is_never_repeated() {
    let body = Body::parse(br#"{"key": "f02d122a-549a-4b67-822b-c182496978d"}"#, &Limits::ACTION).unwrap();
    assert!(!body.token("key").unwrap_err().to_string().contains("f02d"));
}

fn count(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        serde_json::Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

proptest! {
    /// Goal: texts are measured as they are once decoded, however they are escaped.
    #[test]
    fn text_length_is_that_of_the_decoded_text(text: String, ascii: bool) {
        let mut json = serde_json::to_string(&text).unwrap();
        if ascii {
            let units = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect::<String>();
            json = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { units(c) }).collect();
        }
        prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
        prop_assert_eq!(skip_text(&json.as_bytes()[1..]), (text.len(), &b""[..]));
    }

    /// Goal: no bytes at all make the measuring or the parser panic.
    #[test]
    fn any_bytes_are_taken_or_refused(bytes: Vec<u8>) {
        let _ = Body::parse(&bytes, &Limits::ACTION);
    }

    #[test]
    fn values_are_counted_exactly(numbers in proptest::collection::vec(any::<i32>(), 0..50), word: bool) {
        let value = serde_json::json!({"a": numbers, "b": {"c": word, "d": null, "e": [[], {}]}});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let fill = 10_064 - count(&value) - 2;
        let exact = format!("{{\"v\": {text}, \"f\": [{}]}}", vec!["1"; fill - 1].join(","));
        let over = format!("{{\"v\": {text}, \"f\": [{}]}}", vec!["1"; fill + 1].join(","));
        prop_assert!(Body::parse(exact.as_bytes(), &Limits::ACTION).is_ok());
        prop_assert!(Body::parse(over.as_bytes(), &Limits::ACTION).is_err());
    }
}
