//! Moments between two steps at which a test lets the process die.
//!
//! `TESSERA_TEST_FAILPOINT=<name>` kills the process, as SIGKILL from outside would, when it passes the point of that name;
//! `TESSERA_TEST_FAILPOINT_NTH=<n>` when it does so for the n-th time. Only in builds with debug assertions: a release has nothing
//! of it. `tests/killloop/test_failpoints.py` takes the names from the source, and fails for one that it never reaches.

/// Dies here when the environment says so.
#[inline(always)]
pub fn failpoint(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::pass(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    use rustix::process::Signal;
    use rustix::process::getpid;
    use rustix::process::kill_process;

    struct Armed {
        name: String,
        nth: u64,
        passed: AtomicU64,
    }

    pub fn pass(name: &str) {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let Some(armed) = ARMED.get_or_init(armed) else { return };
        if armed.name == name && armed.passed.fetch_add(1, Ordering::Relaxed) + 1 == armed.nth {
            let _ = kill_process(getpid(), Signal::KILL);
            // The signal ends every thread; this one waits for it, so that not one more step is taken.
            loop {
                std::thread::park();
            }
        }
    }

    fn armed() -> Option<Armed> {
        let name = std::env::var("TESSERA_TEST_FAILPOINT").ok()?;
        let nth = std::env::var("TESSERA_TEST_FAILPOINT_NTH").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        Some(Armed { name, nth, passed: AtomicU64::new(0) })
    }
}
