//! Which pages hold which rows: what of a file a selection needs, and how large it is.

use std::ops::Range;

use parquet::file::metadata::page_index::PageIndexProvider;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::decoder::ChunkLayout;
use super::decoder::RowGroupInfo;
use super::selection::Columns;
use super::selection::Selection;
use super::selection::merged;
use super::sparse::SparseBytes;
use super::zones;
use crate::model::Predicate;
use crate::model::TimeBounds;
use crate::model::TimeRange;

impl ChunkLayout {
    /// Rows of one row group that may lie in `range`, as whole pages of the timestamps tell, within `rows` of it. `None` when
    /// there are none.
    pub fn select(&self, row_group: usize, rows: Range<u64>, range: &TimeRange, columns: Columns) -> Option<Selection> {
        let info = self.row_groups.get(row_group)?;
        let ColumnIndexMetaData::INT64(index) = self.index()?.column_index(row_group, self.time_leaf)? else {
            return None;
        };
        let pages = self.pages(row_group, self.time_leaf);
        let ends = pages.iter().skip(1).map(|page| page.first_row_index as u64).chain([info.rows]);
        let mut wanted: Option<Range<u64>> = None;
        for (number, (page, end)) in pages.iter().zip(ends).enumerate() {
            let bounds = TimeBounds { first: *index.min_value(number)?, last: *index.max_value(number)? };
            if range.overlaps(&bounds) {
                wanted = Some(wanted.map_or(page.first_row_index as u64, |rows| rows.start)..end);
            }
        }
        let wanted = wanted?;
        let rows = rows.start.max(wanted.start)..rows.end.min(wanted.end);
        (rows.start < rows.end).then_some(Selection { row_group, rows, range: *range, columns })
    }

    /// About how many Arrow bytes some rows of a row group have: what the group has, spread over its rows as their pages are.
    /// Exact for the whole group, and nearly so for rows with a page of their own.
    ///
    /// Cost: one look at each page of the group.
    pub fn logical_bytes(&self, row_group: usize, rows: &Range<u64>, columns: &Columns) -> u64 {
        let Some(info) = self.row_groups.get(row_group) else { return 0 };
        if *columns != Columns::All {
            return self.values_bytes(row_group, rows, columns);
        }
        let (mut stored, mut wanted) = (0u128, 0u128);
        for leaf in 0..self.metadata().file_metadata().schema_descr().num_columns() {
            let pages = self.pages(row_group, leaf);
            let ends = pages.iter().skip(1).map(|page| page.first_row_index as u64).chain([info.rows]);
            for (page, end) in pages.iter().zip(ends) {
                let (first, bytes) = (page.first_row_index as u64, page.compressed_page_size as u128);
                let inside = rows.end.min(end).saturating_sub(rows.start.max(first));
                stored += bytes;
                wanted += bytes * u128::from(inside) / u128::from(end.saturating_sub(first).max(1));
            }
        }
        u64::try_from(wanted * u128::from(info.logical_bytes) / stored.max(1)).unwrap_or(u64::MAX)
    }

    /// The same for some columns: what their values take, and their pages where that is more (texts, binaries).
    fn values_bytes(&self, row_group: usize, rows: &Range<u64>, columns: &Columns) -> u64 {
        let groups = self.metadata().row_groups();
        let (Some(info), Some(group)) = (self.row_groups.get(row_group), groups.get(row_group)) else { return 0 };
        let (mut bytes, inside) = (0u128, u128::from(rows.end.saturating_sub(rows.start)));
        for (_, column) in group.columns().iter().enumerate().filter(|(leaf, _)| self.has(columns, *leaf)) {
            // Eight bytes, a place in a text's offsets, and a bit of validity are at most that.
            let values = u128::from(column.num_values().unsigned_abs()) * 16;
            bytes += values.max(u128::from(column.uncompressed_size().unsigned_abs()));
        }
        u64::try_from(bytes * inside / u128::from(info.rows.max(1))).unwrap_or(u64::MAX)
    }

    pub(super) fn has(&self, columns: &Columns, leaf: usize) -> bool {
        match columns {
            Columns::All => true,
            Columns::TimeOnly => leaf == self.time_leaf,
            Columns::Some(projection) => projection.has(leaf),
        }
    }

    /// The first row of the page of timestamps that `row` is in.
    pub fn page_start(&self, row_group: usize, row: u64) -> Option<u64> {
        let pages = self.pages(row_group, self.time_leaf);
        let at = pages.partition_point(|page| page.first_row_index as u64 <= row).checked_sub(1)?;
        pages.get(at).map(|page| page.first_row_index as u64)
    }

    /// Byte ranges of the file that [`Self::decode`] will ask for: ascending, touching ones merged.
    pub fn needs(&self, selection: &Selection) -> Vec<Range<u64>> {
        let leaves = 0..self.arrow.parquet_schema().num_columns();
        let wanted = leaves.filter(|leaf| self.has(&selection.columns, *leaf));
        merged(wanted.flat_map(|leaf| self.leaf_needs(selection, leaf)).collect())
    }

    /// The same of one leaf column, not merged.
    pub(super) fn leaf_needs(&self, selection: &Selection, leaf: usize) -> Vec<Range<u64>> {
        let groups = self.metadata().row_groups();
        let Some(column) = groups.get(selection.row_group).and_then(|group| group.columns().get(leaf)) else {
            return Vec::new();
        };
        let (start, _) = column.byte_range();
        let first = self.pages(selection.row_group, leaf).first().map(|page| page.offset as u64);
        // What lies before the first page is the dictionary.
        let dictionary = first.map(|first| start..first).filter(|range| !range.is_empty());
        let pages = self.pages_with(selection, leaf);
        let pages = pages.map(|(page, _)| page.offset as u64..page.offset as u64 + page.compressed_page_size as u64);
        dictionary.into_iter().chain(pages).collect()
    }

    /// The pages of one leaf that have selected rows, and which rows they have.
    pub(super) fn pages_with(
        &self,
        selection: &Selection,
        leaf: usize,
    ) -> impl Iterator<Item = (&PageLocation, Range<u64>)> {
        let rows = self.row_groups.get(selection.row_group).map_or(0, |group| group.rows);
        let pages = self.pages(selection.row_group, leaf);
        let wanted = selection.rows.clone();
        let first = pages.partition_point(|page| page.first_row_index as u64 <= wanted.start).saturating_sub(1);
        let pages = pages.get(first..).unwrap_or_default();
        let ends = pages.iter().skip(1).map(|page| page.first_row_index as u64).chain([rows]);
        let with_rows = pages.iter().zip(ends).map(|(page, end)| (page, page.first_row_index as u64..end));
        with_rows.filter(move |(_, rows)| wanted.start < rows.end).take_while(move |(_, rows)| rows.start < wanted.end)
    }

    /// Rows of whole pages that have one of the wanted rows, each range as long as such pages follow each other: pages of the
    /// column, of those, whose bytes are the most.
    ///
    /// * `within`: rows of the row group beyond which no range goes.
    /// * `has`: whether one of some rows, of the row group, is wanted.
    pub fn pages_of_rows(
        &self,
        row_group: usize,
        within: &Range<u64>,
        columns: &Columns,
        has: impl Fn(&Range<u64>) -> bool,
    ) -> Vec<Range<u64>> {
        let (groups, mut out) = (self.metadata().row_groups(), Vec::<Range<u64>>::new());
        let leaves = groups.get(row_group).into_iter().flat_map(|group| group.columns().iter().enumerate());
        let wanted = leaves.filter(|(leaf, _)| self.has(columns, *leaf));
        let Some((leaf, _)) = wanted.max_by_key(|(_, column)| column.compressed_size()) else { return out };
        let rows = self.row_groups.get(row_group).map_or(0, |group| group.rows);
        let pages = self.pages(row_group, leaf);
        let ends = pages.iter().skip(1).map(|page| page.first_row_index as u64).chain([rows]);
        for (page, end) in pages.iter().zip(ends) {
            let page = within.start.max(page.first_row_index as u64)..within.end.min(end);
            if page.is_empty() || !has(&page) {
                continue;
            }
            match out.last_mut() {
                Some(last) if last.end == page.start => last.end = page.end,
                _ => out.push(page),
            }
        }
        out
    }

    /// Where in the file it stands what its zones hold; `None` when nobody wrote that.
    pub fn zones(&self) -> Option<Range<u64>> {
        self.zones.clone()
    }

    /// For each row group those of its rows that may satisfy the predicate: ascending ranges that do not touch.
    ///
    /// * `bytes`: verified ones that cover [`Self::zones`]. Where they make no sense every row may.
    pub fn rows_that_may_hold(&self, bytes: &SparseBytes, predicate: &Predicate) -> Vec<Vec<Range<u64>>> {
        let rows = self.row_groups.iter().map(|group| group.rows).sum();
        let section = self.zones().and_then(|at| bytes.span(at.start, (at.end - at.start) as usize));
        let wanted = section.and_then(|span| zones::rows_that_may_hold(&span.peek(span.len()), rows, predicate));
        let all = 0..rows;
        let wanted = wanted.unwrap_or_else(|| vec![all]);
        let mut first = 0;
        let of_group = |group: &RowGroupInfo| {
            let (start, end) = (first, first + group.rows);
            first = end;
            let inside = wanted.iter().skip_while(|rows| rows.end <= start).take_while(|rows| rows.start < end);
            inside.map(|rows| rows.start.max(start) - start..rows.end.min(end) - start).collect()
        };
        self.row_groups.iter().map(of_group).collect()
    }

    fn index(&self) -> Option<&dyn PageIndexProvider> {
        self.metadata().page_index().map(|index| index.as_ref())
    }

    pub(super) fn pages(&self, row_group: usize, leaf: usize) -> &[PageLocation] {
        self.index().and_then(|index| index.page_locations(row_group, leaf)).map_or(&[], Vec::as_slice)
    }
}
