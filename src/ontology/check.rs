//! The check itself: a stream's schema against the tag of its topic.

use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::Schema;
use serde::Deserialize;
use serde::Serialize;

use super::Difference;
use super::difference::Kind;
use super::difference::differences;
use super::difference::named;
use super::difference::show;
use super::difference::type_differences;
use super::table;
use super::table::Models;
use crate::model::OntologyTag;

const TIMESTAMP: &str = "timestamp_ns";

/// Columns that SDKs up to 0.5 put beside those of every model: no part of it.
const ENVELOPE: [&str; 3] = ["recording_timestamp_ns", "frame_id", "sequence_id"];

/// How much a stream may differ from the model of its tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// As `known`, and every field of the model must be there with its type.
    Strict,
    /// Refuses what is certainly another model: see [`Ontology::check`].
    #[default]
    Known,
    /// Only `timestamp_ns` is looked at.
    Open,
}

/// Why a stream may not go into its topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("the stream has no column timestamp_ns: every stream needs it, as int64 nanoseconds")]
    TimestampMissing,
    #[error("column timestamp_ns: expected int64, found {found}")]
    TimestampType { found: String },
    #[error("the stream has {count} columns timestamp_ns: expected one")]
    TimestampRepeated { count: usize },
    #[error(
        "the stream has the schema of {other}, the topic is declared as {tag}: field {}: expected {}, found {}",
        .difference.field, .difference.expected, .difference.found
    )]
    OtherModel { tag: OntologyTag, other: String, difference: Difference },
    #[error(
        "the stream does not fit {tag}: required field {}: expected {}, found {}",
        .difference.field, .difference.expected, .difference.found
    )]
    Retyped { tag: OntologyTag, difference: Difference },
    #[error(
        "the stream has no field of {tag}: field {}: expected {}, found {}",
        .difference.field, .difference.expected, .difference.found
    )]
    NothingShared { tag: OntologyTag, difference: Difference },
    #[error(
        "the stream is not all of {tag}, as the strict check asks: field {}: expected {}, found {}",
        .difference.field, .difference.expected, .difference.found
    )]
    Incomplete { tag: OntologyTag, difference: Difference },
}

/// The models we know.
#[derive(Debug)]
pub struct Ontology {
    models: Models,
}

impl Ontology {
    /// The 60 models of SDK 0.7.0.
    #[expect(clippy::expect_used, reason = "the table is part of the binary and a test reads it")]
    pub fn builtin() -> Self {
        Self { models: table::parse(table::MODELS_0_7_0).expect("the built-in table of models") }
    }

    /// Tags of all models, in alphabetical order.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The schema a stream of this model has when the SDK sends it; `None` for a tag we do not know.
    pub fn schema(&self, tag: &str) -> Option<Schema> {
        let timestamp = Arc::new(Field::new(TIMESTAMP, DataType::Int64, false));
        let fields = self.models.get(tag)?.iter().cloned();
        Some(Schema::new(std::iter::once(timestamp).chain(fields).collect::<Fields>()))
    }

    /// Whether a stream of `schema` may go into a topic of `tag`.
    ///
    /// Always: one column `timestamp_ns` of int64. It may be declared nullable, as some writers cannot do otherwise;
    /// that it holds no null is checked on the rows. A tag we do not know takes anything else. For one we know, and
    /// unless `Open`, a stream is refused when it
    /// * is not of the tag's own model but is of another one (models that look alike cannot be told apart, and pass),
    /// * or has a required field of the model with another type,
    /// * or shares no field with the model (the empty model `Unmodeled` shares with all);
    /// * `Strict`: or lacks a field of the model, or has any with another type.
    ///
    /// # Errors
    /// [`SchemaError`] with the first field that differs, in the model's order.
    pub fn check(&self, tag: &OntologyTag, schema: &Schema, strictness: Strictness) -> Result<(), SchemaError> {
        check_timestamp(schema)?;
        let Some(model) = self.models.get(tag.as_str()).filter(|_| strictness != Strictness::Open) else {
            return Ok(());
        };
        let stream: Fields = schema.fields().iter().filter(|field| field.name() != TIMESTAMP).cloned().collect();
        let list = model_differences(model, &stream);
        let Some((_, first)) = list.first() else {
            return Ok(());
        };
        let (tag, first) = (tag.clone(), first.clone());
        // The empty model says nothing about what it is not, so it is no other model.
        let is = |other: &Fields| !other.is_empty() && model_differences(other, &stream).is_empty();
        if let Some((other, _)) = self.models.iter().find(|(_, other)| is(other)) {
            return Err(SchemaError::OtherModel { tag, other: other.clone(), difference: first });
        }
        if let Some(difference) = required_retyped(model, &stream) {
            return Err(SchemaError::Retyped { tag, difference });
        }
        let shared = |field: &Arc<Field>| {
            let fits = |other: &Field| fits(field.data_type(), other.data_type());
            named(&stream, field.name()).is_some_and(fits)
        };
        if !model.is_empty() && !model.iter().any(shared) {
            return Err(SchemaError::NothingShared { tag, difference: first });
        }
        match list.into_iter().find(|(kind, _)| *kind != Kind::Extra) {
            Some((_, difference)) if strictness == Strictness::Strict => {
                Err(SchemaError::Incomplete { tag, difference })
            }
            _ => Ok(()),
        }
    }
}

/// All differences but the envelope of older SDKs, which is no difference unless the model has a field of that name.
fn model_differences(model: &Fields, stream: &Fields) -> Vec<(Kind, Difference)> {
    let mut list = differences(model, stream, "");
    list.retain(|(kind, difference)| *kind != Kind::Extra || !ENVELOPE.contains(&difference.field.as_str()));
    list
}

/// The first difference of type inside a field that is never null. Members of structs may be missing or more:
/// versions of one model differ so.
fn required_retyped(model: &Fields, stream: &Fields) -> Option<Difference> {
    let required = model.iter().filter(|field| !field.is_nullable());
    required
        .filter_map(|field| Some((field, named(stream, field.name())?)))
        .flat_map(|(field, other)| type_differences(field.data_type(), other.data_type(), field.name()))
        .find_map(|(kind, difference)| (kind == Kind::Retyped).then_some(difference))
}

/// Whether nothing that both have differs in type.
fn fits(expected: &DataType, found: &DataType) -> bool {
    type_differences(expected, found, "").iter().all(|(kind, _)| *kind != Kind::Retyped)
}

fn check_timestamp(schema: &Schema) -> Result<(), SchemaError> {
    let mut columns = schema.fields().iter().filter(|field| field.name() == TIMESTAMP);
    let first = columns.next().ok_or(SchemaError::TimestampMissing)?;
    match columns.count() {
        0 if *first.data_type() == DataType::Int64 => Ok(()),
        0 => Err(SchemaError::TimestampType { found: show(first.data_type(), 0) }),
        more => Err(SchemaError::TimestampRepeated { count: more + 1 }),
    }
}

#[cfg(test)]
mod tests;
