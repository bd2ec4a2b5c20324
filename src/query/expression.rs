//! A query as people type it, and the wire's JSON it stands for:
//!
//! ```text
//! IMU.acceleration.x > 9.8 and sequence.metadata.vehicle = "red"
//! {"ontology": {"IMU.acceleration.x": {"$gt": 9.8}}, "sequence": {"user_metadata": {"vehicle": {"$eq": "red"}}}}
//! ```
//!
//! A field is `Tag.path`, `sequence.…` or `topic.…` with `name`, `created`, `metadata.path`, of topics also `tag` and `format`.
//! After it: `= != < <= > >= value`, `like "glob"`, `in (value, …)`, `between value and value`, `outside value and value`,
//! `exists`, `missing`. A quote inside a text is written twice. These are joined by `and`, `or`, `not` and parentheses. What stands with `and` about one tag must hold
//! on one row.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::token::Token;
use super::token::tokens;

/// Bytes of an expression.
const LEN_MAX: usize = 64 << 10;
/// How deep it may nest.
const DEPTH_MAX: usize = 14;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("at character {at}: expected {expected}, found {found}")]
    Expected { at: usize, expected: &'static str, found: String },
    #[error("at character {at}: this text has no end, write {quote} behind it (a quote inside it is written twice)")]
    Unclosed { at: usize, quote: char },
    #[error("at character {at}: {digits} is out of range: integers have 64 bits, other numbers are below 1.8e308")]
    Number { at: usize, digits: String },
    #[error("{len} bytes: at most {LEN_MAX}")]
    Length { len: usize },
    #[error("nested more than {DEPTH_MAX} deep")]
    Depth,
}

/// The body of the action `query`.
///
/// # Errors
/// [`ExpressionError`] that says where. What the fields may be, the server says.
pub fn translate(text: &str) -> Result<Value, ExpressionError> {
    if text.len() > LEN_MAX {
        return Err(ExpressionError::Length { len: text.len() });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.chars().count() };
    let parts = parser.any(DEPTH_MAX)?;
    match parser.tokens.get(parser.at) {
        None => Ok(parts.json()),
        Some(_) => Err(parser.expected("and, or, or the end")),
    }
}

/// Conjuncts, by the scope they belong to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Parts {
    sequence: Vec<(String, Value)>,
    topic: Vec<(String, Value)>,
    /// With its tag in front.
    ontology: Vec<(String, String, Value)>,
    /// Whole queries.
    rest: Vec<Value>,
}

/// What a whole expression is about, when that is one thing.
enum Scope {
    Sequence,
    Topic,
    Tag(String),
    Several,
}

impl Parts {
    fn scope(&self) -> Scope {
        let mut tags = self.ontology.iter().map(|(tag, ..)| tag);
        let first = tags.next();
        match (self.sequence.is_empty(), self.topic.is_empty(), first, self.rest.is_empty()) {
            (false, true, None, true) => Scope::Sequence,
            (true, false, None, true) => Scope::Topic,
            (true, true, Some(tag), true) if tags.all(|other| other == tag) => Scope::Tag(tag.clone()),
            _ => Scope::Several,
        }
    }

    /// Something about all of `parts`, under one key: inside their scope if they share one, around them if not.
    fn under(key: &str, parts: Vec<Parts>, make: impl Fn(Vec<Value>) -> Value) -> Parts {
        let same = |a: &Scope, b: &Scope| match (a, b) {
            (Scope::Sequence, Scope::Sequence) | (Scope::Topic, Scope::Topic) => true,
            (Scope::Tag(a), Scope::Tag(b)) => a == b,
            _ => false,
        };
        let mut scopes = parts.iter().map(Parts::scope);
        let first = scopes.next().unwrap_or(Scope::Several);
        let mut out = Parts::default();
        if !scopes.all(|scope| same(&first, &scope)) {
            out.rest.push(json!({key: make(parts.iter().map(Parts::json).collect())}));
            return out;
        }
        let scoped = |of: fn(&Parts) -> Value| make(parts.iter().map(of).collect());
        match first {
            Scope::Sequence => out.sequence.push((key.to_owned(), scoped(|part| object(&part.sequence)))),
            Scope::Topic => out.topic.push((key.to_owned(), scoped(|part| object(&part.topic)))),
            Scope::Tag(tag) => out.ontology.push((tag, key.to_owned(), scoped(Parts::rows))),
            Scope::Several => out.rest.push(json!({key: make(parts.iter().map(Parts::json).collect())})),
        }
        out
    }

    fn rows(&self) -> Value {
        object(&self.ontology.iter().map(|(_, key, value)| (key.clone(), value.clone())).collect::<Vec<_>>())
    }

    fn json(&self) -> Value {
        let mut out = Map::new();
        if !self.sequence.is_empty() {
            out.insert("sequence".to_owned(), object(&self.sequence));
        }
        if !self.topic.is_empty() {
            out.insert("topic".to_owned(), object(&self.topic));
        }
        // Joins inside a scope are about one tag: several of them become queries of their own.
        let mut rest = self.rest.clone();
        let mut tags: Vec<&String> = self.ontology.iter().map(|(tag, ..)| tag).collect();
        tags.sort_unstable();
        tags.dedup();
        let plain = self.ontology.iter().all(|(_, key, _)| !key.starts_with('$'));
        if plain || tags.len() == 1 {
            if !self.ontology.is_empty() {
                out.insert("ontology".to_owned(), self.rows());
            }
        } else {
            for tag in tags {
                let own = |(own, ..): &&(String, String, Value)| own == tag;
                let part = Parts { ontology: self.ontology.iter().filter(own).cloned().collect(), ..Parts::default() };
                rest.push(part.json());
            }
        }
        match (rest.len(), out.is_empty(), rest.pop()) {
            (1, true, Some(only)) => return only,
            (_, _, Some(last)) => {
                rest.push(last);
                out.insert("$and".to_owned(), rest.into());
            }
            (_, _, None) => {}
        }
        Value::Object(out)
    }
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

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    end: usize,
}

impl Parser {
    fn any(&mut self, depth: usize) -> Result<Parts, ExpressionError> {
        let depth = depth.checked_sub(1).ok_or(ExpressionError::Depth)?;
        let mut parts = vec![self.all(depth)?];
        while self.word("or") {
            parts.push(self.all(depth)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => Ok(Parts::under("$or", parts, Value::Array)),
        }
    }

    fn all(&mut self, depth: usize) -> Result<Parts, ExpressionError> {
        let mut all = self.one(depth)?;
        while self.word("and") {
            let Parts { sequence, topic, ontology, rest } = self.one(depth)?;
            all.sequence.extend(sequence);
            all.topic.extend(topic);
            all.ontology.extend(ontology);
            all.rest.extend(rest);
        }
        Ok(all)
    }

    fn one(&mut self, depth: usize) -> Result<Parts, ExpressionError> {
        if self.word("not") {
            let depth = depth.checked_sub(1).ok_or(ExpressionError::Depth)?;
            let inner = self.one(depth)?;
            return Ok(Parts::under("$not", vec![inner], |mut parts| parts.pop().unwrap_or_default()));
        }
        if self.sign("(") {
            let inner = self.any(depth)?;
            self.need(")")?;
            return Ok(inner);
        }
        let Some((_, Token::Name(field))) = self.tokens.get(self.at).cloned() else {
            return Err(self.expected("a field"));
        };
        let Some((scope, key)) = field.split_once('.') else {
            return Err(self.expected("a field: Tag.path, sequence.name, topic.metadata.path"));
        };
        self.at += 1;
        let condition = self.condition()?;
        let mut parts = Parts::default();
        match scope {
            "sequence" => parts.sequence.push((head_key(key), condition)),
            "topic" => parts.topic.push((head_key(key), condition)),
            tag => parts.ontology.push((tag.to_owned(), field.clone(), condition)),
        }
        Ok(parts)
    }

    fn condition(&mut self) -> Result<Value, ExpressionError> {
        for (sign, op) in [
            ("==", "$eq"),
            ("=", "$eq"),
            ("!=", "$neq"),
            ("<>", "$neq"),
            ("<=", "$leq"),
            (">=", "$geq"),
            ("<", "$lt"),
            (">", "$gt"),
            ("~", "$match"),
        ] {
            if self.sign(sign) {
                return Ok(json!({op: self.literal()?}));
            }
        }
        if self.word("like") {
            return Ok(json!({"$match": self.literal()?}));
        }
        for (word, op) in [("between", "$between"), ("outside", "$outside")] {
            if self.word(word) {
                let low = self.literal()?;
                if !self.word("and") {
                    return Err(self.expected("and, with the upper bound"));
                }
                return Ok(json!({op: [low, self.literal()?]}));
            }
        }
        if self.word("in") {
            self.need("(")?;
            let mut items = vec![self.literal()?];
            while self.sign(",") {
                items.push(self.literal()?);
            }
            self.need(")")?;
            return Ok(json!({"$in": items}));
        }
        if self.word("exists") {
            return Ok(json!({"$ex": null}));
        }
        if self.word("missing") {
            return Ok(json!({"$nex": null}));
        }
        Err(self.expected("=, !=, <, <=, >, >=, like, in, between, outside, exists or missing"))
    }

    fn literal(&mut self) -> Result<Value, ExpressionError> {
        match self.tokens.get(self.at) {
            Some((_, Token::Literal(value))) => {
                let value = value.clone();
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.expected("a value: a number, true, false, or a text in quotes")),
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some((_, Token::Name(name))) if name.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some((_, Token::Sign(own))) if *own == sign);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &'static str) -> Result<(), ExpressionError> {
        if self.sign(sign) { Ok(()) } else { Err(self.expected(sign)) }
    }

    fn expected(&self, expected: &'static str) -> ExpressionError {
        match self.tokens.get(self.at) {
            Some((at, token)) => {
                let found = match token {
                    Token::Name(name) => name.chars().take(80).collect(),
                    Token::Literal(value) => value.to_string().chars().take(80).collect(),
                    Token::Sign(sign) => (*sign).to_owned(),
                };
                ExpressionError::Expected { at: *at, expected, found }
            }
            None => ExpressionError::Expected { at: self.end, expected, found: "the end".to_owned() },
        }
    }
}

/// Short names of what is asked of sequences and topics as such.
fn head_key(key: &str) -> String {
    match key {
        "created" => "created_at_ns".to_owned(),
        "tag" => "ontology_tag".to_owned(),
        "format" => "serialization_format".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests;
