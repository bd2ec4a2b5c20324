//! A hard-capped set of write buffers, allocated once.
//!
//! The cap is what bounds the memory of all writes of a shard. At the cap `acquire` waits, first come first served. With
//! glommio the buffers must fit its registered arena (`runtime::Executor` sizes it): outside of it every write would cost
//! a mapping and its page faults.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::rc::Weak;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use super::block::WRITE_SIZE;
use super::buffer::AlignedBuf;
use super::buffer::HeapBlock;
use super::buffer::Memory;

/// Buffers of [`WRITE_SIZE`] bytes for the writes of one executor. Clones share the same buffers.
#[derive(Clone)]
pub struct BlockPool(Rc<RefCell<State>>);

struct State {
    kind: Kind,
    /// Places whose memory is at home.
    idle: Vec<Memory>,
    /// Places whose memory was lost to an abandoned write: they get new memory when they are next handed out. Until the
    /// abandoned write completes, that is one buffer above the cap.
    bare: usize,
    count: usize,
    /// Who waits, in order of arrival; the numbers ascend.
    waiting: VecDeque<(u64, Waker)>,
    next_ticket: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Dma,
    Heap,
}

impl BlockPool {
    /// A pool of glommio buffers; panics outside a glommio executor.
    pub fn dma(count: usize) -> Self {
        Self::new(Kind::Dma, count)
    }

    /// A pool of ordinary memory, for the thread back end and for tests.
    pub fn heap(count: usize) -> Self {
        Self::new(Kind::Heap, count)
    }

    fn new(kind: Kind, count: usize) -> Self {
        Self::of(kind, (0..count).map(|_| kind.allocate()).collect())
    }

    fn of(kind: Kind, idle: Vec<Memory>) -> Self {
        let count = idle.len();
        Self(Rc::new(RefCell::new(State { kind, idle, bare: 0, count, waiting: VecDeque::new(), next_ticket: 0 })))
    }

    /// The buffers of this pool dealt out evenly to so many new ones, so that none can take those of another. This one has none
    /// any more. All of them must be at home.
    pub fn split(&self, parts: usize) -> Vec<Self> {
        let mut state = self.0.borrow_mut();
        assert!(state.idle.len() == state.count, "{} of {} buffers are at home", state.idle.len(), state.count);
        let (kind, all) = (state.kind, std::mem::take(&mut state.idle));
        state.count = 0;
        let parts = parts.max(1);
        let mut dealt: Vec<Vec<Memory>> = (0..parts).map(|_| Vec::with_capacity(all.len() / parts + 1)).collect();
        for (index, memory) in all.into_iter().enumerate() {
            if let Some(part) = dealt.get_mut(index % parts) {
                part.push(memory);
            }
        }
        dealt.into_iter().map(|idle| Self::of(kind, idle)).collect()
    }

    /// A buffer; waits while all are out. It comes home when it is dropped.
    pub async fn acquire(&self) -> AlignedBuf {
        let mut turn = Turn { pool: self, ticket: None };
        poll_fn(|cx| turn.poll(cx)).await
    }

    /// A buffer, or `None` when all are out or others wait already.
    pub fn try_acquire(&self) -> Option<AlignedBuf> {
        if !self.0.borrow().waiting.is_empty() {
            return None;
        }
        self.hand_out()
    }

    /// How many buffers there are.
    pub fn count(&self) -> usize {
        self.0.borrow().count
    }

    /// How many buffers can be had at once.
    pub fn available(&self) -> usize {
        let state = self.0.borrow();
        state.idle.len() + state.bare
    }

    fn hand_out(&self) -> Option<AlignedBuf> {
        let mut state = self.0.borrow_mut();
        let memory = match state.idle.pop() {
            Some(memory) => memory,
            None if state.bare > 0 => {
                state.bare -= 1;
                state.kind.allocate()
            }
            None => return None,
        };
        Some(AlignedBuf::pooled(memory, Slot(Rc::downgrade(&self.0))))
    }

    /// Wakes the first in line when there is something for it. Called after every change that could be its turn.
    fn wake_first(state: &RefCell<State>) {
        let waker = {
            let state = state.borrow();
            let ready = !state.idle.is_empty() || state.bare > 0;
            state.waiting.front().filter(|_| ready).map(|(_, waker)| waker.clone())
        };
        // Outside the borrow: a waker may run anything.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Kind {
    fn allocate(self) -> Memory {
        match self {
            Self::Dma => Memory::dma(WRITE_SIZE),
            Self::Heap => Memory::Heap(HeapBlock::zeroed(WRITE_SIZE)),
        }
    }
}

/// One caller's place in the line. Leaving the line early passes the turn on, so no wake-up is lost.
struct Turn<'a> {
    pool: &'a BlockPool,
    ticket: Option<u64>,
}

impl Turn<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<AlignedBuf> {
        let first = {
            let state = self.pool.0.borrow();
            state.waiting.front().map(|(ticket, _)| *ticket)
        };
        // Whoever is in the line must be its head; whoever comes anew must find it empty.
        if first == self.ticket
            && let Some(buf) = self.pool.hand_out()
        {
            self.leave();
            return Poll::Ready(buf);
        }
        let mut state = self.pool.0.borrow_mut();
        match self.ticket {
            Some(ticket) => {
                if let Ok(at) = state.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket)
                    && let Some((_, waker)) = state.waiting.get_mut(at)
                {
                    waker.clone_from(cx.waker());
                }
            }
            None => {
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting.push_back((ticket, cx.waker().clone()));
                self.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }

    fn leave(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        {
            let mut state = self.pool.0.borrow_mut();
            if let Ok(at) = state.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
                state.waiting.remove(at);
            }
        }
        BlockPool::wake_first(&self.pool.0);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The place a pooled buffer belongs to. It outlives neither the pool nor matters after it.
pub(super) struct Slot(Weak<RefCell<State>>);

impl Slot {
    /// `memory` is `None`, or still shared, when an abandoned write holds it.
    pub(super) fn give_back(self, memory: Option<Memory>) {
        let Some(pool) = self.0.upgrade() else { return };
        {
            let mut state = pool.borrow_mut();
            match memory.filter(Memory::is_unshared) {
                Some(memory) => state.idle.push(memory),
                None => state.bare += 1,
            }
            let State { idle, bare, count, .. } = &*state;
            assert!(idle.len() + bare <= *count, "{} buffers came home to a pool of {count}", idle.len() + bare);
        }
        BlockPool::wake_first(&pool);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;
    use futures::future::join_all;

    use super::*;

    #[test]
    fn a_buffer_comes_home_when_it_is_dropped() {
        let pool = BlockPool::heap(2);
        let first = pool.try_acquire().unwrap();
        let second = pool.try_acquire().unwrap();
        assert_eq!((first.len(), pool.available()), (WRITE_SIZE, 0));
        assert!(pool.try_acquire().is_none());
        drop(first);
        assert_eq!(pool.available(), 1);
        drop((second, pool.try_acquire().unwrap()));
        assert_eq!(pool.available(), 2);
    }

    #[test]
    fn parts_of_a_pool_take_nothing_from_each_other() {
        let pool = BlockPool::heap(7);
        let parts = pool.split(2);
        assert_eq!([pool.count(), parts[0].count(), parts[1].count()], [0, 4, 3]);
        let taken: Vec<_> = std::iter::from_fn(|| parts[0].try_acquire()).collect();
        assert_eq!((taken.len(), parts[1].available()), (4, 3));
        drop(taken);
        assert_eq!((parts[0].available(), parts[1].available()), (4, 3));
    }

    #[test]
    fn a_buffer_outlives_its_pool() {
        let pool = BlockPool::heap(1);
        let mut buf = pool.try_acquire().unwrap();
        drop(pool);
        buf.as_mut_slice().fill(1);
    }

    #[test]
    fn memory_lost_to_an_abandoned_write_is_replaced() {
        let pool = BlockPool::heap(1);
        let mut buf = pool.try_acquire().unwrap();
        let lost = buf.take();
        drop(buf);
        assert_eq!(pool.try_acquire().unwrap().len(), WRITE_SIZE);
        drop(lost);
    }

    #[test]
    fn waiters_are_served_in_order_and_leavers_pass_their_turn_on() {
        let pool = BlockPool::heap(1);
        let held = pool.try_acquire().unwrap();
        let mut first = Box::pin(pool.acquire());
        let mut second = Box::pin(pool.acquire());
        let mut third = Box::pin(pool.acquire());
        for turn in [&mut first, &mut second, &mut third] {
            assert!(turn.now_or_never().is_none());
        }
        drop(held);
        assert!(pool.try_acquire().is_none(), "nobody overtakes the line");
        assert!((&mut second).now_or_never().is_none(), "nor does its second");
        drop(first);
        let buf = (&mut second).now_or_never().unwrap();
        drop(buf);
        assert!((&mut third).now_or_never().is_some());
    }

    #[test]
    fn many_takers_of_few_buffers_all_get_one() {
        let pool = BlockPool::heap(3);
        let taker = |pool: BlockPool| async move {
            for _ in 0..20 {
                let held = pool.acquire().await;
                poll_once_more().await;
                drop(held);
            }
        };
        block_on(join_all((0..10).map(|_| taker(pool.clone()))));
        assert_eq!(pool.available(), 3);
    }

    /// Lets the others run: the task comes back at once.
    async fn poll_once_more() {
        let mut first = true;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}
