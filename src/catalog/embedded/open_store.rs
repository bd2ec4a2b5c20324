//! What always lies on this machine: open sessions, their tokens, and the journal of chunks.

use std::sync::Arc;

use super::boot;
use super::engine::Engine;
use super::files;
use super::puts;
use super::room::Need;
use super::segments;
use super::sessions;
use super::topics;
use crate::catalog::Boot;
use crate::catalog::FileCursor;
use crate::catalog::FilePage;
use crate::catalog::Fut;
use crate::catalog::KnownStart;
use crate::catalog::OpenSession;
use crate::catalog::PutEnd;
use crate::catalog::PutOutcome;
use crate::catalog::Standing;
use crate::model::ChunkRecord;
use crate::model::DeviceId;
use crate::model::DeviceNumber;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::StartId;
use crate::model::TokenDigest;
use crate::model::TopicHead;
use crate::model::TopicId;

/// Cheap to clone; all clones speak to the same file. As with the catalog, dropping an answer does not cancel its call.
#[derive(Clone)]
pub struct OpenStore {
    engine: Arc<Engine>,
}

impl OpenStore {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Counts this start and makes every topic that is still being received interrupted: its DoPut died with the last
    /// start. Once per start, before anything else.
    ///
    /// * `seed`: becomes the ticket key at the first start ever, and is ignored later.
    /// * `at_ns`: Unix time, when those puts count as ended.
    pub fn boot(&self, seed: [u8; 32], at_ns: i64) -> Fut<'_, Boot> {
        self.engine.write_as(Need::Deleting, 0, move |work| boot::boot(work, seed, at_ns))
    }

    /// Notes the id of a start that [`Self::boot`] counted. Before any data directory names it.
    pub fn name_start(&self, incarnation: u64, id: StartId) -> Fut<'_, ()> {
        self.engine.write_as(Need::Deleting, 0, move |work| boot::name_start(work, incarnation, id))
    }

    /// Counts the first moment of this start, which a full disk must not keep from serving: without it nobody deletes.
    pub fn count_first_moment(&self) -> Fut<'_, u64> {
        self.engine.write_as(Need::Deleting, 0, boot::count_moment)
    }

    /// Counts another moment of this start. Before any data directory names it.
    ///
    /// # Errors
    /// `Full` where there is no room but the reserve, which is kept for what ends and deletes recordings.
    pub fn count_moment(&self) -> Fut<'_, u64> {
        self.engine.write(0, boot::count_moment)
    }

    /// How many rows were changed since the file was opened; [`Self::count_moment`] itself changes one.
    pub fn changes(&self) -> u64 {
        self.engine.changes()
    }

    /// Whether a start that a data directory names is one of this catalog, and no moment of it is later than this catalog
    /// knows. Before [`Self::boot`], which counts one more.
    ///
    /// * `moment`: 0 where none is named.
    pub fn known_start(&self, incarnation: u64, id: StartId, moment: u64) -> Fut<'_, KnownStart> {
        self.engine.read(move |connection| boot::known_start(connection, incarnation, id, moment))
    }

    /// Whether a start is one of the last ones of this catalog.
    pub fn knows_start(&self, id: StartId) -> Fut<'_, bool> {
        self.engine.read(move |connection| boot::knows_start(connection, id))
    }

    /// Sees to it that there is a little room on the catalog's disk, by giving up the first part of the reserve if need be.
    ///
    /// # Errors
    /// `Full` when there is none even then.
    pub fn make_room(&self) -> Fut<'_, ()> {
        // Every group of calls does so before it runs.
        self.engine.write_as(Need::Ending, 0, |_| Ok(()))
    }

    /// The number of a data directory: the same one for ever, a new one at first sight.
    pub fn device(&self, id: DeviceId) -> Fut<'_, DeviceNumber> {
        self.engine.write_as(Need::Deleting, 0, move |work| boot::device(work, id))
    }

    /// Enters a data directory under the number that its files have for it: for a catalog that is made again from them.
    pub fn adopt_device(&self, number: DeviceNumber, id: DeviceId) -> Fut<'_, ()> {
        self.engine.write(0, move |work| boot::adopt_device(work, number, id))
    }

    /// Starts are counted from here on: for a catalog that is made again from files that name such a start.
    ///
    /// * `seed`: becomes the ticket key.
    pub fn adopt_incarnation(&self, incarnation: u64, seed: [u8; 32]) -> Fut<'_, ()> {
        self.engine.write(0, move |work| boot::adopt_incarnation(work, incarnation, seed))
    }

    pub fn devices(&self) -> Fut<'_, Vec<(DeviceNumber, DeviceId)>> {
        self.engine.read(boot::devices)
    }

    /// How many topics were placed on a data directory. Looks at every topic.
    pub fn topics_on(&self, device: DeviceNumber) -> Fut<'_, u64> {
        self.engine.read(move |connection| boot::topics_on(connection, device))
    }

    /// `NotFound` for no token of ours, and for one whose session was deleted.
    pub fn session_by_token(&self, token: TokenDigest) -> Fut<'_, SessionHead> {
        self.engine.read(move |connection| sessions::by_token(connection, token))
    }

    /// `NotFound` for no token of ours, and for one whose topic was deleted.
    pub fn topic_by_token(&self, token: TokenDigest) -> Fut<'_, TopicHead> {
        self.engine.read(move |connection| topics::by_token(connection, token))
    }

    /// Created → receiving, once; `Refused` after that.
    ///
    /// * `schema`: the schema message as it came, at most [`SCHEMA_LEN_MAX`](puts::SCHEMA_LEN_MAX) bytes (`TooLarge`).
    pub fn begin_put(&self, topic: TopicId, schema: Vec<u8>) -> Fut<'_, TopicHead> {
        self.engine.write(schema.len(), move |work| puts::begin(work, topic, &schema))
    }

    /// Appends chunks to a topic that is being received, in one transaction, and with `end` ends its put. `Ok` means
    /// durable. `NotFound` when the topic was deleted meanwhile: the files of these chunks are then nobody's.
    ///
    /// Chunks for a topic that is not being received are a bug of ours: it stops the catalog.
    pub fn commit(&self, topic: TopicId, records: Vec<ChunkRecord>, end: Option<PutEnd>) -> Fut<'_, ()> {
        let heap = |record: &ChunkRecord| size_of_val(&*record.runs) + record.statistics.bytes.len();
        let why = match end.as_ref().map(|end| &end.outcome) {
            Some(PutOutcome::Interrupted { why }) => why.len(),
            Some(PutOutcome::Complete) | None => 0,
        };
        let bytes = size_of_val(&*records) + records.iter().map(heap).sum::<usize>() + why;
        self.engine.write_as(Need::Ending, bytes, move |work| puts::commit(work, topic, records, end))
    }

    /// All chunks of a session, in whatever state it is; of a deleted one until it is purged. For recovery, verify and
    /// the removal of files.
    pub fn committed_chunks(&self, session: SessionId) -> Fut<'_, Vec<ChunkRecord>> {
        self.engine.look(move |connection, tails| segments::of_session(connection, tails, session))
    }

    /// What a session is to whoever looks at its files.
    pub fn standing(&self, session: SessionId) -> Fut<'_, Standing> {
        self.engine.read(move |connection| files::standing(connection, session))
    }

    /// The files that records of a session speak of, a page at a time, so that a session of any size costs the memory of
    /// one page. Those of deleted topics are among them until they are purged. Empty for a session that is unknown.
    ///
    /// * `from`: of the page before, or the default. A file that is committed between two pages may be missing in both.
    pub fn files(&self, session: SessionId, from: FileCursor) -> Fut<'_, FilePage> {
        self.engine.look(move |connection, tails| files::page(connection, tails, session, from))
    }

    /// Open sessions in the order of their creation, at most `limit` of them.
    ///
    /// * `after`: the number of the last one seen, 0 to begin. Costs what is open, whatever else was recorded.
    pub fn open_sessions(&self, after: i64, limit: u32) -> Fut<'_, Vec<OpenSession>> {
        self.engine.read(move |connection| files::open_sessions(connection, after, limit))
    }

    /// As [`Self::sessions`], at most `limit` of them, each behind its number.
    ///
    /// * `after`: the number of the last one seen, 0 to begin.
    pub fn sessions_after(&self, after: i64, limit: u32) -> Fut<'_, Vec<(i64, SessionId)>> {
        self.engine.read(move |connection| files::sessions(connection, after, limit))
    }

    /// What SQLite finds wrong with its file and with how its rows refer to each other; empty when nothing is. Reads all of it.
    pub fn check(&self) -> Fut<'_, Vec<String>> {
        self.engine.read(files::check)
    }

    /// Names of the tables, for [`Self::check_table`].
    pub fn tables(&self) -> Fut<'_, Vec<String>> {
        self.engine.read(files::tables)
    }

    /// As [`Self::check`], for one table and its indexes.
    pub fn check_table(&self, table: String) -> Fut<'_, Vec<String>> {
        self.engine.read(move |connection| files::check_table(connection, &table))
    }

    /// Sessions that were not deleted, open and final, in the order of their creation.
    pub fn sessions(&self) -> Fut<'_, Vec<SessionId>> {
        self.engine.read(sessions::ids)
    }
}
