//! Cuts the bytes of a DoPut into messages: gRPC's prefix (flag, length), then the protobuf fields, inflated if need be.
//!
//! A pure state machine: it reads no socket, takes no permit and never waits; whoever drives it does, when a step asks.

use bytes::Buf;
use bytes::Bytes;

use super::fields::Fed;
use super::fields::Fields;
use super::fields::OVERRUN;
use super::fields::PutMessage;
use super::inflate::Inflater;
use super::inflate::PIECE_BYTES;
use super::pool::PoolBuffer;
use super::status::ReceiveError;

const PREFIX_BYTES: usize = 5;

/// How a client compresses the messages it marks as compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
}

/// What one step came to.
pub enum Step {
    /// The frame is used up.
    Dry,
    /// A body of so many bytes follows: [`Deframer::body`] must be called before the next step.
    BodyWanted(usize),
    /// Some work is done, more is there: a good moment to let others run.
    Again,
    Message(PutMessage),
}

pub struct Deframer {
    encoding: Encoding,
    message_bytes_max: usize,
    stage: Stage,
    fields: Fields,
}

enum Stage {
    Prefix { bytes: [u8; PREFIX_BYTES], len: usize },
    Plain { left: usize },
    Gzip { compressed_left: usize, inflater: Box<Inflater>, inflated: Bytes, left: usize, ended: bool },
}

const START: Stage = Stage::Prefix { bytes: [0; PREFIX_BYTES], len: 0 };

impl Deframer {
    pub fn new(encoding: Encoding, message_bytes_max: usize) -> Self {
        Self { encoding, message_bytes_max, stage: START, fields: Fields::new() }
    }

    /// Takes bytes from the front of `frame` up to the next event.
    ///
    /// # Errors
    /// Anything but [`ReceiveError::Gone`], `FirstMessage` and `Stalled`; the deframer must not be used after one.
    pub fn step(&mut self, frame: &mut Bytes) -> Result<Step, ReceiveError> {
        loop {
            match &mut self.stage {
                Stage::Prefix { bytes, len } => {
                    let missing = bytes.get_mut(*len..).unwrap_or_default();
                    let count = missing.len().min(frame.len());
                    for (target, source) in missing.iter_mut().zip(frame.split_to(count)) {
                        *target = source;
                    }
                    *len += count;
                    if *len < PREFIX_BYTES {
                        return Ok(Step::Dry);
                    }
                    let prefix = *bytes;
                    self.stage = self.begin(prefix)?;
                }
                Stage::Plain { left } => match self.fields.feed(frame, left)? {
                    Fed::BodyWanted(len) => return Ok(Step::BodyWanted(len)),
                    Fed::Dry if *left == 0 => return self.message(),
                    Fed::Dry => return Ok(Step::Dry),
                },
                Stage::Gzip { compressed_left, inflater, inflated, left, ended } => {
                    let fed = self.fields.feed(inflated, left).map_err(|error| match error {
                        OVERRUN => ReceiveError::InflatedTooLarge { max: self.message_bytes_max },
                        other => other,
                    });
                    if let Fed::BodyWanted(len) = fed? {
                        return Ok(Step::BodyWanted(len));
                    }
                    if *ended {
                        return self.message();
                    }
                    if *compressed_left == 0 {
                        *inflated = inflater.finish()?;
                        *ended = true;
                        continue;
                    }
                    let count = frame.len().min(*compressed_left).min(PIECE_BYTES);
                    if count == 0 {
                        return Ok(Step::Dry);
                    }
                    *inflated = inflater.push(&frame.split_to(count))?;
                    *compressed_left -= count;
                    return Ok(Step::Again);
                }
            }
        }
    }

    /// The buffer that [`Step::BodyWanted`] asked for.
    pub fn body(&mut self, buffer: PoolBuffer) {
        self.fields.body(buffer);
    }

    /// Whether a message has begun and is not complete.
    pub fn inside(&self) -> bool {
        !matches!(self.stage, Stage::Prefix { len: 0, .. })
    }

    fn begin(&self, prefix: [u8; PREFIX_BYTES]) -> Result<Stage, ReceiveError> {
        let mut prefix = prefix.as_slice();
        let flag = prefix.get_u8();
        let bytes = prefix.get_u32() as usize;
        let max = self.message_bytes_max;
        if bytes > max {
            return Err(ReceiveError::MessageTooLarge { bytes, max });
        }
        match (flag, self.encoding) {
            (0, _) => Ok(Stage::Plain { left: bytes }),
            (1, Encoding::Gzip) => Ok(Stage::Gzip {
                compressed_left: bytes,
                inflater: Box::new(Inflater::new(max)),
                inflated: Bytes::new(),
                left: max,
                ended: false,
            }),
            (1, Encoding::Identity) => {
                Err(ReceiveError::Malformed { what: "it is marked compressed, but the call names no grpc-encoding" })
            }
            _ => Err(ReceiveError::Malformed { what: "its gRPC flag is neither 0 nor 1" }),
        }
    }

    fn message(&mut self) -> Result<Step, ReceiveError> {
        self.stage = START;
        Ok(Step::Message(self.fields.finish()?))
    }
}

#[cfg(test)]
mod tests;
