//! Goal: random rows of random schemas come back exactly, through every encoding and for every time range.

use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::datatypes::SchemaRef;
use proptest::prelude::*;

use super::random::Random;
use super::random::Types;
use super::tests::decode;
use super::tests::encode;
use super::tests::layout;
use super::*;
use crate::model::TimeRange;

fn groups(random: &mut Random, schema: &SchemaRef) -> Vec<Vec<RecordBatch>> {
    let mut time = 0;
    let mut groups = Vec::new();
    for _ in 0..1 + random.below(2) {
        let mut batches = Vec::new();
        for _ in 0..1 + random.below(3) {
            let rows = if random.below(4) == 0 { 1 + random.below(600) } else { 1 + random.below(40) };
            let batch = random.batch(schema, rows, time);
            time = times(&batch).last().unwrap() + random.below(2) as i64;
            batches.push(batch);
        }
        groups.push(batches);
    }
    groups
}

fn times(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name("timestamp_ns").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn check(seed: u64, types: Types, effort: Effort) {
    let mut random = Random::new(seed);
    let schema = random.schema(types);
    let groups = groups(&mut random, &schema);
    let (file, record) = encode(&schema, &groups, effort);
    assert_eq!(layout(&file, &record).schema(), &schema);
    let all: Vec<RecordBatch> = groups.concat();
    let expected = concat_batches(&schema, &all).unwrap();
    let back = concat_batches(&schema, &decode(&file, &record, &TimeRange::ALL, Columns::All)).unwrap();
    assert_eq!(back, expected, "seed {seed}");

    let times = times(&expected);
    let edges = [times[0], times[times.len() / 2], times[times.len() - 1]];
    for start in edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]) {
        let ranges = [(Some(start), None), (None, Some(start)), (Some(start), Some(start + 2))];
        for (start, end) in ranges {
            let range = TimeRange::new(start, end).unwrap();
            let first = times.partition_point(|time| start.is_some_and(|start| *time < start));
            let last = times.partition_point(|time| end.is_none_or(|end| *time < end));
            let back = concat_batches(&schema, &decode(&file, &record, &range, Columns::All)).unwrap();
            assert_eq!(back, expected.slice(first, last - first), "seed {seed}, range {range:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn direct_pages_come_back(seed in any::<u64>()) {
        check(seed, Types::Direct, Effort::Direct);
    }

    #[test]
    fn packed_pages_come_back(seed in any::<u64>()) {
        check(seed, Types::Any, Effort::Compact);
    }

    #[test]
    fn types_without_direct_pages_come_back(seed in any::<u64>()) {
        check(seed, Types::Any, Effort::Direct);
    }
}
