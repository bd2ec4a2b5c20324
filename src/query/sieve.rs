//! Which sequences a query could be about, told from names and metadata as they are stored, without taking the JSON apart.
//!
//! It only ever leaves out. Of a path into metadata the last key alone is looked at, wherever in the text it comes: what it
//! leads to is one of the values found so. `not`, a missing value and a topic's locator leave nothing out.

use super::ast::Block;
use super::ast::HeadField;
use super::ast::HeadTest;
use super::ast::MetadataStep;
use super::head::number;
use super::json::Json;
use super::json::Twice;
use crate::model::Expression;
use crate::model::Number;
use crate::model::Test;

/// Longer texts are not asked: a pattern takes its time with each.
const TEXT_BYTES_MAX: usize = 1 << 10;

/// Conditions that take as long as one pattern, and how many a sieve has at the most.
const PATTERN: usize = 16;
const WEIGHT_MAX: usize = 64;

/// A sequence or a topic, as text.
#[derive(Clone, Copy, Debug)]
pub struct RawHead<'a> {
    /// Of a topic: its path, without a slash in front.
    pub name: &'a str,
    /// Of a topic, as is its format.
    pub tag: &'a str,
    pub format: &'a str,
    pub created_at_ns: i64,
    /// JSON.
    pub metadata: &'a str,
}

/// Whether a query with this root could be about a sequence.
pub fn may_be_sequence(root: &Block, head: &RawHead) -> bool {
    root.sequence.iter().all(|own| may_hold(own, head, Scope::Sequence))
        && root.all.iter().all(|part| may_be_sequence(part, head))
        && root.any.iter().all(|parts| parts.iter().any(|part| may_be_sequence(part, head)))
}

/// Whether its sequence could be one for the sake of this topic. One of its topics has to be.
pub fn may_be_topic(root: &Block, head: &RawHead) -> bool {
    root.topic.iter().all(|own| may_hold(own, head, Scope::Topic))
}

/// Whether [`may_be_sequence`] can leave anything out, and takes little time for it.
pub fn sieves_sequences(root: &Block) -> bool {
    fn weight(block: &Block) -> usize {
        let nested = block.any.iter().flatten().chain(&block.all);
        weight_of(&block.sequence) + nested.map(weight).sum::<usize>()
    }
    (1..=WEIGHT_MAX).contains(&weight(root))
}

/// The same of [`may_be_topic`].
pub fn sieves_topics(root: &Block) -> bool {
    (1..=WEIGHT_MAX).contains(&weight_of(&root.topic))
}

fn weight_of(conditions: &[Expression<HeadTest>]) -> usize {
    let weight = |leaf: &HeadTest| if matches!(leaf.test, Test::Match(_)) { PATTERN } else { 1 };
    conditions.iter().flat_map(Expression::leaves).map(weight).sum()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    Sequence,
    Topic,
}

fn may_hold(own: &Expression<HeadTest>, head: &RawHead, scope: Scope) -> bool {
    match own {
        Expression::All(parts) => parts.iter().all(|part| may_hold(part, head, scope)),
        Expression::Any(parts) => parts.iter().any(|part| may_hold(part, head, scope)),
        Expression::Not(_) => true,
        Expression::Leaf(HeadTest { test: Test::Missing, .. }) => true,
        Expression::Leaf(HeadTest { field, test }) => match (field, scope) {
            // A sequence's locator is its name.
            (HeadField::Name | HeadField::Locator, Scope::Sequence) => test.text(head.name),
            (HeadField::Name, Scope::Topic) => test.text(&format!("/{}", head.name)),
            (HeadField::CreatedAt, _) => number(test, Number::Integer(head.created_at_ns.into())),
            (HeadField::Tag, Scope::Topic) => test.text(head.tag),
            (HeadField::Format, Scope::Topic) => test.text(head.format),
            (HeadField::Metadata(steps), _) => may_have(head.metadata, steps, test),
            // A locator has its sequence in it; sequences have neither tag nor format.
            (HeadField::Locator, Scope::Topic) | (HeadField::Tag | HeadField::Format, Scope::Sequence) => true,
        },
    }
}

/// Whether a value that these steps lead to could pass.
///
/// Cost: linear in the text.
fn may_have(json: &str, steps: &[MetadataStep], test: &Test) -> bool {
    let key = steps.iter().rev().find(|step| !matches!(step, MetadataStep::Items));
    let Some(MetadataStep::Key(key)) = key else { return true };
    // Behind a backslash a key may be written in another way, and a quote may be no end.
    if json.contains('\\') {
        return true;
    }
    let mut values = json.match_indices(key.as_str()).filter_map(|(at, _)| value_of(json, at, key.len()));
    values.any(|value| may_pass(value, test))
}

/// What stands behind a key at this place of the text; `None` when it is no key.
fn value_of(json: &str, at: usize, len: usize) -> Option<&str> {
    let before = json.get(..at)?;
    let behind = json.get(at + len..)?.strip_prefix('"').filter(|_| before.ends_with('"'))?;
    Some(blank(blank(behind).strip_prefix(':')?))
}

fn blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\n', '\r'])
}

/// Whether the value that a text begins with could pass.
fn may_pass(text: &str, test: &Test) -> bool {
    match text.as_bytes().first() {
        Some(b'"') => {
            let text = text.get(1..).unwrap_or_default();
            let end = text.find('"').unwrap_or(text.len());
            end > TEXT_BYTES_MAX || text.get(..end).is_none_or(|text| test.text(text))
        }
        Some(b't') => test.boolean(true),
        Some(b'f') => test.boolean(false),
        Some(b'n') => false,
        Some(b'-' | b'0'..=b'9') => {
            let end = text.find([',', '}', ']', ' ', '\t', '\n', '\r']).unwrap_or(text.len());
            match text.get(..end).map(|text| Json::parse(text.as_bytes(), Twice::LastCounts)) {
                Some(Ok(Json::Number(found))) => number(test, found),
                _ => true,
            }
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::super::parse;
    use super::*;

    #[test]
    fn what_takes_long_is_no_sieve() {
        let of = |scope: &str, conditions: usize| {
            let keys: serde_json::Map<_, _> =
                (0..conditions).map(|n| (format!("k{n}"), json!({"$match": "a*"}))).collect();
            parse(json!({scope: {"user_metadata": keys}}).to_string().as_bytes()).unwrap().root
        };
        assert!(sieves_sequences(&of("sequence", 4)) && !sieves_sequences(&of("sequence", 5)));
        assert!(sieves_topics(&of("topic", 4)) && !sieves_topics(&of("topic", 5)));
        assert!(!sieves_sequences(&of("topic", 1)) && !sieves_topics(&of("sequence", 1)));
    }

    fn may(metadata: &str, path: &str, condition: Value) -> bool {
        let body = json!({"sequence": {"user_metadata": {path: condition}}}).to_string();
        let query = parse(body.as_bytes()).unwrap();
        may_be_sequence(&query.root, &RawHead { name: "drive", tag: "", format: "", created_at_ns: 5, metadata })
    }

    /// Goal: it is worth its while: what the text alone decides is left out.
    #[test]
    fn what_a_key_does_not_have_is_left_out() {
        let text = r#"{"run" :
            7, "note": "run", "b": {"run": -1.5e2, "on": true, "nil": null}, "tags": ["x"], "deep": [{"who": "ann"}]}"#;
        let yes = [
            ("run", json!({"$eq": 7})),
            ("run", json!({"$lt": -149})),
            ("note", json!({"$match": "r*"})),
            ("b.on", json!({"$eq": true})),
            ("deep[*].who", json!({"$eq": "ann"})),
            ("tags[*]", json!({"$eq": "z"})),
            ("**", json!({"$eq": 9})),
            ("run.*", json!({"$eq": 9})),
            ("none", json!({"$nex": null})),
            ("b", json!({"$ex": null})),
        ];
        for (path, condition) in yes {
            assert!(may(text, path, condition.clone()), "{path} {condition}");
        }
        let no = [
            ("run", json!({"$eq": 8})),
            ("**.run", json!({"$eq": "run"})),
            ("note", json!({"$eq": "ru"})),
            ("b.on", json!({"$eq": false})),
            ("x", json!({"$ex": null})),
            ("ru", json!({"$ex": null})),
            ("b.nil", json!({"$ex": null})),
            ("deep.who", json!({"$eq": "bob"})),
        ];
        for (path, condition) in no {
            assert!(!may(text, path, condition.clone()), "{path} {condition}");
        }
    }

    /// Goal: texts that JSON writes in several ways, and long ones, may be any.
    #[test]
    fn what_is_written_in_another_way_may_be_any() {
        for text in [r#"{"r\u0075n": 7}"#, r#"{"run": "a\"b"}"#, r#"{"x": "\"run\": 8"}"#] {
            assert!(may(text, "run", json!({"$eq": 7})), "{text}");
        }
        let long = json!({"note": "x".repeat(5000)}).to_string();
        assert!(may(&long, "note", json!({"$eq": "y"})));
        assert!(!may(r#"{"größe": "ü", "note": "ö"}"#, "note", json!({"$eq": "y"})));
    }
}
