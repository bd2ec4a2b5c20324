//! Goal: whatever overlaps, rows come in the order a stable sort by time would give them, and nothing is touched early.
//! Method: random segments of chunks of runs of row groups in memory, read as a topic reader does.

use std::collections::VecDeque;
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::array::BinaryArray;
use arrow::array::Int64Array;
use proptest::prelude::*;

use crate::model::TimeRange;

use super::super::read_budget::ReadBudget;
use super::*;

/// A row group: ascending times, and the number of its first row in the order of arrival.
#[derive(Clone, Debug)]
struct Group {
    times: Vec<i64>,
    arrival: i64,
}

#[derive(Clone, Debug)]
struct Chunk {
    order: u64,
    runs: Vec<Vec<Group>>,
}

impl Chunk {
    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.runs.iter().flatten()
    }

    fn first(&self) -> i64 {
        self.groups().map(|group| group.times[0]).min().unwrap()
    }
}

#[derive(Clone, Debug)]
struct Segment {
    chunks: Vec<Chunk>,
}

impl Segment {
    fn first(&self) -> i64 {
        self.chunks.iter().map(Chunk::first).min().unwrap()
    }
}

/// Row groups as a writer makes them: segments of chunks, and a new run wherever a group goes back behind the one before.
fn topic(groups: Vec<(Vec<i64>, u8)>) -> Vec<Segment> {
    let (mut segments, mut arrival) = (Vec::new(), 0);
    for (mut times, cut) in groups {
        times.sort_unstable();
        if segments.is_empty() || cut == 0 {
            segments.push(Segment { chunks: Vec::new() });
        }
        let number = segments.len() as u64 - 1;
        let segment = segments.last_mut().unwrap();
        if segment.chunks.is_empty() || cut < 3 {
            let order = number << 32 | (segment.chunks.len() as u64) << 20;
            segment.chunks.push(Chunk { order, runs: Vec::new() });
        }
        let chunk = segment.chunks.last_mut().unwrap();
        let last = chunk.runs.last().and_then(|run| run.last()?.times.last().copied());
        let group = Group { arrival, times };
        arrival += group.times.len() as i64;
        match chunk.runs.last_mut() {
            Some(run) if last.is_some_and(|last| last <= group.times[0]) => run.push(group),
            _ => chunk.runs.push(vec![group]),
        }
    }
    segments
}

/// Bytes of a row's payload: mostly none, sometimes many.
fn payload(arrival: i64) -> usize {
    match arrival % 13 {
        0 => 3000,
        at => at as usize % 3,
    }
}

fn rows(group: &Group, range: Range<usize>) -> RecordBatch {
    let arrivals: Vec<i64> = range.clone().map(|row| group.arrival + row as i64).collect();
    let payloads = BinaryArray::from_iter_values(arrivals.iter().map(|arrival| vec![7u8; payload(*arrival)]));
    let columns = [
        ("timestamp_ns", Arc::new(Int64Array::from(group.times[range].to_vec())) as ArrayRef),
        ("arrival", Arc::new(Int64Array::from(arrivals)) as ArrayRef),
        ("payload", Arc::new(payloads) as ArrayRef),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

struct Source {
    order: u64,
    groups: VecDeque<Group>,
    row: usize,
    cursor: Option<Cursor>,
}

struct Reader {
    range: TimeRange,
    account: ReadAccount,
    portion: usize,
    segments: VecDeque<Segment>,
    chunks: VecDeque<Chunk>,
    sources: Vec<Source>,
    listed: usize,
    opened: usize,
}

impl Reader {
    fn new(topic: &[Segment], range: TimeRange, portion: usize, read_bytes: u64) -> Self {
        let mut segments = topic.to_vec();
        segments.sort_by_key(Segment::first);
        Self {
            range,
            account: ReadBudget::new(read_bytes, Duration::ZERO).open(0).unwrap(),
            portion,
            segments: segments.into(),
            chunks: VecDeque::new(),
            sources: Vec::new(),
            listed: 0,
            opened: 0,
        }
    }

    fn bound(source: &mut Source) -> Option<i64> {
        if let Some(cursor) = &source.cursor {
            return Some(cursor.next_time());
        }
        while source.groups.front().is_some_and(|group| source.row >= group.times.len()) {
            source.groups.pop_front();
            source.row = 0;
        }
        source.groups.front().map(|group| group.times[0])
    }

    fn step(&mut self) -> Step {
        self.sources.retain_mut(|source| Self::bound(source).is_some());
        let head = |(index, source): (usize, &mut Source)| {
            let (order, loaded) = (source.order, source.cursor.is_some());
            Self::bound(source).map(|time| Head { index, time, order, loaded })
        };
        let heads = self.sources.iter_mut().enumerate().filter_map(head);
        let chunk = self.chunks.front().map(|chunk| (chunk.first(), chunk.order));
        next(heads, chunk, self.segments.front().map(Segment::first))
    }

    fn batch(&mut self, bytes_max: usize, rows_max: usize) -> Option<RecordBatch> {
        let mut batch = BatchBuilder::new(bytes_max, rows_max);
        loop {
            match self.step() {
                Step::List => {
                    let segment = self.segments.pop_front().unwrap();
                    self.chunks.extend(segment.chunks);
                    self.chunks.make_contiguous().sort_by_key(|chunk| (chunk.first(), chunk.order));
                    self.listed += 1;
                }
                Step::Open => {
                    let chunk = self.chunks.pop_front().unwrap();
                    let source = |(index, groups): (usize, Vec<Group>)| Source {
                        order: chunk.order + index as u64,
                        groups: groups.into(),
                        row: 0,
                        cursor: None,
                    };
                    self.sources.extend(chunk.runs.into_iter().enumerate().map(source));
                    self.opened += 1;
                }
                Step::Load(index) => {
                    let source = &mut self.sources[index];
                    let group = source.groups.front().unwrap();
                    let end = group.times.len().min(source.row + self.portion);
                    let decoded = rows(group, source.row..end);
                    let times = times(&decoded).unwrap();
                    let first = times.partition_point(|time| self.range.start().is_some_and(|start| *time < start));
                    let last = times.partition_point(|time| self.range.end().is_none_or(|end| *time < end));
                    let decoded = decoded.slice(first, last.saturating_sub(first));
                    let hold = self.account.try_hold(0).unwrap();
                    source.row = end;
                    source.cursor = Cursor::new(decoded, hold).unwrap();
                }
                Step::Take(index, limit) => {
                    let source = &mut self.sources[index];
                    let cursor = source.cursor.as_mut().unwrap();
                    let taken = batch.take(cursor, limit, &self.account);
                    if cursor.is_empty() {
                        source.cursor = None;
                    }
                    if taken == 0 || batch.is_full() {
                        break;
                    }
                }
                Step::End => break,
            }
        }
        batch.build().unwrap().map(|built| built.batch)
    }
}

fn column(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn groups() -> impl Strategy<Value = Vec<(Vec<i64>, u8)>> {
    // Mostly near each other, so that there are ties and overlaps of every kind.
    let times = prop_oneof![prop::collection::vec(0i64..12, 1..8), prop::collection::vec(0i64..300, 1..40)];
    prop::collection::vec((times, 0u8..8), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rows_come_as_a_stable_sort_gives_them(
        groups in groups(), start in prop::option::of(-5i64..310), len in prop::option::of(1i64..200),
        portion in 1usize..50, bytes_max in 1usize..20_000, rows_max in 1usize..60, rich in any::<bool>(),
    ) {
        let topic = topic(groups);
        let end = len.map(|len| start.unwrap_or(0) + len);
        let range = TimeRange::new(start, end).unwrap();
        let mut reader = Reader::new(&topic, range, portion, if rich { 1 << 30 } else { 150 << 10 });
        let mut found = Vec::new();
        while let Some(batch) = reader.batch(bytes_max, rows_max) {
            let (rows, bytes) = (batch.num_rows(), chunk::batch_bytes(&batch, 0, batch.num_rows()) as usize);
            prop_assert!(rows > 0 && rows <= rows_max);
            prop_assert!(rows == 1 || bytes <= bytes_max + bytes_max / 4 + 8, "{rows} rows, {bytes} bytes");
            found.extend(column(&batch, "timestamp_ns").into_iter().zip(column(&batch, "arrival")));
        }
        let all = topic.iter().flat_map(|segment| &segment.chunks).flat_map(Chunk::groups);
        let rows = all.flat_map(|group| group.times.iter().copied().zip(group.arrival..));
        let mut wanted: Vec<(i64, i64)> = rows.filter(|(time, _)| range.contains(*time)).collect();
        wanted.sort_by_key(|(time, _)| *time);
        prop_assert_eq!(found, wanted);
    }
}

/// Goal: a topic of many segments is listed as the reading goes on, also where one ends before the next begins.
#[test]
fn nothing_is_listed_or_opened_before_its_time() {
    let chunk = |number: i64| {
        let times = vec![number * 10, number * 10 + 9];
        let cut = if number % 4 == 0 { 0 } else { 1 };
        (times, cut)
    };
    let topic = topic((0..40).map(chunk).collect());
    assert_eq!(topic.len(), 10);
    let mut reader = Reader::new(&topic, TimeRange::ALL, 100, 1 << 20);
    for number in 0..40 {
        let batch = reader.batch(1 << 20, 2).unwrap();
        assert_eq!(column(&batch, "timestamp_ns"), [number * 10, number * 10 + 9]);
        assert_eq!((reader.listed, reader.opened), (number as usize / 4 + 1, number as usize + 1));
    }
    assert!(reader.batch(1 << 20, 2).is_none());
}

/// Goal: one large row among small ones makes one large batch, not all of them large.
#[test]
fn a_large_row_travels_alone() {
    let sizes = [10, 10, 60_000, 10, 10, 10];
    let payloads = BinaryArray::from_iter_values(sizes.map(|bytes| vec![1u8; bytes]));
    let times = Arc::new(Int64Array::from_iter_values(0..6)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("timestamp_ns", times), ("payload", Arc::new(payloads))]).unwrap();
    let account = ReadBudget::new(1 << 20, Duration::ZERO).open(0).unwrap();
    let mut cursor = Cursor::new(batch, account.try_hold(0).unwrap()).unwrap().unwrap();
    let mut taken = Vec::new();
    while !cursor.is_empty() {
        let mut batch = BatchBuilder::new(4096, 1000);
        taken.push(batch.take(&mut cursor, None, &account));
    }
    assert_eq!(taken, [2, 1, 3]);
}

#[test]
fn a_batch_in_one_piece_is_not_copied_and_keeps_its_memory_counted() {
    let budget = ReadBudget::new(1 << 20, Duration::ZERO);
    let account = budget.open(0).unwrap();
    let group = Group { times: (0..100).collect(), arrival: 1 };
    let decoded = rows(&group, 0..100);
    let address = decoded.column(0).to_data().buffers()[0].as_ptr();
    let mut cursor = Cursor::new(decoded, account.try_hold(500_000).unwrap()).unwrap().unwrap();
    let mut batch = BatchBuilder::new(1 << 20, 1000);
    assert_eq!(batch.take(&mut cursor, Some(Limit { time: 30, tie: Tie::Theirs }), &account), 30);
    assert_eq!(batch.take(&mut cursor, Some(Limit { time: 30, tie: Tie::Mine }), &account), 1);
    let built = batch.build().unwrap().unwrap();
    assert_eq!((built.batch.num_rows(), built.batch.column(0).to_data().buffers()[0].as_ptr()), (31, address));
    drop(cursor);
    assert_eq!(budget.in_use(), 500_000);
    drop(built);
    assert_eq!(budget.in_use(), super::super::read_budget::SHARE_BYTES);
}

#[test]
fn rows_without_times_are_an_error_and_never_no_rows() {
    let account = ReadBudget::new(1 << 20, Duration::ZERO).open(0).unwrap();
    let column = Arc::new(BinaryArray::from_vec(vec![b"x"])) as ArrayRef;
    for name in ["timestamp_ns", "data"] {
        let batch = RecordBatch::try_from_iter([(name, column.clone())]).unwrap();
        assert!(matches!(Cursor::new(batch, account.try_hold(0).unwrap()), Err(NoTimes)), "{name}");
    }
}
