//! The schema message: counted in its flatbuffer, before anything is built from it.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::FieldRef;
use arrow::datatypes::Fields;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::ipc;
use arrow::ipc::MessageHeader;
use arrow::ipc::MetadataVersion;
use bytes::Bytes;
use flatbuffers::VerifierOptions;
use std::sync::Arc;

use super::DecodeError;
use super::DecodeLimits;
use super::column::Column;
use super::column::Kind;

/// Verifying stops here: a field has about four tables, and tables that many fields share count once per visit.
const VERIFIER: VerifierOptions = VerifierOptions {
    max_depth: 64,
    max_tables: 64 * DecodeLimits::FIELDS_MAX,
    max_apparent_size: 8 * DecodeLimits::SCHEMA_BYTES_MAX,
    ignore_missing_null_terminator: true,
};

const _: () = {
    // A level of nesting takes a table for the field and one for its type.
    assert!(VERIFIER.max_depth >= 2 * DecodeLimits::DEPTH_MAX + 4);
};

/// A schema as a client sent it.
#[derive(Clone, Debug)]
pub struct SchemaMessage {
    /// The IPC flatbuffer, as it came.
    pub message: Bytes,
    pub schema: SchemaRef,
    /// One for each field.
    pub(super) columns: Vec<Column>,
}

impl SchemaMessage {
    /// Reads the header of a schema message. Fails within microseconds on one that is too large, too wide or too deep.
    ///
    /// # Errors
    /// The schema-related variants of [`DecodeError`].
    pub fn parse(header: Bytes) -> Result<Self, DecodeError> {
        let len = header.len();
        if len > DecodeLimits::SCHEMA_BYTES_MAX {
            return Err(DecodeError::SchemaTooLarge { len });
        }
        let (schema, columns) = read(&header)?;
        Ok(Self { message: header, schema: Arc::new(schema), columns })
    }

    /// Whether batches hold keys anywhere.
    pub(super) fn has_dictionaries(&self) -> bool {
        self.columns.iter().any(|column| !matches!(column.kind, Kind::Plain))
    }

    /// The schema of what its batches hold, with the fields' form as `form` tells it.
    pub(super) fn with(&self, form: impl Fn(&Column) -> &FieldRef) -> SchemaRef {
        let fields: Fields = self.columns.iter().map(|column| Arc::clone(form(column))).collect();
        Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()))
    }
}

fn read(header: &[u8]) -> Result<(Schema, Vec<Column>), DecodeError> {
    let message = message(header, &VERIFIER)?;
    let Some(schema) = message.header_as_schema() else {
        return Err(DecodeError::SchemaExpected { found: kind(message.header_type()) });
    };
    if schema.endianness() != ipc::Endianness::Little {
        return Err(DecodeError::BigEndian);
    }
    let mut count = Count::default();
    count.metadata(schema.custom_metadata())?;
    for field in schema.fields().iter().flatten() {
        count.field(&field, 1)?;
    }
    let wires = schema.fields();
    let schema = ipc::convert::try_fb_to_schema(schema).map_err(|e| DecodeError::Schema(e.to_string()))?;
    check_fields(schema.fields())?;
    let columns = wires.iter().flatten().zip(schema.fields()).map(|(wire, field)| Column::new(&wire, field)).collect();
    Ok((schema, columns))
}

/// The verified flatbuffer of a message of a version we read.
pub(super) fn message<'a>(header: &'a [u8], options: &VerifierOptions) -> Result<ipc::Message<'a>, DecodeError> {
    let message = ipc::root_as_message_with_opts(options, header)
        .map_err(|e| DecodeError::NotAMessage { len: header.len(), cause: first_line(&e.to_string()) })?;
    match message.version() {
        MetadataVersion::V4 | MetadataVersion::V5 => Ok(message),
        found => Err(DecodeError::Version { found: format!("{found:?}") }),
    }
}

/// The name of a message kind, for an error message.
pub(super) fn kind(header: MessageHeader) -> String {
    header.variant_name().map_or_else(|| format!("of unknown kind {}", header.0), |name| format!("a {name}"))
}

/// The verifier's errors go on with a trace of the tables it went through.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[derive(Default)]
struct Count {
    fields: usize,
    metadata_bytes: usize,
}

type KeyValues<'a> = flatbuffers::Vector<'a, flatbuffers::ForwardsUOffset<ipc::KeyValue<'a>>>;

impl Count {
    fn field(&mut self, field: &ipc::Field, depth: usize) -> Result<(), DecodeError> {
        self.fields += 1;
        if self.fields > DecodeLimits::FIELDS_MAX {
            return Err(DecodeError::TooManyFields);
        }
        if depth > DecodeLimits::DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        self.metadata(field.custom_metadata())?;
        field.children().iter().flatten().try_for_each(|child| self.field(&child, depth + 1))
    }

    fn metadata(&mut self, list: Option<KeyValues>) -> Result<(), DecodeError> {
        for pair in list.iter().flatten() {
            // An entry counts even when both texts are missing: a million of them is not free either.
            self.metadata_bytes += 1 + pair.key().map_or(0, str::len) + pair.value().map_or(0, str::len);
            if self.metadata_bytes > DecodeLimits::METADATA_BYTES_MAX {
                return Err(DecodeError::MetadataTooLarge);
            }
        }
        Ok(())
    }
}

fn check_fields(fields: &Fields) -> Result<(), DecodeError> {
    fields.iter().try_for_each(|field| check_field(field))
}

/// Refuses types whose values cannot be laid out, which the conversion lets through, and those we do not record.
fn check_field(field: &Field) -> Result<(), DecodeError> {
    let column = || field.name().chars().take(80).collect::<String>();
    let unsupported = |kind, instead| Err(DecodeError::Unsupported { column: column(), kind, instead });
    let wrong = |what: String| Err(DecodeError::Layout { column: column(), what });
    match field.data_type() {
        DataType::Dictionary(_, value) => check_field(&Field::new(field.name(), value.as_ref().clone(), true)),
        DataType::RunEndEncoded(_, _) => unsupported("run-end encoded", "send the plain values"),
        DataType::Union(_, _) => unsupported("union", "send a struct with one nullable field per kind"),
        DataType::ListView(_) | DataType::LargeListView(_) => unsupported("list view", "send a list"),
        DataType::FixedSizeBinary(width) if *width < 0 => wrong(format!("a fixed size of {width} bytes")),
        DataType::FixedSizeList(_, size) if *size < 0 => wrong(format!("a fixed size of {size} values")),
        DataType::Decimal32(precision, scale) => decimal(*precision, *scale, 9).or_else(wrong),
        DataType::Decimal64(precision, scale) => decimal(*precision, *scale, 18).or_else(wrong),
        DataType::Decimal128(precision, scale) => decimal(*precision, *scale, 38).or_else(wrong),
        DataType::Decimal256(precision, scale) => decimal(*precision, *scale, 76).or_else(wrong),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => check_field(item),
        DataType::Struct(fields) => check_fields(fields),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => check_fields(pair),
            other => wrong(format!("a map's entries must be a struct of key and value, not {other}")),
        },
        _ => Ok(()),
    }
}

fn decimal(precision: u8, scale: i8, precision_max: u8) -> Result<(), String> {
    if !(1..=precision_max).contains(&precision) || i16::from(scale) > i16::from(precision) {
        return Err(format!("a decimal of {precision} digits, {scale} of them behind the point"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
