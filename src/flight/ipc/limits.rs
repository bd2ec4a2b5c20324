//! How much one message may be, and how much it may stand for.

/// Limits on what a client's Arrow messages are and expand to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of one Flight message, header and body.
    pub message_bytes_max: usize,
}

impl DecodeLimits {
    /// Bytes of the schema message.
    pub const SCHEMA_BYTES_MAX: usize = 1 << 20;
    /// Fields of a schema, nested ones included.
    pub const FIELDS_MAX: usize = 1024;
    /// Levels of nesting; a flat column has 1.
    pub const DEPTH_MAX: usize = 16;
    /// Keys and values of a schema's metadata, all fields together.
    pub const METADATA_BYTES_MAX: usize = 64 << 10;
    /// Bytes of a batch message's header: one node and a few buffers per field would fit a hundred times.
    pub const HEADER_BYTES_MAX: usize = 4 << 20;
    /// Bytes of all dictionaries that a stream's rows may name at a time.
    pub const DICTIONARY_BYTES_MAX: usize = 64 << 20;

    /// Rows of one batch. Some columns have no bytes at all, so the message's size says nothing about them.
    pub fn rows_max(&self) -> u64 {
        16 << 20
    }

    /// Bytes of one batch once every value is written out, each at least one byte long. Views and overlapping buffers
    /// name the same bytes many times, and every later stage would loop over all of them.
    pub fn logical_bytes_max(&self) -> u64 {
        (self.message_bytes_max as u64).saturating_mul(4)
    }
}
