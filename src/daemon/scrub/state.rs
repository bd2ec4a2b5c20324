//! What `scrub.json` beside the catalog says: how far the pass under way is, and what it and the last whole one found.
//!
//! One JSON object. A reader ignores members it does not know; a file that it cannot read counts as none, and a pass begins anew.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::io::Host;
use crate::io::wall_ns;

pub const SCRUB_FILE: &str = "scrub.json";
const BYTES_MAX: u64 = 64 << 10;

/// Findings that are told; the others are counted.
const FINDINGS_MAX: usize = 20;

/// Characters of a finding.
const PROBLEM_LEN_MAX: usize = 500;

/// How far it is, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ScrubState {
    /// The pass is behind this many chunks of the session with this number.
    pub session: i64,
    pub chunks: u64,
    /// Whether it has looked at the catalog's own file.
    pub catalog: bool,
    /// The pass under way.
    pub current: Scrubbed,
    /// The last one that came to its end.
    pub last: Option<Scrubbed>,
}

/// What one pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Scrubbed {
    pub begun_at_ns: i64,
    pub ended_at_ns: Option<i64>,
    pub chunks: u64,
    pub bytes: u64,
    pub manifests: u64,
    /// Of chunks, manifests and parts of the catalog.
    pub damaged: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Finding {
    /// Sequence or topic, or "catalog".
    pub name: String,
    pub part: String,
    pub problem: String,
}

impl ScrubState {
    /// * `place`: directory of the catalog.
    ///
    /// # Errors
    /// When the file is not there, cannot be read, or is none.
    pub fn read(place: &Path) -> io::Result<Self> {
        let bytes = Host::default().read_small(&place.join(SCRUB_FILE), BYTES_MAX)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Durable on return. Blocks.
    ///
    /// # Errors
    /// Whatever the disk says; nothing but repeated work depends on it.
    pub(super) fn write(&self, place: &Path) -> io::Result<()> {
        Host::default().write_small(place, SCRUB_FILE, &serde_json::to_vec(self)?)
    }

    /// A new pass, unless one is under way.
    pub(super) fn begin(&mut self) {
        if self.current.begun_at_ns == 0 {
            self.current.begun_at_ns = wall_ns();
        }
    }

    /// How long it is until the next pass: none while one is under way. One begins a whole period after the last one did, so
    /// that everything is read once in a period and no more, however little it is.
    pub(super) fn wait(&self, period: Duration, now_ns: i64) -> Duration {
        let last = self.last.as_ref().filter(|_| self.current.begun_at_ns == 0);
        // A clock that was set back says nothing about the last one.
        let since = last.and_then(|last| u64::try_from(now_ns.checked_sub(last.begun_at_ns)?).ok());
        since.map_or(Duration::ZERO, |since| period.saturating_sub(Duration::from_nanos(since)))
    }

    pub(super) fn at(&mut self, session: i64, chunks: u64) {
        (self.session, self.chunks) = (session, chunks);
    }

    /// The pass is over; the next one begins anew.
    pub(super) fn end(&mut self) -> Scrubbed {
        let mut done = std::mem::take(&mut self.current);
        done.ended_at_ns = Some(wall_ns());
        *self = Self { last: Some(done.clone()), ..Self::default() };
        done
    }
}

impl Scrubbed {
    pub(super) fn found(&mut self, name: &str, part: &str, problem: &str) {
        self.damaged += 1;
        if self.findings.len() < FINDINGS_MAX {
            let problem = problem.chars().take(PROBLEM_LEN_MAX).collect();
            self.findings.push(Finding { name: name.to_owned(), part: part.to_owned(), problem });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_kept_within_a_small_file() {
        let directory = tempfile::tempdir().unwrap();
        assert!(ScrubState::read(directory.path()).is_err());
        let mut state = ScrubState::default();
        state.begin();
        for n in 0..1000 {
            state.current.found(&"s".repeat(255), &format!("chunk {n}"), &"\u{1F4A5}".repeat(5000));
        }
        state.at(7, 3);
        state.write(directory.path()).unwrap();
        assert_eq!(ScrubState::read(directory.path()).unwrap(), state);
        let done = state.end();
        assert_eq!((done.damaged, done.findings.len()), (1000, 20));
        assert_eq!((state.session, state.chunks, state.last.as_ref()), (0, 0, Some(&done)));
        // Of an earlier version.
        std::fs::write(directory.path().join("scrub.json"), r#"{"session":2,"chunks":9}"#).unwrap();
        assert_eq!(
            ScrubState::read(directory.path()).unwrap(),
            ScrubState { session: 2, chunks: 9, ..ScrubState::default() }
        );
    }

    #[test]
    fn what_was_read_is_left_alone_for_the_rest_of_the_period() {
        let (period, hour) = (Duration::from_secs(30 * 24 * 3600), 3600 * 1_000_000_000);
        let mut state = ScrubState::default();
        assert_eq!(state.wait(period, 5), Duration::ZERO, "never read");
        let begun_at_ns = 1_700_000_000_000_000_000;
        state.current.begun_at_ns = begun_at_ns;
        assert_eq!(state.wait(period, begun_at_ns), Duration::ZERO, "under way, as a restart finds it");
        state.end();
        assert_eq!(state.wait(period, begun_at_ns + hour), period - Duration::from_secs(3600));
        let kept: ScrubState = serde_json::from_slice(&serde_json::to_vec(&state).unwrap()).unwrap();
        assert_eq!(kept.wait(period, begun_at_ns + 29 * 24 * hour), Duration::from_secs(24 * 3600), "over a restart");
        assert_eq!(state.wait(period, begun_at_ns + 31 * 24 * hour), Duration::ZERO);
        assert_eq!(state.wait(period, begun_at_ns - hour), Duration::ZERO, "a clock that was set back");
    }
}
