//! Measures what lies inside a time range, exactly: from records where the range covers them, from the time column where it
//! cuts through.
//!
//! A shard measures [`WINDOWS_MAX`] at a time; the others wait in line. What is fetched is part of the memory of reading. Nobody
//! measures for an asker who is gone.

use std::rc::Rc;

use arrow::array::RecordBatch;
use futures::channel::oneshot;

use crate::chunk::Columns;
use crate::model::ChunkRecord;
use crate::model::TimeBounds;
use crate::store::ChunkReader;
use crate::store::FetchError;

use super::error::ReadError;
use super::merge;
use super::merge::NoTimes;
use super::request::ReadRequest;
use super::request::Window;
use super::topic_reader;
use super::worker::ShardContext;

/// Windows that one shard measures at a time.
pub const WINDOWS_MAX: usize = 4;

pub type Reply = oneshot::Sender<Result<Window, ReadError>>;

/// Answers as soon as it is this request's turn.
pub async fn answer(context: Rc<ShardContext>, request: ReadRequest, reply: Reply) {
    let turn = context.windows.acquire(1).await;
    let measured = measure(&context, &request, &reply).await;
    drop(turn);
    if let Some(answer) = measured.transpose() {
        let _ = reply.send(answer);
    }
}

/// `None` when nobody waits for it any more.
async fn measure(context: &ShardContext, request: &ReadRequest, reply: &Reply) -> Result<Option<Window>, ReadError> {
    let mut window = Window::default();
    for segment in &request.segments {
        if request.range.covers(&segment.bounds) {
            add(&mut window, segment.bounds, segment.rows);
            continue;
        }
        if reply.is_canceled() {
            return Ok(None);
        }
        let records = context.catalog.directory(segment.key).await;
        for record in records.map_err(|cause| topic_reader::catalog_error(request, cause))? {
            if request.range.covers(&record.bounds) {
                add(&mut window, record.bounds, record.rows);
            } else if request.range.overlaps(&record.bounds) {
                if reply.is_canceled() {
                    return Ok(None);
                }
                measure_chunk(context, request, &record, &mut window).await?;
            }
        }
    }
    Ok(Some(window))
}

fn add(window: &mut Window, bounds: TimeBounds, rows: u64) {
    window.rows += rows;
    window.bounds = TimeBounds::union_option(window.bounds, Some(bounds));
}

async fn measure_chunk(
    context: &ShardContext,
    request: &ReadRequest,
    record: &ChunkRecord,
    window: &mut Window,
) -> Result<(), ReadError> {
    let device = &context.directory(request, record.device)?.device;
    let opened = ChunkReader::open(device, request.session, record).await;
    let chunk = match opened {
        Ok(chunk) => chunk,
        Err(cause) => return Err(context.fetch_error(request, cause).await),
    };
    for (index, group) in chunk.layout().row_groups().iter().enumerate() {
        if request.range.covers(&group.bounds) {
            add(window, group.bounds, group.rows);
            continue;
        }
        let Some(selection) = chunk.layout().select(index, 0..group.rows, &request.range, Columns::TimeOnly) else {
            continue;
        };
        let decoded = group.rows.saturating_mul(size_of::<i64>() as u64);
        let bytes = usize::try_from(chunk.fetch_bytes(&selection).saturating_add(decoded)).unwrap_or(usize::MAX);
        let permit = context.read_budget.fetch(bytes).await;
        let wrap = |cause| ReadError::Fetch { topic: request.name.clone(), cause };
        let bytes = chunk.fetch(&selection).await.map_err(wrap)?;
        let batch = chunk
            .layout()
            .decode(&selection, &bytes, &context.recycler)
            .map_err(|error| wrap(FetchError::from(error)))?;
        let bounds = bounds(&batch).map_err(|cause| ReadError::NoTimes { topic: request.name.clone(), cause })?;
        if let Some(bounds) = bounds {
            add(window, bounds, batch.num_rows() as u64);
        }
        drop((batch, bytes, permit));
    }
    Ok(())
}

/// First and last time of sorted rows; `None` without a row.
///
/// # Errors
/// [`NoTimes`].
fn bounds(batch: &RecordBatch) -> Result<Option<TimeBounds>, NoTimes> {
    let times = merge::times(batch)?;
    Ok(times.first().zip(times.last()).map(|(first, last)| TimeBounds { first: *first, last: *last }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use arrow::array::Float64Array;
    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn rows_without_times_are_an_error_and_never_no_rows() {
        let one = |name: &str, column: ArrayRef| RecordBatch::try_from_iter([(name, column)]).unwrap();
        let times = |values: Vec<i64>| one("timestamp_ns", Arc::new(Int64Array::from(values)));
        assert_eq!(bounds(&times(vec![3, 5])), Ok(Some(TimeBounds { first: 3, last: 5 })));
        assert_eq!(bounds(&times(vec![])), Ok(None));
        assert_eq!(bounds(&one("time", Arc::new(Int64Array::from(vec![3])))), Err(NoTimes));
        assert_eq!(bounds(&one("timestamp_ns", Arc::new(Float64Array::from(vec![3.0])))), Err(NoTimes));
        assert_eq!(bounds(&one("timestamp_ns", Arc::new(Int64Array::from(vec![None, Some(3)])))), Err(NoTimes));
    }
}
