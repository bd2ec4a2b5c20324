//! Rows of a row group in the order of their timestamps.

use arrow::array::Array;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::datatypes::Int64Type;

use super::encoder::EncodeError;
use super::size::batch_bytes;

/// Runs of rows at least this large are moved as slices of their batch; smaller ones are copied together.
const SLICE_BYTES: u64 = 64 << 10;

/// The rows of `batches`, ascending in column `time`; rows with the same time keep their order.
///
/// Costs one look at each timestamp when they ascend already, which is the usual case. Otherwise small rows are copied once
/// and large ones are not copied at all.
///
/// # Errors
/// [`EncodeError::NullTime`]; [`EncodeError::Arrow`] when the copies do not fit the type's offsets.
pub fn sorted(batches: Vec<RecordBatch>, time: usize) -> Result<Vec<RecordBatch>, EncodeError> {
    let mut last = i64::MIN;
    let mut ascending = true;
    for batch in &batches {
        let times = batch.column(time);
        if times.null_count() > 0 {
            return Err(EncodeError::NullTime { rows: times.null_count() });
        }
        let times = times.as_primitive::<Int64Type>().values();
        ascending &= times.first().is_none_or(|first| last <= *first) && times.is_sorted();
        last = times.last().copied().unwrap_or(last);
    }
    if ascending { Ok(batches) } else { reorder(&batches, time) }
}

fn reorder(batches: &[RecordBatch], time: usize) -> Result<Vec<RecordBatch>, EncodeError> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    for (index, batch) in batches.iter().enumerate() {
        let times = batch.column(time).as_primitive::<Int64Type>().values();
        rows.extend(times.iter().enumerate().map(|(row, &at)| (at, index, row)));
        bytes += batch_bytes(batch, 0, batch.num_rows());
    }
    // The place a row came from breaks ties, so the sort may be an unstable one.
    rows.sort_unstable();
    let order: Vec<(usize, usize)> = rows.into_iter().map(|(_, batch, row)| (batch, row)).collect();
    let runs: Vec<&[(usize, usize)]> = order.chunk_by(|a, b| a.0 == b.0 && a.1 + 1 == b.1).collect();
    if bytes / runs.len().max(1) as u64 >= SLICE_BYTES {
        let slice = |run: &&[(usize, usize)]| {
            let (batch, row) = run.first()?;
            Some(batches.get(*batch)?.slice(*row, run.len()))
        };
        return Ok(runs.iter().filter_map(slice).collect());
    }
    let all: Vec<&RecordBatch> = batches.iter().collect();
    let one = arrow::compute::interleave_record_batch(&all, &order).map_err(EncodeError::Arrow)?;
    Ok(vec![one])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::BinaryArray;
    use arrow::array::Int64Array;
    use proptest::prelude::*;

    use super::*;

    fn batch(times: &[i64], tags: &[Vec<u8>]) -> RecordBatch {
        let times = Arc::new(Int64Array::from(times.to_vec())) as _;
        let tags = Arc::new(BinaryArray::from_iter_values(tags)) as _;
        RecordBatch::try_from_iter([("timestamp_ns", times), ("tag", tags)]).unwrap()
    }

    fn rows(batches: &[RecordBatch]) -> Vec<(i64, Vec<u8>)> {
        let mut rows = Vec::new();
        for batch in batches {
            let times = batch.column(0).as_primitive::<Int64Type>();
            let tags = batch.column(1).as_binary::<i32>();
            rows.extend((0..batch.num_rows()).map(|row| (times.value(row), tags.value(row).to_vec())));
        }
        rows
    }

    proptest! {
        #[test]
        fn rows_ascend_and_equal_times_keep_their_order(
            times in prop::collection::vec(prop::collection::vec(-4i64..4, 1..8), 1..5),
            large in any::<bool>(),
        ) {
            let mut number = 0u32;
            let mut batches = Vec::new();
            for times in &times {
                let tags: Vec<Vec<u8>> = times.iter().map(|_| {
                    number += 1;
                    let mut tag = number.to_le_bytes().to_vec();
                    tag.resize(if large { SLICE_BYTES as usize } else { 4 }, 0);
                    tag
                }).collect();
                batches.push(batch(times, &tags));
            }
            let mut expected = rows(&batches);
            expected.sort_by_key(|row| row.0);
            prop_assert_eq!(rows(&sorted(batches, 0).unwrap()), expected);
        }
    }

    #[test]
    fn large_rows_are_not_copied() {
        let unsorted = batch(&[2, 1], &[vec![7; 100_000], vec![8; 100_000]]);
        let before = unsorted.column(1).as_binary::<i32>().values().as_ptr();
        let after = sorted(vec![unsorted], 0).unwrap();
        assert_eq!(after.len(), 2);
        assert_eq!(after[1].column(1).as_binary::<i32>().values().as_ptr(), before);
    }
}
