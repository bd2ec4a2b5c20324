//! Why a query found nothing, where that is because nobody records such a field, or one whose values it could fit.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use serde_json::Value;
use serde_json::json;

use crate::client::Client;
use crate::client::ClientError;
use crate::model::Locator;

use super::super::field;
use super::super::output;
use super::super::output::printable;
use super::found;
use super::misfit::created_misfit;
use super::misfit::misfit;

/// Topics of a tag whose fields are looked at.
const TOPICS_MAX: usize = 16;
/// Sequences whose tags are listed when nobody has the one that was asked for.
const SEQUENCES_MAX: usize = 200;
/// A line for each field of the query that no topic has, for each tag and each key of metadata that nobody has, and for each
/// condition that no value of its field can satisfy.
///
/// * `inside`: makes of a query the same about what the user asked to look at.
///
/// # Errors
/// [`ClientError`]
pub fn unknown(client: &Client, body: &Value, inside: impl Fn(Value) -> Value) -> Result<Vec<String>, ClientError> {
    let mut asked = Vec::new();
    conditions(body, "", &mut asked);
    let created = |(scope, key, condition): &Asked| (*key == "created_at_ns").then(|| created_misfit(scope, condition));
    let mut lines: Vec<String> = asked.iter().filter_map(created).flatten().collect();
    let mut keys = BTreeSet::new();
    metadata_keys(body, "", &mut keys);
    for (scope, path) in keys {
        let query = inside(json!({scope: {"user_metadata": {path: {"$ex": null}}}}));
        if found(&client.action("query", &limited(query, 1))?.unwrap_or_default()).is_empty() {
            lines.push(format!("no {scope} has the metadata {}", printable(path)));
        }
    }
    let mut by_tag = fields(body);
    for tag in asked.iter().filter_map(of_tag) {
        by_tag.entry(tag.to_owned()).or_default();
    }
    for (tag, paths) in by_tag {
        let query = inside(json!({"topic": {"ontology_tag": {"$eq": tag}}}));
        let topics = found(&client.action("query", &limited(query, TOPICS_MAX))?.unwrap_or_default());
        if topics.is_empty() {
            lines.push(no_topic(client, &tag, &inside)?);
        }
        if topics.is_empty() || paths.is_empty() {
            continue;
        }
        let mut missing = paths;
        let (mut names, mut schemas) = (BTreeSet::new(), Vec::new());
        for (locator, _) in topics.iter().take(TOPICS_MAX) {
            let Ok(Locator::Topic(topic)) = Locator::parse(locator) else { continue };
            let schema = client.schema(&topic)?;
            missing.retain(|path| field::find(&schema, &field::steps(path)).is_none());
            names.extend(field::paths(&schema));
            schemas.push(schema);
        }
        lines.extend(asked.iter().filter_map(|asked| never(asked, &tag, &schemas)));
        lines.extend(missing.iter().map(|path| no_field(&tag, path, &names, (schemas.len(), topics.len()))));
    }
    Ok(lines)
}

/// Why no row of this tag and schema satisfies what is asked; `None` when some may.
///
/// * `rows`: what a query says of `ontology`.
pub fn never_of_rows(rows: &Value, tag: &str, schema: &Schema) -> Option<String> {
    match rows {
        Value::Array(all) => all.iter().find_map(|rows| never_of_rows(rows, tag, schema)),
        Value::Object(members) => members.iter().find_map(|(key, value)| match key.as_str() {
            "$not" => None,
            "$or" => {
                let arms = value.as_array()?.iter().map(|rows| never_of_rows(rows, tag, schema));
                arms.collect::<Option<Vec<_>>>()?.pop()
            }
            joint if joint.starts_with('$') => never_of_rows(value, tag, schema),
            own => never(&("ontology", own, value), tag, std::slice::from_ref(schema)),
        }),
        _ => None,
    }
}

/// Why none of these topics that have the field have a value of it that satisfies a condition.
fn never(asked: &Asked, tag: &str, schemas: &[Schema]) -> Option<String> {
    let (path, condition) = of_rows(asked, tag)?;
    let steps = field::steps(path);
    let leaf = |schema| field::find(schema, &steps).and_then(|own| field::leaf_type(&own, &steps).cloned());
    let leaves = schemas.iter().filter_map(leaf);
    let why = leaves.map(|leaf| misfit(&format!("{tag}.{path}"), condition, &leaf));
    why.collect::<Option<Vec<String>>>()?.pop()
}

/// A scope of the wire, a key in it, and its condition.
type Asked<'a> = (&'a str, &'a str, &'a Value);

/// The conditions of a query that have to hold, not those that must not.
fn conditions<'a>(value: &'a Value, scope: &'a str, found: &mut Vec<Asked<'a>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| conditions(item, scope, found)),
        Value::Object(members) => {
            for (key, value) in members {
                match key.as_str() {
                    "$not" | "user_metadata" => {}
                    joint if joint.starts_with('$') => conditions(value, scope, found),
                    own if scope.is_empty() => conditions(value, own, found),
                    own => found.push((scope, own, value)),
                }
            }
        }
        _ => {}
    }
}

/// The keys of metadata that have to be there, with the scope that they are asked of.
fn metadata_keys<'a>(value: &'a Value, scope: &'a str, found: &mut BTreeSet<(&'a str, &'a str)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| metadata_keys(item, scope, found)),
        Value::Object(members) => {
            for (key, value) in members {
                match key.as_str() {
                    "$not" => {}
                    "user_metadata" => paths_of(value, scope, found),
                    joint if joint.starts_with('$') => metadata_keys(value, scope, found),
                    own if scope.is_empty() => metadata_keys(value, own, found),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn paths_of<'a>(value: &'a Value, scope: &'a str, found: &mut BTreeSet<(&'a str, &'a str)>) {
    // What must not hold may be missing, and so may what is asked for as that.
    let may_be_missing = |condition: &Value| match condition {
        Value::Object(members) => members.iter().any(|(key, value)| {
            matches!(key.as_str(), "$nex" | "$not" | "$or") || (key == "$ex" && *value == Value::Bool(false))
        }),
        _ => true,
    };
    match value {
        Value::Array(items) => items.iter().for_each(|item| paths_of(item, scope, found)),
        Value::Object(members) => {
            for (key, value) in members.iter().filter(|(key, _)| *key != "$not") {
                match key.starts_with('$') {
                    true => paths_of(value, scope, found),
                    false if may_be_missing(value) => {}
                    false => drop(found.insert((scope, key))),
                }
            }
        }
        _ => {}
    }
}

/// The tag that a topic has to have.
fn of_tag<'a>((scope, key, condition): &Asked<'a>) -> Option<&'a str> {
    (*scope == "topic" && *key == "ontology_tag").then(|| condition.get("$eq")?.as_str())?
}

/// The path behind this tag, and its condition.
fn of_rows<'a>((scope, key, condition): &Asked<'a>, tag: &str) -> Option<(&'a str, &'a Value)> {
    let (own, path) = key.split_once('.')?;
    (*scope == "ontology" && own == tag).then_some((path, *condition))
}

/// The paths that a query asks of rows, by tag.
pub fn fields(body: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    collect(body, false, &mut found);
    found
}

fn collect(value: &Value, rows: bool, found: &mut BTreeMap<String, BTreeSet<String>>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, rows, found)),
        Value::Object(members) => {
            for (key, value) in members {
                match key.split_once('.') {
                    _ if key == "ontology" && !rows => collect(value, true, found),
                    _ if key.starts_with('$') => collect(value, rows, found),
                    Some((tag, path)) if rows => {
                        found.entry(tag.to_owned()).or_default().insert(path.to_owned());
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn no_topic(client: &Client, tag: &str, inside: impl Fn(Value) -> Value) -> Result<String, ClientError> {
    let everything = inside(json!({"topic": {"name": {"$match": "*"}}}));
    let topics = found(&client.action("query", &limited(everything, SEQUENCES_MAX))?.unwrap_or_default());
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, own) in &topics {
        *counts.entry(own).or_default() += 1;
    }
    if counts.is_empty() {
        return Ok(format!("no topic has the tag {}: there is no topic to look at", printable(tag)));
    }
    let near = field::nearest(tag, counts.keys().copied());
    let tags = counts.iter().map(|(own, topics)| format!("{} ({})", printable(own), output::count(*topics, "topic")));
    Ok(format!("no topic has the tag {}{}; there are {}", printable(tag), meant(near), output::listed(tags)))
}

/// About so many sequences at most.
fn limited(mut query: Value, sequences: usize) -> Value {
    if let Some(members) = query.as_object_mut() {
        members.insert("limit".to_owned(), json!(sequences));
    }
    query
}

fn no_field(tag: &str, path: &str, names: &BTreeSet<String>, (looked, topics): (usize, usize)) -> String {
    let near = field::nearest(path, names.iter().map(String::as_str));
    let looked = match looked < topics {
        true => format!("none of {looked} looked at, of {topics}"),
        false => "none".to_owned(),
    };
    let of = output::count(topics as u64, "topic");
    let tops = names.iter().filter(|name| !name.contains(['.', '['])).map(|name| printable(name));
    let has = if looked == "none" { format!("none of {of}") } else { looked };
    format!(
        "{has} with the tag {} has the field {}{}; there are {}",
        printable(tag),
        printable(path),
        meant(near.map(|name| format!("{tag}.{name}")).as_deref()),
        output::listed(tops)
    )
}

fn meant(near: Option<&str>) -> String {
    near.map(|name| format!(" (did you mean {}?)", printable(name))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::query;

    use super::*;

    #[test]
    fn fields_are_collected_out_of_every_joint() {
        let body = query::translate("(A.x > 1 or not B.y.z = 2) and sequence.metadata.a.b = 1 and A.p[?] < 0").unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let expected = [("A".to_owned(), names(&["x", "p[?]"])), ("B".to_owned(), names(&["y.z"]))];
        assert_eq!(fields(&body), expected.into());
    }

    #[test]
    fn keys_of_metadata_are_those_that_have_to_be_there() {
        let of = |expression: &str| {
            let body = query::translate(expression).unwrap();
            let mut found = BTreeSet::new();
            metadata_keys(&body, "", &mut found);
            found.iter().map(|(scope, path)| format!("{scope} {path}")).collect::<Vec<_>>()
        };
        let joint =
            "A.x > 1 and (sequence.metadata.a.b = 1 or topic.metadata.c like 'x*') and sequence.metadata.d exists";
        assert_eq!(of(joint), ["sequence a.b", "sequence d", "topic c"]);
        assert!(of("not sequence.metadata.a = 1 and sequence.metadata.b missing and sequence.name = 'x'").is_empty());
    }
}
