//! Moving the write-ahead log into the file, away from the writer: commits do not wait for it.

use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use rusqlite::Connection;

use super::fault::is_busy;
use super::fault::is_full;
use super::poison::Poison;
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
    pub fn run(&self, connection: &Connection, poison: &Poison, room: &Room) {
        room.keep();
        let checkpoint = |sql| checkpoint(connection, sql, poison, room);
        let mut idle = true;
        loop {
            let written = match self.wait() {
                Wake::Closed => {
                    checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
                    return;
                }
                Wake::Due { written } => written,
            };
            if poison.cause().is_some() {
                return;
            }
            if written {
                checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
            } else if !idle {
                checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
            }
            room.keep();
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

fn checkpoint(connection: &Connection, sql: &str, poison: &Poison, room: &Room) {
    if poison.cause().is_some() {
        return;
    }
    // What lies in the log is safe there: on a full disk it stays until there is room in the file.
    if room.for_group(0).is_err() {
        return;
    }
    // The answer says how far it came; what it left is for the next one.
    match connection.query_row(sql, [], |_| Ok(())) {
        Ok(()) => {}
        // The log has everything still, and the next one tries again.
        Err(error) if is_busy(&error) || is_full(&error) => {}
        Err(error) => poison.set(&format!("checkpoint of the catalog failed: {error}")),
    }
}
