//! Reading through real shards: what is touched when, what memory it takes, and what happens when things go wrong.

mod house;

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::executor::block_on;

use tessera::catalog::Catalog;
use tessera::catalog::Cursor;
use tessera::catalog::EmbeddedCatalog;
use tessera::catalog::Fut;
use tessera::catalog::HeadMark;
use tessera::catalog::HeadPage;
use tessera::catalog::Member;
use tessera::catalog::NewSequence;
use tessera::catalog::NewSession;
use tessera::catalog::NewTopic;
use tessera::catalog::Page;
use tessera::catalog::SegmentKey;
use tessera::catalog::SegmentView;
use tessera::catalog::SequenceContents;
use tessera::catalog::Sieve;
use tessera::catalog::TaggedTopic;
use tessera::catalog::Tombstone;
use tessera::catalog::TopicZones;
use tessera::catalog::Visibility;
use tessera::io::BackendChoice;
use tessera::model::ChunkRecord;
use tessera::model::NodeId;
use tessera::model::Notification;
use tessera::model::NotificationTarget;
use tessera::model::OntologyTag;
use tessera::model::Predicate;
use tessera::model::SequenceHead;
use tessera::model::SequenceId;
use tessera::model::SequenceName;
use tessera::model::SequenceView;
use tessera::model::SessionHead;
use tessera::model::SessionId;
use tessera::model::SessionView;
use tessera::model::Statistics;
use tessera::model::TimeRange;
use tessera::model::TopicHead;
use tessera::model::TopicId;
use tessera::model::TopicName;
use tessera::model::TopicView;
use tessera::shard::ChunkConfig;
use tessera::shard::ReadError;
use tessera::shard::ReadRequest;
use tessera::shard::ShardError;
use tessera::store::FetchError;

use house::House;
use house::Plan;
use house::batch;
use house::rest;
use house::schema;
use house::scratch;
use house::times;
use house::write;

/// A catalog that counts how often it is asked for a directory, and can be told to answer differently.
struct Counting {
    inner: EmbeddedCatalog,
    directories: AtomicUsize,
    /// Instead of what the catalog has: segment n holds the n-th of these.
    records: Mutex<Option<Vec<ChunkRecord>>>,
    /// Answers wait while it is shut.
    shut: Mutex<Option<Vec<Waker>>>,
}

impl Counting {
    fn new(inner: EmbeddedCatalog) -> Self {
        Self { inner, directories: AtomicUsize::new(0), records: Mutex::default(), shut: Mutex::default() }
    }

    fn count(&self) -> usize {
        self.directories.load(Ordering::SeqCst)
    }

    fn shut(&self) {
        *self.shut.lock().unwrap() = Some(Vec::new());
    }

    fn unshut(&self) {
        self.shut.lock().unwrap().take().into_iter().flatten().for_each(Waker::wake);
    }
}

impl Catalog for Counting {
    fn directory(&self, key: SegmentKey) -> Fut<'_, Vec<ChunkRecord>> {
        self.directories.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            poll_fn(|cx| match &mut *self.shut.lock().unwrap() {
                Some(waiting) => {
                    waiting.push(cx.waker().clone());
                    Poll::Pending
                }
                None => Poll::Ready(()),
            })
            .await;
            let own = self.records.lock().unwrap().as_ref().map(|records| vec![records[key.number as usize].clone()]);
            match own {
                Some(records) => Ok(records),
                None => self.inner.directory(key).await,
            }
        })
    }

    fn create_sequence(&self, new: NewSequence) -> Fut<'_, SequenceHead> {
        self.inner.create_sequence(new)
    }

    fn create_session(&self, new: NewSession) -> Fut<'_, SessionHead> {
        self.inner.create_session(new)
    }

    fn create_topic(&self, new: NewTopic) -> Fut<'_, TopicHead> {
        self.inner.create_topic(new)
    }

    fn finalize(&self, session: SessionId, completed_at_ns: i64) -> Fut<'_, SessionHead> {
        self.inner.finalize(session, completed_at_ns)
    }

    fn delete_topic(&self, topic: TopicId) -> Fut<'_, ()> {
        self.inner.delete_topic(topic)
    }

    fn delete_session(&self, session: SessionId) -> Fut<'_, ()> {
        self.inner.delete_session(session)
    }

    fn delete_sequence(&self, sequence: SequenceId) -> Fut<'_, ()> {
        self.inner.delete_sequence(sequence)
    }

    fn delete_empty_sequence(&self, sequence: SequenceId) -> Fut<'_, bool> {
        self.inner.delete_empty_sequence(sequence)
    }

    fn tombstones(&self, after: i64, limit: u32) -> Fut<'_, Vec<Tombstone>> {
        self.inner.tombstones(after, limit)
    }

    fn purged(&self, tombstone: i64) -> Fut<'_, ()> {
        self.inner.purged(tombstone)
    }

    fn session(&self, id: SessionId) -> Fut<'_, SessionView> {
        self.inner.session(id)
    }

    fn sequence(&self, name: &SequenceName, visibility: Visibility) -> Fut<'_, SequenceView> {
        self.inner.sequence(name, visibility)
    }

    fn topic(&self, name: &TopicName, visibility: Visibility) -> Fut<'_, TopicView> {
        self.inner.topic(name, visibility)
    }

    fn topic_by_id(&self, id: TopicId, visibility: Visibility) -> Fut<'_, TopicView> {
        self.inner.topic_by_id(id, visibility)
    }

    fn sequences(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceHead>> {
        self.inner.sequences(after, limit)
    }

    fn contents(&self, after: Option<SequenceName>, limit: u32) -> Fut<'_, Page<SequenceContents>> {
        self.inner.contents(after, limit)
    }

    fn sifted(&self, after: Option<SequenceName>, limit: u32, sieve: Arc<Sieve>) -> Fut<'_, Page<SequenceContents>> {
        self.inner.sifted(after, limit, sieve)
    }

    fn tagged(&self, tag: OntologyTag, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<TaggedTopic>> {
        self.inner.tagged(tag, cursor, limit)
    }

    fn zones_of(&self, topics: Vec<TopicId>) -> Fut<'_, (Vec<TopicZones>, usize)> {
        self.inner.zones_of(topics)
    }

    fn contents_of(&self, numbers: Vec<i64>) -> Fut<'_, (Vec<SequenceContents>, usize)> {
        self.inner.contents_of(numbers)
    }

    fn heads(&self, after: HeadMark, limit: u32) -> Fut<'_, HeadPage> {
        self.inner.heads(after, limit)
    }

    fn zones(&self, topic: TopicId, cursor: Option<Cursor>, limit: u32) -> Fut<'_, Page<(SegmentView, Statistics)>> {
        self.inner.zones(topic, cursor, limit)
    }

    fn segments(
        &self,
        topic: TopicId,
        range: TimeRange,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>> {
        self.inner.segments(topic, range, cursor, limit)
    }

    fn segments_matching(
        &self,
        topic: TopicId,
        range: TimeRange,
        predicate: Arc<Predicate>,
        cursor: Option<Cursor>,
        limit: u32,
    ) -> Fut<'_, Page<SegmentView>> {
        self.inner.segments_matching(topic, range, predicate, cursor, limit)
    }

    fn notify(&self, target: &NotificationTarget, notification: Notification) -> Fut<'_, ()> {
        self.inner.notify(target, notification)
    }

    fn notifications(&self, target: &NotificationTarget) -> Fut<'_, Vec<Notification>> {
        self.inner.notifications(target)
    }

    fn purge_notifications(&self, target: &NotificationTarget) -> Fut<'_, ()> {
        self.inner.purge_notifications(target)
    }

    fn announce(&self, member: Member) -> Fut<'_, ()> {
        self.inner.announce(member)
    }

    fn member(&self, node: NodeId) -> Fut<'_, Option<Member>> {
        self.inner.member(node)
    }
}

fn open(directory: &Path, read_bytes: u64, chunk: ChunkConfig) -> (House, Arc<Counting>) {
    let mut counting = None;
    let plan = Plan { read_bytes, chunk, ..Plan::default() };
    let house = House::planned(directory, plan, |catalog| {
        Arc::clone(counting.insert(Arc::new(Counting::new(catalog)))) as Arc<dyn Catalog>
    });
    (house, counting.unwrap())
}

/// Goal: a topic of many segments begins to be served after looking at one of them.
#[test]
fn segments_are_listed_as_the_reading_goes_on() {
    let directory = scratch();
    let (house, counting) = open(directory.path(), 64 << 20, ChunkConfig { rows_max: 1, ..ChunkConfig::default() });
    let spec = house.topic("slow", &schema());
    write(&house, &spec, (0..16).map(|at| batch(&[at * 10, at * 10 + 1], 100_000)).collect());
    let mut records = house.records(&spec);
    records.sort_by_key(|record| record.bounds.first);
    assert_eq!(records.len(), 16);
    let segment = |(number, record): (u32, &ChunkRecord)| SegmentView {
        key: SegmentKey { topic: spec.head.id, number },
        bounds: record.bounds,
        chunks: 1,
        rows: record.rows,
        bytes: record.file_bytes,
    };
    let request = ReadRequest {
        segments: (0..).zip(&records).map(segment).collect(),
        batch_bytes: 150_000,
        ..house.request(&spec, TimeRange::ALL)
    };
    *counting.records.lock().unwrap() = Some(records.clone());
    let mut receiver = house.reader(request).unwrap();
    let first = block_on(receiver.next()).unwrap().unwrap();
    // One for this batch, and one for each that may be ready before anyone asks: two in the outbox, one on its way there.
    let listed = counting.count();
    assert!(listed <= 1 + 3, "{listed} directories before the first batch");
    let mut found = times(&[first]);
    found.extend(times(&rest(&mut receiver)));
    assert_eq!(found, (0..16).flat_map(|at| [at * 10, at * 10 + 1]).collect::<Vec<_>>());
    assert_eq!(counting.count(), 16);
    drop(receiver);
    house.close();
}

/// Goal: a client has its first rows before megabytes are read, and large batches soon after.
#[test]
fn batches_begin_small_and_grow() {
    let directory = scratch();
    let cut = ChunkConfig { rows_max: 20, ..ChunkConfig::default() };
    let house = House::open(directory.path(), BackendChoice::Auto, cut);
    let spec = house.topic("growing", &schema());
    write(&house, &spec, (0..6).map(|at| batch(&(at * 10..at * 10 + 10).collect::<Vec<_>>(), 100_000)).collect());
    assert_eq!(house.records(&spec).len(), 3);
    let mut receiver = house.reader(house.request(&spec, TimeRange::ALL)).unwrap();
    let batches = rest(&mut receiver);
    assert_eq!(times(&batches), (0..60).collect::<Vec<_>>());
    let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
    assert!(rows[0] <= 3 && rows.iter().any(|rows| *rows >= 7), "{rows:?}");
    drop(receiver);
    house.close();
}

#[test]
fn a_topic_deleted_meanwhile_is_gone_and_not_damaged() {
    let directory = scratch();
    let (house, counting) = open(directory.path(), 64 << 20, ChunkConfig::default());
    let (lost, deleted) = (house.topic("lost", &schema()), house.topic("deleted", &schema()));
    write(&house, &lost, vec![batch(&[1, 2], 10)]);
    write(&house, &deleted, vec![batch(&[1, 2], 10)]);
    let cut = TimeRange::new(Some(2), None).unwrap();
    let requests = |spec| [house.request(spec, TimeRange::ALL), house.request(spec, cut)];
    let (of_lost, of_deleted) = (requests(&lost), requests(&deleted));
    let records = house.records(&deleted);
    block_on(house.catalog.delete_session(deleted.head.session)).unwrap();
    for tombstone in block_on(house.catalog.tombstones(0, 10)).unwrap() {
        block_on(house.shards.purge(&tombstone)).unwrap();
    }
    std::fs::remove_dir_all(directory.path().join("chunks").join(lost.head.session.to_string())).unwrap();
    let errors = |requests: &[ReadRequest; 2]| {
        let [read, window] = requests.clone();
        let read = block_on(house.reader(read).unwrap().next()).unwrap().unwrap_err();
        let Err(ShardError::Read(window)) = block_on(house.shards.window(window)) else {
            panic!("a window of nothing")
        };
        [read, window]
    };
    for error in errors(&of_lost) {
        assert!(matches!(&error, ReadError::Fetch { cause: FetchError::Missing { .. }, .. }), "{error}");
    }
    // Deleted before its directory is read, and after.
    for directory in [None, Some(records)] {
        *counting.records.lock().unwrap() = directory;
        for error in errors(&of_deleted) {
            assert!(matches!(&error, ReadError::Deleted { .. }), "{error}");
        }
    }
    house.close();
}

/// Goal: however large rows are and however many read them, reading holds no more than its memory.
#[test]
fn readers_of_large_rows_hold_no_more_than_there_is() {
    const READ_BYTES: usize = 24 << 20;
    let directory = scratch();
    let (house, _) = open(directory.path(), READ_BYTES as u64, ChunkConfig::default());
    let spec = house.topic("camera", &schema());
    write(&house, &spec, (0..6).map(|at| batch(&[at], 3 << 20)).collect());
    let mut readers = Vec::new();
    let refused = loop {
        match house.reader(house.request(&spec, TimeRange::ALL)) {
            Ok(reader) => readers.push(reader),
            Err(error) => break error,
        }
        assert!(readers.len() < 100, "any number of readers of 3 MiB rows share {READ_BYTES} bytes");
    };
    assert!(matches!(&refused, ShardError::ReadMemory { .. }), "{refused}");
    assert!(readers.len() > 1, "{} readers", readers.len());
    let mut held = Vec::new();
    for reader in &mut readers {
        held.push(block_on(reader.next()).unwrap().unwrap());
        let bytes = house.shards.read_bytes();
        assert!(bytes <= READ_BYTES, "{bytes} bytes for {} readers", held.len());
    }
    // Each goes on to its end while the others still have their first batch.
    for (reader, first) in readers.iter_mut().zip(held) {
        let mut batches = vec![first];
        batches.extend(rest(reader));
        assert_eq!(times(&batches), (0..6).collect::<Vec<_>>());
        assert!(house.shards.read_bytes() <= READ_BYTES);
    }
    drop(readers);
    house.close();
}

/// Goal: a client that opens every topic at once and takes from each only when its turn comes gets everything.
/// Method: nearly all memory is in the shares; every reader's first batches stay untouched until all before are drained.
#[test]
fn readers_left_alone_do_not_stop_the_others() {
    const READ_BYTES: usize = 64 << 20;
    let directory = scratch();
    let (house, _) = open(directory.path(), READ_BYTES as u64, ChunkConfig::default());
    let (plain, mixed) = (house.topic("plain", &schema()), house.topic("mixed", &schema()));
    write(&house, &plain, (0..24).map(|at| batch(&[at], 70_000)).collect());
    // Every batch reaches back behind its predecessor: runs that overlap.
    write(
        &house,
        &mixed,
        (0..6).map(|at| batch(&(0..4).map(|row| 40 - at * 6 + row * 10).collect::<Vec<_>>(), 70_000)).collect(),
    );
    let mut readers = Vec::new();
    for number in 0..85 {
        let spec = if number % 2 == 0 { &plain } else { &mixed };
        readers.push(house.reader(house.request(spec, TimeRange::ALL)).unwrap());
    }
    let firsts: Vec<RecordBatch> = readers.iter_mut().map(|reader| block_on(reader.next()).unwrap().unwrap()).collect();
    for (reader, first) in readers.iter_mut().zip(firsts) {
        let mut batches = vec![first];
        batches.extend(rest(reader));
        let times = times(&batches);
        assert!(times.len() == 24 && times.is_sorted(), "{times:?}");
        let bytes = house.shards.read_bytes();
        assert!(bytes <= READ_BYTES, "{bytes} bytes");
    }
    drop(readers);
    house.close();
}

/// Goal: one row far larger than the others makes one large batch; before and after it batches are as they should be.
#[test]
fn one_large_row_among_small_ones_is_a_batch_of_its_own() {
    let directory = scratch();
    let (house, _) = open(directory.path(), 64 << 20, ChunkConfig::default());
    let spec = house.topic("skewed", &schema());
    let sent: Vec<RecordBatch> = (0..400).map(|at| batch(&[at], if at == 200 { 3 << 20 } else { 1000 })).collect();
    write(&house, &spec, sent.clone());
    let request = ReadRequest { batch_bytes: 100_000, ..house.request(&spec, TimeRange::ALL) };
    let batches = rest(&mut house.reader(request).unwrap());
    assert_eq!(concat_batches(&schema(), &batches).unwrap(), concat_batches(&schema(), &sent).unwrap());
    for batch in &batches {
        let payloads = batch.column(1).as_binary::<i32>();
        let bytes = payloads.value_offsets().last().unwrap() - payloads.value_offsets().first().unwrap();
        let large = times(std::slice::from_ref(batch)).contains(&200);
        assert_eq!(
            (large && batch.num_rows() == 1, bytes > 125_000),
            (large, large),
            "{} rows, {bytes} bytes",
            batch.num_rows()
        );
    }
    house.close();
}

/// Goal: windows wait their turn, and those nobody waits for are not measured.
#[test]
fn windows_wait_their_turn_and_end_with_their_asker() {
    let directory = scratch();
    let (house, counting) = open(directory.path(), 64 << 20, ChunkConfig::default());
    let spec = house.topic("cut", &schema());
    write(&house, &spec, vec![batch(&[1, 2, 3], 10)]);
    let cut = TimeRange::new(Some(2), None).unwrap();
    counting.shut();
    let ask = || Box::pin(house.shards.window(house.request(&spec, cut)));
    let mut asked: Vec<_> = (0..20).map(|_| ask()).collect();
    let mut noop = Context::from_waker(Waker::noop());
    for window in &mut asked {
        assert!(window.as_mut().poll(&mut noop).is_pending());
    }
    // Four on each of two shards.
    while counting.count() < 8 {
        std::thread::yield_now();
    }
    drop(asked);
    let mut last = [ask(), ask()];
    for window in &mut last {
        assert!(window.as_mut().poll(&mut noop).is_pending());
    }
    counting.unshut();
    for window in last {
        assert_eq!(block_on(window).unwrap().rows, 2);
    }
    assert_eq!(counting.count(), 8 + 2);
    house.close();
}
