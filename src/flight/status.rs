//! What every error is on the wire: the one place that chooses gRPC codes, one `match` without `_` per error enum, so
//! that a new variant has to choose. (`transport` chooses those of its own, of received bytes and refused calls.)
//!
//! A message says what the client or its operator can do. It is at most 1 KiB when escaped for a header, has no control
//! or direction characters, and names no file of the server: faults of ours are logged in full where they are answered,
//! here, and nowhere else.

use tonic::Code;

use super::guard::GuardError;
use super::ipc::DecodeError;
use super::ipc::FrameError;
use super::transport::Gone;
use super::transport::ReceiveError;
use super::transport::Status;
use crate::auth::OrderError;
use crate::auth::PassError;
use crate::auth::TicketError;
use crate::catalog::CatalogError;
use crate::chunk::EncodeError;
use crate::fleet::FleetError;
use crate::model::Refusal;
use crate::query::QueryError;
use crate::retrieval::RetrievalError;
use crate::session::SessionError;
use crate::shard::PutError;
use crate::shard::ReadError;
use crate::shard::ShardError;
use crate::store::FetchError;
use crate::wire::WireError;

/// Bytes of a message once percent-encoded into a header.
const MESSAGE_BYTES_MAX: usize = 1024;

/// An error of a request, to be answered once.
pub(super) trait Answerable: std::fmt::Display {
    fn code(&self) -> Code;
}

/// The status of an error. Logs it when the fault is ours.
pub(super) fn status(error: &impl Answerable) -> Status {
    let (code, text) = (error.code(), error.to_string());
    let message = match code {
        Code::Internal | Code::DataLoss | Code::Unavailable | Code::Unknown => {
            tracing::error!(?code, error = text, "a request failed");
            clean(&without_paths(&text))
        }
        _ => clean(&text),
    };
    Status { code: code as i32, message }
}

/// The same for tonic's service.
pub(super) fn tonic_status(error: &impl Answerable) -> tonic::Status {
    let Status { code, message } = status(error);
    tonic::Status::new(Code::from_i32(code), message)
}

/// A part of the protocol that is not served here.
pub(super) fn unimplemented(what: &str) -> tonic::Status {
    tonic::Status::unimplemented(clean(&format!("{what} is not served by this server")))
}

/// Escapes what could move a terminal or forge a log line, and cuts at [`MESSAGE_BYTES_MAX`].
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut bytes = 0;
    for character in text.chars() {
        let start = clean.len();
        let turns = matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            clean.extend(character.escape_unicode());
        } else {
            clean.push(character);
        }
        // What is no letter or digit may take three bytes for each of its own.
        let escaped = |byte: u8| if byte.is_ascii_alphanumeric() { 1 } else { 3 };
        bytes += clean.bytes().skip(start).map(escaped).sum::<usize>();
        if bytes > MESSAGE_BYTES_MAX {
            clean.truncate(start);
            break;
        }
    }
    clean
}

/// Replaces every word that looks like an absolute path. Locators have no slash in front.
fn without_paths(text: &str) -> String {
    let is_path = |word: &str| word.trim_start_matches(['"', '\'', '(', '=', '[']).starts_with('/');
    let words = text.split(' ').map(|word| if is_path(word) { "(a path)" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

impl Answerable for GuardError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } | Self::DescriptorMissing | Self::Descriptor { .. } | Self::NoMessage => {
                Code::InvalidArgument
            }
        }
    }
}

impl Answerable for WireError {
    fn code(&self) -> Code {
        match self {
            Self::UnknownAction(_)
            | Self::Length { .. }
            | Self::Depth { .. }
            | Self::Nodes { .. }
            | Self::Text { .. }
            | Self::Json { .. }
            | Self::Missing { .. }
            | Self::Type { .. }
            | Self::Value { .. }
            | Self::UnknownKey { .. }
            | Self::Name { .. }
            | Self::Metadata(_)
            | Self::Format(_)
            | Self::TimeRange(_)
            | Self::DescriptorKind { .. }
            | Self::DescriptorPath { .. }
            | Self::Criteria(_)
            | Self::Ticket => Code::InvalidArgument,
        }
    }
}

impl Answerable for QueryError {
    fn code(&self) -> Code {
        match self {
            Self::Length { .. } | Self::Values { .. } | Self::Json(_) | Self::Missing { .. } | Self::Key { .. } => {
                Code::InvalidArgument
            }
        }
    }
}

impl Answerable for TicketError {
    fn code(&self) -> Code {
        match self {
            Self::Length { .. } | Self::Version { .. } | Self::Seal | Self::Malformed => Code::InvalidArgument,
        }
    }
}

impl Answerable for OrderError {
    fn code(&self) -> Code {
        match self {
            Self::Seal | Self::Expired | Self::Early => Code::PermissionDenied,
        }
    }
}

impl Answerable for PassError {
    fn code(&self) -> Code {
        match self {
            Self::Seal | Self::Expired | Self::Used | Self::Missing => Code::PermissionDenied,
            Self::TooMany { .. } => Code::ResourceExhausted,
        }
    }
}

impl Answerable for FleetError {
    fn code(&self) -> Code {
        match self {
            Self::Untold { .. } | Self::Unreachable { .. } | Self::Stranger { .. } | Self::Broken { .. } => {
                Code::Unavailable
            }
            Self::Refused { code, .. } => Code::from_i32(*code),
            Self::Cut | Self::Busy { .. } => Code::ResourceExhausted,
            Self::Pass(cause) => cause.code(),
            Self::Catalog(cause) => cause.code(),
        }
    }
}

impl Answerable for DecodeError {
    fn code(&self) -> Code {
        match self {
            Self::DictionaryMemory { .. } => Code::ResourceExhausted,
            Self::NotAMessage { .. }
            | Self::Version { .. }
            | Self::SchemaExpected { .. }
            | Self::SecondSchema
            | Self::BatchExpected { .. }
            | Self::Empty
            | Self::Dictionary { .. }
            | Self::DictionariesTooLarge { .. }
            | Self::Unsupported { .. }
            | Self::BigEndian
            | Self::SchemaTooLarge { .. }
            | Self::TooManyFields
            | Self::TooDeep
            | Self::MetadataTooLarge
            | Self::Schema(_)
            | Self::HeaderTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::Compressed
            | Self::BodyLength { .. }
            | Self::TooManyRows { .. }
            | Self::TooManyLogicalBytes { .. }
            | Self::Layout { .. }
            | Self::Surplus { .. }
            | Self::Batch(_)
            | Self::TimestampNull { .. } => Code::InvalidArgument,
        }
    }
}

impl Answerable for FrameError {
    fn code(&self) -> Code {
        match self {
            Self::Encode(_) | Self::Dictionary(_) | Self::Message(_) | Self::Header { .. } => Code::Internal,
        }
    }
}

impl Answerable for ReceiveError {
    /// As the transport answers it.
    fn code(&self) -> Code {
        Code::from_i32(Status::from(self).code)
    }
}

impl Answerable for Gone {
    fn code(&self) -> Code {
        Code::Cancelled
    }
}

impl Answerable for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::SessionFinal
            | Self::SessionEmpty
            | Self::TopicReceiving
            | Self::TopicWithoutPut
            | Self::TopicWritten
            | Self::OtherServer => Code::FailedPrecondition,
        }
    }
}

impl Answerable for SessionError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } | Self::Deleted { .. } => Code::NotFound,
            Self::AlreadyExists { .. } => Code::AlreadyExists,
            Self::Refused { refusal, .. } => refusal.code(),
            Self::ForeignSequence { .. } | Self::ForeignTopic { .. } | Self::ForeignKey { .. } => {
                Code::PermissionDenied
            }
            Self::Schema { .. } => Code::InvalidArgument,
            Self::Unsupported { cause, .. } => cause.code(),
            Self::TooMany { .. } | Self::NoRoom { .. } => Code::ResourceExhausted,
            Self::Stopping => Code::Unavailable,
            Self::Ended { .. } | Self::Metadata { .. } => Code::Internal,
            Self::Order(cause) => cause.code(),
            Self::Put(cause) => cause.code(),
            Self::Shard { cause, .. } => cause.code(),
            Self::Catalog(cause) => cause.code(),
        }
    }
}

impl Answerable for RetrievalError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NotFound,
            Self::NotFinalized { .. } => Code::FailedPrecondition,
            Self::Elsewhere { .. } => Code::Unavailable,
            Self::TooManySegments { .. } | Self::TooManyTopics { .. } => Code::ResourceExhausted,
            Self::QueryTime { .. } => Code::DeadlineExceeded,
            Self::ForeignTag { .. } | Self::NoColumn { .. } => Code::InvalidArgument,
            Self::Schema { .. } => Code::DataLoss,
            Self::Shard { cause, .. } => cause.code(),
            Self::Unreadable { cause } => cause.code(),
            Self::Fleet(cause) => cause.code(),
            Self::Catalog(cause) => cause.code(),
        }
    }
}

impl Answerable for CatalogError {
    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NotFound,
            Self::AlreadyExists { .. } => Code::AlreadyExists,
            Self::Refused { refusal, .. } => refusal.code(),
            Self::ForeignSequence { .. } => Code::PermissionDenied,
            Self::Invalid { .. } => Code::InvalidArgument,
            Self::TooLarge { .. } | Self::Overloaded { .. } | Self::Full => Code::ResourceExhausted,
            Self::Unavailable { .. } | Self::Closed => Code::Unavailable,
            Self::SchemaMismatch { .. } => Code::Internal,
            Self::Corrupt { .. } => Code::DataLoss,
        }
    }
}

impl Answerable for EncodeError {
    fn code(&self) -> Code {
        match self {
            Self::UnsupportedType { .. }
            | Self::DuplicateField { .. }
            | Self::TimeColumn { .. }
            | Self::Inexact { .. }
            | Self::NullTime { .. }
            | Self::Null { .. }
            | Self::PageTooLarge { .. } => Code::InvalidArgument,
            Self::Empty | Self::Arrow(_) | Self::Parquet(_) => Code::Internal,
        }
    }
}

impl Answerable for PutError {
    fn code(&self) -> Code {
        match self {
            Self::Encode { cause, .. } => cause.code(),
            Self::Write { cause, .. } if cause.is_full() => Code::ResourceExhausted,
            Self::Full { .. } => Code::ResourceExhausted,
            Self::Write { .. } | Self::Stopped { .. } => Code::Unavailable,
            Self::Panicked { .. } => Code::Internal,
            Self::Catalog { cause, .. } => cause.code(),
        }
    }
}

impl Answerable for ShardError {
    fn code(&self) -> Code {
        match self {
            Self::TooManyReaders { .. } | Self::ReadMemory { .. } | Self::Full(_) => Code::ResourceExhausted,
            Self::DeviceMissing(_) | Self::Io(_) | Self::Stopped | Self::Executor(_) => Code::Unavailable,
            Self::Catalog(cause) => cause.code(),
            Self::Read(cause) => cause.code(),
        }
    }
}

impl Answerable for ReadError {
    fn code(&self) -> Code {
        match self {
            Self::Fetch { cause, .. } => match cause {
                FetchError::Missing { .. }
                | FetchError::Unread { .. }
                | FetchError::Short { .. }
                | FetchError::Io { .. }
                | FetchError::Open { .. }
                | FetchError::Damaged(_) => Code::DataLoss,
                FetchError::NotNow { .. } => Code::Unavailable,
            },
            Self::Deleted { .. } => Code::NotFound,
            Self::NoTimes { .. } => Code::DataLoss,
            Self::Memory { .. } => Code::ResourceExhausted,
            Self::Assemble { .. } => Code::Internal,
            Self::Catalog { cause, .. } => cause.code(),
            Self::DeviceMissing { .. } | Self::Stopped { .. } => Code::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
