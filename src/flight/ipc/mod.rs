//! Arrow IPC messages: taken from clients with limits, and framed for them without copies.
//!
//! Invariants:
//! * Nothing a client sends is looped over, allocated for or recursed into before its size is known to be within a limit.
//! * A batch that comes out of [`StreamDecoder`] is fully validated, has at most [`DecodeLimits::rows_max`] rows, and
//!   expands to at most [`DecodeLimits::logical_bytes_max`] bytes, whatever its Arrow type shares or leaves out.
//! * What is dictionary-encoded on the wire is plain inside: no other room meets a dictionary. See `column`.
//! * No batch without rows leaves [`Framer`]: a reader takes one for the end of the stream.

mod coder;
mod column;
mod decoder;
mod dictionaries;
mod error;
mod framer;
mod layout;
mod limits;
mod nest;
mod schema;
mod values;

#[cfg(test)]
mod samples;

pub use decoder::Coded;
pub use decoder::Received;
pub use decoder::StreamDecoder;
pub use error::DecodeError;
pub use framer::FrameError;
pub use framer::Framer;
pub use limits::DecodeLimits;
pub use schema::SchemaMessage;
