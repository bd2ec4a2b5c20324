//! Goal: an index never says no to a chunk that has a matching row. Method: chunks are encoded, their records' statistics are
//! asked generated conditions, and the rows decide.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::BooleanArray;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::StringArray;
use arrow::array::StructArray;
use arrow::array::UInt64Array;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Int64Type;
use arrow::datatypes::Schema;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::chunk::ChunkEncoder;
use crate::chunk::ChunkIdentity;
use crate::chunk::ChunkLayout;
use crate::chunk::Effort;
use crate::chunk::SparseBytes;
use crate::io::hash_blocks;
use crate::model::ChunkId;
use crate::model::DeviceNumber;
use crate::model::OntologyTag;
use crate::model::SequenceId;
use crate::model::SerializationFormat;
use crate::model::SessionId;
use crate::model::ShardIndex;
use crate::model::Statistics;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::model::decode_skip_index;
use crate::model::merge_skip_indices;

type Row = (Option<i64>, Option<f64>, Option<String>, Option<bool>, Option<Vec<Option<i64>>>);

/// A file of these row groups, and its record: with time to spare for every other one.
fn file(groups: &[&[RecordBatch]]) -> (Vec<u8>, ChunkRecord) {
    file_with([Effort::Direct, Effort::Compact], groups)
}

fn file_with(effort: [Effort; 2], groups: &[&[RecordBatch]]) -> (Vec<u8>, ChunkRecord) {
    let identity = ChunkIdentity {
        chunk: ChunkId(Uuid::from_u128(1)),
        device: DeviceNumber(0),
        shard: ShardIndex(0),
        number: 0,
        incarnation: 1,
        sequence: SequenceId(Uuid::from_u128(2)),
        session: SessionId(Uuid::from_u128(3)),
        topic: TopicId(Uuid::from_u128(4)),
        name: TopicName::parse("drive/all").unwrap(),
        tag: OntologyTag::parse("A").unwrap(),
        format: SerializationFormat::Default,
    };
    let (chunk, mut file) = (identity.chunk, Vec::new());
    let mut encoder = ChunkEncoder::new(identity, &groups[0][0].schema()).unwrap();
    for (group, effort) in groups.iter().zip(effort.into_iter().cycle()) {
        encoder.row_group(group, effort).unwrap().iter().for_each(|piece| file.extend_from_slice(piece));
    }
    encoder.last().iter().for_each(|piece| file.extend_from_slice(piece));
    let (tail, record) = encoder.finish(&hash_blocks(chunk, &file)).unwrap();
    file.extend_from_slice(&tail);
    (file, record)
}

fn statistics(batches: &[RecordBatch]) -> Statistics {
    file(&[batches]).1.statistics
}

/// Of each row group, rows that its file says may satisfy the predicate; `None` when it says nothing.
fn wanted(groups: &[&[RecordBatch]], predicate: &Predicate) -> Option<Vec<Vec<Range<u64>>>> {
    let (file, record) = file(groups);
    let layout = ChunkLayout::parse(&record, &file[record.body_bytes as usize..]).unwrap();
    let zones = layout.zones()?;
    let mut bytes = SparseBytes::new();
    let section = file.into_iter().skip(zones.start as usize).take((zones.end - zones.start) as usize);
    bytes.insert(zones.start, section.collect::<Vec<u8>>());
    Some(layout.rows_that_may_hold(&bytes, predicate))
}

/// A column of each kind.
fn batch(rows: &[Row]) -> RecordBatch {
    let times = Int64Array::from_iter_values(0..rows.len() as i64);
    let ints: Int64Array = rows.iter().map(|row| row.0).collect();
    let unsigned: UInt64Array = rows.iter().map(|row| row.0.map(|n| n as u64)).collect();
    let floats: Float64Array = rows.iter().map(|row| row.1).collect();
    let texts: StringArray = rows.iter().map(|row| row.2.clone()).collect();
    let flags: BooleanArray = rows.iter().map(|row| row.3).collect();
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(rows.iter().map(|row| row.4.clone()));
    let longitude = Arc::new(Field::new("longitude", DataType::Float64, true));
    let place = StructArray::from(vec![(longitude, Arc::new(floats.clone()) as ArrayRef)]);
    let columns: [(&str, ArrayRef, bool); 8] = [
        ("timestamp_ns", Arc::new(times), false),
        ("i", Arc::new(ints), true),
        ("u", Arc::new(unsigned), true),
        ("f", Arc::new(floats), true),
        ("t", Arc::new(texts), true),
        ("b", Arc::new(flags), true),
        ("l", Arc::new(lists), true),
        ("p", Arc::new(place), true),
    ];
    let field = |(name, column, null): &(&str, ArrayRef, bool)| Field::new(*name, column.data_type().clone(), *null);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.map(|(_, column, _)| column).to_vec()).unwrap()
}

fn predicate(path: &str, test: Value) -> Predicate {
    let body = json!({"ontology": {format!("A.{path}"): test}}).to_string();
    query::parse(body.as_bytes()).unwrap().root.ontology.remove(0).predicate
}

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![-3i64..4, Just(i64::MIN), Just(i64::MAX), Just((1 << 53) + 1)]
}

fn float() -> impl Strategy<Value = f64> {
    let edges = vec![f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY, 179.0, -179.0];
    prop_oneof![-3.0f64..4.0, prop::sample::select(edges)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "base_link_[a-z]", "é?\u{10ffff}?"]
}

fn row() -> impl Strategy<Value = Row> {
    let list = prop::collection::vec(prop::option::of(int()), 0..4);
    let (n, x, t) = (prop::option::of(int()), prop::option::of(float()), prop::option::of(text()));
    (n, x, t, prop::option::of(any::<bool>()), prop::option::of(list))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn an_index_never_hides_a_row(
        rows in prop::collection::vec(row(), 2..40),
        path in prop::sample::select(vec!["i", "u", "f", "t", "b", "p.longitude", "l[0]", "l[?]", "l[!]", "l", "p"]),
        op in prop::sample::select(vec!["$eq", "$neq", "$lt", "$leq", "$gt", "$geq", "$match", "$ex", "$nex"]),
        (n, x, t, b) in (int(), float(), text(), any::<bool>()),
        kind in 0..4,
        cut in 1usize..39,
    ) {
        let value = match (op, kind) {
            ("$ex" | "$nex", _) => Value::Null,
            ("$match", kind) => match kind {
                0 => format!("{t}*"),
                1 => format!("*{t}"),
                2 => format!("*{t}?*"),
                _ => format!("?*{t}*"),
            }
            .into(),
            (_, 0) => n.into(),
            (_, 1) if x.is_finite() => x.into(),
            ("$eq" | "$neq", 2) => b.into(),
            _ => t.into(),
        };
        let predicate = predicate(path, json!({op: value}));
        let whole = batch(&rows);
        let cut = cut.min(rows.len() - 1);
        let parts = [whole.slice(0, cut), whole.slice(cut, rows.len() - cut)];
        let hits = query::hits(&predicate, &whole).count_set_bits();
        let own = statistics(&parts);
        prop_assert!(decode_skip_index(&own).is_some());
        prop_assert!(hits == 0 || may_match(&own, &predicate), "{predicate:?} has {hits} rows");
        let groups = parts.each_ref().map(std::slice::from_ref);
        let zones = wanted(&groups, &predicate).expect("two zones");
        for (part, wanted) in parts.iter().zip(&zones) {
            let hits = query::hits(&predicate, part);
            let lost = hits.set_indices().find(|row| !wanted.iter().any(|rows| rows.contains(&(*row as u64))));
            prop_assert_eq!(lost, None, "{:?} in {:?}", predicate, zones);
        }
        let each = parts.each_ref().map(|part| statistics(std::slice::from_ref(part)));
        let merged = merge_skip_indices(each.iter());
        prop_assert!(hits == 0 || may_match(&merged, &predicate), "{predicate:?} has {hits} rows in two chunks");
    }
}

#[test]
fn ranges_categories_and_the_date_line_are_told_apart() {
    let row = |n: i64, x: f64, t: &str| (Some(n), Some(x), Some(t.to_owned()), Some(true), Some(vec![Some(n)]));
    let own = statistics(&[batch(&[row(5, 179.5, "base"), row(9, -179.5, "lidar")])]);
    let may = |path: &str, test: Value| may_match(&own, &predicate(path, test));
    assert!(may("i", json!({"$eq": 7})) && !may("i", json!({"$gt": 9})) && !may("i", json!({"$nex": null})));
    assert!(may("t", json!({"$match": "b*"})) && !may("t", json!({"$eq": "camera"})) && !may("t", json!({"$eq": 1})));
    assert!(!may("p.longitude", json!({"$between": [-10, 10]})) && may("p.longitude", json!({"$gt": 179})));
    assert!(may("f", json!({"$between": [-10, 10]})), "other columns have one range");
    assert!(!may("b", json!({"$eq": false})) && !may("l[?]", json!({"$gt": 9})) && may("l[!]", json!({"$eq": 5})));
    assert!(may("unknown", json!({"$eq": 5})));
}

/// Goal: texts of which there are many are told by what they have in them. Method: log messages in two chunks and together.
#[test]
fn texts_without_a_part_are_told() {
    let message = |n: usize| format!("link {n} to the rear camera is down, retry in {} ms", n * 37 % 1000);
    let of = |range: Range<usize>| {
        let row = |n| (None, None, Some(message(n)), None, None);
        statistics(&[batch(&range.map(row).collect::<Vec<Row>>())])
    };
    let (one, two) = (of(0..600), of(600..1200));
    let merged = merge_skip_indices([&one, &two].into_iter());
    for own in [&one, &two, &merged] {
        let may = |test: Value| may_match(own, &predicate("t", test));
        assert!(may(json!({"$match": "*camera*"})) && may(json!({"$match": "link*retry in ?*"})));
        assert!(may(json!({"$eq": message(700)})) || own == &one, "the first has a part of it only");
        assert!(!may(json!({"$match": "*overheat*"})) && !may(json!({"$match": "*lidar*down*"})));
        assert!(!may(json!({"$eq": "link 7 to the front camera is down"})));
    }
    let lens = [&one, &two, &merged].map(|own| own.bytes.len());
    assert!(lens.iter().all(|len| *len < 2048), "{lens:?}");
}

/// Goal: how far a cloud of points reaches is known where there was time to look, and only there.
#[test]
fn clouds_are_looked_at_where_there_is_time() {
    let points = |n: i64| Some((0..1000).map(move |at| Some((n + at) as f64)).collect::<Vec<_>>());
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([points(0), points(5000)]);
    let item = lists.data_type().clone();
    let schema = Schema::new(vec![Field::new("timestamp_ns", DataType::Int64, false), Field::new("x", item, true)]);
    let times = Arc::new(Int64Array::from(vec![1, 2]));
    let cloud = [RecordBatch::try_new(Arc::new(schema), vec![times, Arc::new(lists)]).unwrap()];
    let far = predicate("x[?]", json!({"$gt": 7000}));
    for (effort, hidden) in [([Effort::Compact; 2], true), ([Effort::Compact, Effort::Direct], false)] {
        let own = file_with(effort, &[&cloud, &cloud]).1.statistics;
        assert_eq!(may_match(&own, &far), !hidden, "{effort:?}");
        assert!(may_match(&own, &predicate("x[?]", json!({"$gt": 5998}))));
    }
}

/// Goal: a range of values names the pages that have some, and no others. Method: 40 k rows ascend, over pages and row groups.
#[test]
fn pages_without_a_value_are_told() {
    let row = |n: i64| -> Row {
        let text = format!("run {:05}", n / 10_000);
        (Some(n), Some(n as f64 / 2.0), Some(text), Some(n >= 30_000), Some(vec![Some(n), None]))
    };
    let rows: Vec<Row> = (0..40_000).map(row).collect();
    let whole = batch(&rows);
    let parts = [whole.slice(0, 25_000), whole.slice(25_000, 15_000)];
    let groups = parts.each_ref().map(std::slice::from_ref);
    let told = |path: &str, test: Value| {
        let wanted = wanted(&groups, &predicate(path, test)).unwrap();
        let count: u64 = wanted.iter().flatten().map(|rows| rows.end - rows.start).sum();
        let first = wanted.iter().zip([0, 25_000]).flat_map(|(rows, at)| rows.iter().map(move |rows| at + rows.start));
        (first.min(), count)
    };
    // The second row group is packed, which cuts pages elsewhere; a zone is a page of about so many rows.
    for (path, test, row) in [
        ("i", json!({"$eq": 12_345}), 12_345),
        ("u", json!({"$between": [12_345, 12_346]}), 12_345),
        ("f", json!({"$eq": 15_000.5}), 30_001),
        ("l[?]", json!({"$eq": 39_999}), 39_999),
        ("p.longitude", json!({"$lt": 1}), 0),
    ] {
        let (first, count) = told(path, test);
        assert!(first.unwrap() <= row && row < first.unwrap() + count, "{path}: {count} from {first:?} on");
        assert!(count <= 16_384, "{path}: {count} rows for one");
    }
    assert_eq!(told("i", json!({"$gt": 39_999})), (None, 0));
    assert_eq!(told("i", json!({"$nex": null})), (None, 0));
    assert_eq!(told("i", json!({"$geq": 0})), (Some(0), 40_000));
    assert!(told("b", json!({"$eq": true})).1 <= 15_000 && told("t", json!({"$eq": "run 00003"})).1 == 40_000);
}

#[test]
fn a_page_with_nothing_but_a_nan_to_find_is_read() {
    let rows = |x: f64| batch(&[(None, Some(5.0), None, None, None), (None, Some(x), None, None, None)]);
    let parts = [rows(f64::NAN), rows(5.0)];
    let groups = parts.each_ref().map(std::slice::from_ref);
    for path in ["f", "p.longitude"] {
        let first = Range { start: 0, end: 2 };
        assert_eq!(wanted(&groups, &predicate(path, json!({"$neq": 5}))).unwrap(), [vec![first], vec![]], "{path}");
    }
}

#[test]
fn clouds_of_points_are_not_looked_at() {
    let few = (Some(1), None, None, None, Some(vec![Some(7); 64]));
    let many = (Some(1), None, None, None, Some(vec![Some(7); 65]));
    let may =
        |row: &Row| may_match(&statistics(&[batch(std::slice::from_ref(row))]), &predicate("l[?]", json!({"$gt": 9})));
    assert!(!may(&few) && may(&many));
}
