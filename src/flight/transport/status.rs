//! How a call ends, and what can go wrong while its request is received.

use std::fmt::Write;

/// The longest text a status carries: it travels in a header.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The end of a call as gRPC puts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// gRPC's number, 0 for OK.
    pub code: i32,
    pub message: String,
}

/// Why the next message of a put cannot be had.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReceiveError {
    #[error(
        "message of {bytes} bytes, at most {max} are taken: send smaller batches, or raise connections.message_bytes_max"
    )]
    MessageTooLarge { bytes: usize, max: usize },
    #[error(
        "compressed message inflates to more than {max} bytes: send smaller batches, or raise connections.message_bytes_max"
    )]
    InflatedTooLarge { max: usize },
    #[error("{field} of {bytes} bytes, at most {max} are taken{advice}")]
    FieldTooLarge { field: &'static str, bytes: u64, max: usize, advice: &'static str },
    #[error(
        "message needs {bytes} bytes of memory, the whole budget is {total}: send smaller batches, or raise the budget"
    )]
    BudgetTooSmall { bytes: usize, total: usize },
    #[error("not a FlightData message: {what}")]
    Malformed { what: &'static str },
    #[error("requests compressed with {encoding:?} are not understood: use gzip or none")]
    Encoding { encoding: String },
    #[error("no first message within {ms} ms: send the schema at once")]
    FirstMessage { ms: u64 },
    #[error("first message has a body of {bytes} bytes: send the schema first, which has none")]
    FirstBody { bytes: usize },
    #[error("{max} later DoPuts have not sent a message either: send the schema at once")]
    GaveWay { max: usize },
    #[error("message stands still: it brought less than {bytes} bytes in {ms} ms")]
    Stalled { bytes: usize, ms: u64 },
    #[error("client gone: {cause}")]
    Gone { cause: String },
}

/// Why the transport itself ends a call.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    #[error("server is stopping: try again later")]
    Draining,
    #[error(
        "{held} bytes that were sent ahead wait to be stored, or may be sent ahead, at most {max}: try again, use fewer DoPuts \
         at once, or raise connections.held_bytes_max"
    )]
    Held { held: usize, max: usize },
    #[error("request of more than {max} bytes: raise connections.request_bytes_max")]
    RequestTooLarge { max: usize },
    #[error("requests under way hold all of the {total} bytes that they may: try again")]
    Requests { total: usize },
    #[error("answers that wait for their clients hold all of the {total} bytes that they may: try again")]
    Answers { total: usize },
    #[error("the request ends inside its message, after {received} bytes")]
    RequestCut { received: usize },
    #[error("request incomplete after {ms} ms")]
    RequestStalled { ms: u64 },
    #[error("call ended without a status: a bug of the server, its log says more")]
    NoStatus,
}

/// The reader of an answer went away: nothing more can be sent.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("client gone: {cause}")]
pub struct Gone {
    pub cause: String,
}

impl Status {
    pub fn ok() -> Self {
        Self { code: tonic::Code::Ok as i32, message: String::new() }
    }

    pub(super) fn new(code: tonic::Code, message: impl Into<String>) -> Self {
        Self { code: code as i32, message: message.into() }
    }

    /// The message as a header value: everything but printable ASCII is escaped, as gRPC asks.
    pub(super) fn header_text(&self) -> String {
        let mut text = String::with_capacity(self.message.len());
        for character in self.message.chars() {
            let mut utf8 = [0; 4];
            let piece = character.encode_utf8(&mut utf8);
            if text.len() + 3 * piece.len() > MESSAGE_BYTES_MAX {
                break;
            }
            for byte in piece.bytes() {
                match byte {
                    b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
                    _ => write!(text, "%{byte:02X}").unwrap_or_default(), // a String takes everything
                }
            }
        }
        text
    }
}

impl From<&ReceiveError> for Status {
    fn from(error: &ReceiveError) -> Self {
        use ReceiveError as E;
        let code = match error {
            E::MessageTooLarge { .. } | E::InflatedTooLarge { .. } | E::BudgetTooSmall { .. } | E::GaveWay { .. } => {
                tonic::Code::ResourceExhausted
            }
            E::FieldTooLarge { .. } | E::Malformed { .. } | E::FirstBody { .. } => tonic::Code::InvalidArgument,
            E::Encoding { .. } => tonic::Code::Unimplemented,
            E::FirstMessage { .. } | E::Stalled { .. } => tonic::Code::DeadlineExceeded,
            E::Gone { .. } => tonic::Code::Cancelled,
        };
        Self::new(code, error.to_string())
    }
}

impl From<&Refusal> for Status {
    fn from(refusal: &Refusal) -> Self {
        use Refusal as R;
        let code = match refusal {
            R::Draining => tonic::Code::Unavailable,
            R::Held { .. } | R::RequestTooLarge { .. } | R::Requests { .. } | R::Answers { .. } => {
                tonic::Code::ResourceExhausted
            }
            R::RequestCut { .. } => tonic::Code::InvalidArgument,
            R::RequestStalled { .. } => tonic::Code::DeadlineExceeded,
            R::NoStatus => tonic::Code::Internal,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<Gone> for ReceiveError {
    fn from(gone: Gone) -> Self {
        Self::Gone { cause: gone.cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_text_is_printable_ascii_and_short() {
        let text = |message: &str| Status { code: 3, message: message.to_owned() }.header_text();
        assert_eq!(text("topic 'a b' is 100 %\n"), "topic 'a b' is 100 %25%0A");
        assert_eq!(text("m/s²"), "m/s%C2%B2");
        let long = text(&"é".repeat(5000));
        assert!(long.len() <= MESSAGE_BYTES_MAX && long.len() % 6 == 0, "cut inside a character: {}", long.len());
    }
}
