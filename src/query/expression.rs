//! A query as people type it, and the wire's JSON it stands for:
//!
//! ```text
//! IMU.acceleration.x > 9.8 and sequence.metadata.vehicle = "red"
//! {"ontology": {"IMU.acceleration.x": {"$gt": 9.8}}, "sequence": {"user_metadata": {"vehicle": {"$eq": "red"}}}}
//! ```
//!
//! A field is `Tag.path`, `sequence.…` or `topic.…` with `name`, `created`, `metadata.path`, of topics also `tag` and `format`.
//! After it: `= != < <= > >= value`, `like "glob"`, `in (value, …)`, `between value and value`, `outside value and value`,
//! `exists`, `missing`. A quote inside a text is written twice. These are joined by `and`, `or`, `not` and parentheses. What stands
//! with `and` about one tag must hold on one row, also where one side of it is `(… or …)` about several things.

mod parts;

use serde_json::Value;
use serde_json::json;

use self::parts::Parts;
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
    #[error(
        "conditions on {tag} stand beside a `not (…)` that is about {tag} and other things: it is not said what must hold on one row; \
         write `not` before each condition"
    )]
    Rows { tag: String },
    #[error(
        "`or` inside `and` makes more than {} alternatives of this: ask for some of them at a time",
        parts::ALTERNATIVES_MAX
    )]
    Alternatives,
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
        None => parts.json(),
        Some(_) => Err(parser.expected("and, or, or the end")),
    }
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
            _ => Ok(Parts::either(parts)),
        }
    }

    fn all(&mut self, depth: usize) -> Result<Parts, ExpressionError> {
        let mut all = self.one(depth)?;
        while self.word("and") {
            all.extend(self.one(depth)?);
        }
        Ok(all)
    }

    fn one(&mut self, depth: usize) -> Result<Parts, ExpressionError> {
        if self.word("not") {
            let depth = depth.checked_sub(1).ok_or(ExpressionError::Depth)?;
            let inner = self.one(depth)?;
            return inner.negated();
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
