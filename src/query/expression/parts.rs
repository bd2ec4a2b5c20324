//! Conditions that are joined, and the wire's JSON of them.
//!
//! On the wire, conditions about rows share a row when they stand in one `ontology` block, and a block has no place for what is
//! about sequences or other tags. So `P and (Q or S)`, where `S` is about something else, becomes `(P and Q) or (P and S)`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::ExpressionError;

/// Whole queries that one expression may become.
pub(super) const ALTERNATIVES_MAX: usize = 64;

/// Conjuncts, by the scope they belong to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub(super) sequence: Vec<(String, Value)>,
    pub(super) topic: Vec<(String, Value)>,
    /// With its tag in front.
    pub(super) ontology: Vec<(String, String, Value)>,
    /// Of each of these, one alternative at least. They are about several scopes.
    any: Vec<Vec<Parts>>,
    /// Whole queries, with the tags they are about.
    whole: Vec<(BTreeSet<String>, Value)>,
}

/// What a whole expression is about, when that is one thing.
#[derive(PartialEq)]
enum Scope {
    Sequence,
    Topic,
    Tag(String),
    Several,
}

impl Parts {
    /// Both.
    pub(super) fn extend(&mut self, other: Parts) {
        let Parts { sequence, topic, ontology, any, whole } = other;
        self.sequence.extend(sequence);
        self.topic.extend(topic);
        self.ontology.extend(ontology);
        self.any.extend(any);
        self.whole.extend(whole);
    }

    /// One of them at least: inside their scope if they share one.
    pub(super) fn either(parts: Vec<Parts>) -> Parts {
        match shared(&parts) {
            Scope::Several => Parts { any: vec![parts], ..Parts::default() },
            scope => Parts::inside(scope, "$or", &parts, Value::Array),
        }
    }

    /// # Errors
    /// As [`Self::json`].
    pub(super) fn negated(self) -> Result<Parts, ExpressionError> {
        Ok(match self.scope() {
            Scope::Several => {
                let (tags, json) = (self.tags(), self.json()?);
                Parts { whole: vec![(tags, json!({"$not": json}))], ..Parts::default() }
            }
            scope => Parts::inside(scope, "$not", &[self], |mut parts| parts.pop().unwrap_or_default()),
        })
    }

    /// Something about all of `parts`, under one key of the scope that they share.
    fn inside(scope: Scope, key: &str, parts: &[Parts], make: impl Fn(Vec<Value>) -> Value) -> Parts {
        let scoped = |of: fn(&Parts) -> Value| make(parts.iter().map(of).collect());
        let mut out = Parts::default();
        match scope {
            Scope::Sequence => out.sequence.push((key.to_owned(), scoped(|part| object(&part.sequence)))),
            Scope::Topic => out.topic.push((key.to_owned(), scoped(|part| object(&part.topic)))),
            Scope::Tag(tag) => out.ontology.push((tag, key.to_owned(), scoped(Parts::rows))),
            Scope::Several => panic!("conditions on several things have no block in common"),
        }
        out
    }

    fn scope(&self) -> Scope {
        let mut tags = self.ontology.iter().map(|(tag, ..)| tag);
        let first = tags.next();
        let is_plain = self.any.is_empty() && self.whole.is_empty();
        match (self.sequence.is_empty(), self.topic.is_empty(), first, is_plain) {
            (false, true, None, true) => Scope::Sequence,
            (true, false, None, true) => Scope::Topic,
            (true, true, Some(tag), true) if tags.all(|other| other == tag) => Scope::Tag(tag.clone()),
            _ => Scope::Several,
        }
    }

    /// Tags of what stands outside every choice.
    fn own_tags(&self) -> BTreeSet<&str> {
        let own = self.ontology.iter().map(|(tag, ..)| tag);
        own.chain(self.whole.iter().flat_map(|(tags, _)| tags)).map(String::as_str).collect()
    }

    /// Every tag that a condition is about.
    fn tags(&self) -> BTreeSet<String> {
        let own = self.own_tags().into_iter().map(str::to_owned);
        own.chain(self.any.iter().flatten().flat_map(Parts::tags)).collect()
    }

    /// The body of the action `query`.
    ///
    /// # Errors
    /// [`ExpressionError::Rows`], [`ExpressionError::Alternatives`].
    pub(super) fn json(&self) -> Result<Value, ExpressionError> {
        let mut all = Vec::new();
        self.alternatives(&mut all)?;
        let mut queries = all.iter().map(Parts::query).collect::<Result<Vec<_>, _>>()?;
        match (queries.len(), queries.pop()) {
            (1, Some(only)) => Ok(only),
            (_, last) => {
                queries.extend(last);
                Ok(json!({"$or": queries}))
            }
        }
    }

    /// The same as alternatives, none of which has a choice about a tag that it names elsewhere too.
    fn alternatives(&self, out: &mut Vec<Parts>) -> Result<(), ExpressionError> {
        let choices: Vec<BTreeSet<String>> =
            self.any.iter().map(|choice| choice.iter().flat_map(Parts::tags).collect()).collect();
        let mut named: BTreeMap<&str, usize> = self.own_tags().into_iter().map(|tag| (tag, 1)).collect();
        for tag in choices.iter().flatten() {
            *named.entry(tag).or_default() += 1;
        }
        let shares = |tags: &BTreeSet<String>| tags.iter().any(|tag| named.get(tag.as_str()).is_some_and(|n| *n > 1));
        let mut split = (0..choices.len()).filter(|at| choices.get(*at).is_some_and(shares)).peekable();
        let first = split.peek().copied();
        let count =
            split.filter_map(|at| self.any.get(at)).fold(1, |count: usize, choice| count.saturating_mul(choice.len()));
        if out.len().saturating_add(count) > ALTERNATIVES_MAX {
            return Err(ExpressionError::Alternatives);
        }
        let Some(first) = first else {
            out.push(self.clone());
            return Ok(());
        };
        let mut rest = self.clone();
        for choice in rest.any.remove(first) {
            let mut both = rest.clone();
            both.extend(choice);
            both.alternatives(out)?;
        }
        Ok(())
    }

    fn rows(&self) -> Value {
        object(&self.ontology.iter().map(|(_, key, value)| (key.clone(), value.clone())).collect::<Vec<_>>())
    }

    /// One query, of what [`Self::alternatives`] leaves.
    fn query(&self) -> Result<Value, ExpressionError> {
        let mut out = Map::new();
        if !self.sequence.is_empty() {
            out.insert("sequence".to_owned(), object(&self.sequence));
        }
        if !self.topic.is_empty() {
            out.insert("topic".to_owned(), object(&self.topic));
        }
        let tags: BTreeSet<&String> = self.ontology.iter().map(|(tag, ..)| tag).collect();
        if let Some(tag) = tags.iter().find(|tag| self.whole.iter().any(|(about, _)| about.contains(**tag))) {
            return Err(ExpressionError::Rows { tag: (*tag).clone() });
        }
        let mut rest: Vec<Value> = self.whole.iter().map(|(_, value)| value.clone()).collect();
        for choice in &self.any {
            rest.push(json!({"$or": choice.iter().map(Parts::json).collect::<Result<Vec<_>, _>>()?}));
        }
        // Joins inside a scope are about one tag: several of them become queries of their own.
        let plain = self.ontology.iter().all(|(_, key, _)| !key.starts_with('$'));
        if plain || tags.len() == 1 {
            if !self.ontology.is_empty() {
                out.insert("ontology".to_owned(), self.rows());
            }
        } else {
            for tag in tags {
                let own = |(own, ..): &&(String, String, Value)| own == tag;
                let part = Parts { ontology: self.ontology.iter().filter(own).cloned().collect(), ..Parts::default() };
                rest.push(part.query()?);
            }
        }
        match (rest.len(), out.is_empty(), rest.pop()) {
            (1, true, Some(only)) => return Ok(only),
            (_, _, Some(last)) => {
                rest.push(last);
                out.insert("$and".to_owned(), rest.into());
            }
            (_, _, None) => {}
        }
        Ok(Value::Object(out))
    }
}

/// The scope of all of them.
fn shared(parts: &[Parts]) -> Scope {
    let mut scopes = parts.iter().map(Parts::scope);
    let first = scopes.next().unwrap_or(Scope::Several);
    if scopes.all(|scope| scope == first) { first } else { Scope::Several }
}

/// Conditions as members of one object; a key that comes twice has both under `$and`. Metadata goes one level down.
fn object(members: &[(String, Value)]) -> Value {
    let mut out: Map<String, Value> = Map::new();
    let mut metadata: Vec<(String, Value)> = Vec::new();
    for (key, value) in members {
        if let Some(path) = key.strip_prefix("metadata.") {
            metadata.push((path.to_owned(), value.clone()));
            continue;
        }
        let joined = match (out.remove(key), key.starts_with('$')) {
            (None, _) => value.clone(),
            (Some(first), false) => {
                // However many: side by side, not one inside the other.
                let mut all = match first.get("$and").and_then(Value::as_array) {
                    Some(all) => all.clone(),
                    None => vec![first],
                };
                all.push(value.clone());
                json!({"$and": all})
            }
            // `$or` beside `$or`: each becomes an object of its own.
            (Some(first), true) => {
                let both = json!([{key.as_str(): first}, {key.as_str(): value}]);
                match out.remove("$and") {
                    Some(Value::Array(mut all)) => {
                        all.extend(both.as_array().cloned().unwrap_or_default());
                        out.insert("$and".to_owned(), all.into());
                    }
                    _ => {
                        out.insert("$and".to_owned(), both);
                    }
                }
                continue;
            }
        };
        out.insert(key.clone(), joined);
    }
    if !metadata.is_empty() {
        out.insert("user_metadata".to_owned(), object(&metadata));
    }
    Value::Object(out)
}
