//! Which sequences a query could be about: an index of all names and metadata, kept in memory.
//!
//! Before it is asked it takes in what the catalog has made since the last time, so it never misses what was there when the
//! query came. It is made while the server serves, and while no query is under way; until then, and when all of it does not
//! fit into its share of memory, queries walk through the catalog, and wait for nothing. What is deleted stays in it until it
//! is made anew: it only ever leaves out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::TryLockError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::RetrievalError;
use crate::catalog::Catalog;
use crate::catalog::HeadMark;
use crate::catalog::HeadPage;
use crate::catalog::TopicMark;
use crate::model::SequenceHead;
use crate::model::SequenceId;
use crate::model::TopicId;
use crate::query::HeadIndex;
use crate::query::TopicEntry;

/// Sequences, and topics, taken in at once.
const PAGE: u32 = 500;

/// The same for whoever makes it: what a query that comes meanwhile may have to wait for.
const PAGE_OF_MAKER: u32 = 250;

/// Pages, of 2 MiB at the most, that a query takes in by itself before it walks through the catalog instead.
const PAGES_OF_A_QUERY: usize = 32;

/// The newest sequences and topics that are remembered by their numbers: so many may be deleted, newest first, before the
/// index is made anew.
const MARKS: usize = 256;

/// What did not fit is tried again after so long: by then it may have been deleted.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// Before another try to take in what somebody's look keeps out: looks are many milliseconds.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two pages whoever makes it waits for queries under way to end, looking so often, and so often at the most: it is
/// made even where there is always one.
const STEP: Duration = Duration::from_millis(2);
const STEPS: usize = 10;

/// After an error of the catalog the making goes on a second later, then after twice as long each time, up to a minute.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_LAST: Duration = Duration::from_secs(60);

pub(super) struct Heads {
    intake: Mutex<Intake>,
    /// Whether somebody makes it: queries leave that to him.
    making: AtomicBool,
    bytes_max: usize,
}

#[derive(Default)]
struct Intake {
    /// Another one takes its place when it is made anew: whoever looks into this one finds what he was promised.
    index: Arc<RwLock<HeadIndex>>,
    sequences: VecDeque<(i64, SequenceId)>,
    topics: VecDeque<(i64, TopicId)>,
    standing: Standing,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Standing {
    #[default]
    Behind,
    /// It may lack what came since, for somebody looks into it. Told, never kept.
    Busy,
    /// It had all there was, and took so many bytes when it first did.
    Whole { bytes: usize },
    /// It does not fit. It is tried again at this time, for much may be gone by then; `None`: never.
    TooLarge { again: Option<Instant> },
}

impl Heads {
    /// * `bytes_max`: what it may take in memory, about; 0: nothing is kept.
    pub(super) fn new(bytes_max: usize) -> Self {
        let standing = if bytes_max == 0 { Standing::TooLarge { again: None } } else { Standing::Behind };
        let intake = Mutex::new(Intake { standing, ..Intake::default() });
        Self { intake, making: AtomicBool::new(false), bytes_max }
    }

    /// Takes in all there is, page by page, so that queries in between get their turn. An error of the catalog is told once;
    /// what was taken in stays, and the rest is tried again.
    ///
    /// * `is_asked`: whether a query is under way.
    pub(super) async fn make(&self, catalog: &dyn Catalog, is_asked: impl Fn() -> bool) {
        let _making = Making::begin(&self.making);
        let mut again = AGAIN_FIRST;
        loop {
            for _ in 0..STEPS {
                if !is_asked() {
                    break;
                }
                tokio::time::sleep(STEP).await;
            }
            match self.catch_up(catalog, PAGE_OF_MAKER, 1).await.map(|(standing, _)| standing) {
                Ok(Standing::Behind) => tokio::task::yield_now().await,
                Ok(Standing::Busy) => tokio::time::sleep(PAUSE).await,
                Ok(Standing::Whole { .. } | Standing::TooLarge { .. }) => return,
                Err(error) => {
                    if again == AGAIN_FIRST {
                        tracing::warn!(%error, "the index for queries is not made yet: they walk through the catalog");
                    }
                    tokio::time::sleep(again).await;
                    again = (again * 2).min(AGAIN_LAST);
                }
            }
        }
    }

    /// The index, with all that was in the catalog before this call; `None` where the catalog has to be walked through.
    ///
    /// # Errors
    /// Of the catalog.
    pub(super) async fn index(&self, catalog: &dyn Catalog) -> Result<Option<Arc<RwLock<HeadIndex>>>, RetrievalError> {
        if self.making.load(Relaxed) {
            return Ok(None);
        }
        let (standing, index) = self.catch_up(catalog, PAGE, PAGES_OF_A_QUERY).await?;
        Ok(matches!(standing, Standing::Whole { .. }).then_some(index))
    }

    /// Takes in so many pages at most, and none while somebody looks: he may take long, and nobody waits for him.
    async fn catch_up(
        &self,
        catalog: &dyn Catalog,
        page: u32,
        pages: usize,
    ) -> Result<(Standing, Arc<RwLock<HeadIndex>>), RetrievalError> {
        let mut intake = self.intake.lock().await;
        for _ in 0..pages {
            if let Standing::TooLarge { again } = intake.standing {
                if again.is_none_or(|again| Instant::now() < again) {
                    break;
                }
                intake.standing = Standing::Behind;
            }
            let after = HeadMark { sequence: intake.sequences.back().copied(), topic: intake.topics.back().copied() };
            match catalog.heads(after, page).await? {
                HeadPage::Gone { sequence, topic } => intake.step_back(sequence, topic),
                // Nothing can be kept up to date: every sequence is looked at.
                HeadPage::Unnumbered => intake.standing = Standing::TooLarge { again: None },
                HeadPage::Heads { sequences, topics, more } => {
                    let taken = take_in(&intake.index, &sequences, &topics, self.bytes_max);
                    if !matches!(taken, Taken::Busy) {
                        intake.remember(&sequences, &topics);
                    }
                    match taken {
                        Taken::In { bytes } if !more => {
                            if intake.standing == Standing::Behind {
                                intake.standing = Standing::Whole { bytes };
                            }
                            return Ok((intake.standing, Arc::clone(&intake.index)));
                        }
                        Taken::In { .. } => {}
                        Taken::TooLarge => intake.give_up(self.bytes_max),
                        Taken::Busy => return Ok((Standing::Busy, Arc::clone(&intake.index))),
                    }
                }
            }
        }
        let standing = match intake.standing {
            // There may be more than it has.
            Standing::Whole { .. } => Standing::Behind,
            standing => standing,
        };
        Ok((standing, Arc::clone(&intake.index)))
    }
}

/// Says that somebody makes the index, until it is dropped.
struct Making<'a>(&'a AtomicBool);

impl<'a> Making<'a> {
    fn begin(making: &'a AtomicBool) -> Self {
        making.store(true, Relaxed);
        Self(making)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// What became of a page.
enum Taken {
    /// * `bytes`: of the index then.
    In {
        bytes: usize,
    },
    TooLarge,
    /// Somebody looks into the index.
    Busy,
}

fn take_in(
    index: &RwLock<HeadIndex>,
    sequences: &[(i64, SequenceHead)],
    topics: &[TopicMark],
    bytes_max: usize,
) -> Taken {
    if sequences.is_empty() && topics.is_empty() {
        // The usual case.
        return Taken::In { bytes: index.read().unwrap_or_else(PoisonError::into_inner).bytes() };
    }
    let mut index = match index.try_write() {
        Ok(index) => index,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return Taken::Busy,
    };
    let mut fits = true;
    for (number, head) in sequences {
        fits &= index.add_sequence(*number, head.name.as_str(), head.created_at_ns, &head.metadata);
    }
    for topic in topics {
        fits &= index.add_topic(&TopicEntry {
            id: topic.id,
            sequence: topic.sequence,
            path: topic.path.as_str(),
            tag: topic.tag.as_str(),
            format: topic.format.as_str(),
            created_at_ns: topic.created_at_ns,
            metadata: &topic.metadata,
        });
    }
    match fits && index.bytes() <= bytes_max {
        true => Taken::In { bytes: index.bytes() },
        false => Taken::TooLarge,
    }
}

impl Intake {
    fn remember(&mut self, sequences: &[(i64, SequenceHead)], topics: &[TopicMark]) {
        self.sequences.extend(sequences.iter().map(|(number, head)| (*number, head.id)));
        self.topics.extend(topics.iter().map(|topic| (topic.number, topic.id)));
        let surplus = self.sequences.len().saturating_sub(MARKS);
        self.sequences.drain(..surplus);
        let surplus = self.topics.len().saturating_sub(MARKS);
        self.topics.drain(..surplus);
    }

    /// Forgets the newest, which are gone: their numbers may be others' now.
    fn step_back(&mut self, sequence: bool, topic: bool) {
        if sequence {
            self.sequences.pop_back();
        }
        if topic {
            self.topics.pop_back();
        }
        if (sequence && self.sequences.is_empty()) || (topic && self.topics.is_empty()) {
            *self = Self::default();
        }
    }

    /// What is deleted may have filled it: it is made anew at once when it was smaller by a quarter before, else later.
    fn give_up(&mut self, bytes_max: usize) {
        let before = self.standing;
        *self = Self::default();
        match before {
            Standing::Whole { bytes } if bytes <= bytes_max / 4 * 3 => {}
            _ => {
                self.standing = Standing::TooLarge { again: Some(Instant::now() + TRY_AGAIN) };
                tracing::warn!(
                    bytes_max,
                    "names and metadata do not fit into half of reading.index_bytes_max: queries walk through the catalog"
                );
            }
        }
    }
}
