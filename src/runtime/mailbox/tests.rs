pub mod interleave;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Wake;
use std::task::Waker;
use std::thread;

use futures::FutureExt;
use futures::executor::block_on;
use proptest::prelude::*;

use super::*;

#[test]
fn messages_arrive_in_order_and_the_end_is_seen() {
    let (sender, mut receiver) = mailbox(4, 100);
    block_on(async {
        sender.send('a', 1).await.unwrap();
        sender.clone().send('b', 1).await.unwrap();
        drop(sender);
        assert_eq!(receiver.len(), 2);
        assert_eq!(receiver.recv().await, Some('a'));
        assert_eq!(receiver.recv().await, Some('b'));
        assert_eq!(receiver.recv().await, None);
    });
}

#[test]
fn a_giant_is_let_in_alone() {
    let (sender, mut receiver) = mailbox(4, 100);
    assert!(sender.try_send("giant", 1_000).is_ok());
    assert_eq!(sender.try_send("dwarf", 0), Ok(()));
    assert_eq!(sender.try_send("child", 1), Err(TrySendError::Full("child")));
    let mut second = Box::pin(sender.send("giant", 1_000));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(sender.try_send("late", 0), Err(TrySendError::Full("late")), "nobody overtakes");
    assert_eq!(receiver.try_recv(), Some("giant"));
    assert!((&mut second).now_or_never().is_none(), "it is not alone yet");
    assert_eq!(receiver.try_recv(), Some("dwarf"));
    assert_eq!((&mut second).now_or_never(), Some(Ok(())));
    assert_eq!(receiver.bytes(), 1_000);
}

#[test]
fn patience_lets_a_message_go_beyond_the_limit_and_not_beyond_the_last_one() {
    let (sender, mut receiver) = mailbox(8, 100);
    assert!(sender.try_send('a', 80).is_ok());
    let (over, patience) = futures::channel::oneshot::channel::<()>();
    let mut patient = Box::pin(sender.send_beyond('b', 80, patience.map(drop), 200));
    assert!((&mut patient).now_or_never().is_none(), "it waits first");
    drop(over);
    assert_eq!((&mut patient).now_or_never(), Some(Ok(())));
    let mut third = Box::pin(sender.send_beyond('c', 80, std::future::ready(()), 200));
    assert!((&mut third).now_or_never().is_none(), "240 are more than 200");
    let mut fourth = Box::pin(sender.send_beyond('d', 1, std::future::ready(()), 200));
    assert!((&mut fourth).now_or_never().is_none(), "nobody overtakes");
    assert_eq!(receiver.try_recv(), Some('a'));
    assert!((&mut third).now_or_never().is_none(), "patience is spent once: now it is the limit that counts");
    assert_eq!(receiver.try_recv(), Some('b'));
    assert_eq!((&mut third).now_or_never(), Some(Ok(())));
    assert_eq!((&mut fourth).now_or_never(), Some(Ok(())));
    assert_eq!((receiver.try_recv(), receiver.try_recv(), receiver.bytes()), (Some('c'), Some('d'), 0));
}

#[test]
fn whoever_went_beyond_and_gives_up_leaves_the_room() {
    let (sender, receiver) = mailbox(8, 100);
    assert!(sender.try_send('a', 80).is_ok());
    let mut gate = Box::pin(sender.shared.gate.enter(80));
    assert!((&mut gate).now_or_never().is_none());
    gate.go_beyond(200);
    drop(gate);
    assert_eq!(receiver.bytes(), 80);
}

#[test]
fn dropping_the_receiver_tells_those_who_wait_and_drops_what_is_queued() {
    let (sender, receiver) = mailbox(1, 100);
    let queued = Arc::new(());
    sender.try_send(queued.clone(), 1).unwrap();
    let waiting = sender.clone();
    let mut waiting = Box::pin(waiting.send(queued.clone(), 1));
    assert!((&mut waiting).now_or_never().is_none());
    drop(receiver);
    assert!(matches!((&mut waiting).now_or_never(), Some(Err(Closed(_)))));
    drop(waiting);
    assert_eq!(Arc::strong_count(&queued), 1, "nothing is kept by a mailbox nobody reads");
    assert!(sender.is_closed() && sender.try_send(queued, 1).is_err());
}

#[test]
fn giving_up_while_waiting_passes_the_turn_on() {
    let (sender, mut receiver) = mailbox(1, 100);
    sender.try_send(0, 1).unwrap();
    let mut first = Box::pin(sender.send(1, 1));
    let mut second = Box::pin(sender.send(2, 1));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    // The first is let in by this, gives up without having seen it, and the second comes in its stead.
    assert_eq!(receiver.try_recv(), Some(0));
    drop(first);
    assert_eq!((&mut second).now_or_never(), Some(Ok(())));
    assert_eq!(receiver.try_recv(), Some(2));
    assert_eq!(receiver.bytes(), 0);
}

/// Goal: no wake-up is lost and no bound is broken, whoever sleeps.
/// Method: many senders on threads of their own against one receiver, with mailboxes small enough that each side sleeps all
/// the time; a lost wake-up hangs the test. Every message must come once, in its sender's order.
#[test]
fn threads_never_miss_each_other() {
    const SENDERS: usize = 4;
    const MESSAGES: usize = 5_000;
    const BYTES_MAX: usize = 64;
    for count_max in [1, 2, 7] {
        let (sender, mut receiver) = mailbox(count_max, BYTES_MAX);
        let inside = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..SENDERS)
            .map(|who| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for number in 0..MESSAGES {
                        let bytes = number * 7 % (BYTES_MAX + 1);
                        block_on(sender.send((who, number, bytes), bytes)).unwrap();
                    }
                })
            })
            .collect();
        drop(sender);
        let mut next = [0; SENDERS];
        block_on(async {
            while let Some((who, number, _)) = receiver.recv().await {
                assert_eq!(number, next[who]);
                next[who] += 1;
                assert!(receiver.len() <= count_max && receiver.bytes() <= BYTES_MAX);
                inside.fetch_max(receiver.len(), Ordering::Relaxed);
            }
        });
        assert_eq!(next, [MESSAGES; SENDERS]);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// A waker that notes that it was called.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Goal: a message pushed between the receiver's look and its registration still wakes it.
/// Method: the sender answers every receipt at once, so that its push falls into that moment again and again. Neither side
/// sleeps: that would take a thousand times longer than the moment lasts.
#[test]
fn a_push_in_the_receivers_blind_moment_wakes_it() {
    const ROUNDS: usize = 200_000;
    /// Looks until a wake-up counts as lost. A sender that was interrupted right after its push is given that long to wake.
    const LOOKS_MAX: usize = 1_000_000;
    let (sender, mut receiver) = mailbox(1, 1);
    let received = Arc::new(AtomicUsize::new(0));
    let seen = received.clone();
    let thread = thread::spawn(move || {
        for round in 0..ROUNDS {
            while seen.load(Ordering::SeqCst) < round {
                thread::yield_now();
            }
            if sender.try_send(round, 1).is_err() {
                return;
            }
        }
    });
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    for round in 0..ROUNDS {
        while receiver.poll_recv(&mut cx).map(|message| assert_eq!(message, Some(round))).is_pending() {
            let mut looks = 0;
            while !flag.0.swap(false, Ordering::SeqCst) {
                looks += usize::from(!receiver.is_empty());
                assert!(looks < LOOKS_MAX, "message {round} is there and nobody was told");
                thread::yield_now();
            }
        }
        received.store(round + 1, Ordering::SeqCst);
    }
    thread.join().unwrap();
}

/// Goal: whatever moment the receiver goes, no message stays behind and no sender sleeps on.
#[test]
fn a_receiver_may_go_at_any_moment() {
    for round in 0..300 {
        let (sender, mut receiver) = mailbox(2, 100);
        let alive = Arc::new(());
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (sender, alive) = (sender.clone(), alive.clone());
                thread::spawn(move || while block_on(sender.send(alive.clone(), 40)).is_ok() {})
            })
            .collect();
        for _ in 0..round % 7 {
            block_on(receiver.recv()).unwrap();
        }
        drop(receiver);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // `sender` is still here, and with it the queue.
        assert_eq!(Arc::strong_count(&alive), 1);
        drop(sender);
    }
}

#[derive(Clone, Debug)]
enum Step {
    TrySend(usize),
    Wait(usize),
    GiveUp(prop::sample::Index),
    Receive,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..150usize).prop_map(Step::TrySend),
        (0..150usize).prop_map(Step::Wait),
        any::<prop::sample::Index>().prop_map(Step::GiveUp),
        Just(Step::Receive),
        Just(Step::Receive),
    ];
    prop::collection::vec(step, 0..60)
}

const COUNT_MAX: usize = 3;
const BYTES_MAX: usize = 100;

/// The plainest mailbox that keeps the rules: what is in, and who waits, in order.
#[derive(Default)]
struct Model {
    inside: VecDeque<(u32, usize)>,
    waiting: VecDeque<(u32, usize)>,
}

impl Model {
    fn fits(&self, bytes: usize) -> bool {
        let held: usize = self.inside.iter().map(|(_, bytes)| bytes).sum();
        self.inside.is_empty() || (self.inside.len() < COUNT_MAX && bytes <= BYTES_MAX.saturating_sub(held))
    }

    fn admit(&mut self) {
        while let Some(&(id, bytes)) = self.waiting.front()
            && self.fits(bytes)
        {
            self.waiting.pop_front();
            self.inside.push_back((id, bytes));
        }
    }
}

proptest! {
    /// Goal: admission is exactly first come, first served within both bounds, whoever sends, waits or gives up.
    #[test]
    fn it_behaves_like_its_model(steps in steps()) {
        let (sender, mut receiver) = mailbox(COUNT_MAX, BYTES_MAX);
        let mut model = Model::default();
        let mut futures = Vec::new();
        for (id, step) in (0u32..).zip(steps) {
            match step {
                Step::TrySend(bytes) => {
                    let expected = model.waiting.is_empty() && model.fits(bytes);
                    prop_assert_eq!(sender.try_send(id, bytes).is_ok(), expected);
                    if expected {
                        model.inside.push_back((id, bytes));
                    }
                }
                Step::Wait(bytes) => {
                    let mut future = Box::pin(sender.send(id, bytes));
                    let done = (&mut future).now_or_never().is_some();
                    prop_assert_eq!(done, model.waiting.is_empty() && model.fits(bytes));
                    if done {
                        model.inside.push_back((id, bytes));
                    } else {
                        model.waiting.push_back((id, bytes));
                        futures.push((id, future));
                    }
                }
                Step::GiveUp(index) if !futures.is_empty() => {
                    let (id, future) = futures.remove(index.index(futures.len()));
                    drop(future);
                    model.waiting.retain(|(waiting, _)| *waiting != id);
                    model.admit();
                }
                Step::GiveUp(_) => {}
                Step::Receive => {
                    prop_assert_eq!(receiver.try_recv(), model.inside.pop_front().map(|(id, _)| id));
                    model.admit();
                }
            }
            // Whoever was admitted finishes when polled, and nobody else does: in the model's order, so that the queue's
            // order is the model's too.
            for &(id, _) in &model.inside.clone() {
                if let Some(at) = futures.iter().position(|(waiting, _)| *waiting == id) {
                    let (_, mut future) = futures.remove(at);
                    prop_assert!((&mut future).now_or_never().is_some());
                }
            }
            for (_, future) in &mut futures {
                prop_assert!(future.now_or_never().is_none());
            }
            prop_assert_eq!(receiver.len(), model.inside.len());
            prop_assert_eq!(receiver.bytes(), model.inside.iter().map(|(_, bytes)| bytes).sum::<usize>());
        }
    }
}
