//! Measures what lies inside a time range, exactly: from records where the range covers them, from the time column where it
//! cuts through.

use std::rc::Rc;

use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::datatypes::Int64Type;

use crate::chunk::Columns;
use crate::chunk::TIME_COLUMN;
use crate::model::ChunkRecord;
use crate::model::TimeBounds;
use crate::store::ChunkReader;

use super::error::ReadError;
use super::request::ReadRequest;
use super::request::Window;
use super::worker::ShardContext;

pub async fn measure(context: &Rc<ShardContext>, request: ReadRequest) -> Result<Window, ReadError> {
    let mut window = Window::default();
    for segment in &request.segments {
        if request.range.covers(&segment.bounds) {
            add(&mut window, segment.bounds, segment.rows);
            continue;
        }
        let records = context.catalog.directory(segment.key).await;
        for record in records.map_err(|cause| ReadError::Catalog { topic: request.name.clone(), cause })? {
            if request.range.covers(&record.bounds) {
                add(&mut window, record.bounds, record.rows);
            } else if request.range.overlaps(&record.bounds) {
                measure_chunk(context, &request, &record, &mut window).await?;
            }
        }
    }
    Ok(window)
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
    let wrap = |cause| ReadError::Fetch { topic: request.name.clone(), cause };
    let device = &context.directory(request, record.device)?.device;
    let chunk = ChunkReader::open(device, request.session, record).await.map_err(wrap)?;
    for (index, group) in chunk.layout().row_groups().iter().enumerate() {
        if request.range.covers(&group.bounds) {
            add(window, group.bounds, group.rows);
            continue;
        }
        let Some(selection) = chunk.layout().select(index, 0..group.rows, &request.range, Columns::TimeOnly) else {
            continue;
        };
        let bytes = chunk.fetch(&selection).await.map_err(wrap)?;
        let batch = chunk.layout().decode(&selection, &bytes).map_err(|e| wrap(e.into()))?;
        if let Some(bounds) = bounds(&batch) {
            add(window, bounds, batch.num_rows() as u64);
        }
    }
    Ok(())
}

/// First and last time of sorted rows.
fn bounds(batch: &RecordBatch) -> Option<TimeBounds> {
    let times = batch.column_by_name(TIME_COLUMN)?.as_primitive_opt::<Int64Type>()?.values();
    Some(TimeBounds { first: *times.first()?, last: *times.last()? })
}
