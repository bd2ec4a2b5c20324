//! Names, times and metadata of many sequences and their topics, in columns: which sequences a query could be about, without
//! looking at each.
//!
//! Per path of keys into metadata there is a column of the values found there, each distinct one once, and of who has it. A
//! test is asked of the distinct values, so every operator is; a sequence whose topic has a fitting value fits.
//!
//! It only ever leaves out. A sequence that is deleted stays, as does a value that it no longer has; `not`, a missing value
//! and a locator leave nothing out at all. Whoever asks confirms what it is told.

use std::collections::HashMap;

use super::ast::Block;
use super::ast::HeadField;
use super::ast::HeadTest;
use super::ast::MetadataStep;
use super::ast::TagPredicate;
use super::head::number;
use crate::model::Expression;
use crate::model::Number;
use crate::model::Test;
use crate::model::TopicId;
use crate::model::UserMetadata;

mod column;
mod set;

use column::Column;
use column::Columns;
use column::Value;
use column::leads_to;
use set::Set;

/// About what a sequence or a topic takes, with the tables that find it.
const SEQUENCE_BYTES: usize = 96;
const TOPIC_BYTES: usize = 32;
const CREATED_BYTES: usize = 32;

/// Values that are asked between two looks at whether anybody still waits.
const VALUES_BETWEEN: usize = 256;

#[derive(Debug, Default)]
pub struct HeadIndex {
    /// Position of a sequence by its number in the catalog.
    positions: HashMap<i64, u32>,
    numbers: Vec<i64>,
    names: Vec<Box<str>>,
    created: Vec<i64>,
    topics_created: Column<i64>,
    paths: Column<Value>,
    tags: Column<Value>,
    /// By tag: positions of sequences, and the topics they have with it.
    tagged: HashMap<Box<str>, Vec<(u32, TopicId)>>,
    formats: Column<Value>,
    of_sequences: Columns,
    of_topics: Columns,
    bytes: usize,
}

/// Whether a topic could have a row for a predicate.
pub type May<'a> = &'a dyn Fn(&TagPredicate, TopicId) -> bool;

/// A topic as the index takes it.
#[derive(Clone, Copy, Debug)]
pub struct TopicEntry<'a> {
    pub id: TopicId,
    /// Number of its sequence in the catalog.
    pub sequence: i64,
    pub path: &'a str,
    pub tag: &'a str,
    pub format: &'a str,
    pub created_at_ns: i64,
    pub metadata: &'a UserMetadata,
}

impl HeadIndex {
    /// Takes in a sequence, or what has come in the place of one that is gone. False once there is no room: such an index
    /// must not be asked any more.
    ///
    /// * `number`: its number in the catalog.
    pub fn add_sequence(&mut self, number: i64, name: &str, created_at_ns: i64, metadata: &UserMetadata) -> bool {
        let Ok(next) = u32::try_from(self.numbers.len()) else { return false };
        let position = *self.positions.entry(number).or_insert(next);
        let at = position as usize;
        match (self.names.get_mut(at), self.created.get_mut(at)) {
            (Some(known), Some(created)) => (*known, *created) = (name.into(), created_at_ns),
            _ => {
                self.numbers.push(number);
                self.names.push(name.into());
                self.created.push(created_at_ns);
            }
        }
        self.bytes += SEQUENCE_BYTES + name.len() + self.of_sequences.add(position, metadata);
        !self.of_sequences.is_full()
    }

    /// Takes in a topic; one of a sequence that it does not know is left out. False once there is no room.
    pub fn add_topic(&mut self, topic: &TopicEntry) -> bool {
        let Some(position) = self.positions.get(&topic.sequence).copied() else { return true };
        let text = Value::text;
        match self.tagged.get_mut(topic.tag) {
            Some(own) => own.push((position, topic.id)),
            None => drop(self.tagged.insert(topic.tag.into(), vec![(position, topic.id)])),
        }
        self.bytes += TOPIC_BYTES;
        self.bytes +=
            self.topics_created.add(position, topic.created_at_ns, topic.created_at_ns.cast_unsigned(), CREATED_BYTES)
                + self.paths.add_value(position, Value::text(&format!("/{}", topic.path)))
                + self.tags.add_value(position, text(topic.tag))
                + self.formats.add_value(position, text(topic.format))
                + self.of_topics.add(position, topic.metadata);
        !self.of_topics.is_full()
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers of the sequences that a query with this root could be about, by name; all others are not what it asks for.
    ///
    /// * `may`: whether a topic with the tag could have a row that satisfies the predicate.
    /// * `stop`: asked every now and then; true when nobody waits for the answer any more, which then may be any.
    ///
    /// Cost: each distinct value of the columns that are asked, a bit per sequence, and a call of `may` per topic with a tag
    /// that rows are asked of, where nothing before has left its sequence out.
    pub fn candidates(&self, root: &Block, may: May, stop: &dyn Fn() -> bool) -> Vec<i64> {
        let mut found: Vec<u32> = Question { index: self, may, stop }.block(root).positions().collect();
        found.sort_by_key(|position| self.names.get(*position as usize));
        found.into_iter().filter_map(|position| self.numbers.get(position as usize).copied()).collect()
    }
}

/// One question on its way through the index.
struct Question<'a> {
    index: &'a HeadIndex,
    may: May<'a>,
    stop: &'a dyn Fn() -> bool,
}

impl Question<'_> {
    /// Whether to go on, asked now and then.
    fn is_over(&self, at: usize) -> bool {
        at.is_multiple_of(VALUES_BETWEEN) && (self.stop)()
    }

    fn all(&self) -> Set {
        Set::all(self.index.numbers.len())
    }

    fn none(&self) -> Set {
        Set::none(self.index.numbers.len())
    }

    fn block(&self, block: &Block) -> Set {
        let mut found = self.all();
        block.sequence.iter().for_each(|own| found.keep(&self.expression(own, Scope::Sequence)));
        block.topic.iter().for_each(|own| found.keep(&self.expression(own, Scope::Topic)));
        for own in &block.ontology {
            let mut having = self.none();
            for (at, (position, topic)) in self.index.tagged.get(own.tag.as_str()).into_iter().flatten().enumerate() {
                if self.is_over(at) {
                    return having;
                }
                if found.has(*position) && !having.has(*position) && (self.may)(own, *topic) {
                    having.add(*position);
                }
            }
            found.keep(&having);
        }
        for parts in &block.any {
            let mut either = self.none();
            parts.iter().for_each(|part| either.add_all(&self.block(part)));
            found.keep(&either);
        }
        block.all.iter().for_each(|part| found.keep(&self.block(part)));
        // What a part that must not hold leaves out is only known of topics.
        found
    }

    fn expression(&self, own: &Expression<HeadTest>, scope: Scope) -> Set {
        match own {
            Expression::All(parts) => {
                let mut found = self.all();
                parts.iter().for_each(|part| found.keep(&self.expression(part, scope)));
                found
            }
            Expression::Any(parts) => {
                let mut found = self.none();
                parts.iter().for_each(|part| found.add_all(&self.expression(part, scope)));
                found
            }
            Expression::Not(_) => self.all(),
            Expression::Leaf(HeadTest { field, test }) => self.leaf(field, test, scope),
        }
    }

    fn leaf(&self, field: &HeadField, test: &Test, scope: Scope) -> Set {
        if *test == Test::Missing {
            return self.all();
        }
        let passes = |value: &Value| value.passes(test);
        match (field, scope) {
            // A sequence's locator is its name.
            (HeadField::Name | HeadField::Locator, Scope::Sequence) => {
                self.positions(&self.index.names, |name| test.text(name))
            }
            (HeadField::CreatedAt, Scope::Sequence) => {
                self.positions(&self.index.created, |at| number(test, Number::Integer((*at).into())))
            }
            (HeadField::CreatedAt, Scope::Topic) => {
                self.held(&self.index.topics_created, |at| number(test, Number::Integer((*at).into())))
            }
            (HeadField::Name, Scope::Topic) => self.held(&self.index.paths, passes),
            (HeadField::Tag, Scope::Topic) => self.held(&self.index.tags, passes),
            (HeadField::Format, Scope::Topic) => self.held(&self.index.formats, passes),
            (HeadField::Metadata(steps), scope) => {
                let columns = match scope {
                    Scope::Sequence => &self.index.of_sequences,
                    Scope::Topic => &self.index.of_topics,
                };
                self.metadata(columns, steps, test)
            }
            // A locator has its sequence in it; sequences have neither tag nor format.
            (HeadField::Locator, Scope::Topic) | (HeadField::Tag | HeadField::Format, Scope::Sequence) => self.all(),
        }
    }

    fn metadata(&self, columns: &Columns, steps: &[MetadataStep], test: &Test) -> Set {
        // What is asked of an object or a list as a whole is not kept, but that there is one.
        let whole = matches!(test, Test::Exists | Test::List { .. });
        if whole && leads_to(steps, &[]) {
            return self.all();
        }
        let mut found = self.none();
        for (_, column) in columns.by_path.iter().filter(|(path, _)| leads_to(steps, path)) {
            let Some(column) = columns.all.get(*column) else { continue };
            match whole {
                true => column.holders.iter().for_each(|(position, _)| found.add(*position)),
                false => found.add_all(&self.held(column, |value| value.passes(test))),
            }
        }
        found
    }

    fn positions<V>(&self, values: &[V], passes: impl Fn(&V) -> bool) -> Set {
        let mut found = self.none();
        let hits =
            (0u32..).zip(values).take_while(|(at, _)| !self.is_over(*at as usize)).filter(|(_, value)| passes(value));
        hits.for_each(|(position, _)| found.add(position));
        found
    }

    fn held<V>(&self, column: &Column<V>, passes: impl Fn(&V) -> bool) -> Set {
        let mut found = self.none();
        let values = column.values.iter().enumerate().take_while(|(at, _)| !self.is_over(*at));
        let passing: Vec<bool> = values.map(|(_, value)| passes(value)).collect();
        if passing.iter().any(|passes| *passes) {
            let hit = |(_, value): &&(u32, u32)| {
                let at = value.checked_sub(1).and_then(|at| passing.get(at as usize));
                at.is_some_and(|passes| *passes)
            };
            column.holders.iter().filter(hit).for_each(|(position, _)| found.add(*position));
        }
        found
    }
}

/// Of what a head is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    Sequence,
    Topic,
}

#[cfg(test)]
mod tests;
