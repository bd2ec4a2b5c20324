//! Faults inside an operation: an answer for the caller, or trouble with the file.

use rusqlite::ErrorCode;

use crate::catalog::CatalogError;

#[derive(Debug)]
pub enum Fault {
    /// The operation's answer; nothing is wrong with the file.
    Answer(CatalogError),
    /// SQLite could not do what it was asked.
    Store(rusqlite::Error),
}

impl From<CatalogError> for Fault {
    fn from(error: CatalogError) -> Self {
        Self::Answer(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

pub type Outcome<T> = Result<T, Fault>;

/// What an error of SQLite means to the caller.
pub fn answer(error: &rusqlite::Error) -> CatalogError {
    use rusqlite::Error as E;
    match error {
        E::FromSqlConversionFailure(..) | E::IntegralValueOutOfRange(..) | E::InvalidColumnType(..) => {
            CatalogError::corrupt("a row", error)
        }
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => CatalogError::corrupt("the file", error),
            _ => CatalogError::Unavailable { cause: error.to_string() },
        },
    }
}

/// Whether nothing happened and the same call may be tried again.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether the disk had no room for it, which SQLite says before anything is synced.
pub fn is_full(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull))
}

/// Whether a reader that met this error has seen the disk fail.
pub fn is_disk(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::CannotOpen)
    )
}

impl Fault {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer(CatalogError::NotFound { .. }))
    }
}
