//! Every interleaving of a few threads over the steps of a mailbox, one after the other, up to a number of preemptions.
//!
//! Goal: no wake-up is lost and no message kept, whoever comes between any two steps.
//! Method: threads stop at each [`step`] and go on one at a time, as a script of choices says; after a run the last choice that
//! has an alternative takes it. A thread whose future is pending goes on only once it was woken: when all that is left waits,
//! a wake-up was lost. Steps are seen in one order by all threads: what weaker memory adds is for review. Bugs of this kind
//! need few preemptions (M. Musuvathi, S. Qadeer, "Iterative context bounding", 2007).

use std::cell::RefCell;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Wake;
use std::task::Waker;
use std::thread;

use super::super::mailbox;

/// Switches away from a thread that could have gone on; `TESSERA_PREEMPTIONS` for more (3: 20,000 plays).
fn preemptions_max() -> usize {
    std::env::var("TESSERA_PREEMPTIONS").map_or(2, |text| text.parse().unwrap())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Running,
    AtStep,
    /// Until it is woken.
    Pending,
    Done,
}

struct State {
    places: Vec<Place>,
    woken: Vec<bool>,
    turn: Option<usize>,
}

struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

thread_local! {
    static ACTOR: RefCell<Option<(Arc<Stage>, usize)>> = const { RefCell::new(None) };
}

/// Another thread may come in here. Does nothing on threads that are in no play.
pub fn step() {
    stop(Place::AtStep);
}

fn stop(place: Place) {
    let Some((stage, own)) = ACTOR.with(|actor| actor.borrow().clone()) else { return };
    let mut state = stage.state.lock().unwrap();
    state.places[own] = place;
    stage.changed.notify_all();
    while state.turn != Some(own) {
        state = stage.changed.wait(state).unwrap();
    }
    state.turn = None;
    state.places[own] = Place::Running;
}

struct Bell(Arc<Stage>, usize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.state.lock().unwrap().woken[self.1] = true;
    }
}

/// Runs a future on a thread of the play.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let (stage, own) = ACTOR.with(|actor| actor.borrow().clone()).unwrap();
    let waker = Waker::from(Arc::new(Bell(stage.clone(), own)));
    let mut future = pin!(future);
    loop {
        // Whoever rings from here on is heard.
        stage.state.lock().unwrap().woken[own] = false;
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => stop(Place::Pending),
        }
    }
}

type Actor = Box<dyn FnOnce() + Send>;

/// Plays once by the script; returns how many choices there were at each moment.
fn play(actors: Vec<Actor>, script: &[usize]) -> Vec<(usize, usize)> {
    let count = actors.len();
    let state = State { places: vec![Place::Running; count], woken: vec![false; count], turn: None };
    let stage = Arc::new(Stage { state: Mutex::new(state), changed: Condvar::new() });
    thread::scope(|scope| {
        for (own, actor) in actors.into_iter().enumerate() {
            let stage = stage.clone();
            scope.spawn(move || {
                ACTOR.with(|place| *place.borrow_mut() = Some((stage.clone(), own)));
                step();
                actor();
                ACTOR.with(|place| place.borrow_mut().take());
                stage.state.lock().unwrap().places[own] = Place::Done;
                stage.changed.notify_all();
            });
        }
        direct(&stage, script)
    })
}

fn direct(stage: &Stage, script: &[usize]) -> Vec<(usize, usize)> {
    let (mut taken, mut last, mut preemptions) = (Vec::new(), None, 0);
    let most = preemptions_max();
    loop {
        let mut state = stage.state.lock().unwrap();
        while state.turn.is_some() || state.places.contains(&Place::Running) {
            state = stage.changed.wait(state).unwrap();
        }
        let may = |own: &usize| match state.places[*own] {
            Place::AtStep => true,
            Place::Pending => state.woken[*own],
            Place::Running | Place::Done => false,
        };
        let mut able: Vec<usize> = (0..state.places.len()).filter(may).collect();
        if able.is_empty() {
            let all_done = state.places.iter().all(|place| *place == Place::Done);
            if !all_done {
                // The scope would wait for them for ever.
                eprintln!("a wake-up is lost: {:?} after {taken:?}", state.places);
                std::process::abort();
            }
            return taken;
        }
        // Going on comes first, and is all there is once the preemptions are used up.
        if let Some(at) = last.and_then(|last| able.iter().position(|own| *own == last)) {
            able.swap(0, at);
            if preemptions >= most {
                able.truncate(1);
            }
        }
        let choice = script.get(taken.len()).copied().unwrap_or(0);
        let next = able[choice];
        preemptions += usize::from(last.is_some_and(|last| last == able[0] && choice > 0));
        taken.push((choice, able.len()));
        last = Some(next);
        state.turn = Some(next);
        stage.changed.notify_all();
    }
}

/// Plays every script. Returns how many there were.
fn every_interleaving(scene: impl Fn() -> Vec<Actor>, check: impl Fn()) -> usize {
    let (mut script, mut plays) = (Vec::new(), 0);
    loop {
        let taken = play(scene(), &script);
        check();
        plays += 1;
        let Some(last) = taken.iter().rposition(|(choice, of)| choice + 1 < *of) else { return plays };
        script = taken[..last].iter().map(|(choice, _)| *choice).collect();
        script.push(taken[last].0 + 1);
    }
}

/// Counts itself while it lives.
struct Message(Arc<AtomicUsize>);

impl Message {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self(alive.clone())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn two_senders_and_a_receiver_never_miss_each_other() {
    let (alive, got) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let scene = || -> Vec<Actor> {
        // Room for one: the other one waits at the gate.
        let (sender, mut receiver) = mailbox(1, 100);
        let other = sender.clone();
        let send = |sender: super::super::Sender<Message>| {
            let alive = alive.clone();
            Box::new(move || {
                assert!(wait_for(sender.send(Message::new(&alive), 1)).is_ok());
                drop(sender);
            })
        };
        let got = got.clone();
        got.store(0, Ordering::SeqCst);
        let receive = Box::new(move || {
            while wait_for(receiver.recv()).is_some() {
                got.fetch_add(1, Ordering::SeqCst);
            }
        });
        vec![send(sender), send(other), receive]
    };
    let plays = every_interleaving(scene, || {
        assert_eq!((got.load(Ordering::SeqCst), alive.load(Ordering::SeqCst)), (2, 0));
    });
    println!("{plays} interleavings");
    assert!(plays > 500, "{plays}: the steps are not where they were");
}

#[test]
fn a_receiver_that_goes_keeps_no_message_and_leaves_nobody_waiting() {
    let (alive, keeper) = (Arc::new(AtomicUsize::new(0)), Mutex::new(None));
    let scene = || -> Vec<Actor> {
        let (sender, mut receiver) = mailbox(1, 100);
        // The mailbox outlives the play: what it keeps is seen.
        *keeper.lock().unwrap() = Some(sender.clone());
        let alive = alive.clone();
        let send = Box::new(move || {
            for _ in 0..2 {
                // Told that nobody is there, it gets its message back.
                drop(wait_for(sender.send(Message::new(&alive), 1)));
            }
        });
        let receive = Box::new(move || {
            drop(wait_for(receiver.recv()));
            drop(receiver);
        });
        vec![send, receive]
    };
    let plays = every_interleaving(scene, || assert_eq!(alive.load(Ordering::SeqCst), 0, "a message is kept"));
    println!("{plays} interleavings");
    assert!(plays > 100, "{plays}: the steps are not where they were");
}
