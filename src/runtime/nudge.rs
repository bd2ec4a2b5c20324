//! Ends the system call in which a thread sleeps, when there is no waker for it yet.

use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::thread::JoinHandle;

use nix::sys::pthread::pthread_kill;
use nix::sys::signal::Signal;

/// Nobody else uses it, and whoever does not handle it does not notice.
const SIGNAL: Signal = Signal::SIGURG;

/// Interrupts what the thread waits for in the kernel. It may fall asleep just then and miss it: to be repeated.
///
/// # Errors
/// When the system refuses the handler, or the thread is gone.
pub(super) fn nudge<T>(thread: &JoinHandle<T>) -> io::Result<()> {
    static HANDLED: OnceLock<Result<(), i32>> = OnceLock::new();
    // Without a handler the signal is dropped where it is sent.
    let handle = || signal_hook::flag::register(SIGNAL as i32, Arc::default()).map(drop);
    let handled = HANDLED.get_or_init(|| handle().map_err(|cause| cause.raw_os_error().unwrap_or_default()));
    handled.map_err(io::Error::from_raw_os_error)?;
    Ok(pthread_kill(thread.as_pthread_t(), SIGNAL)?)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleep_in_the_kernel_ends() {
        let (ended, end) = mpsc::channel();
        let thread = thread::spawn(move || {
            // No timer and no other thread ends it.
            nix::unistd::pause();
            ended.send(()).unwrap();
        });
        while end.recv_timeout(Duration::from_millis(1)).is_err() {
            nudge(&thread).unwrap();
        }
        thread.join().unwrap();
    }
}
