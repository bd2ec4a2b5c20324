//! Which line of ours asked for something, found by walking up the stack. For tests alone: a walk costs about a millisecond.

use std::backtrace::Backtrace;
use std::fmt;

/// A line of a file under `src`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSite {
    /// With forward slashes, such as `store/writer.rs`.
    pub file: String,
    pub line: u32,
}

impl CallSite {
    /// The nearest line of this package outside this room; `None` when there is none, as for a call of a test.
    pub(super) fn of_caller() -> Option<Self> {
        let stack = Backtrace::force_capture().to_string();
        stack.lines().filter_map(Self::parse).find(|site| !site.file.starts_with("io/"))
    }

    /// Reads `at ./src/store/writer.rs:99:25`.
    fn parse(line: &str) -> Option<Self> {
        let place = line.trim_start().strip_prefix("at ")?;
        let place = place.strip_prefix(env!("CARGO_MANIFEST_DIR")).map_or(place, |rest| rest.trim_start_matches('/'));
        let place = place.trim_start_matches("./").strip_prefix("src/")?;
        let mut parts = place.split(':');
        let (file, line) = (parts.next()?, parts.next()?);
        Some(Self { file: file.to_owned(), line: line.parse().ok()? })
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}", self.file, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_stack_is_ours_or_it_is_not() {
        let ours = CallSite { file: "store/writer.rs".to_owned(), line: 99 };
        assert_eq!(CallSite::parse("             at ./src/store/writer.rs:99:25"), Some(ours.clone()));
        let whole = format!("  at {}/src/store/writer.rs:99:25", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(CallSite::parse(&whole), Some(ours));
        for other in
            ["  7: tessera::store::writer", "at /rustc/0/library/core/src/ops/function.rs:250:5", "at ./tests/x.rs:1:1"]
        {
            assert_eq!(CallSite::parse(other), None, "{other}");
        }
    }
}
