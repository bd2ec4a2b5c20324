//! What can go wrong when asking a server.

use std::error::Error;
use std::time::Duration;

use arrow_flight::error::FlightError;
use tonic::Code;
use tonic::Status;

use super::Address;
use super::AddressError;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("cannot start a runtime for the client: {0}")]
    Runtime(#[from] std::io::Error),
    #[error(
        "cannot reach {address}: {cause}; is the daemon running there? Start it with `tessera serve`, or name another \
         server with --server"
    )]
    Unreachable { address: Address, cause: String },
    #[error("{address} accepted the connection but did not answer within {limit:?}: is it a tessera server?")]
    Silent { address: Address, limit: Duration },
    /// A server answered, and the answer is no. `message` is the server's own and says what to do.
    #[error("{what}: the server refused ({code:?}): {message}")]
    Refused { what: String, code: Code, message: String },
    #[error("{what}: the server's answer cannot be read: {cause}; client and server may be of different versions")]
    Answer { what: String, cause: String },
}

impl ClientError {
    /// Whether what was asked for is what is wrong: damaged rows, rows on a data directory that is not there, a topic that was
    /// deleted. Others can be had.
    pub fn is_of_its_rows(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Answer { .. })
    }

    /// An RPC ended with `status`. Without a connection, and when the server resets the stream, the status is made up by our own
    /// side, and has a source.
    pub(super) fn rpc(address: &Address, what: &str, status: &Status) -> Self {
        match status.source() {
            Some(source) if status.code() == Code::ResourceExhausted && is_reset(source) => Self::Refused {
                what: what.to_owned(),
                code: status.code(),
                message: "it gave this up, for little of it was taken and others wait: ask again, and take it faster"
                    .to_owned(),
            },
            Some(source) => Self::Unreachable { address: address.clone(), cause: chain(source) },
            None => Self::Refused { what: what.to_owned(), code: status.code(), message: status.message().to_owned() },
        }
    }

    /// A stream of batches broke.
    pub(super) fn stream(address: &Address, what: &str, error: &FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::rpc(address, what, status),
            other => Self::answer(what, other),
        }
    }

    pub(super) fn answer(what: &str, cause: impl ToString) -> Self {
        Self::Answer { what: what.to_owned(), cause: cause.to_string() }
    }
}

/// Whether the stream alone was ended, by the other side.
fn is_reset(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset() && error.is_remote();
        }
        cause = error.source();
    }
    false
}

/// The innermost cause is the one that helps ("connection refused"); the outer ones only say that something failed.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
