//! Moving the write-ahead log into the file, away from the writer: commits do not wait for it.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;

use crate::catalog::CatalogError;

use super::fault::answer;
use super::fault::is_busy;
use super::fault::is_full;
use super::poison::Poison;
use super::room::Need;
use super::room::Room;

/// Changed rows after which a checkpoint does not wait for its time: each touches about one page of 4 KiB, so this is a
/// log of about 16 MiB.
const LOG_ROWS_MAX: u64 = 4096;

pub struct Checkpoint {
    state: Mutex<State>,
    wake: Condvar,
    period: Duration,
}

#[derive(Default)]
struct State {
    /// Changed since the last checkpoint.
    rows: u64,
    /// Changed ever.
    total: u64,
    closed: bool,
    /// Whether the last checkpoint, at the end, moved all of the log into the file.
    whole: Option<Result<(), CatalogError>>,
}

impl Checkpoint {
    pub fn new(period_ms: u64) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), period: Duration::from_millis(period_ms.max(1)) }
    }

    /// The writer committed this many changed rows.
    pub fn note(&self, rows: u64) {
        let mut state = self.lock();
        state.rows = state.rows.saturating_add(rows);
        state.total = state.total.saturating_add(rows);
        if state.rows >= LOG_ROWS_MAX {
            self.wake.notify_one();
        }
    }

    pub fn changes(&self) -> u64 {
        self.lock().total
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// PASSIVE while commits come, TRUNCATE once when they pause and at the end. A reader in an old snapshot only
    /// delays it; an I/O error poisons, since a failed sync may have lost what was acknowledged.
    pub fn run(&self, connection: &Connection, poison: &Poison, room: &Room) {
        room.keep();
        let checkpoint = |sql| checkpoint(connection, sql, poison, room);
        let mut idle = true;
        loop {
            let written = match self.wait() {
                Wake::Closed => {
                    let whole = checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
                    self.lock().whole = Some(whole);
                    return;
                }
                Wake::Due { written } => written,
            };
            if poison.cause().is_some() {
                return;
            }
            // What it left is for the next one.
            if written {
                let _ = checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
            } else if !idle {
                let _ = checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
            }
            room.keep();
            idle = !written;
        }
    }

    /// Whether the file has everything without its log. Once closed and run to the end.
    ///
    /// # Errors
    /// Why the log is needed still.
    pub fn is_whole(&self) -> Result<(), CatalogError> {
        let unknown = || CatalogError::Unavailable { cause: "its log was never moved into the file".to_owned() };
        self.lock().whole.clone().unwrap_or_else(|| Err(unknown()))
    }

    fn wait(&self) -> Wake {
        let quiet = |state: &mut State| !state.closed && state.rows < LOG_ROWS_MAX;
        let waited = self.wake.wait_timeout_while(self.lock(), self.period, quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Wake::Closed;
        }
        let written = std::mem::take(&mut state.rows) > 0;
        Wake::Due { written }
    }

    // Counters and flags, each valid by itself whatever panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Wake {
    Due { written: bool },
    Closed,
}

/// # Errors
/// Why the log has rows still that the file has not.
fn checkpoint(connection: &Connection, sql: &str, poison: &Poison, room: &Room) -> Result<(), CatalogError> {
    if let Some(cause) = poison.cause() {
        return Err(CatalogError::Unavailable { cause });
    }
    // What lies in the log is safe there: on a full disk it stays until there is room in the file.
    room.for_group(0, Need::Ordinary)?;
    // Whether somebody was in the way, and how far it came.
    let moved = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    match connection.query_row(sql, [], moved) {
        Ok((0, logged, moved)) if logged == moved => Ok(()),
        Ok((_, logged, moved)) => {
            let cause = format!("{moved} of {logged} pages of its log are in the file: somebody reads it");
            Err(CatalogError::Unavailable { cause })
        }
        // The log has everything still, and the next one tries again.
        Err(error) if is_full(&error) => Err(CatalogError::Full),
        Err(error) if is_busy(&error) => Err(answer(&error)),
        Err(error) => {
            poison.set(&format!("checkpoint of the catalog failed: {error}"));
            Err(answer(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_ever_outlives_the_checkpoints() {
        let checkpoint = Checkpoint::new(1);
        for (rows, total) in [(5, 5), (0, 5), (2, 7)] {
            checkpoint.note(rows);
            assert!(matches!(checkpoint.wait(), Wake::Due { written } if written == (rows > 0)));
            assert_eq!(checkpoint.changes(), total);
        }
    }
}
