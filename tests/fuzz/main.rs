//! Goal: no bytes from outside make the server panic, abort, loop or allocate without bound.
//! Method: every target of `targets` meets its valid inputs, the committed corpus, and mutations of both. Panics (also those
//! caught on the way), memory beyond [`MEMORY_BYTES_MAX`] and time beyond [`TIME_MAX`] are failures; the input is kept.
//!
//! `TESSERA_FUZZ_SECONDS=60` mutates for that long per target instead of a fixed number of rounds, `TESSERA_FUZZ_SEED` begins
//! elsewhere, `TESSERA_FUZZ_INPUT=file` runs one input. Coverage-guided runs: `coverage/run`.

mod guard;
mod mutate;
mod targets;

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use guard::Guard;
use mutate::Mutator;
use targets::Target;

/// Rounds of an ordinary test run.
const ROUNDS: u64 = 400;

fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target.name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn fuzz(name: &str) {
    let target = targets::find(name).expect("a target of this name");
    let mut guard = Guard::new(target);
    if let Ok(path) = env::var("TESSERA_FUZZ_INPUT") {
        return guard.run(&path, &fs::read(&path).unwrap());
    }
    let mut inputs = Vec::new();
    for (index, seed) in (target.seeds)().into_iter().enumerate() {
        guard.run(&format!("seed {index}"), &seed);
        inputs.push(seed);
    }
    for (path, input) in corpus(target) {
        guard.run(&path.display().to_string(), &input);
        inputs.push(input);
    }
    let first = number("TESSERA_FUZZ_SEED").unwrap_or(1);
    let end = number("TESSERA_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut rounds = 0;
    while end.map_or(rounds < ROUNDS, |end| Instant::now() < end) {
        let seed = first + rounds;
        guard.run(&format!("TESSERA_FUZZ_SEED={seed}"), &Mutator::new(seed).mutate(&inputs));
        rounds += 1;
    }
    println!("{name}: {} inputs, {rounds} mutations from seed {first}", inputs.len());
}

macro_rules! fuzzed {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name));
            }
        )*

        /// Goal: no target is forgotten here.
        #[test]
        fn every_target_is_run() {
            let here = [$(stringify!($name)),*];
            assert!(targets::ALL.iter().map(|target| target.name).eq(here), "{here:?}");
        }
    };
}

fuzzed!(deframer ipc action descriptor locator ticket chunk record segment query expression);

/// Goal: the guard sees what it is for.
/// Method: targets that do what none may.
#[test]
fn panics_memory_and_loops_are_failures() {
    fn hidden(_: &[u8]) {
        let _ = std::panic::catch_unwind(|| panic!("behind a fence"));
    }
    fn open(data: &[u8]) {
        assert!(data.len() > 1_000_000, "always");
    }
    fn greedy(data: &[u8]) {
        // Above the peak of whatever ran before.
        std::hint::black_box(Vec::<u8>::with_capacity((400 << 20) + guard::address_space_slack() + data.len()));
    }
    fn endless(_: &[u8]) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) && !guard::is_late() {}
    }
    let caught = |run, fenced| {
        let target = Target { name: "planted", run, seeds: Vec::new, fenced };
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Guard::new(&target).run("planted", b"x")));
        result.err().map(|cause| cause.downcast_ref::<String>().cloned().unwrap_or_default()).unwrap_or_default()
    };
    assert!(caught(hidden, false).contains("behind a fence"));
    assert_eq!(caught(hidden, true), "");
    assert!(caught(open, true).contains("always"));
    assert!(caught(greedy, false).contains("of memory"));
    assert!(caught(endless, false).contains("of CPU"));
}
