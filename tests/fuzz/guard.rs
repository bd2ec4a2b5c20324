//! Runs one input at a time and fails on what no input may cause.

use std::cell::RefCell;
use std::fs;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::Once;
use std::sync::PoisonError;

use crate::targets::Target;

/// Address space one input may add: what it declares counts, touched or not.
pub const MEMORY_BYTES_MAX: u64 = 256 << 20;
/// CPU time of one input, unoptimised and with all checks.
pub const TIME_NS_MAX: u64 = 5_000_000_000;

thread_local! {
    /// What panicked inside the target of this thread, caught or not; `None` outside.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Address space is of the whole process: one target at a time.
static TURN: Mutex<()> = Mutex::new(());

pub struct Guard<'a> {
    target: &'a Target,
    kept: PathBuf,
    _turn: MutexGuard<'a, ()>,
}

impl<'a> Guard<'a> {
    pub fn new(target: &'a Target) -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let print = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                let inside = PANICS.with(|panics| panics.borrow_mut().as_mut().map(|list| list.push(info.to_string())));
                if inside.is_none() {
                    print(info);
                }
            }));
        });
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let kept = directory.join(format!("fuzz-{}.input", target.name));
        Self { target, kept, _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Fails when the target panics, takes too much, or too long. The input stays in a file, also when the process dies.
    pub fn run(&mut self, origin: &str, input: &[u8]) {
        fs::write(&self.kept, input).unwrap();
        PANICS.set(Some(Vec::new()));
        let (memory, time) = (address_space_peak(), cpu_ns());
        let result = panic::catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let (memory, time) = (address_space_peak() - memory, cpu_ns() - time);
        let panics = PANICS.take().unwrap_or_default().join("\n");
        let wrong = match result {
            Err(_) => panics,
            Ok(()) if !panics.is_empty() && !self.target.fenced => format!("a panic was caught inside: {panics}"),
            Ok(()) if memory > MEMORY_BYTES_MAX => format!("{} MiB of memory", memory >> 20),
            Ok(()) if time > TIME_NS_MAX => format!("{} ms of CPU", time / 1_000_000),
            Ok(()) => return,
        };
        panic!("{}, {origin}, input of {} bytes in {}: {wrong}", self.target.name, input.len(), self.kept.display());
    }
}

/// Whether this thread has used more CPU than an input may.
pub fn is_late() -> bool {
    thread_local! { static BEGUN: u64 = cpu_ns(); }
    let begun = BEGUN.with(|begun| *begun); // first: it may be set only here
    cpu_ns() - begun > TIME_NS_MAX
}

fn address_space_peak() -> u64 {
    status("VmPeak:")
}

/// What may be taken without a new peak.
pub fn address_space_slack() -> usize {
    (address_space_peak() - status("VmSize:")) as usize
}

/// A line of `/proc/self/status`, in bytes.
fn status(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
