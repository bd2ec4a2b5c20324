//! The tasks of one shard: futures that its main future joins.
//!
//! A shard does not spawn onto its executor: everything it does is polled from one place, so the same code runs on
//! either executor and under a simulation. A task that panics ends alone; the others go on.

use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use futures::FutureExt;
use futures::Stream;
use futures::stream::FuturesUnordered;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Where tasks are handed in. Cheap to clone; stays on its thread.
#[derive(Clone, Default)]
pub struct TaskSet(Rc<RefCell<Arrivals>>);

#[derive(Default)]
struct Arrivals {
    tasks: Vec<Task>,
    waker: Option<Waker>,
}

impl TaskSet {
    /// Hands a future to the set; it runs once [`Self::run_until`] is polled. A panic inside is logged and ends it alone.
    pub fn push(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let fenced = AssertUnwindSafe(task).catch_unwind().map(move |end| {
            if end.is_err() {
                tracing::error!(task = name, "a task of the shard panicked; the others go on");
            }
        });
        let mut arrivals = self.0.borrow_mut();
        arrivals.tasks.push(Box::pin(fenced));
        if let Some(waker) = arrivals.waker.take() {
            waker.wake();
        }
    }

    /// Runs all tasks, those that arrive meanwhile included, until `main` has ended *and* every task has.
    pub async fn run_until(&self, main: impl Future<Output = ()>) {
        let mut main = Box::pin(main.fuse());
        let mut ended = false;
        let mut running: FuturesUnordered<Task> = FuturesUnordered::new();
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if !ended && main.as_mut().poll(cx).is_ready() {
                ended = true;
            }
            loop {
                let mut arrivals = self.0.borrow_mut();
                running.extend(arrivals.tasks.drain(..));
                arrivals.waker = Some(cx.waker().clone());
                drop(arrivals);
                match Pin::new(&mut running).poll_next(cx) {
                    Poll::Ready(Some(())) => {}
                    // Tasks that arrived while the others were polled woke us: the next poll takes them.
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) if !self.0.borrow().tasks.is_empty() => {}
                    Poll::Ready(None) if ended => return Poll::Ready(()),
                    Poll::Ready(None) => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn tasks_pushed_by_tasks_are_run_and_a_panic_ends_only_its_own() {
        let (set, count) = (TaskSet::default(), Rc::new(Cell::new(0)));
        let (inner, seen) = (set.clone(), Rc::clone(&count));
        set.push("first", async move {
            let again = Rc::clone(&seen);
            inner.push("second", async move { again.set(again.get() + 1) });
            inner.push("broken", async { panic!("on purpose") });
            seen.set(seen.get() + 1);
        });
        futures::executor::block_on(set.run_until(async {}));
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn the_set_waits_for_its_last_task() {
        let set = TaskSet::default();
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let done = Rc::new(Cell::new(false));
        let flag = Rc::clone(&done);
        set.push("waits", async move {
            let _ = receiver.await;
            flag.set(true);
        });
        let other = set.clone();
        futures::executor::block_on(set.run_until(async move {
            other.push("sends", async move {
                let _ = sender.send(());
            });
        }));
        assert!(done.get());
    }
}
