//! The table of models: a line each, `Name = field: type, field: type!`.
//!
//! Types are Arrow's names of fixed-width types, `utf8`, `binary`, `list<T>`, `list<T; n>` for lists of exactly n items,
//! and `@Name` for a struct with the fields of a model further up. `!` marks what is never null. `#` begins a comment.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;

/// The models of SDK 0.7.0.
pub(super) const MODELS_0_7_0: &str = include_str!("models-0.7.0.txt");

/// Fields of every model by its tag, without `timestamp_ns`.
pub(super) type Models = BTreeMap<String, Fields>;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("model table, line {line}: expected {expected} at {found:?}")]
pub(super) struct TableError {
    line: usize, // from 1
    expected: &'static str,
    found: String,
}

/// Reads a table.
///
/// # Errors
/// [`TableError`] with the line, and the text from where it could not be read.
pub(super) fn parse(text: &str) -> Result<Models, TableError> {
    let mut models = Models::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut reader = Reader { rest: line, models: &models };
        let (name, fields) = reader.model().map_err(|expected| TableError {
            line: index + 1,
            expected,
            found: reader.rest.to_owned(),
        })?;
        models.insert(name, fields);
    }
    Ok(models)
}

/// What was expected where reading stopped.
type Expected = &'static str;

struct Reader<'a> {
    rest: &'a str,
    models: &'a Models,
}

impl<'a> Reader<'a> {
    fn model(&mut self) -> Result<(String, Fields), Expected> {
        let name = self.word("the name of a model")?;
        if self.models.contains_key(name) {
            return Err("a model that is not defined above");
        }
        self.mark('=', "'='")?;
        let mut fields: Vec<Field> = Vec::new();
        while !self.rest.is_empty() {
            if !fields.is_empty() {
                self.mark(',', "',' or the end of the line")?;
            }
            let field = self.field()?;
            if fields.iter().any(|other| other.name() == field.name()) {
                return Err("every field once");
            }
            fields.push(field);
        }
        Ok((name.to_owned(), fields.into()))
    }

    fn field(&mut self) -> Result<Field, Expected> {
        let name = self.word("the name of a field")?;
        self.mark(':', "':'")?;
        let data_type = self.data_type()?;
        let nullable = self.mark('!', "").is_err();
        Ok(Field::new(name, data_type, nullable))
    }

    fn data_type(&mut self) -> Result<DataType, Expected> {
        if self.mark('@', "").is_ok() {
            let name = self.word("the name of a model")?;
            let fields = self.models.get(name).ok_or("a model that is defined above")?;
            return Ok(DataType::Struct(fields.clone()));
        }
        Ok(match self.word("a type")? {
            "bool" => DataType::Boolean,
            "int8" => DataType::Int8,
            "int16" => DataType::Int16,
            "int32" => DataType::Int32,
            "int64" => DataType::Int64,
            "uint8" => DataType::UInt8,
            "uint16" => DataType::UInt16,
            "uint32" => DataType::UInt32,
            "uint64" => DataType::UInt64,
            "float16" => DataType::Float16,
            "float32" => DataType::Float32,
            "float64" => DataType::Float64,
            "utf8" => DataType::Utf8,
            "binary" => DataType::Binary,
            "list" => return self.list(),
            _ => return Err("a known type before this"),
        })
    }

    /// `<T>` or `<T; n>`. Items are called `item` and may be null, as in every schema the SDK makes.
    fn list(&mut self) -> Result<DataType, Expected> {
        self.mark('<', "'<'")?;
        let item = Arc::new(Field::new("item", self.data_type()?, true));
        let list = match self.mark(';', "") {
            Ok(()) => {
                let size = self.word("a number of items")?.parse().map_err(|_| "a number of items before this")?;
                DataType::FixedSizeList(item, size)
            }
            Err(_) => DataType::List(item),
        };
        self.mark('>', "'>'")?;
        Ok(list)
    }

    fn word(&mut self, expected: Expected) -> Result<&'a str, Expected> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).ok_or(expected)?;
        if word.is_empty() {
            return Err(expected);
        }
        self.rest = rest.trim_start();
        Ok(word)
    }

    fn mark(&mut self, mark: char, expected: Expected) -> Result<(), Expected> {
        self.rest = self.rest.strip_prefix(mark).ok_or(expected)?.trim_start();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
