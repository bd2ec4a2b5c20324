//! Threads for system calls that block, awaitable from any executor.

use std::fmt;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use crossbeam::channel::Receiver;
use crossbeam::channel::Sender;
use crossbeam::channel::unbounded;
use futures::channel::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads. Clones share them; the last one to go waits until what was handed in is done, so that no
/// operation of an executor outlives it (and with it the lock on its directory).
///
/// The queue has no cap of its own: it holds what its callers await, and each of them has its own limit.
#[derive(Clone)]
pub struct BlockingPool(Arc<Threads>);

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockingPool({} threads)", self.0.threads.len())
    }
}

struct Threads {
    /// `None` once the threads are asked to end.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl BlockingPool {
    /// Starts `count` threads with the calling thread's CPU affinity: call it before that one pins itself.
    pub fn new(name: &str, count: usize) -> io::Result<Self> {
        let (jobs, queue) = unbounded();
        let mut threads = Threads { jobs: Some(jobs), threads: Vec::with_capacity(count) };
        for _ in 0..count {
            let queue: Receiver<Job> = queue.clone();
            let thread =
                thread::Builder::new().name(name.to_owned()).spawn(move || queue.iter().for_each(|job| job()))?;
            threads.threads.push(thread);
        }
        Ok(Self(Arc::new(threads)))
    }

    /// Runs `job` on one of the threads. Dropping the future gives up the answer; the job is done all the same.
    ///
    /// # Errors
    /// Those of `job`; one of kind `Other` when it panicked.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let (answer, wait) = oneshot::channel();
        let job = move || {
            let result =
                catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| Err(io::Error::other("the job panicked")));
            // The caller may have given up.
            let _ = answer.send(result);
        };
        if let Some(jobs) = &self.0.jobs
            && jobs.send(Box::new(job)).is_err()
        {
            return Err(io::Error::other("the threads for blocking calls are gone"));
        }
        wait.await.unwrap_or_else(|_| Err(io::Error::other("the threads for blocking calls are gone")))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A job cannot make its thread panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn answers_and_errors_come_back() {
        let pool = BlockingPool::new("test", 2).unwrap();
        assert_eq!(block_on(pool.run(|| Ok(7))).unwrap(), 7);
        let error = block_on(pool.run(|| Err::<(), _>(io::ErrorKind::NotFound.into()))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_last_handle_waits_for_abandoned_jobs() {
        let pool = BlockingPool::new("test", 2).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let done = done.clone();
            let job = pool.run(move || {
                done.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            // Polled once, so it is handed in; then dropped.
            let _ = job.now_or_never();
        }
        drop(pool);
        assert_eq!(done.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn a_job_that_panics_is_an_error_and_costs_no_thread() {
        let pool = BlockingPool::new("test", 1).unwrap();
        let broken = block_on(pool.run(|| -> io::Result<()> { std::panic::resume_unwind(Box::new("quietly")) }));
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!(block_on(pool.run(|| Ok(1))).unwrap(), 1);
    }
}
