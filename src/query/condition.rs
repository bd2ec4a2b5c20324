//! One condition: an operator and its value.

use std::ops::Bound;

use super::dialect::Dialect;
use super::error::Problem;
use super::json::Json;
use super::parse::LEAVES_MAX;
use crate::model::Expression;
use crate::model::Literal;
use crate::model::Number;
use crate::model::Pattern;
use crate::model::PatternError;
use crate::model::Test;

/// Elements of a list that a list is compared with.
pub(super) const LIST_ITEMS_MAX: usize = 1024;

/// Regular expressions in one query: each may take as much memory as [`Pattern::search`] lets it.
pub(super) const EXPRESSIONS_MAX: usize = 32;

/// What a query may still bring. Counted before anything is made of it: a condition may take a thousand times its own bytes.
pub(super) struct Allowance {
    leaves: usize,
    expressions: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { leaves: LEAVES_MAX, expressions: EXPRESSIONS_MAX }
    }
}

impl Allowance {
    fn leaf(&mut self) -> Result<(), Problem> {
        self.leaves = self.leaves.checked_sub(1).ok_or(Problem::Leaves { max: LEAVES_MAX })?;
        Ok(())
    }

    fn expression(&mut self) -> Result<(), Problem> {
        let problem = Problem::Expressions { max: EXPRESSIONS_MAX };
        self.expressions = self.expressions.checked_sub(1).ok_or(problem)?;
        Ok(())
    }
}

/// `{"$op": value}`, or the same under `$or`, `$and`, `$not`; `"$ex"` and `"$nex"` alone.
pub(super) fn condition(
    value: &Json,
    dialect: Dialect,
    depth: usize,
    left: &mut Allowance,
) -> Result<Expression<Test>, Problem> {
    // As clients write it that leave out what is null.
    if let Json::Text(op) = value
        && (op == "$ex" || op == "$nex")
    {
        left.leaf()?;
        return Ok(Expression::Leaf(presence(op == "$ex")));
    }
    let Json::Object(members) = value else {
        return Err(Problem::Kind { expected: "an object with one operator", found: value.kind() });
    };
    let depth = depth.checked_sub(1).ok_or(Problem::Depth { max: super::DEPTH_MAX })?;
    let [(op, operand)] = members.as_slice() else { return Err(Problem::Operators { count: members.len() }) };
    let mut parts = || match operand {
        Json::List(items) if !items.is_empty() => {
            items.iter().map(|item| condition(item, dialect, depth, left)).collect()
        }
        Json::List(_) => Err(Problem::Empty),
        other => Err(Problem::Operand { op: op.clone(), expected: "a list of conditions", found: other.kind() }),
    };
    match op.as_str() {
        "$or" => Ok(Expression::Any(parts()?)),
        "$and" => Ok(Expression::All(parts()?)),
        "$not" => Ok(Expression::Not(Box::new(condition(operand, dialect, depth, left)?))),
        op => {
            left.leaf()?;
            test(op, operand, dialect, left).map(Expression::Leaf)
        }
    }
}

fn test(op: &str, operand: &Json, dialect: Dialect, left: &mut Allowance) -> Result<Test, Problem> {
    use Bound::Excluded;
    use Bound::Included;
    use Bound::Unbounded;
    Ok(match op {
        "$eq" => match operand {
            Json::List(items) => list(op, items, true)?,
            _ => match literal(op, operand)? {
                Literal::Number(n) => numbers(vec![(Included(n), Included(n))]),
                Literal::Text(text) => Test::one_of(vec![text]),
                Literal::Boolean(value) => Test::Booleans { yes: value, no: !value },
            },
        },
        "$neq" => match operand {
            Json::List(items) => list(op, items, false)?,
            _ => match literal(op, operand)? {
                Literal::Number(n) => {
                    Test::Numbers { ranges: vec![(Unbounded, Excluded(n)), (Excluded(n), Unbounded)], nan: true }
                }
                Literal::Text(t) => Test::Texts(vec![(Unbounded, Excluded(t.clone())), (Excluded(t), Unbounded)]),
                Literal::Boolean(value) => Test::Booleans { yes: !value, no: value },
            },
        },
        "$lt" | "$leq" | "$gt" | "$geq" => match literal(op, operand)? {
            Literal::Number(n) => numbers(vec![half(op, n)]),
            Literal::Text(text) => Test::Texts(vec![half(op, text)]),
            Literal::Boolean(_) => return Err(operand_problem(op, "a number or a text", operand)),
        },
        "$between" | "$outside" => range(op, operand)?,
        "$in" => one_of(op, operand)?,
        "$match" => match operand {
            Json::Text(text) => {
                let pattern = match dialect {
                    Dialect::Glob => Pattern::glob(text),
                    Dialect::Search => {
                        left.expression()?;
                        Pattern::search(text)
                    }
                };
                Test::Match(pattern.map_err(|cause: PatternError| Problem::Pattern { op: op.to_owned(), cause })?)
            }
            other => return Err(operand_problem(op, "a text", other)),
        },
        "$ex" | "$nex" => match operand {
            Json::Null => presence(op == "$ex"),
            Json::Boolean(yes) => presence((op == "$ex") == *yes),
            other => return Err(operand_problem(op, "null", other)),
        },
        other => return Err(Problem::UnknownOperator(other.chars().take(80).collect())),
    })
}

fn presence(exists: bool) -> Test {
    if exists { Test::Exists } else { Test::Missing }
}

fn operand_problem(op: &str, expected: &'static str, found: &Json) -> Problem {
    Problem::Operand { op: op.to_owned(), expected, found: found.kind() }
}

fn numbers(ranges: Vec<(Bound<Number>, Bound<Number>)>) -> Test {
    Test::Numbers { ranges, nan: false }
}

fn half<T>(op: &str, value: T) -> (Bound<T>, Bound<T>) {
    match op {
        "$lt" => (Bound::Unbounded, Bound::Excluded(value)),
        "$leq" => (Bound::Unbounded, Bound::Included(value)),
        "$gt" => (Bound::Excluded(value), Bound::Unbounded),
        _ => (Bound::Included(value), Bound::Unbounded),
    }
}

fn literal(op: &str, value: &Json) -> Result<Literal, Problem> {
    match value {
        Json::Number(n) => Ok(Literal::Number(*n)),
        Json::Text(text) => Ok(Literal::Text(text.clone())),
        Json::Boolean(value) => Ok(Literal::Boolean(*value)),
        other => Err(operand_problem(op, "a number, a text or a boolean", other)),
    }
}

fn list(op: &str, items: &[Json], equal: bool) -> Result<Test, Problem> {
    if items.len() > LIST_ITEMS_MAX {
        return Err(Problem::Items { op: op.to_owned(), count: items.len(), max: LIST_ITEMS_MAX });
    }
    let items = items.iter().map(|item| literal(op, item)).collect::<Result<_, _>>()?;
    Ok(Test::List { items, equal })
}

fn range(op: &str, operand: &Json) -> Result<Test, Problem> {
    let expected = "a list of two numbers or two texts, the low one first";
    let Json::List(items) = operand else { return Err(operand_problem(op, expected, operand)) };
    let [low, high] = items.as_slice() else { return Err(operand_problem(op, expected, operand)) };
    let inside = op == "$between";
    match (low, high) {
        (Json::Number(low), Json::Number(high)) => {
            let (low, high) = (*low, *high);
            Ok(numbers(match inside {
                true => vec![(Bound::Included(low), Bound::Included(high))],
                false => vec![(Bound::Unbounded, Bound::Excluded(low)), (Bound::Excluded(high), Bound::Unbounded)],
            }))
        }
        (Json::Text(low), Json::Text(high)) => {
            let (low, high) = (low.clone(), high.clone());
            Ok(Test::Texts(match inside {
                true if low > high => Vec::new(),
                true => vec![(Bound::Included(low), Bound::Included(high))],
                // Whatever is not below the first is above the second.
                false if low > high => vec![(Bound::Unbounded, Bound::Unbounded)],
                false => vec![(Bound::Unbounded, Bound::Excluded(low)), (Bound::Excluded(high), Bound::Unbounded)],
            }))
        }
        (Json::Number(_), Json::Text(_)) | (Json::Text(_), Json::Number(_)) => {
            Err(Problem::Mixed { op: op.to_owned() })
        }
        (Json::Number(_) | Json::Text(_), other) | (other, _) => Err(operand_problem(op, expected, other)),
    }
}

fn one_of(op: &str, operand: &Json) -> Result<Test, Problem> {
    let Json::List(items) = operand else { return Err(operand_problem(op, "a list", operand)) };
    let (mut texts, mut points, mut yes, mut no) = (Vec::new(), Vec::new(), false, false);
    for item in items {
        match literal(op, item)? {
            Literal::Number(n) => points.push(n),
            Literal::Text(text) => texts.push(text),
            Literal::Boolean(true) => yes = true,
            Literal::Boolean(false) => no = true,
        }
    }
    match (texts.is_empty(), points.is_empty(), yes || no) {
        (_, true, false) => Ok(Test::one_of(texts)),
        (true, false, false) => Ok(Test::one_of_numbers(points)),
        (true, true, true) => Ok(Test::Booleans { yes, no }),
        _ => Err(Problem::Mixed { op: op.to_owned() }),
    }
}
