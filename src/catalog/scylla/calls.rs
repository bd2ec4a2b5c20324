//! The thread on which everything here runs. The driver wants a tokio runtime; callers come from shards and from tests too.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::thread::JoinHandle;

use futures::channel::oneshot;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::catalog::CatalogError;
use crate::catalog::Fut;

/// Calls that may wait or run at once. Those beyond are refused as overloaded.
const CALLS_MAX: usize = 16 << 10;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs calls until it is dropped, which waits for those that run.
pub struct Calls {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Calls {
    /// # Errors
    /// `Unavailable` without a thread.
    pub fn start() -> Result<Self, CatalogError> {
        let unavailable = |error: std::io::Error| CatalogError::Unavailable { cause: error.to_string() };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(unavailable)?;
        let (jobs, taken) = mpsc::channel(CALLS_MAX);
        let thread = thread::Builder::new().name("catalog-cluster".to_owned());
        let thread = thread.spawn(move || runtime.block_on(run(taken))).map_err(unavailable)?;
        Ok(Self { jobs: Some(jobs), thread: Mutex::new(Some(thread)) })
    }

    /// Starts `work` and answers when it is over. Dropping the answer does not cancel it.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, CatalogError>> + Send + 'static,
    ) -> Fut<'static, T> {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::pin(async move {
            // A caller who stopped listening is no error.
            drop(sender.send(work.await));
        });
        let taken = self.jobs.as_ref().ok_or(CatalogError::Closed).and_then(|jobs| {
            jobs.try_send(job).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    CatalogError::Overloaded { waiting: CALLS_MAX as u64, limit: CALLS_MAX as u64 }
                }
                mpsc::error::TrySendError::Closed(_) => CatalogError::Closed,
            })
        });
        Box::pin(async move {
            taken?;
            let stopped = || CatalogError::Unavailable { cause: "it stopped before it answered".to_owned() };
            receiver.await.unwrap_or_else(|_| Err(stopped()))
        })
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has said so.
        thread.into_iter().for_each(|thread| drop(thread.join()));
    }
}

async fn run(mut jobs: mpsc::Receiver<Job>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            job = jobs.recv(), if running.len() < CALLS_MAX => match job {
                Some(job) => drop(running.spawn(job)),
                None => break,
            },
            // One that panicked answers nobody, and its caller is told.
            Some(_) = running.join_next() => {}
        }
    }
    while running.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_call_runs_whether_or_not_somebody_listens_and_ends_before_the_thread() {
        let calls = Calls::start().unwrap();
        let (done, seen) = std::sync::mpsc::channel();
        drop(calls.run(async move {
            tokio::task::yield_now().await;
            done.send(7).map_err(|_| CatalogError::Closed)
        }));
        assert_eq!(block_on(calls.run(async { Ok(5) })), Ok(5));
        let panicked = block_on(calls.run::<()>(async { panic!("on purpose") }));
        assert!(matches!(panicked, Err(CatalogError::Unavailable { .. })), "{panicked:?}");
        drop(calls);
        assert_eq!(seen.try_recv(), Ok(7));
    }
}
