//! The protobuf fields of one `FlightData` message, in any order, from pieces cut anywhere.
//!
//! A declared length is compared with its limit before anything is allocated for it. The large field (`data_body`) goes
//! straight into a buffer the caller provides; the small ones grow with the bytes that really came.

use bytes::Buf;
use bytes::Bytes;

use super::pool::PoolBuffer;
use super::status::ReceiveError;

/// The IPC message, as flatbuffer.
const HEADER_BYTES_MAX: usize = 1 << 20;
const DESCRIPTOR_BYTES_MAX: usize = 64 << 10;
const APP_METADATA_BYTES_MAX: usize = 4 << 10;
/// A length declared in a few bytes reserves no more than this until more came.
const RESERVE_BYTES_MAX: usize = 16 << 10;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// A declared length is more than what is left of its message.
pub(super) const OVERRUN: ReceiveError = ReceiveError::Malformed { what: "a field runs past the end of its message" };

/// One message of a DoPut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutMessage {
    /// The `FlightDescriptor` as it came (protobuf); a client sends it with the first message.
    pub descriptor: Option<Bytes>,
    /// The Arrow IPC message (flatbuffer); empty when the client sent none.
    pub header: Bytes,
    pub app_metadata: Bytes,
    /// The Arrow IPC body, its start aligned to 64 bytes. Holds its share of the memory budget until the last slice is dropped.
    pub body: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Small {
    Descriptor,
    Header,
    AppMetadata,
}

enum State {
    /// At or inside a field's tag.
    Tag,
    SkipVarint,
    /// Inside the length of the field with this number.
    Length(u64),
    Skip(u64),
    Small {
        field: Small,
        left: usize,
        bytes: Vec<u8>,
    },
    /// The caller owes a buffer for so many bytes.
    BodyWanted(usize),
    Body {
        buffer: PoolBuffer,
        left: usize,
    },
}

/// What [`Fields::feed`] stopped at.
pub(super) enum Fed {
    /// The input is used up.
    Dry,
    /// A body of so many bytes follows: [`Fields::body`] must be called before the next feed.
    BodyWanted(usize),
}

pub(super) struct Fields {
    state: State,
    varint: u64,
    shift: u32,
    message: PutMessage,
    /// Which of the known fields came: each may come once.
    seen: [bool; 4],
}

impl Fields {
    pub fn new() -> Self {
        Self { state: State::Tag, varint: 0, shift: 0, message: PutMessage::default(), seen: [false; 4] }
    }

    /// Takes from `input` what belongs to this message.
    ///
    /// * `left`: bytes of the message after those taken so far, or the most there can be; reduced as bytes are taken.
    pub fn feed(&mut self, input: &mut Bytes, left: &mut usize) -> Result<Fed, ReceiveError> {
        loop {
            let ready = input.len().min(*left);
            match &mut self.state {
                State::BodyWanted(len) => return Ok(Fed::BodyWanted(*len)),
                State::Tag | State::SkipVarint | State::Length(_) => {
                    if ready == 0 {
                        return Ok(Fed::Dry);
                    }
                    *left -= 1;
                    if let Some(value) = self.varint(input.get_u8())? {
                        self.number(value, *left)?;
                    }
                }
                State::Skip(skip) => {
                    if ready == 0 && *skip > 0 {
                        return Ok(Fed::Dry);
                    }
                    let count = usize::try_from(*skip).map_or(ready, |skip| skip.min(ready));
                    input.advance(count);
                    *left -= count;
                    *skip -= count as u64;
                    if *skip == 0 {
                        self.state = State::Tag;
                    }
                }
                State::Small { field, left: missing, bytes } => {
                    let count = ready.min(*missing);
                    bytes.extend_from_slice(&input.split_to(count));
                    *left -= count;
                    *missing -= count;
                    if *missing > 0 {
                        return Ok(Fed::Dry);
                    }
                    let (field, bytes) = (*field, Bytes::from(std::mem::take(bytes)));
                    match field {
                        Small::Descriptor => self.message.descriptor = Some(bytes),
                        Small::Header => self.message.header = bytes,
                        Small::AppMetadata => self.message.app_metadata = bytes,
                    }
                    self.state = State::Tag;
                }
                State::Body { buffer, left: missing } => {
                    let count = ready.min(*missing);
                    buffer.push(&input.split_to(count));
                    *left -= count;
                    *missing -= count;
                    if *missing > 0 {
                        return Ok(Fed::Dry);
                    }
                    if let State::Body { buffer, .. } = std::mem::replace(&mut self.state, State::Tag) {
                        self.message.body = buffer.freeze();
                    }
                }
            }
        }
    }

    /// The buffer that [`Fed::BodyWanted`] asked for.
    pub fn body(&mut self, buffer: PoolBuffer) {
        let State::BodyWanted(left) = self.state else { unreachable!("a body buffer nobody asked for") };
        assert!(buffer.is_empty(), "a body buffer of {} old bytes", buffer.len());
        self.state = State::Body { buffer, left };
    }

    /// The message, after its last byte; ready for the next one.
    pub fn finish(&mut self) -> Result<PutMessage, ReceiveError> {
        if !matches!(self.state, State::Tag) || self.shift != 0 {
            return Err(ReceiveError::Malformed { what: "it ends inside a field" });
        }
        self.seen = [false; 4];
        Ok(std::mem::take(&mut self.message))
    }

    /// One more byte of a variable-length number: its value once complete.
    fn varint(&mut self, byte: u8) -> Result<Option<u64>, ReceiveError> {
        if self.shift > 63 || (self.shift == 63 && byte > 1) {
            return Err(ReceiveError::Malformed { what: "a number of more than 64 bits" });
        }
        self.varint |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        self.shift = 0;
        Ok(Some(std::mem::take(&mut self.varint)))
    }

    /// A number is complete: what follows it.
    fn number(&mut self, value: u64, left: usize) -> Result<(), ReceiveError> {
        self.state = match self.state {
            State::Tag => match (value >> 3, value & 7) {
                (0, _) => return Err(ReceiveError::Malformed { what: "field number 0" }),
                (_, VARINT) => State::SkipVarint,
                (_, FIXED64) => State::Skip(8),
                (number, LENGTH_DELIMITED) => State::Length(number),
                (_, FIXED32) => State::Skip(4),
                _ => return Err(ReceiveError::Malformed { what: "a field of an unknown kind" }),
            },
            State::Length(number) => self.field(number, value, left)?,
            _ => State::Tag,
        };
        Ok(())
    }

    fn field(&mut self, number: u64, declared: u64, left: usize) -> Result<State, ReceiveError> {
        let fits = usize::try_from(declared).ok().filter(|len| *len <= left);
        let Some(len) = fits else {
            return Err(OVERRUN);
        };
        let (slot, limit) = match number {
            1 => (0, Some((Small::Descriptor, "descriptor", DESCRIPTOR_BYTES_MAX, ": describe the topic only"))),
            2 => {
                (1, Some((Small::Header, "Arrow IPC header", HEADER_BYTES_MAX, ": use fewer columns or less metadata")))
            }
            3 => {
                (2, Some((Small::AppMetadata, "app_metadata", APP_METADATA_BYTES_MAX, ": put the data into a column")))
            }
            1000 => (3, None),
            _ => return Ok(State::Skip(declared)),
        };
        if let Some((_, field, max, advice)) = limit
            && len > max
        {
            return Err(ReceiveError::FieldTooLarge { field, bytes: declared, max, advice });
        }
        let seen = self.seen.get_mut(slot).map(|seen| std::mem::replace(seen, true));
        if seen != Some(false) {
            return Err(ReceiveError::Malformed { what: "a field comes twice" });
        }
        Ok(match limit {
            Some((field, ..)) => {
                State::Small { field, left: len, bytes: Vec::with_capacity(len.min(RESERVE_BYTES_MAX)) }
            }
            None if len == 0 => State::Tag,
            None => State::BodyWanted(len),
        })
    }
}
