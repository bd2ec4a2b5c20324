//! What an error of the driver means to the caller.

use std::fmt::Display;

use scylla::errors::DbError;
use scylla::errors::ExecutionError;
use scylla::errors::RequestAttemptError;

use crate::catalog::CatalogError;

/// Of a statement that may be repeated: nothing is known to be wrong, the caller may try again. Also when a node does not know
/// a table: it may only be behind the others.
pub fn fault(error: &ExecutionError) -> CatalogError {
    CatalogError::Unavailable { cause: format!("the shared catalog: {error}") }
}

/// Of a row that is not what we wrote.
pub fn damaged(place: impl Display, error: impl Display) -> CatalogError {
    let remedy =
        "repair its keyspace, or put it back from a backup; the rows are safe on the server that recorded them";
    CatalogError::Corrupt { place: format!("{place} in the shared catalog"), detail: format!("{error}; {remedy}") }
}

/// While connecting, preparing or making tables.
pub fn schema_fault(error: &dyn std::error::Error) -> CatalogError {
    CatalogError::Unavailable { cause: format!("the shared catalog: {error}") }
}

/// Whether a conditional statement that ended so surely did not run: it was never sent, or the coordinator did not begin.
///
/// Too few replicas (`Unavailable`) and `Overloaded` are not among these: a coordinator says so too when a replica ends, or has
/// too many hints, between the proposal, which decides, and the commit.
pub fn did_not_run(error: &ExecutionError) -> bool {
    use RequestAttemptError as A;
    match error {
        ExecutionError::BadQuery(_) | ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => true,
        ExecutionError::LastAttemptError(A::DbError(cause, _)) => {
            matches!(cause, DbError::Invalid | DbError::SyntaxError | DbError::Unauthorized | DbError::IsBootstrapping)
        }
        ExecutionError::LastAttemptError(
            A::SerializationError(_) | A::CqlRequestSerialization(_) | A::UnableToAllocStreamId,
        ) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use scylla::statement::Consistency;

    use super::*;

    fn answered(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()))
    }

    #[test]
    fn who_may_have_run_is_never_taken_for_one_that_did_not() {
        let short = DbError::Unavailable { consistency: Consistency::LocalQuorum, required: 2, alive: 1 };
        for unknown in [answered(short), answered(DbError::Overloaded), answered(DbError::ServerError)] {
            assert!(!did_not_run(&unknown), "{unknown}");
        }
        assert!(did_not_run(&answered(DbError::Invalid)) && did_not_run(&ExecutionError::EmptyPlan));
    }
}
