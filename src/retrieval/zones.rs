//! What is known of the values in the segments of topics, kept in memory: so that a topic that has no row for a query is left
//! out without a look into the catalog.
//!
//! Only topics of final sessions are kept: they never change. At the limit a topic takes the place of one that the last
//! queries did not ask for; when there is none it is not kept, so that a question about more than fits finds a part of it here
//! each time, instead of nothing.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::TryLockError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use arrow::datatypes::SchemaRef;

use super::error::RetrievalError;
use super::plan;
use super::stored::stored;
use crate::catalog::Catalog;
use crate::catalog::SegmentView;
use crate::catalog::TopicZones;
use crate::chunk::plain;
use crate::model::Predicate;
use crate::model::Statistics;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::may_match;
use crate::query;

/// Segments asked for at once.
const PAGE: u32 = 1000;

/// Of all that may be kept, what one topic may take.
const TOPIC_PART: usize = 4;

/// Schemas that are kept, each for all topics that have it. Topics with others are not kept.
const SCHEMAS_MAX: usize = 256;

/// Queries that a topic outlives that none of them asked for.
const IDLE_QUERIES: u64 = 16;

/// Topics looked at for one whose place another could take.
const LOOKS: usize = 16;

/// About what a schema takes, in multiples of its message.
const SCHEMA_FACTOR: usize = 8;

/// About what a topic takes besides its segments.
const TOPIC_BYTES: usize = 192;

/// What a topic's writer sent, and what its rows are stored in; the same where no path leads elsewhere in one than in the other.
#[derive(Clone)]
struct Schemas {
    wire: SchemaRef,
    stored: SchemaRef,
}

/// One topic.
pub(super) struct Zones {
    bounds: Option<TimeBounds>,
    chunks: u64,
    schemas: Schemas,
    segments: Vec<(SegmentView, Statistics)>,
    bytes: usize,
    /// Number of the last query that asked for it.
    asked: AtomicU64,
}

#[derive(Default)]
struct Kept {
    topics: HashMap<TopicId, Arc<Zones>>,
    /// Each once; those in front were not looked at for the longest.
    order: VecDeque<TopicId>,
    /// And about what each takes.
    schemas: HashMap<Vec<u8>, (Schemas, usize)>,
    bytes: usize,
}

/// The topics that are kept.
pub(super) struct ZoneIndex {
    kept: RwLock<Kept>,
    bytes_max: usize,
    queries: AtomicU64,
}

/// Those of many topics that are known, and how many of the topics these are the answer for.
pub(super) type Many = (Vec<(TopicId, Arc<Zones>)>, usize);

/// A look at what is kept.
pub(super) struct Look<'a> {
    kept: RwLockReadGuard<'a, Kept>,
    query: u64,
}

impl Schemas {
    fn of(wire: SchemaRef) -> Self {
        let stored = plain(&wire);
        let stored = if stored == wire { wire.clone() } else { stored };
        Self { wire, stored }
    }
}

impl Zones {
    /// Segments with times in `range` that may have a row for the predicate.
    ///
    /// * `predicate`: over stored rows.
    pub(super) fn wanted(&self, predicate: &Predicate, range: TimeRange) -> Vec<SegmentView> {
        let may =
            |(view, known): &&(SegmentView, Statistics)| range.overlaps(&view.bounds) && may_match(known, predicate);
        self.segments.iter().filter(may).map(|(view, _)| *view).collect()
    }

    /// Whether it may have a row for the predicate, which is as its client knows the rows.
    pub(super) fn may_match(&self, predicate: &Predicate) -> bool {
        let Some(range) = query::time_range(predicate) else { return false };
        if !self.bounds.is_some_and(|bounds| range.overlaps(&bounds)) {
            return false;
        }
        let Schemas { wire, stored: own } = &self.schemas;
        let translated = (!Arc::ptr_eq(wire, own)).then(|| stored(predicate.clone(), wire));
        let predicate = translated.as_ref().unwrap_or(predicate);
        query::may_hold(predicate, own) && !self.wanted_none(predicate, range)
    }

    fn wanted_none(&self, predicate: &Predicate, range: TimeRange) -> bool {
        self.segments.iter().all(|(view, known)| !range.overlaps(&view.bounds) || !may_match(known, predicate))
    }

    pub(super) fn chunks(&self) -> u64 {
        self.chunks
    }
}

impl ZoneIndex {
    /// * `bytes_max`: what all of it may take in memory, about; 0: nothing is kept.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { kept: RwLock::default(), bytes_max, queries: AtomicU64::new(0) }
    }

    /// Begins a query.
    pub(super) fn begin(&self) {
        self.queries.fetch_add(1, Relaxed);
    }

    pub(super) fn look(&self) -> Look<'_> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        Look { kept, query: self.queries.load(Relaxed) }
    }

    /// A topic, read and kept when it was not; `None` for one that is too large to be kept.
    ///
    /// # Errors
    /// As [`plan::topic_by_id`]; of the catalog; [`RetrievalError::Schema`].
    pub(super) async fn topic(&self, catalog: &dyn Catalog, id: TopicId) -> Result<Option<Arc<Zones>>, RetrievalError> {
        if let Some(known) = self.look().topic(id) {
            return Ok(Some(known.clone()));
        }
        let room = self.bytes_max / TOPIC_PART;
        let view = plan::topic_by_id(catalog, id).await?;
        let least =
            usize::try_from(view.totals.chunks / 256).unwrap_or(usize::MAX).saturating_mul(size_of::<SegmentView>());
        if least > room {
            return Ok(None);
        }
        let (mut segments, mut bytes, mut cursor) = (Vec::new(), TOPIC_BYTES, None);
        loop {
            let page = catalog.zones(id, cursor, PAGE).await?;
            bytes += page.items.iter().map(segment_bytes).sum::<usize>();
            segments.extend(page.items);
            if bytes > room {
                return Ok(None);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let name = view.head.name;
        let zones = TopicZones { id, totals: view.totals, schema: view.schema, segments };
        let schema_error = |why| RetrievalError::Schema { topic: name, why };
        Ok(Some(self.keep(zones).map_err(schema_error)?))
    }

    /// The same of many topics at once, without those of which that is not told, or that have no usable schema: of these
    /// nothing is known. And how many of the topics this is the answer for, at least one.
    ///
    /// # Errors
    /// Of the catalog.
    pub(super) async fn topics(&self, catalog: &dyn Catalog, topics: &[TopicId]) -> Result<Many, RetrievalError> {
        let (answer, answered) = catalog.zones_of(topics.to_vec()).await?;
        assert!(answered > 0, "no progress over {} topics", topics.len());
        let known = answer.into_iter().filter_map(|own| Some((own.id, self.keep(own).ok()?))).collect();
        Ok((known, answered.min(topics.len())))
    }

    /// Whether another one of a usual size would be kept.
    pub(super) fn has_room(&self) -> bool {
        self.look().kept.bytes < self.bytes_max / 8 * 7
    }

    /// # Errors
    /// Says what is wrong with its schema.
    fn keep(&self, own: TopicZones) -> Result<Arc<Zones>, String> {
        let TopicZones { id, totals, schema, mut segments } = own;
        segments.shrink_to_fit();
        let bytes = TOPIC_BYTES + segments.iter().map(segment_bytes).sum::<usize>();
        let schema = schema.unwrap_or_default();
        let known = self.look().kept.schemas.get(&schema).map(|(own, _)| own.clone());
        let schemas = known.map_or_else(|| plan::schema_of(&schema).map(Schemas::of), Ok)?;
        let query = self.queries.load(Relaxed);
        let (bounds, chunks, asked) = (totals.bounds, totals.chunks, AtomicU64::new(query));
        let zones = Arc::new(Zones { bounds, chunks, schemas, segments, bytes, asked });
        if bytes > self.bytes_max / TOPIC_PART {
            return Ok(zones);
        }
        // Somebody may look for long, and nobody waits for him.
        let kept = match self.kept.try_write() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut kept) = kept {
            kept.insert(id, schema, &zones, query, self.bytes_max);
        }
        Ok(zones)
    }
}

/// What a segment takes in memory, about.
fn segment_bytes((_, known): &(SegmentView, Statistics)) -> usize {
    known.bytes.len() + size_of::<(SegmentView, Statistics)>()
}

impl Look<'_> {
    pub(super) fn topic(&self, id: TopicId) -> Option<&Arc<Zones>> {
        let known = self.kept.topics.get(&id)?;
        known.asked.store(self.query, Relaxed);
        Some(known)
    }
}

impl Kept {
    fn insert(&mut self, id: TopicId, schema: Vec<u8>, zones: &Arc<Zones>, query: u64, bytes_max: usize) {
        if self.topics.contains_key(&id) || (!self.schemas.contains_key(&schema) && self.schemas.len() >= SCHEMAS_MAX) {
            return;
        }
        let own = if self.schemas.contains_key(&schema) { 0 } else { schema.len() * SCHEMA_FACTOR };
        let wanted = zones.bytes.saturating_add(own);
        for _ in 0..LOOKS {
            if self.bytes.saturating_add(wanted) <= bytes_max {
                break;
            }
            let Some(oldest) = self.order.pop_front() else { break };
            let idle = |known: &Arc<Zones>| query.saturating_sub(known.asked.load(Relaxed)) > IDLE_QUERIES;
            if self.topics.get(&oldest).is_some_and(idle) {
                self.bytes -= self.topics.remove(&oldest).map_or(0, |known| known.bytes);
                self.drop_schemas();
            } else {
                self.order.push_back(oldest);
            }
        }
        if self.bytes.saturating_add(wanted) > bytes_max {
            return;
        }
        if own > 0 {
            self.schemas.insert(schema, (zones.schemas.clone(), own));
        }
        self.bytes += wanted;
        self.order.push_back(id);
        self.topics.insert(id, zones.clone());
    }

    /// Those that no topic has any more.
    fn drop_schemas(&mut self) {
        let bytes = &mut self.bytes;
        self.schemas.retain(|_, (own, size)| {
            let alone = if Arc::ptr_eq(&own.wire, &own.stored) { 2 } else { 1 };
            let is_used = Arc::strong_count(&own.wire) > alone;
            *bytes -= if is_used { 0 } else { *size };
            is_used
        });
    }
}
