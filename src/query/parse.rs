//! The wire's JSON to a checked query. Whatever it does not understand is an error that names the key: a condition that is
//! ignored would be a wrong answer.

use super::ast::Block;
use super::ast::HeadField;
use super::ast::HeadTest;
use super::ast::Query;
use super::ast::TagPredicate;
use super::condition;
use super::condition::Allowance;
use super::dialect;
use super::dialect::Dialect;
use super::error::Problem;
use super::error::QueryError;
use super::json::Json;
use super::json::Twice;
use super::path;
use crate::model::ColumnTest;
use crate::model::Expression;
use crate::model::Number;
use crate::model::Predicate;
use crate::model::Test;

/// Bytes of a query.
pub const QUERY_LEN_MAX: usize = 1 << 20;
/// Values of any kind in it: names of a chained query are the most there are.
pub const VALUES_MAX: usize = 100_000;
/// Conditions in it: each is evaluated on every row that is read.
pub const LEAVES_MAX: usize = 256;
/// How deep `$or`, `$and`, `$not` may nest.
pub const DEPTH_MAX: usize = 16;

/// Reads a query as SDK 0.3 to 0.7 send it, with `$or`, `$and`, `$not`, `limit` and `explain` beyond that.
///
/// # Errors
/// [`QueryError`] that names the key.
pub fn parse(body: &[u8]) -> Result<Query, QueryError> {
    let members = object(body)?;
    let mut parser = Parser::new(&members);
    let items_max = take_limit(&members)?;
    let explain = match members.iter().find(|(key, _)| key == "explain") {
        None | Some((_, Json::Null)) => false,
        Some((_, Json::Boolean(wanted))) => *wanted,
        Some((key, other)) => return Err(at(key, Problem::Kind { expected: "a boolean", found: other.kind() })),
    };
    let scopes = members.iter().filter(|(key, _)| key != "limit" && key != "explain");
    let root = parser.block("", scopes, DEPTH_MAX)?;
    Ok(Query { root, items_max, with_times: parser.with_times, explain })
}

/// The members of a JSON object of measured size.
pub(super) fn object(body: &[u8]) -> Result<Vec<(String, Json)>, QueryError> {
    if body.len() > QUERY_LEN_MAX {
        return Err(QueryError::Length { len: body.len(), max: QUERY_LEN_MAX });
    }
    // Counts what stands in texts too: nobody writes that many.
    if body.iter().filter(|byte| matches!(byte, b',' | b'{' | b'[')).count() > VALUES_MAX {
        return Err(QueryError::Values { max: VALUES_MAX });
    }
    let json = match body.is_empty() {
        true => Json::Object(Vec::new()),
        false => Json::parse(body, Twice::Refused)
            .map_err(|cause| QueryError::Json(cause.to_string().chars().take(200).collect()))?,
    };
    match json {
        Json::Object(members) => Ok(members),
        other => Err(QueryError::Json(format!("it is {}", other.kind()))),
    }
}

fn take_limit(members: &[(String, Json)]) -> Result<Option<usize>, QueryError> {
    let Some((key, value)) = members.iter().find(|(key, _)| key == "limit") else { return Ok(None) };
    let expected = "a positive integer";
    match value {
        Json::Null => Ok(None),
        Json::Number(Number::Integer(limit @ 1..)) => Ok(usize::try_from(*limit).ok()),
        Json::Number(_) => Err(at(key, Problem::Value { expected, found: "another number".to_owned() })),
        other => Err(at(key, Problem::Kind { expected, found: other.kind() })),
    }
}

fn at(key: &str, problem: Problem) -> QueryError {
    QueryError::Key { key: key.chars().take(200).collect(), problem }
}

fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

/// Reads what stands in one scope, at a place and with so many levels left.
type Read<T> = fn(&mut Parser, &str, &Json, usize) -> Result<Vec<T>, QueryError>;

pub(super) struct Parser {
    dialect: Dialect,
    /// Whether conditions on the models of clients up to 0.5 come from such a client.
    old_tags: bool,
    with_times: bool,
    left: Allowance,
}

impl Parser {
    /// Keys that only clients up to 0.5 send say what `$match` means in all of the query.
    pub(super) fn new(members: &[(String, Json)]) -> Self {
        let dialect = if members.iter().any(|(key, value)| dialect::is_old(key, value)) {
            Dialect::Search
        } else {
            Dialect::Glob
        };
        Self { dialect, old_tags: true, with_times: false, left: Allowance::default() }
    }

    /// For requests that clients up to 0.5 do not know, where keys of theirs mean something else.
    pub(super) fn since_globs() -> Self {
        Self { dialect: Dialect::Glob, old_tags: false, with_times: false, left: Allowance::default() }
    }

    fn block<'a>(
        &mut self,
        place: &str,
        members: impl Iterator<Item = &'a (String, Json)>,
        depth: usize,
    ) -> Result<Block, QueryError> {
        let mut block = Block::default();
        for (key, value) in members {
            let place = join(place, key);
            match key.as_str() {
                "sequence" => block.sequence = self.head(&place, value, depth)?,
                "topic" => block.topic = self.head(&place, value, depth)?,
                "ontology" => block.ontology = self.ontology(&place, value, depth)?,
                "$or" => block.any.push(self.blocks(&place, value, depth)?),
                "$and" => block.all.extend(self.blocks(&place, value, depth)?),
                "$not" => block.not.push(self.sub_block(&place, value, depth)?),
                _ => {
                    let known = "sequence, topic, ontology, $or, $and, $not, and outside of these limit, explain";
                    return Err(at(&place, Problem::UnknownKey { known }));
                }
            }
        }
        Ok(block)
    }

    fn blocks(&mut self, place: &str, value: &Json, depth: usize) -> Result<Vec<Block>, QueryError> {
        match value {
            Json::List(items) if !items.is_empty() => {
                let item = |(n, item): (usize, &Json)| self.sub_block(&format!("{place}[{n}]"), item, depth);
                items.iter().enumerate().map(item).collect()
            }
            Json::List(_) => Err(at(place, Problem::Empty)),
            other => Err(at(place, Problem::Kind { expected: "a list of queries", found: other.kind() })),
        }
    }

    fn sub_block(&mut self, place: &str, value: &Json, depth: usize) -> Result<Block, QueryError> {
        let members = members(place, value)?;
        let block = self.block(place, members.iter(), deeper(place, depth)?)?;
        match block.is_empty() {
            true => Err(at(place, Problem::Empty)),
            false => Ok(block),
        }
    }

    /// Conditions on sequences or topics as such; none when the scope is empty.
    fn head(&mut self, place: &str, value: &Json, depth: usize) -> Result<Vec<Expression<HeadTest>>, QueryError> {
        let mut parts = Vec::new();
        for (key, value) in members(place, value)? {
            let place = join(place, key);
            match key.as_str() {
                "$or" | "$and" => {
                    let items =
                        self.lists(&place, value, depth, Self::head)?.into_iter().map(Expression::All).collect();
                    parts.push(if key == "$or" { Expression::Any(items) } else { Expression::All(items) });
                }
                "$not" => {
                    let inner = some(&place, self.head(&place, value, deeper(&place, depth)?)?)?;
                    parts.push(Expression::Not(Box::new(Expression::All(inner))));
                }
                "user_metadata" => parts.extend(self.metadata(&place, value, depth)?),
                key => {
                    let field = field(&place, key)?;
                    let test = self.condition(&place, value, self.dialect)?;
                    parts.push(lifted(test, &mut |test| head_leaf(field.clone(), test, of_topic(&place))));
                }
            }
        }
        Ok(parts)
    }

    fn metadata(&mut self, place: &str, value: &Json, depth: usize) -> Result<Vec<Expression<HeadTest>>, QueryError> {
        let mut parts = Vec::new();
        for (key, value) in members(place, value)? {
            let place = join(place, key);
            match key.as_str() {
                "$or" | "$and" => {
                    let items =
                        self.lists(&place, value, depth, Self::metadata)?.into_iter().map(Expression::All).collect();
                    parts.push(if key == "$or" { Expression::Any(items) } else { Expression::All(items) });
                }
                "$not" => {
                    let inner = some(&place, self.metadata(&place, value, deeper(&place, depth)?)?)?;
                    parts.push(Expression::Not(Box::new(Expression::All(inner))));
                }
                key => {
                    let steps = path::metadata(key).map_err(|problem| at(&place, problem))?;
                    let test = self.condition(&place, value, self.dialect)?;
                    let field = HeadField::Metadata(steps);
                    parts.push(lifted(test, &mut |test| Expression::Leaf(HeadTest { field: field.clone(), test })));
                }
            }
        }
        Ok(parts)
    }

    pub(super) fn ontology(
        &mut self,
        place: &str,
        value: &Json,
        depth: usize,
    ) -> Result<Vec<TagPredicate>, QueryError> {
        let mut tags: Vec<(String, Vec<Predicate>)> = Vec::new();
        for (tag, predicate) in self.conjuncts(place, value, depth)? {
            match tags.iter_mut().find(|(known, _)| *known == tag) {
                Some((_, parts)) => parts.push(predicate),
                None => tags.push((tag, vec![predicate])),
            }
        }
        let joined = |(tag, parts)| TagPredicate { tag, predicate: Expression::All(parts) };
        Ok(tags.into_iter().map(joined).collect())
    }

    /// Each with the tag it is about.
    fn conjuncts(&mut self, place: &str, value: &Json, depth: usize) -> Result<Vec<(String, Predicate)>, QueryError> {
        let mut parts = Vec::new();
        for (key, value) in members(place, value)? {
            let place = join(place, key);
            match key.as_str() {
                "include_timestamp_range" => match value {
                    Json::Boolean(wanted) => self.with_times |= wanted,
                    Json::Null => {}
                    other => return Err(at(&place, Problem::Kind { expected: "a boolean", found: other.kind() })),
                },
                "$or" | "$and" => {
                    let items = self.lists(&place, value, depth, Self::conjuncts)?;
                    let items: Vec<(String, Predicate)> =
                        items.into_iter().map(|item| one_tag(&place, item)).collect::<Result<_, _>>()?;
                    let tag = same_tag(&place, items.iter().map(|(tag, _)| tag))?;
                    let items = items.into_iter().map(|(_, predicate)| predicate).collect();
                    parts.push((tag, if key == "$or" { Expression::Any(items) } else { Expression::All(items) }));
                }
                "$not" => {
                    let inner = some(&place, self.conjuncts(&place, value, deeper(&place, depth)?)?)?;
                    let (tag, inner) = one_tag(&place, inner)?;
                    parts.push((tag, Expression::Not(Box::new(inner))));
                }
                key => {
                    let (tag, steps) = path::column(key).map_err(|problem| at(&place, problem))?;
                    let old = self.old_tags && dialect::is_old_tag(&tag);
                    let dialect = if old { Dialect::Search } else { self.dialect };
                    let test = self.condition(&place, value, dialect)?;
                    let leaf = lifted(test, &mut |test| Expression::Leaf(ColumnTest { path: steps.clone(), test }));
                    parts.push((tag, leaf));
                }
            }
        }
        Ok(parts)
    }

    fn condition(&mut self, place: &str, value: &Json, dialect: Dialect) -> Result<Expression<Test>, QueryError> {
        condition::condition(value, dialect, DEPTH_MAX, &mut self.left).map_err(|problem| at(place, problem))
    }

    /// What stands in each item of a list of scopes; none of them empty.
    fn lists<T>(&mut self, place: &str, value: &Json, depth: usize, read: Read<T>) -> Result<Vec<Vec<T>>, QueryError> {
        let depth = deeper(place, depth)?;
        match value {
            Json::List(items) if !items.is_empty() => {
                let item = |(n, item): (usize, &Json)| {
                    let place = format!("{place}[{n}]");
                    some(&place, read(self, &place, item, depth)?)
                };
                items.iter().enumerate().map(item).collect()
            }
            Json::List(_) => Err(at(place, Problem::Empty)),
            other => Err(at(place, Problem::Kind { expected: "a list of objects", found: other.kind() })),
        }
    }
}

fn members<'a>(place: &str, value: &'a Json) -> Result<&'a [(String, Json)], QueryError> {
    match value {
        Json::Object(members) => Ok(members),
        other => Err(at(place, Problem::Kind { expected: "an object", found: other.kind() })),
    }
}

fn deeper(place: &str, depth: usize) -> Result<usize, QueryError> {
    depth.checked_sub(1).ok_or_else(|| at(place, Problem::Depth { max: DEPTH_MAX }))
}

fn some<T>(place: &str, parts: Vec<T>) -> Result<Vec<T>, QueryError> {
    if parts.is_empty() { Err(at(place, Problem::Empty)) } else { Ok(parts) }
}

/// Whether a key stands in the scope of topics.
fn of_topic(place: &str) -> bool {
    place.split('.').any(|part| part == "topic")
}

fn field(place: &str, key: &str) -> Result<HeadField, QueryError> {
    let of_topic = of_topic(place);
    match key {
        "name" => Ok(HeadField::Name),
        "locator" => Ok(HeadField::Locator),
        "created_at_ns" | "created_at" | "created_timestamp" => Ok(HeadField::CreatedAt),
        "ontology_tag" if of_topic => Ok(HeadField::Tag),
        "serialization_format" if of_topic => Ok(HeadField::Format),
        _ => {
            let known = match of_topic {
                true => "name, created_at_ns, ontology_tag, serialization_format, user_metadata, $or, $and, $not",
                false => "name, created_at_ns, user_metadata, $or, $and, $not",
            };
            Err(at(place, Problem::UnknownKey { known }))
        }
    }
}

/// The tests of a condition, each made a leaf.
fn lifted<L>(test: Expression<Test>, leaf: &mut impl FnMut(Test) -> Expression<L>) -> Expression<L> {
    match test {
        Expression::All(parts) => Expression::All(parts.into_iter().map(|part| lifted(part, leaf)).collect()),
        Expression::Any(parts) => Expression::Any(parts.into_iter().map(|part| lifted(part, leaf)).collect()),
        Expression::Not(part) => Expression::Not(Box::new(lifted(*part, leaf))),
        Expression::Leaf(test) => leaf(test),
    }
}

/// A topic's name may be given without its slash where its beginning is given.
fn head_leaf(field: HeadField, test: Test, of_topic: bool) -> Expression<HeadTest> {
    use std::ops::Bound;
    let slashed = |text: String| if text.starts_with('/') { text } else { format!("/{text}") };
    let test = match (&field, test) {
        (HeadField::Name, Test::Texts(ranges)) if of_topic => {
            let points = ranges.iter().map(|range| match range {
                (Bound::Included(low), Bound::Included(high)) if low == high => Some(slashed(low.clone())),
                _ => None,
            });
            match (points.collect::<Option<Vec<_>>>(), ranges.as_slice()) {
                (Some(points), _) => Test::one_of(points),
                (None, [(Bound::Unbounded, Bound::Excluded(low)), (Bound::Excluded(high), Bound::Unbounded)])
                    if low == high =>
                {
                    let name = slashed(low.clone());
                    Test::Texts(vec![
                        (Bound::Unbounded, Bound::Excluded(name.clone())),
                        (Bound::Excluded(name), Bound::Unbounded),
                    ])
                }
                _ => Test::Texts(ranges),
            }
        }
        (HeadField::Name, Test::Match(pattern)) if of_topic => Test::Match(pattern.beginning_with('/')),
        (_, test) => test,
    };
    Expression::Leaf(HeadTest { field, test })
}

/// Conjuncts of one tag as one predicate.
fn one_tag(place: &str, parts: Vec<(String, Predicate)>) -> Result<(String, Predicate), QueryError> {
    let tag = same_tag(place, parts.iter().map(|(tag, _)| tag))?;
    Ok((tag, Expression::All(parts.into_iter().map(|(_, predicate)| predicate).collect())))
}

fn same_tag<'a>(place: &str, mut tags: impl Iterator<Item = &'a String>) -> Result<String, QueryError> {
    let first = tags.next().cloned().ok_or_else(|| at(place, Problem::Empty))?;
    match tags.find(|tag| **tag != first) {
        Some(second) => Err(at(place, Problem::Tags { first, second: second.clone() })),
        None => Ok(first),
    }
}

#[cfg(test)]
mod tests;
