//! Moving the write-ahead log into the file, away from the writer: commits do not wait for it.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;

use super::fault::is_busy;
use super::poison::Poison;

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
    closed: bool,
}

impl Checkpoint {
    pub fn new(period_ms: u64) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), period: Duration::from_millis(period_ms.max(1)) }
    }

    /// The writer committed this many changed rows.
    pub fn note(&self, rows: u64) {
        let mut state = self.lock();
        state.rows = state.rows.saturating_add(rows);
        if state.rows >= LOG_ROWS_MAX {
            self.wake.notify_one();
        }
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// PASSIVE while commits come, TRUNCATE once when they pause and at the end. A reader in an old snapshot only
    /// delays it; an I/O error poisons, since a failed sync may have lost what was acknowledged.
    pub fn run(&self, connection: &Connection, poison: &Poison) {
        let mut idle = true;
        loop {
            let written = match self.wait() {
                Wake::Closed => {
                    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)", poison);
                    return;
                }
                Wake::Due { written } => written,
            };
            if poison.cause().is_some() {
                return;
            }
            if written {
                checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)", poison);
            } else if !idle {
                checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)", poison);
            }
            idle = !written;
        }
    }

    fn wait(&self) -> Wake {
        let quiet = |state: &mut State| !state.closed && state.rows < LOG_ROWS_MAX;
        let waited = self.wake.wait_timeout_while(self.lock(), self.period, quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Wake::Closed;
        }
        let written = state.rows > 0;
        *state = State::default();
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

fn checkpoint(connection: &Connection, sql: &str, poison: &Poison) {
    if poison.cause().is_some() {
        return;
    }
    // The answer says how far it came; what it left is for the next one.
    match connection.query_row(sql, [], |_| Ok(())) {
        Ok(()) => {}
        Err(error) if is_busy(&error) => {}
        Err(error) => poison.set(&format!("checkpoint of the catalog failed: {error}")),
    }
}
