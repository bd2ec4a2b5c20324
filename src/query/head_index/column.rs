//! Distinct values under one path of keys, and who has which.

use std::collections::HashMap;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

use super::super::ast::MetadataStep;
use super::super::head::number;
use super::super::json::Json;
use super::super::json::Twice;
use crate::model::Number;
use crate::model::Test;
use crate::model::UserMetadata;

/// Above this many paths of keys there is no index: somebody makes a key of what should be a value.
const PATHS_MAX: usize = 16 << 10;

/// About what one of these takes, with the tables that find it.
const VALUE_BYTES: usize = 64;
const COLUMN_BYTES: usize = 256;
const HOLDER_BYTES: usize = 10;

/// Longer texts are not kept: a pattern takes its time with each.
const TEXT_BYTES_MAX: usize = 1 << 10;

/// In the place of a value: something is there, and it has none of its own.
const CONTAINER: u32 = 0;

/// The columns of one kind of heads.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub by_path: HashMap<Vec<Box<str>>, usize>,
    pub all: Vec<Column<Value>>,
}

/// Distinct values, and which sequence has which of them.
#[derive(Debug)]
pub(super) struct Column<V> {
    pub values: Vec<V>,
    /// Position of a sequence, and of its value plus one.
    pub holders: Vec<(u32, u32)>,
    known: HashMap<u64, u32>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Text(Box<str>),
    /// A text that is too long to be kept: it may be any.
    LongText,
    Number(Number),
    Boolean(bool),
}

impl<V> Default for Column<V> {
    fn default() -> Self {
        Self { values: Vec::new(), holders: Vec::new(), known: HashMap::new() }
    }
}

impl Columns {
    /// Whether there are more paths than it takes.
    pub fn is_full(&self) -> bool {
        self.all.len() > PATHS_MAX
    }

    /// Returns the bytes that it took.
    pub fn add(&mut self, position: u32, metadata: &UserMetadata) -> usize {
        // As `Metadata` reads it: what is no JSON has nothing to find.
        match Json::parse(metadata.as_str().as_bytes(), Twice::LastCounts) {
            Ok(json) => self.descend(position, &mut Vec::new(), json),
            Err(_) => 0,
        }
    }

    /// Keys make the path. Lists are looked through, as conditions do.
    fn descend(&mut self, position: u32, path: &mut Vec<Box<str>>, json: Json) -> usize {
        let value = match json {
            Json::Null => return 0,
            Json::Boolean(value) => Value::Boolean(value),
            Json::Number(number) => Value::Number(number),
            Json::Text(text) => Value::text(&text),
            Json::List(items) => {
                let own = self.hold(position, path, None);
                return items.into_iter().fold(own, |bytes, item| bytes + self.descend(position, path, item));
            }
            Json::Object(members) => {
                let mut bytes = self.hold(position, path, None);
                for (key, item) in members {
                    path.push(key.into());
                    bytes += self.descend(position, path, item);
                    path.pop();
                }
                return bytes;
            }
        };
        self.hold(position, path, Some(value))
    }

    fn hold(&mut self, position: u32, path: &[Box<str>], value: Option<Value>) -> usize {
        let mut bytes = 0;
        let at = match self.by_path.get(path) {
            Some(at) => *at,
            // A server with that many is not asked any more.
            None if self.is_full() => return 0,
            None => {
                bytes += COLUMN_BYTES + path.iter().map(|key| key.len() + size_of::<Box<str>>()).sum::<usize>();
                self.by_path.insert(path.to_vec(), self.all.len());
                self.all.push(Column::default());
                self.all.len() - 1
            }
        };
        let Some(column) = self.all.get_mut(at) else { return bytes };
        bytes
            + match value {
                Some(value) => column.add_value(position, value),
                None => column.hold(position, CONTAINER),
            }
    }
}

impl Column<Value> {
    pub fn add_value(&mut self, position: u32, value: Value) -> usize {
        let len = if let Value::Text(text) = &value { text.len() } else { 0 };
        let digest = value.digest();
        self.add(position, value, digest, VALUE_BYTES + len)
    }
}

impl<V: PartialEq> Column<V> {
    /// * `digest`: the same for the same value.
    /// * `bytes`: of a value that it does not have yet.
    pub fn add(&mut self, position: u32, value: V, digest: u64, bytes: usize) -> usize {
        let known = self.known.get(&digest).copied();
        let same = |at: &u32| self.values.get(*at as usize - 1) == Some(&value);
        if let Some(at) = known.filter(same) {
            return self.hold(position, at);
        }
        self.values.push(value);
        let at = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        // Of two values with one digest the first is found; the other is kept as often as it comes.
        self.known.entry(digest).or_insert(at);
        bytes + self.hold(position, at)
    }
}

impl<V> Column<V> {
    fn hold(&mut self, position: u32, value: u32) -> usize {
        if self.holders.last() == Some(&(position, value)) {
            return 0;
        }
        self.holders.push((position, value));
        HOLDER_BYTES
    }
}

impl Value {
    pub fn text(text: &str) -> Self {
        if text.len() > TEXT_BYTES_MAX { Self::LongText } else { Self::Text(text.into()) }
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        match self {
            Self::Text(text) => (0u8, text).hash(&mut hasher),
            Self::LongText => 4u8.hash(&mut hasher),
            Self::Boolean(value) => (1u8, value).hash(&mut hasher),
            Self::Number(Number::Integer(n)) => (2u8, n).hash(&mut hasher),
            Self::Number(Number::Float(x)) => (3u8, x.to_bits()).hash(&mut hasher),
        }
        hasher.finish()
    }

    /// As `head` has it, of one value.
    pub fn passes(&self, test: &Test) -> bool {
        match self {
            Self::Text(text) => test.text(text),
            Self::LongText => matches!(test, Test::Texts(_) | Test::Match(_) | Test::Exists),
            Self::Number(n) => number(test, *n),
            Self::Boolean(value) => test.boolean(*value),
        }
    }
}

/// Whether steps may lead along these keys. Lists and their elements have no keys.
pub(super) fn leads_to(steps: &[MetadataStep], path: &[Box<str>]) -> bool {
    // Where the steps seen so far may have led: behind so many keys.
    let mut reached = vec![false; path.len() + 1];
    if let Some(root) = reached.first_mut() {
        *root = true;
    }
    for step in steps {
        match step {
            MetadataStep::Items => {}
            MetadataStep::AnyDepth => {
                let first = reached.iter().position(|reached| *reached).unwrap_or(reached.len());
                reached.iter_mut().skip(first).for_each(|reached| *reached = true);
            }
            MetadataStep::Key(_) | MetadataStep::AnyKey => {
                let fits = |own: &str| match step {
                    MetadataStep::Key(key) => key == own,
                    _ => true,
                };
                let behind = |(before, own): (&bool, &str)| *before && fits(own);
                reached = std::iter::once(false)
                    .chain(reached.iter().zip(path.iter().map(AsRef::as_ref)).map(behind))
                    .collect();
            }
        }
    }
    reached.last() == Some(&true)
}
