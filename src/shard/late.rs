//! Rows are chosen before most of their columns are read: those of the predicate first, the others for pages with a row that
//! satisfies it. Two reads in a row cost more than one where nearly every row is wanted, so a stretch of such rows is read in
//! one again.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::compute::filter_record_batch;
use arrow::datatypes::DataType;
use arrow::datatypes::FieldRef;
use arrow::datatypes::Fields;
use arrow::datatypes::SchemaRef;

use crate::chunk::ChunkLayout;
use crate::chunk::Columns;
use crate::chunk::Projection;
use crate::chunk::Selection;
use crate::io::Recycler;
use crate::model::TimeRange;
use crate::query;
use crate::store::ChunkReader;
use crate::store::FetchError;

use super::filter::Filter;
use super::read_budget::ReadBudget;
use super::source::SourceError;

/// Portions in a row with a hit in each of their pages after which everything is read at once. What that reads in vain once
/// hits end is a portion, and those read ahead: a small part of so many.
const STREAK: u32 = 16;

/// A portion read at once with fewer hits than one row in so many ends that.
const SPARSE: usize = 8;

/// How one run of a chunk is read in two steps.
pub struct Late {
    /// What the predicate looks at, and the time.
    early: Columns,
    /// The other columns that are wanted.
    rest: Columns,
    /// All wanted columns.
    output: SchemaRef,
    streak: u32,
}

/// What the first step leaves to be read.
pub struct Chosen {
    /// The rows that satisfy the predicate, with its columns.
    early: RecordBatch,
    /// Rows of the row group: pages with hits.
    pages: Vec<Range<u64>>,
    /// Which rows of the selection are hits.
    hits: BooleanArray,
}

impl Late {
    /// `None` when there is no predicate, or nothing to read beside its columns.
    pub fn of(layout: &ChunkLayout, filter: &Filter) -> Option<Self> {
        let schema = layout.schema();
        let early = Projection::of(schema, &query::columns(filter.predicate.as_ref()?));
        let output = filter.output.clone().unwrap_or_else(|| schema.clone());
        let own = |field: &&FieldRef| early.schema().field_with_name(field.name()).is_ok_and(|own| *own == ***field);
        let rest: Fields = output.fields().iter().filter(|field| !own(field)).cloned().collect();
        if rest.is_empty() {
            return None;
        }
        let rest = Columns::Some(Arc::new(Projection::of(schema, &paths(&rest))));
        Some(Self { early: Columns::Some(Arc::new(early)), rest, output, streak: 0 })
    }

    /// What the next portion reads first; `None`: everything.
    pub fn early(&self) -> Option<&Columns> {
        (self.streak < STREAK).then_some(&self.early)
    }

    /// Takes note of a portion that was read at once.
    pub fn read_at_once(&mut self, rows: usize, hits: usize) {
        if hits < rows / SPARSE {
            self.streak = 0;
        }
    }

    /// The first step: which of the selected rows are hits.
    ///
    /// * `batch`: exactly the rows of `selection`, with the columns of [`Self::early`].
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn choose(
        &mut self,
        layout: &ChunkLayout,
        selection: &Selection,
        range: &TimeRange,
        filter: &Filter,
        batch: &RecordBatch,
    ) -> Result<Chosen, SourceError> {
        let inside = layout.rows_inside(batch, range).map_err(FetchError::from)?;
        let hits = filter.hits(&batch.slice(inside.start, inside.len()), inside.start, batch.num_rows()).await?;
        let rows = selection.rows();
        let has = |page: &Range<u64>| {
            let (start, len) = ((page.start - rows.start) as usize, (page.end - page.start) as usize);
            hits.slice(start, len).has_true()
        };
        let pages = layout.pages_of_rows(selection.row_group(), &rows, &self.rest, has);
        let read: u64 = pages.iter().map(|page| page.end - page.start).sum();
        self.streak = if read == rows.end - rows.start { self.streak + 1 } else { 0 };
        Ok(Chosen { early: filter_record_batch(batch, &hits)?, pages, hits })
    }

    /// The second step: the other columns of the chosen rows. May have no rows.
    ///
    /// # Errors
    /// [`SourceError`] of reading or of verifying.
    pub async fn complete(
        &self,
        chunk: &ChunkReader,
        selection: &Selection,
        chosen: Chosen,
        budget: &ReadBudget,
        memory: &Recycler,
    ) -> Result<RecordBatch, SourceError> {
        let mut parts = Vec::with_capacity(chosen.pages.len());
        for page in chosen.pages {
            let hits = (page.start - selection.rows().start) as usize;
            let hits = chosen.hits.slice(hits, (page.end - page.start) as usize);
            let part = selection.part(page, self.rest.clone());
            let raw = chunk.fetch_bytes(&part);
            let permit = budget.fetch(usize::try_from(raw).unwrap_or(usize::MAX)).await;
            let bytes = chunk.fetch(&part).await?;
            let rows = chunk.layout().decode(&part, &bytes, memory).map_err(FetchError::from)?;
            drop((bytes, permit));
            parts.push(if hits.true_count() == rows.num_rows() { rows } else { filter_record_batch(&rows, &hits)? });
        }
        let rest = match parts.as_slice() {
            [] => return Ok(RecordBatch::new_empty(self.output.clone())),
            [one] => one.clone(),
            [first, ..] => concat_batches(&first.schema(), &parts)?,
        };
        let column = |field: &FieldRef| {
            let own = |batch: &RecordBatch| {
                let (index, own) = batch.schema_ref().column_with_name(field.name())?;
                (own == field.as_ref()).then(|| batch.column(index).clone())
            };
            own(&chosen.early).or_else(|| own(&rest))
        };
        let columns = self.output.fields().iter().filter_map(column).collect();
        Ok(RecordBatch::try_new(self.output.clone(), columns)?)
    }
}

/// Paths to everything below some fields.
fn paths(fields: &Fields) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    fields.iter().for_each(|field| below(field.data_type(), vec![field.name().clone()], &mut paths));
    paths
}

fn below(data_type: &DataType, path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    match data_type {
        DataType::Struct(children) => {
            for child in children {
                below(child.data_type(), path.iter().chain([child.name()]).cloned().collect(), paths);
            }
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => below(item.data_type(), path, paths),
        _ => paths.push(path),
    }
}
