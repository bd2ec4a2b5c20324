//! Why an Arrow message is refused.

use super::DecodeLimits;

/// What is wrong with a client's Arrow message, and what to send instead. All of it is the client's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message header of {len} bytes is no Arrow IPC message: {cause}")]
    NotAMessage { len: usize, cause: String },
    #[error("Arrow metadata version {found}: send version V4 or V5")]
    Version { found: String },
    #[error("the first message of a DoPut must be the Arrow schema, and this one is {found}")]
    SchemaExpected { found: String },
    #[error("a second schema message: a DoPut has one schema, send it once and first")]
    SecondSchema,
    #[error("expected a record batch, and this message is {found}")]
    BatchExpected { found: String },
    #[error("a message without an Arrow header: every message after the schema must be a record batch")]
    Empty,
    #[error("dictionary {id}: {what}")]
    Dictionary { id: i64, what: String },
    #[error(
        "the stream's dictionaries have {bytes} bytes: at most {max} at a time; send the plain values (the file compresses repeats)",
        max = DecodeLimits::DICTIONARY_BYTES_MAX
    )]
    DictionariesTooLarge { bytes: usize },
    #[error(
        "a dictionary of {bytes} bytes, and those of all streams hold {held} of {total}: try again, send the plain values, or \
         raise memory.dictionary_bytes"
    )]
    DictionaryMemory { bytes: usize, held: usize, total: usize },
    #[error("column {column:?} is of type {kind}, which is not recorded: {instead}")]
    Unsupported { column: String, kind: &'static str, instead: &'static str },
    #[error("the Arrow schema is big-endian: send little-endian data")]
    BigEndian,
    #[error("the schema message has {len} bytes: at most {max}", max = DecodeLimits::SCHEMA_BYTES_MAX)]
    SchemaTooLarge { len: usize },
    #[error("the schema has more than {max} fields, nested ones included", max = DecodeLimits::FIELDS_MAX)]
    TooManyFields,
    #[error("the schema is nested more than {max} levels deep", max = DecodeLimits::DEPTH_MAX)]
    TooDeep,
    #[error("the schema's metadata has more than {max} bytes", max = DecodeLimits::METADATA_BYTES_MAX)]
    MetadataTooLarge,
    #[error("the Arrow schema is not valid: {0}")]
    Schema(String),
    #[error("the Arrow message has a header of {len} bytes: at most {max}", max = DecodeLimits::HEADER_BYTES_MAX)]
    HeaderTooLarge { len: usize },
    #[error("a message of {len} bytes: at most {max}; send fewer rows in a batch")]
    MessageTooLarge { len: usize, max: usize },
    #[error(
        "the message body is compressed: send it uncompressed (the file is compressed anyway; gRPC's gzip may be used on the way)"
    )]
    Compressed,
    #[error("the header declares a body of {declared} bytes, and {actual} came")]
    BodyLength { declared: i64, actual: usize },
    #[error("a batch of {rows} rows: at most {max}")]
    TooManyRows { rows: i64, max: u64 },
    #[error("the batch stands for {bytes} bytes or more once every value is written out: at most {max}")]
    TooManyLogicalBytes { bytes: u64, max: u64 },
    #[error("column {column:?}: {what}")]
    Layout { column: String, what: String },
    #[error("the message has {found} {what}, and the schema calls for {expected}")]
    Surplus { what: &'static str, found: usize, expected: usize },
    #[error("the record batch is not valid Arrow: {0}")]
    Batch(String),
    #[error("the column timestamp_ns has {nulls} nulls: every row needs its time")]
    TimestampNull { nulls: usize },
}
