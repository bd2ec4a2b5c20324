//! Conditions on sequences and topics as such, evaluated: names, times of creation, user metadata.
//!
//! Paths into metadata are lax: a key asked of a list is asked of its elements, and a list satisfies what one of its elements
//! does. A value of another kind satisfies nothing, null counts as missing.

use std::ops::Bound;
use std::sync::OnceLock;

use super::ast::HeadField;
use super::ast::HeadTest;
use super::ast::MetadataStep;
use super::json::Json;
use super::json::Twice;
use crate::model::Expression;
use crate::model::Literal;
use crate::model::Number;
use crate::model::Test;
use crate::model::UserMetadata;

/// What is known of a sequence or a topic.
pub struct Head<'a> {
    /// Of a topic: its path with a slash in front.
    pub name: &'a str,
    /// Of a topic: with its sequence.
    pub locator: &'a str,
    pub created_at_ns: i64,
    /// Empty for a sequence.
    pub tag: &'a str,
    /// Empty for a sequence.
    pub format: &'a str,
    pub metadata: &'a Metadata,
}

/// User metadata, taken apart when it is first asked for.
pub struct Metadata {
    text: UserMetadata,
    parsed: OnceLock<Json>,
}

impl Metadata {
    pub fn new(text: UserMetadata) -> Self {
        Self { text, parsed: OnceLock::new() }
    }

    /// Bytes of its text.
    pub fn text_len(&self) -> usize {
        self.text.as_str().len()
    }

    fn json(&self) -> &Json {
        // It was checked when it came; what is no JSON after all has nothing to find.
        let parse = || Json::parse(self.text.as_str().as_bytes(), Twice::LastCounts).unwrap_or(Json::Null);
        self.parsed.get_or_init(parse)
    }
}

/// Whether all conditions hold.
pub fn holds(conditions: &[Expression<HeadTest>], head: &Head) -> bool {
    conditions.iter().all(|condition| condition.holds(&mut |leaf| leaf_holds(leaf, head)))
}

fn leaf_holds(HeadTest { field, test }: &HeadTest, head: &Head) -> bool {
    match field {
        HeadField::Name => test.text(head.name),
        HeadField::Locator => {
            let any_form = [head.locator, head.name, head.name.trim_start_matches('/')];
            match test {
                // An older client searches in the whole of it.
                Test::Match(_) => test.text(head.locator),
                _ => any_form.into_iter().any(|form| test.text(form)),
            }
        }
        HeadField::CreatedAt => number(test, Number::Integer(head.created_at_ns.into())),
        HeadField::Tag => test.text(head.tag),
        HeadField::Format => test.text(head.format),
        HeadField::Metadata(path) => {
            let found = values(head.metadata.json(), path);
            match test {
                Test::Missing => found.iter().all(|value| **value == Json::Null),
                test => found.into_iter().any(|value| value_holds(test, value)),
            }
        }
    }
}

/// Whether a number satisfies a test.
pub(super) fn number(test: &Test, value: Number) -> bool {
    match test {
        Test::Numbers { ranges, .. } => ranges.iter().any(|(low, high)| {
            let above = match low {
                Bound::Unbounded => true,
                Bound::Included(low) => low.total_cmp(value).is_le(),
                Bound::Excluded(low) => low.total_cmp(value).is_lt(),
            };
            let below = match high {
                Bound::Unbounded => true,
                Bound::Included(high) => value.total_cmp(*high).is_le(),
                Bound::Excluded(high) => value.total_cmp(*high).is_lt(),
            };
            above && below
        }),
        Test::Exists => true,
        Test::Texts(_) | Test::Match(_) | Test::Booleans { .. } | Test::List { .. } | Test::Missing => false,
    }
}

/// One value; of a list, its elements.
fn value_holds(test: &Test, value: &Json) -> bool {
    match (test, value) {
        (Test::List { items, equal }, Json::List(found)) => {
            let same = found.len() == items.len() && found.iter().zip(items).all(|(value, item)| equals(item, value));
            same == *equal
        }
        (Test::Exists, value) => *value != Json::Null,
        (test, Json::List(items)) => items.iter().any(|item| !matches!(item, Json::List(_)) && value_holds(test, item)),
        (test, Json::Number(n)) => number(test, *n),
        (test, Json::Text(text)) => test.text(text),
        (test, Json::Boolean(value)) => test.boolean(*value),
        (_, Json::Null | Json::Object(_)) => false,
    }
}

fn equals(item: &Literal, value: &Json) -> bool {
    match (item, value) {
        (Literal::Number(own), Json::Number(n)) => n == own,
        (Literal::Text(own), Json::Text(text)) => own == text,
        (Literal::Boolean(own), Json::Boolean(value)) => own == value,
        _ => false,
    }
}

/// The values a path leads to, each once.
fn values<'a>(root: &'a Json, path: &[MetadataStep]) -> Vec<&'a Json> {
    let mut found = vec![root];
    for step in path {
        let mut next = Vec::new();
        for value in &found {
            advance(value, step, &mut next);
        }
        if matches!(step, MetadataStep::AnyDepth) {
            // Levels below one value are levels below the next, too: without this, each further `**` would multiply them.
            let mut seen = std::collections::HashSet::new();
            next.retain(|value| seen.insert(std::ptr::from_ref(*value)));
        }
        found = next;
    }
    found
}

fn advance<'a>(value: &'a Json, step: &MetadataStep, next: &mut Vec<&'a Json>) {
    match (step, value) {
        (MetadataStep::Key(_) | MetadataStep::AnyKey, Json::List(items)) => {
            // One level, as lists of lists are not looked through.
            items.iter().filter(|item| matches!(item, Json::Object(_))).for_each(|item| advance(item, step, next));
        }
        (MetadataStep::Key(key), Json::Object(members)) => {
            next.extend(members.iter().rfind(|(own, _)| own == key).map(|(_, value)| value));
        }
        (MetadataStep::AnyKey, Json::Object(members)) => next.extend(members.iter().map(|(_, value)| value)),
        (MetadataStep::Key(_) | MetadataStep::AnyKey, _) => {}
        (MetadataStep::Items, Json::List(items)) => next.extend(items),
        (MetadataStep::Items, other) => next.push(other),
        (MetadataStep::AnyDepth, value) => descend(value, next),
    }
}

/// The value and everything below it. Metadata is at most 32 deep.
fn descend<'a>(value: &'a Json, next: &mut Vec<&'a Json>) {
    next.push(value);
    match value {
        Json::List(items) => items.iter().for_each(|item| descend(item, next)),
        Json::Object(members) => members.iter().for_each(|(_, item)| descend(item, next)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::super::parse;
    use super::*;

    fn asks(metadata: &Value, path: &str, condition: Value) -> bool {
        let body = json!({"topic": {"user_metadata": {path: condition}}}).to_string();
        let query = parse(body.as_bytes()).unwrap();
        let metadata = &Metadata::new(UserMetadata::parse(&metadata.to_string()).unwrap());
        let head =
            Head { name: "/imu", locator: "drive/imu", created_at_ns: 5, tag: "IMU", format: "default", metadata };
        holds(&query.root.topic, &head)
    }

    #[test]
    fn metadata_is_found_by_path() {
        let data = json!({"a": {"b": 1, "c": {"b": "deep"}}, "list": [1, 2.5, "x"], "cams": [{"n": "l"}, {"n": "r"}], "nil": null});
        let yes = [
            ("a.b", json!({"$eq": 1})),
            ("a.b", json!({"$eq": 1.0})),
            ("*.b", json!({"$eq": 1})),
            ("**.b", json!({"$match": "de*"})),
            ("a.**.b", json!({"$eq": 1})),
            ("a.*.b", json!({"$eq": "deep"})),
            ("list", json!({"$gt": 2})),
            ("list[*]", json!({"$eq": "x"})),
            ("list", json!({"$neq": 1})),
            ("cams.n", json!({"$in": ["r"]})),
            ("cams[*].n", json!({"$eq": "l"})),
            ("list", json!({"$eq": [1, 2.5, "x"]})),
            ("a", json!({"$ex": null})),
            ("a.x", json!({"$nex": null})),
            ("a.x", json!({"$ex": false})),
            ("nil", json!({"$nex": null})),
            ("a.c", json!({"$ex": true})),
            ("a[*].b", json!({"$eq": 1})),
        ];
        for (path, condition) in yes {
            assert!(asks(&data, path, condition.clone()), "{path} {condition}");
        }
        let no = [
            ("a.b", json!({"$eq": "1"})),
            ("a.b", json!({"$neq": 1})),
            ("a.x", json!({"$neq": 1})),
            ("a", json!({"$neq": 1})),
            ("*.b", json!({"$eq": "deep"})),
            ("nil", json!({"$ex": null})),
            ("nil", json!({"$neq": 1})),
            ("a.b", json!({"$eq": true})),
            ("list", json!({"$eq": [1]})),
            ("a.b.c", json!({"$ex": null})),
        ];
        for (path, condition) in no {
            assert!(!asks(&data, path, condition.clone()), "{path} {condition}");
        }
    }

    #[test]
    fn many_levels_of_many_levels_stay_few() {
        let mut data = json!({"x": 1});
        for _ in 0..20 {
            data = json!({"a": data, "b": [1, 2, 3]});
        }
        let path = vec!["**"; 30].join(".");
        assert!(!asks(&data, &path, json!({"$eq": "nowhere"})));
    }
}
