//! One thing to measure, and the three ways to run it.

use std::fmt;
use std::hint::black_box;
use std::time::Duration;
use std::time::Instant;

use criterion::Criterion;
use criterion::Throughput;

/// How much data the cases make themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A few megabytes: what tests and valgrind have time for.
    Small,
    /// More than a processor caches.
    Full,
}

impl Scale {
    pub fn pick(self, small: usize, full: usize) -> usize {
        match self {
            Self::Small => small,
            Self::Full => full,
        }
    }
}

/// What one run of a case handles.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// Arrow bytes of the rows, or bytes on the wire: what an s/GB is per.
    Bytes(u64),
    Rows(u64),
    Messages(u64),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(count) => write!(f, "{count} bytes"),
            Self::Rows(count) => write!(f, "{count} rows"),
            Self::Messages(count) => write!(f, "{count} messages"),
        }
    }
}

/// A named piece of work. Its data is made when it is to run, and goes with it.
pub struct Case {
    pub name: &'static str,
    /// Of a small run.
    pub digest: u64,
    make: Box<dyn FnOnce() -> Ready>,
}

/// Work over data that is there.
pub struct Ready {
    pub amount: Amount,
    work: Box<dyn FnMut(&mut Watch) -> u64>,
}

/// Separates what is measured from its preparation.
pub struct Watch {
    kind: Kind,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clock,
    Callgrind,
}

impl Watch {
    /// Runs the part that counts; once a run.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        if self.kind == Kind::Callgrind {
            return counted(work);
        }
        let began = Instant::now();
        let made = black_box(work());
        self.took += began.elapsed();
        made
    }
}

/// Callgrind collects while it is inside this function, which `perf/instructions.py` knows by its name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

impl Ready {
    /// * `work`: gives a digest of what it made. It prepares as it likes, and does what counts in [`Watch::time`].
    pub fn new(amount: Amount, work: impl FnMut(&mut Watch) -> u64 + 'static) -> Self {
        Self { amount, work: Box::new(work) }
    }

    /// One run; returns its digest.
    pub fn run(&mut self) -> u64 {
        (self.work)(&mut Watch { kind: Kind::Clock, took: Duration::ZERO })
    }
}

impl Case {
    pub fn new(name: &'static str, digest: u64, make: impl FnOnce() -> Ready + 'static) -> Self {
        Self { name, digest, make: Box::new(make) }
    }

    /// Runs it twice and prints a line: what is left in recycled buffers must not show.
    ///
    /// # Errors
    /// What is wrong with the digests.
    pub fn check(self) -> Result<(), String> {
        let mut ready = (self.make)();
        let digests = [ready.run(), ready.run()];
        println!("{}: {}, digest {:#018x}", self.name, ready.amount, digests[0]);
        let [first, second] = digests;
        match digests == [self.digest; 2] {
            true => Ok(()),
            false => Err(format!("{}: {first:#018x} and {second:#018x}, expected {:#018x}", self.name, self.digest)),
        }
    }

    /// A run that warms pools and tables, then the one that callgrind sees. Prints the amount.
    pub fn count(self) {
        let mut ready = (self.make)();
        let warm = ready.run();
        let counted = (ready.work)(&mut Watch { kind: Kind::Callgrind, took: Duration::ZERO });
        assert_eq!((warm, counted), (self.digest, self.digest), "{}", self.name);
        println!("{}", ready.amount);
    }

    pub fn measure(self, criterion: &mut Criterion) {
        let mut ready = (self.make)();
        let throughput = match ready.amount {
            Amount::Bytes(count) => Throughput::Bytes(count),
            Amount::Rows(count) | Amount::Messages(count) => Throughput::Elements(count),
        };
        // The part before the slash is the group's name in criterion's report.
        let (group, name) = self.name.split_once('/').unwrap_or((self.name, "all"));
        let mut group = criterion.benchmark_group(group);
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        group.throughput(throughput).bench_function(name, |bencher| {
            bencher.iter_custom(|runs| {
                let mut watch = Watch { kind: Kind::Clock, took: Duration::ZERO };
                for _ in 0..runs {
                    black_box((ready.work)(&mut watch));
                }
                watch.took
            });
        });
        group.finish();
    }
}

/// Adds to a digest.
pub fn fold(digest: u64, value: u64) -> u64 {
    (digest.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
