//! What a question asks of rows and of metadata, checked. `query` makes it out of what a client sent and evaluates it.

use std::ops::Bound;

use super::Number;
use super::NumberRange;
use super::Pattern;

/// Leaves joined by and, or, not. No leaf at all holds everywhere under `All`, nowhere under `Any`.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression<L> {
    All(Vec<Expression<L>>),
    Any(Vec<Expression<L>>),
    Not(Box<Expression<L>>),
    Leaf(L),
}

/// What must hold of a row of one topic.
pub type Predicate = Expression<ColumnTest>;

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnTest {
    /// Not empty.
    pub path: Vec<Step>,
    pub test: Test,
}

/// One field on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    pub name: String,
    /// Of a field that is a list: which elements are meant.
    pub item: Option<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// Counted from 0.
    Index(u64),
    Any,
    All,
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Number(Number),
    Text(String),
    Boolean(bool),
}

/// Texts between two bounds, in the order of their bytes.
pub type TextRange = (Bound<String>, Bound<String>);

/// What must hold of a value. A value of another kind satisfies no test, nor does null but [`Test::Missing`].
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// In one of the ranges.
    Numbers {
        /// Ascending, none over another.
        ranges: Vec<NumberRange>,
        /// Whether NaN, which is in no range, satisfies it: it differs from every number.
        nan: bool,
    },
    /// In one of the ranges, which ascend and do not overlap.
    Texts(Vec<TextRange>),
    Match(Pattern),
    Booleans {
        yes: bool,
        no: bool,
    },
    /// A list that has exactly these elements, or is there and has others.
    List {
        items: Vec<Literal>,
        equal: bool,
    },
    Exists,
    Missing,
}

impl<L> Expression<L> {
    pub fn leaves(&self) -> Box<dyn Iterator<Item = &L> + '_> {
        match self {
            Self::All(parts) | Self::Any(parts) => Box::new(parts.iter().flat_map(Self::leaves)),
            Self::Not(part) => part.leaves(),
            Self::Leaf(leaf) => Box::new(std::iter::once(leaf)),
        }
    }

    /// Whether it holds, where `leaf` says so of each leaf.
    pub fn holds(&self, leaf: &mut impl FnMut(&L) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(leaf)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(leaf)),
            Self::Not(part) => !part.holds(leaf),
            Self::Leaf(own) => leaf(own),
        }
    }
}

impl Test {
    /// Texts that are one of these.
    pub fn one_of(mut texts: Vec<String>) -> Self {
        texts.sort_unstable();
        texts.dedup();
        Self::Texts(texts.into_iter().map(|text| (Bound::Included(text.clone()), Bound::Included(text))).collect())
    }

    /// Numbers that are one of these.
    pub fn one_of_numbers(mut numbers: Vec<Number>) -> Self {
        numbers.sort_unstable_by(|a, b| a.total_cmp(*b));
        numbers.dedup();
        let ranges = numbers.into_iter().map(|number| (Bound::Included(number), Bound::Included(number))).collect();
        Self::Numbers { ranges, nan: false }
    }

    /// Whether a text satisfies it.
    pub fn text(&self, text: &str) -> bool {
        match self {
            Self::Texts(ranges) => text_in(ranges, text),
            Self::Match(pattern) => pattern.matches(text),
            Self::Exists => true,
            Self::Numbers { .. } | Self::Booleans { .. } | Self::List { .. } | Self::Missing => false,
        }
    }

    pub fn boolean(&self, value: bool) -> bool {
        match self {
            Self::Booleans { yes, no } => (value && *yes) || (!value && *no),
            Self::Exists => true,
            Self::Numbers { .. } | Self::Texts(_) | Self::Match(_) | Self::List { .. } | Self::Missing => false,
        }
    }
}

/// Whether `text` lies in one of the ranges, which ascend.
pub fn text_in(ranges: &[TextRange], text: &str) -> bool {
    let begins = |range: &TextRange| match &range.0 {
        Bound::Unbounded => true,
        Bound::Included(low) => low.as_str() <= text,
        Bound::Excluded(low) => low.as_str() < text,
    };
    let last = ranges.partition_point(begins).checked_sub(1).and_then(|at| ranges.get(at));
    last.is_some_and(|range| match &range.1 {
        Bound::Unbounded => true,
        Bound::Included(high) => text <= high.as_str(),
        Bound::Excluded(high) => text < high.as_str(),
    })
}
