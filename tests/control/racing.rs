//! Calls that race: what their answers say must have happened one after the other, in some order.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use tessera::catalog::Catalog;
use tessera::catalog::Visibility;
use tessera::model::SequenceName;
use tessera::model::SessionId;
use tessera::model::SessionState;
use tessera::model::TimeRange;
use tessera::model::Token;
use tessera::model::TopicHead;
use tessera::model::TopicState;
use tessera::model::UserMetadata;
use tessera::query::Selection;
use tessera::retrieval::RetrievalError;
use tessera::session::SessionError;

use crate::fixture::House;
use crate::fixture::directory;
use crate::fixture::push;
use crate::fixture::race;
use crate::fixture::topic;
use crate::history::Model;
use crate::history::Recorder;
use crate::history::explains;

/// How often each race is run; `TESSERA_RACES` for more.
fn rounds() -> usize {
    std::env::var("TESSERA_RACES").map_or(12, |text| text.parse().unwrap())
}

/// SplitMix64, so that a failure can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Goal: a session is final with its topic whole, or it is not final: whoever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_put_that_closes_races_a_finalize() {
    let root = directory();
    let house = Arc::new(House::open(root.path()).await);
    for round in 0..rounds() {
        let (session, token) = house.session(&format!("drive{round}")).await;
        let topic = house.topic(token, &format!("drive{round}/imu")).await;
        let mut put = house.begin(&topic).await.unwrap();
        push(&mut put, &[1, 2, 3]).await.unwrap();
        let put = Arc::new(Mutex::new(Some(put)));
        let (own, ends) = (house.clone(), put.clone());
        let outcomes = race(2, move |index| {
            let (house, put) = (own.clone(), ends.clone());
            async move {
                match index {
                    0 => {
                        let put = put.lock().unwrap().take().unwrap();
                        put.close().await.map(|receipt| assert_eq!(receipt.rows, 3)).is_ok()
                    }
                    _ => house.sessions.finalize(token).await.is_ok(),
                }
            }
        })
        .await;
        assert!(outcomes[0], "the put is not disturbed by a finalize that is refused");
        let view = house.catalog.session(session.id).await.unwrap();
        assert_eq!(view.head.state == SessionState::Final, outcomes[1]);
        assert_eq!(view.topics[0].head.state, TopicState::Complete);
        house.sessions.finalize(token).await.unwrap();
        assert_eq!(house.times(&topic.0, TimeRange::ALL).await, [1, 2, 3]);
    }
    Arc::into_inner(house).unwrap().stop();
}

/// Goal: many finalizes of one session are one: all of them answer the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn finalizes_of_one_session_answer_the_same() {
    let root = directory();
    let house = Arc::new(House::open(root.path()).await);
    for round in 0..rounds() {
        let (session, token) = house.session(&format!("drive{round}")).await;
        house.write(token, &format!("drive{round}/imu"), &[1]).await;
        let own = house.clone();
        let heads = race(4, move |_| {
            let house = own.clone();
            async move { house.sessions.finalize(token).await.unwrap() }
        })
        .await;
        assert!(heads.windows(2).all(|pair| pair[0] == pair[1]), "{heads:?}");
        assert!(house.manifest(session.id).exists());
    }
    Arc::into_inner(house).unwrap().stop();
}

/// Goal: a reader beside a delete has every row or an error, and after the delete nobody has anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delete_races_puts_and_reads() {
    let root = directory();
    let house = Arc::new(House::open(root.path()).await);
    let whole: Vec<i64> = (0..5000).collect();
    for round in 0..rounds() {
        let name = format!("drive{round}");
        let (_, token) = house.session(&name).await;
        let read = house.write(token, &format!("{name}/read"), &whole).await;
        house.sessions.finalize(token).await.unwrap();
        let (_, token) = house.sessions.create_session(&SequenceName::parse(&name).unwrap()).await.unwrap();
        let written = house.topic(token, &format!("{name}/written")).await;
        let put = Arc::new(Mutex::new(Some(house.begin(&written).await.unwrap())));
        let (own, rows) = (house.clone(), whole.clone());
        race(6, move |index| {
            let (house, name, read, rows, put) = (own.clone(), name.clone(), read.clone(), rows.clone(), put.clone());
            async move {
                let sequence = SequenceName::parse(&name).unwrap();
                match index {
                    0 => {
                        house.sessions.delete_sequence(&sequence).await.unwrap();
                        let gone = house
                            .retrieval
                            .read(read.id, TimeRange::ALL, Selection::default())
                            .await
                            .err()
                            .expect("it is deleted");
                        assert!(matches!(gone, RetrievalError::NotFound { .. }), "{gone}");
                    }
                    1 => {
                        let mut put = put.lock().unwrap().take().unwrap();
                        let mut ended = Ok(());
                        for at in 0..50 {
                            ended = push(&mut put, &[at]).await;
                            if ended.is_err() {
                                break;
                            }
                        }
                        let ended = match ended {
                            Ok(()) => put.close().await.map(drop),
                            failed => failed,
                        };
                        assert!(matches!(ended, Ok(()) | Err(SessionError::Deleted { .. })), "{ended:?}");
                    }
                    _ => {
                        if let Some(found) = all_or_nothing(&house, &read).await {
                            assert_eq!(found, rows, "a reader has fewer rows, and no error");
                        }
                    }
                }
            }
        })
        .await;
    }
    house.swept().await;
    Arc::into_inner(house).unwrap().stop();
}

/// The rows of a topic, or `None` when the reader is told that there are none.
async fn all_or_nothing(house: &House, topic: &TopicHead) -> Option<Vec<i64>> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let mut reading = house.retrieval.read(topic.id, TimeRange::ALL, Selection::default()).await.ok()?;
    let mut times = Vec::new();
    while let Some(batch) = reading.batches.next().await {
        times.extend_from_slice(batch.ok()?.column(0).as_primitive::<Int64Type>().values());
    }
    Some(times)
}

/// What clients of one name did and were told.
#[derive(Debug)]
enum Told {
    Created(bool),
    /// A session of the name, if there was one to open it in.
    Opened(Option<SessionId>),
    Finalized(SessionId, bool),
    Deleted(bool),
    /// The sessions that can be read, each with how many topics it shows.
    Listed(Option<BTreeMap<SessionId, usize>>),
}

/// One name: what is there, and which of its sessions are final.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Name {
    sessions: Option<BTreeMap<SessionId, bool>>,
    /// Once deleted, nothing of it returns.
    gone: BTreeSet<SessionId>,
}

const TOPICS: usize = 2;

impl Model for Name {
    type Call = Told;

    fn after(&self, told: &Told) -> Option<Self> {
        let mut next = self.clone();
        let fits = match told {
            Told::Created(won) => {
                let free = next.sessions.is_none();
                next.sessions.get_or_insert_default();
                *won == free
            }
            Told::Opened(None) => next.sessions.is_none(),
            Told::Opened(Some(session)) => {
                next.sessions.as_mut().is_some_and(|sessions| sessions.insert(*session, false).is_none())
            }
            Told::Finalized(session, done) => {
                match next.sessions.as_mut().and_then(|sessions| sessions.get_mut(session)) {
                    Some(state) => {
                        *state = true;
                        *done
                    }
                    None => !done,
                }
            }
            Told::Deleted(done) => match next.sessions.take() {
                Some(sessions) => {
                    next.gone.extend(sessions.into_keys());
                    *done
                }
                None => !done,
            },
            Told::Listed(None) => next.sessions.is_none(),
            Told::Listed(Some(listed)) => next.sessions.as_ref().is_some_and(|sessions| {
                let shown: BTreeSet<_> =
                    sessions.iter().filter(|(_, is_final)| **is_final).map(|(id, _)| *id).collect();
                let whole = listed.values().all(|topics| *topics == TOPICS);
                whole && listed.keys().copied().collect::<BTreeSet<_>>() == shown && next.gone.is_disjoint(&shown)
            }),
        };
        fits.then_some(next)
    }
}

/// Goal: a name has one winner, a session is seen whole or not at all, nothing deleted returns.
/// Method: 16 clients on one name; some order of their calls must explain every answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_clients_of_one_name_see_one_history() {
    let root = directory();
    let house = Arc::new(House::open(root.path()).await);
    let seed =
        std::env::var("TESSERA_SEED").map_or_else(|_| u64::from(std::process::id()), |text| text.parse().unwrap());
    for round in 0..rounds() as u64 {
        let name = SequenceName::parse(&format!("drive{round}")).unwrap();
        let (recorder, own, of) = (Recorder::default(), house.clone(), name.clone());
        let history = recorder.clone();
        race(16, move |client| {
            let dice = Dice(seed ^ (round << 8) ^ client as u64);
            one_client(own.clone(), of.clone(), recorder.clone(), dice)
        })
        .await;
        let calls = history.take();
        assert!(explains(Name::default(), &calls), "TESSERA_SEED={seed}, round {round}: no order explains {calls:#?}");
        let _ = house.sessions.delete_sequence(&name).await;
    }
    house.swept().await;
    Arc::into_inner(house).unwrap().stop();
}

async fn one_client(house: Arc<House>, name: SequenceName, recorder: Recorder<Told>, mut dice: Dice) {
    for _ in 0..3 {
        match dice.below(6) {
            0 | 1 => {
                let created = house.sessions.create_sequence(name.clone(), UserMetadata::empty());
                recorder.note(async { Told::Created(created.await.is_ok()) }).await;
            }
            2 => {
                recorder.note(async { Told::Deleted(house.sessions.delete_sequence(&name).await.is_ok()) }).await;
            }
            3 => recorder.note(list(&house, &name)).await,
            _ => {
                let opened = Arc::new(Mutex::new(None));
                recorder
                    .note(async {
                        let session = house.sessions.create_session(&name).await.ok();
                        *opened.lock().unwrap() = session.clone();
                        Told::Opened(session.map(|(head, _)| head.id))
                    })
                    .await;
                let Some((head, token)) = opened.lock().unwrap().take() else { continue };
                // A topic that cannot be written has been deleted: then the finalize finds that too.
                for topic in 0..TOPICS {
                    let _ = write(&house, token, &format!("{name}/{}/{topic}", head.id)).await;
                }
                let done = async { Told::Finalized(head.id, house.sessions.finalize(token).await.is_ok()) };
                recorder.note(done).await;
            }
        }
    }
}

async fn write(house: &House, session: Token, name: &str) -> Result<(), SessionError> {
    let topic = house.sessions.create_topic(topic(session, name)).await?;
    let mut put = house.begin(&topic).await?;
    push(&mut put, &[1]).await?;
    put.close().await.map(drop)
}

async fn list(house: &House, name: &SequenceName) -> Told {
    let view = house.catalog.sequence(name, Visibility::Final).await.ok();
    Told::Listed(view.map(|view| {
        let shown = view.sessions.iter().filter(|session| session.head.state == SessionState::Final);
        shown.map(|session| (session.head.id, session.topics.len())).collect()
    }))
}
