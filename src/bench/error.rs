//! Why a measurement could not be made.

use crate::catalog::CatalogError;
use crate::client::ClientError;
use crate::flight::BindError;
use crate::flight::ipc::FrameError;
use crate::io::ProbeError;
use crate::runtime::ExecutorError;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("cannot {what}")]
    Io {
        what: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("the {server} did not start: {why}")]
    Start { server: &'static str, why: String },
    #[error("the run was interrupted")]
    Interrupted,
    #[error("the server ended the call with code {code}: {message}")]
    Refused { code: String, message: String },
    #[error("connection to the server: {0}")]
    Connection(String),
    #[error("{what}: {found}, expected {expected}")]
    Wrong { what: &'static str, found: String, expected: String },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

impl BenchError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

impl From<h2::Error> for BenchError {
    fn from(error: h2::Error) -> Self {
        Self::Connection(error.to_string())
    }
}
