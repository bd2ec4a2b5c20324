//! The connection to the shared catalog, and the few ways in which statements are run.

use std::time::Duration;

use futures::TryStreamExt;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::Consistency;
use scylla::statement::SerialConsistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;
use scylla::value::Row;

use super::fault::damaged;
use super::fault::did_not_run;
use super::fault::fault;
use super::fault::schema_fault;
use super::layout;
use super::layout::Layout;
use super::statements::Statements;
use super::statements::serial;
use crate::catalog::CatalogError;
use crate::catalog::ClusterUrl;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows that a page of the driver has.
const PAGE_ROWS: i32 = 500;

/// Rounds of a conditional statement before a caller is told to try again, and how many one counts whose answer was lost: it
/// took its time already.
const ROUNDS_MAX: u32 = 20;
const ROUNDS_LOST: u32 = 5;
/// Serial reads that may fail one after the other until nobody knows what happened.
const SERIAL_READS: u32 = 3;
/// The first pause between them; the next is longer by as much.
const BETWEEN_READS: Duration = Duration::from_millis(150);

pub struct Cluster {
    session: Session,
    pub statements: Statements,
    pub layout: Layout,
}

/// How much a read of an LWT table must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Everything that was answered.
    Answered,
    /// Also what is under way: it has run, or never will.
    Settled,
}

/// What a conditional statement did.
#[derive(Debug)]
pub enum Conditional {
    Applied,
    /// Something else stands there.
    Refused,
    /// The answer was lost: only a read that settles can tell.
    Unknown(String),
}

/// Rounds of reading, deciding and trying. Whatever a conditional statement answers but yes, what stands there is read again,
/// settled, and decided anew: so an answer that was lost costs a round and never a wrong one.
pub struct Rounds {
    operation: &'static str,
    round: u32,
}

/// Connects to the cluster, without looking at the keyspace.
///
/// # Errors
/// `Unavailable` when no node answers.
pub async fn connect(url: &ClusterUrl) -> Result<Session, CatalogError> {
    let profile = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&url.nodes)
        .connection_timeout(CONNECT_TIMEOUT)
        .keyspaces_to_fetch([&url.keyspace])
        .default_execution_profile_handle(profile.into_handle());
    if let Some(login) = &url.login {
        builder = builder.user(&login.user, &login.password);
    }
    builder
        .build()
        .await
        .map_err(|error| CatalogError::Unavailable { cause: format!("the shared catalog {url}: {error}") })
}

impl Cluster {
    /// # Errors
    /// As [`connect`] and [`layout::check`].
    pub async fn open(url: &ClusterUrl) -> Result<Self, CatalogError> {
        let session = connect(url).await?;
        let layout = layout::check(&session, &url.keyspace).await?;
        let statements = Statements::prepare(&session, &url.keyspace).await?;
        Ok(Self { session, statements, layout })
    }

    /// Runs a plain write, which is durable at a quorum when this answers.
    pub async fn write(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<(), CatalogError> {
        self.session.execute_unpaged(statement, values).await.map(drop).map_err(|error| fault(&error))
    }

    /// All rows of a read, page after page.
    pub async fn rows<T>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<T>, CatalogError>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static,
    {
        let mut paged = statement.clone();
        paged.set_page_size(PAGE_ROWS);
        let pages = self.session.execute_iter(paged, values).await;
        let pages = pages.map_err(|error| unavailable(&error))?;
        let rows = pages.rows_stream::<T>().map_err(|error| damaged(statement.get_statement(), error))?;
        rows.try_collect().await.map_err(|error| unavailable(&error))
    }

    /// All rows of a read of an LWT table, in one page.
    pub async fn certain_rows<T>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Clone,
        certainty: Certainty,
    ) -> Result<Vec<T>, CatalogError>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let found = match certainty {
            Certainty::Answered => self.session.execute_unpaged(statement, values).await,
            Certainty::Settled => self.settled(&serial(statement), values).await,
        };
        let found = found.map_err(|error| fault(&error))?;
        let broken = |error: &dyn std::error::Error| damaged(statement.get_statement(), error);
        let rows = found.into_rows_result().map_err(|error| broken(&error))?;
        let rows = rows.rows::<T>().map_err(|error| broken(&error))?;
        rows.collect::<Result<_, _>>().map_err(|error| broken(&error))
    }

    /// The row of a read that finds one at most.
    pub async fn row<T>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Clone,
        certainty: Certainty,
    ) -> Result<Option<T>, CatalogError>
    where
        T: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        Ok(self.certain_rows(statement, values, certainty).await?.into_iter().next())
    }

    async fn settled(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow + Clone,
    ) -> Result<QueryResult, ExecutionError> {
        for attempt in 1..SERIAL_READS {
            if let Ok(found) = self.session.execute_unpaged(statement, values.clone()).await {
                return Ok(found);
            }
            // A connection that was lost needs a moment to come back.
            tokio::time::sleep(BETWEEN_READS * attempt).await;
        }
        self.session.execute_unpaged(statement, values).await
    }

    /// Runs a conditional statement.
    ///
    /// # Errors
    /// Only when it surely did not run.
    pub async fn try_to(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Conditional, CatalogError> {
        let answer = match self.session.execute_unpaged(statement, values).await {
            Ok(answer) => answer,
            Err(error) if did_not_run(&error) => return Err(fault(&error)),
            Err(error) => return Ok(Conditional::Unknown(error.to_string())),
        };
        // Servers differ in what else they send, and always send this first.
        let place = || statement.get_statement();
        let rows = answer.into_rows_result().map_err(|error| damaged(place(), error))?;
        let row = rows.first_row::<Row>().map_err(|error| damaged(place(), error))?;
        match row.columns.first() {
            Some(Some(CqlValue::Boolean(true))) => Ok(Conditional::Applied),
            Some(Some(CqlValue::Boolean(false))) => Ok(Conditional::Refused),
            other => Err(damaged(place(), format_args!("it answers {other:?}"))),
        }
    }
}

impl Rounds {
    pub fn of(operation: &'static str) -> Self {
        Self { operation, round: 0 }
    }

    /// How certain the read of this round must be.
    pub fn certainty(&self) -> Certainty {
        if self.round == 0 { Certainty::Answered } else { Certainty::Settled }
    }

    /// After a conditional statement that was not applied, for all that is known: waits a little when others are at it.
    ///
    /// # Errors
    /// `Unavailable` after too many rounds.
    pub async fn again(&mut self, why: &Conditional) -> Result<(), CatalogError> {
        self.round += match why {
            Conditional::Unknown(_) => ROUNDS_LOST,
            Conditional::Applied | Conditional::Refused => 1,
        };
        if self.round >= ROUNDS_MAX {
            let why = match why {
                Conditional::Unknown(error) => error.clone(),
                Conditional::Applied | Conditional::Refused => "others change the same sequence".to_owned(),
            };
            let cause = format!("{} did not come through in {} rounds: {why}", self.operation, self.round);
            return Err(CatalogError::Unavailable { cause });
        }
        if self.round > 2 {
            tokio::time::sleep(Duration::from_millis(1 << self.round.min(7))).await;
        }
        Ok(())
    }
}

fn unavailable(error: &dyn std::error::Error) -> CatalogError {
    schema_fault(error)
}
