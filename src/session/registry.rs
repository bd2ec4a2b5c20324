//! The puts that run at this moment: how to stop them, and how to know that they let go.
//!
//! A put enters before the catalog moves its topic to *receiving*, and leaves after its writer is gone. A delete commits
//! its tombstone first and cancels then. So either the delete finds the put here, or the put finds its topic gone.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;

use super::sweep::Alarm;
use crate::model::SessionId;
use crate::model::TopicId;

/// Why a put must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    /// Its topic, or what holds the topic, was deleted: the rows are discarded.
    Deleted,
    /// The daemon stops: the rows that came are kept.
    Stopping,
}

/// Which puts are meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Puts {
    Topic(TopicId),
    Session(SessionId),
    All,
}

/// Why a put may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    Full { max: u32 },
    Stopping,
}

pub(super) struct Registry {
    state: Mutex<State>,
    puts_max: u32,
    /// Rung when a put lets go: a tombstone may wait for it.
    alarm: Arc<Alarm>,
}

#[derive(Default)]
struct State {
    puts: HashMap<u64, Entry>,
    next: u64,
    stopping: bool,
    /// Who waits until nothing runs.
    idle: Vec<oneshot::Sender<()>>,
}

struct Entry {
    session: SessionId,
    topic: TopicId,
    /// Taken when it is used: the first reason counts.
    signal: Option<oneshot::Sender<Cancel>>,
}

impl Registry {
    pub(super) fn new(puts_max: u32, alarm: Arc<Alarm>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), puts_max, alarm })
    }

    /// Registers a put; it is registered until the answer is dropped.
    ///
    /// # Errors
    /// [`Closed`] when too many run or the daemon stops.
    pub(super) fn enter(self: &Arc<Self>, session: SessionId, topic: TopicId) -> Result<Running, Closed> {
        let mut state = self.state();
        if state.stopping {
            return Err(Closed::Stopping);
        }
        if state.puts.len() >= self.puts_max as usize {
            return Err(Closed::Full { max: self.puts_max });
        }
        let (signal, cancelled) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        state.puts.insert(number, Entry { session, topic, signal: Some(signal) });
        Ok(Running { registry: Arc::clone(self), number, cancelled: cancelled.shared() })
    }

    /// Tells the puts to stop; they let go on their own.
    pub(super) fn cancel(&self, puts: Puts, why: Cancel) {
        let signals: Vec<_> = {
            let mut state = self.state();
            let meant = state.puts.values_mut().filter(|entry| puts.mean(entry));
            meant.filter_map(|entry| entry.signal.take()).collect()
        };
        // Outside the lock: the receiver's waker runs here.
        for signal in signals {
            // It fails when the put is just leaving, and then there is nothing to stop.
            let _ = signal.send(why);
        }
    }

    /// Whether one of them still runs, cancelled or not.
    pub(super) fn runs(&self, puts: Puts) -> bool {
        self.state().puts.values().any(|entry| puts.mean(entry))
    }

    /// Lets no more puts in.
    pub(super) fn close(&self) {
        self.state().stopping = true;
    }

    /// Returns once no put runs.
    pub(super) async fn idle(&self) {
        let idle = {
            let mut state = self.state();
            if state.puts.is_empty() {
                return;
            }
            let (told, idle) = oneshot::channel();
            state.idle.push(told);
            idle
        };
        // The sender is dropped without a word only together with the registry.
        let _ = idle.await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Puts {
    fn mean(self, entry: &Entry) -> bool {
        match self {
            Self::Topic(topic) => entry.topic == topic,
            Self::Session(session) => entry.session == session,
            Self::All => true,
        }
    }
}

/// A registered put.
pub(super) struct Running {
    registry: Arc<Registry>,
    number: u64,
    cancelled: Shared<oneshot::Receiver<Cancel>>,
}

impl Running {
    /// Resolves when the put must stop, again and again.
    pub(super) async fn cancelled(&self) -> Cancel {
        match self.cancelled.clone().await {
            Ok(why) => why,
            // The registry keeps the sender while we are registered.
            Err(oneshot::Canceled) => futures::future::pending().await,
        }
    }

    /// The reason, when the put was told to stop.
    pub(super) fn cancel(&self) -> Option<Cancel> {
        self.cancelled.clone().now_or_never().and_then(Result::ok)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let idle = {
            let mut state = self.registry.state();
            state.puts.remove(&self.number);
            if state.puts.is_empty() { std::mem::take(&mut state.idle) } else { Vec::new() }
        };
        for told in idle {
            let _ = told.send(());
        }
        self.registry.alarm.ring();
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::model::IdSource;

    fn registry(puts_max: u32) -> (Arc<Registry>, IdSource) {
        (Registry::new(puts_max, Arc::new(Alarm::default())), IdSource::from_seed([3; 32]))
    }

    #[test]
    fn cancel_reaches_those_that_are_meant_and_no_other() {
        let (registry, ids) = registry(10);
        let (session, other) = (SessionId::new(&ids), SessionId::new(&ids));
        let (a, b, c) = (TopicId::new(&ids), TopicId::new(&ids), TopicId::new(&ids));
        let one = registry.enter(session, a).unwrap();
        let two = registry.enter(session, b).unwrap();
        let three = registry.enter(other, c).unwrap();
        registry.cancel(Puts::Topic(a), Cancel::Deleted);
        assert_eq!([one.cancel(), two.cancel(), three.cancel()], [Some(Cancel::Deleted), None, None]);
        registry.cancel(Puts::Session(session), Cancel::Deleted);
        assert_eq!(block_on(two.cancelled()), Cancel::Deleted);
        assert!(three.cancelled().now_or_never().is_none());
        // The first reason counts.
        registry.cancel(Puts::All, Cancel::Stopping);
        assert_eq!([one.cancel(), three.cancel()], [Some(Cancel::Deleted), Some(Cancel::Stopping)]);
    }

    #[test]
    fn a_put_runs_until_it_lets_go() {
        let (registry, ids) = registry(10);
        let (session, topic) = (SessionId::new(&ids), TopicId::new(&ids));
        let put = registry.enter(session, topic).unwrap();
        registry.cancel(Puts::All, Cancel::Deleted);
        assert!(registry.runs(Puts::Topic(topic)) && registry.runs(Puts::Session(session)));
        let mut idle = Box::pin(registry.idle());
        assert!(idle.as_mut().now_or_never().is_none());
        drop(put);
        assert!(!registry.runs(Puts::All));
        block_on(idle);
    }

    #[test]
    fn full_and_stopping_are_refused() {
        let (registry, ids) = registry(1);
        let enter = || registry.enter(SessionId::new(&ids), TopicId::new(&ids));
        let put = enter().unwrap();
        assert_eq!(enter().err(), Some(Closed::Full { max: 1 }));
        drop(put);
        drop(enter().unwrap());
        registry.close();
        assert_eq!(enter().err(), Some(Closed::Stopping));
    }
}
