//! Room on a data directory's disk, and the two marks below which less is taken on.
//!
//! Below the *soft* mark nothing new begins; what is being recorded goes on. Below the *hard* mark streams end, while there is
//! still enough room to seal what they brought, and for the catalog and manifests of what follows: reading, finalizing and
//! deleting. Who else writes to the disk is not asked: what is free is measured, so each mark holds whoever filled it, and
//! passes as soon as there is room again.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

use crate::io::Space;

const MIB: u64 = 1 << 20;

/// Bounds of the marks that are derived from the size of a disk.
const HARD_MIN: u64 = 64 * MIB;
const HARD_MAX: u64 = 1024 * MIB;
const SOFT_MAX: u64 = 64 << 30;

/// Files that can still be made, below which it is as if bytes were short.
const FILES_SOFT: u64 = 512;
const FILES_HARD: u64 = 64;

/// The marks, in bytes that are free. 0 derives one from the size of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Marks {
    pub soft_bytes: u64,
    pub hard_bytes: u64,
}

/// How a disk stands to its marks, the better one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Free,
    Soft,
    Hard,
}

/// What is left, and what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    Bytes { free: u64, mark: u64 },
    Files { free: u64, mark: u64 },
}

impl Marks {
    pub fn level(&self, space: &Space) -> Level {
        match () {
            () if self.shortage(space, Level::Hard).is_some() => Level::Hard,
            () if self.shortage(space, Level::Soft).is_some() => Level::Soft,
            () => Level::Free,
        }
    }

    /// What is short at this mark; `None` above it.
    pub fn shortage(&self, space: &Space, level: Level) -> Option<Shortage> {
        let (bytes, files) = match level {
            Level::Free => return None,
            Level::Soft => (self.soft(space.total), FILES_SOFT),
            Level::Hard => (self.hard(space.total), FILES_HARD),
        };
        if space.free < bytes {
            return Some(Shortage::Bytes { free: space.free, mark: bytes });
        }
        // A tiny file system has few files from the start.
        let files = files.min(space.files_total / 4);
        (space.files_free < files).then_some(Shortage::Files { free: space.files_free, mark: files })
    }

    fn hard(&self, total: u64) -> u64 {
        match self.hard_bytes {
            0 => (total / 100).clamp(HARD_MIN, HARD_MAX),
            bytes => bytes,
        }
    }

    fn soft(&self, total: u64) -> u64 {
        let least = self.hard(total);
        match self.soft_bytes {
            0 => (total / 20).min(SOFT_MAX).max(2 * least),
            bytes => bytes.max(least),
        }
    }
}

impl Shortage {
    /// Whether so little is left that nothing more may be taken, come what may.
    pub fn is_dire(&self) -> bool {
        match self {
            Self::Bytes { free, mark } => *free < mark / 2,
            Self::Files { free, mark } => *free < mark / 2,
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: &u64| *bytes as f64 / MIB as f64;
        match self {
            Self::Bytes { free, mark } => write!(f, "{:.1} MiB are free, the mark is {:.1} MiB", mib(free), mib(mark)),
            Self::Files { free, mark } => {
                write!(f, "{free} more files can be made on its disk (inodes), the mark is {mark}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free: u64, total: u64) -> Space {
        Space { free, total, files_free: u64::MAX, files_total: u64::MAX }
    }

    #[test]
    fn marks_follow_the_size_of_the_disk_within_bounds() {
        let marks = Marks::default();
        let (small, large) = (256 * MIB, 4 << 40);
        assert_eq!(marks.level(&space(small, small)), Level::Free);
        assert_eq!(marks.level(&space(127 * MIB, small)), Level::Soft);
        assert_eq!(marks.level(&space(63 * MIB, small)), Level::Hard);
        assert_eq!(marks.level(&space(65 << 30, large)), Level::Free);
        assert_eq!(marks.level(&space(63 << 30, large)), Level::Soft);
        assert_eq!(marks.level(&space(1023 * MIB, large)), Level::Hard);
    }

    #[test]
    fn the_soft_mark_is_never_below_the_hard_one() {
        let marks = Marks { soft_bytes: 1, hard_bytes: 100 * MIB };
        assert_eq!(marks.level(&space(99 * MIB, 1 << 40)), Level::Hard);
        assert_eq!(marks.level(&space(100 * MIB, 1 << 40)), Level::Free);
    }

    #[test]
    fn files_run_out_too() {
        let marks = Marks { soft_bytes: 1, hard_bytes: 1 };
        let with = |files_free| marks.level(&Space { files_free, files_total: 100_000, ..space(MIB, MIB) });
        assert_eq!((with(512), with(511), with(63)), (Level::Free, Level::Soft, Level::Hard));
        let told = marks.shortage(&Space { files_free: 3, files_total: 40, ..space(MIB, MIB) }, Level::Hard);
        assert_eq!(told, Some(Shortage::Files { free: 3, mark: 10 }));
        assert!(told.is_some_and(|shortage| shortage.is_dire() && shortage.to_string().contains("inodes")));
    }
}
