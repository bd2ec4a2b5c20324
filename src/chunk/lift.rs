//! Columns lifted straight out of direct pages: one copy of their values, from where the device put them to where they are
//! sent from; levels as runs.
//!
//! Knows all that `direct` writes, and leaves whatever else it meets to the Parquet reader, which makes a level per value
//! (2 s/GB for point clouds). A column is built from its field down; each leaf has the levels of all fields above it.
//!
//! Source: S. Melnik et al., "Dremel: Interactive Analysis of Web-Scale Datasets", VLDB 2010 (levels); the runs are ours.

use std::ops::Range;
use std::slice::Iter;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::FixedSizeListArray;
use arrow::array::GenericListArray;
use arrow::array::NullBufferBuilder;
use arrow::array::OffsetSizeTrait;
use arrow::array::StructArray;
use arrow::buffer::NullBuffer;
use arrow::buffer::OffsetBuffer;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::FieldRef;

use super::levels::Run;
use super::lift_values;
use super::page::LevelsMax;
use super::sparse::Span;
use super::stored_page::StoredPage;
use crate::io::Recycler;

/// Pages of one leaf column that cover the rows wanted.
pub(super) struct Leaf<'a> {
    pub(super) max: LevelsMax,
    /// Each with the number of its rows.
    pub(super) pages: Vec<(usize, Span<'a>)>,
}

/// What a column is lifted from, and into.
pub(super) struct Source<'a> {
    /// In the order of the field's leaves.
    pub(super) leaves: Vec<Leaf<'a>>,
    /// Arrow bytes the row group had: no array of it needs more.
    pub(super) bytes_max: usize,
    pub(super) memory: &'a Recycler,
}

/// Whether [`lift`] may know the type.
pub(super) fn may_lift(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(children) => !children.is_empty() && children.iter().all(|child| may_lift(child.data_type())),
        DataType::List(child) | DataType::LargeList(child) => may_lift(child.data_type()),
        DataType::FixedSizeList(child, size) => *size > 0 && may_lift(child.data_type()),
        leaf => lift_values::may_lift(leaf),
    }
}

/// The column `field` of all rows of the pages. `None` when something is not as `direct` writes it.
pub(super) fn lift(field: &Field, source: &Source) -> Option<ArrayRef> {
    let columns: Vec<Column> = source.leaves.iter().map(Column::parse).collect::<Option<_>>()?;
    let mut builder = Builder { columns: columns.iter(), bytes_max: source.bytes_max, memory: source.memory };
    let array = builder.build(field, Path::default())?;
    builder.columns.next().is_none().then_some(array)
}

/// Of pages that cover more, the rows wanted. `first` is the first row of the pages.
pub(super) fn cut(array: &ArrayRef, first: u64, rows: &Range<u64>) -> Option<ArrayRef> {
    let offset = usize::try_from(rows.start.checked_sub(first)?).ok()?;
    let len = usize::try_from(rows.end - rows.start).ok()?;
    (offset.checked_add(len)? <= array.len()).then(|| array.slice(offset, len))
}

/// One leaf, its pages taken apart.
pub(super) struct Column<'a> {
    pub(super) max: LevelsMax,
    pub(super) pages: Vec<StoredPage<'a>>,
}

impl<'a> Column<'a> {
    fn parse(leaf: &Leaf<'a>) -> Option<Self> {
        let parse = |(rows, page): &(usize, Span<'a>)| {
            let page = StoredPage::parse(*page, leaf.max)?;
            // An entry of repetition 0 begins a row, and so does the first one of a page.
            let begins = page.repetitions.iter().filter(|run| run.level == 0);
            let found: usize = begins.map(|run| run.count).sum();
            let first = page.repetitions.first().is_none_or(|run| run.level == 0);
            (found == *rows && first).then_some(page)
        };
        Some(Self { max: leaf.max, pages: leaf.pages.iter().map(parse).collect::<Option<_>>()? })
    }

    /// Runs of both levels: repetition, and a run of definitions.
    fn levels(&self) -> impl Iterator<Item = (u16, Run)> {
        self.pages.iter().flat_map(|page| zipped(&page.repetitions, &page.definitions))
    }
}

/// Where a field stands in its column, as levels.
#[derive(Clone, Copy, Default)]
pub(super) struct Path {
    /// Entries of at least this definition have the field.
    pub(super) definition: u16,
    /// Entries of at most this repetition begin a value of it; others are deeper inside one.
    repetition: u16,
    /// Entries of at least this definition have a place in its array: the closest list above has an element there.
    place: u16,
    /// Below a list of fixed size: entries of a lower definition are lists that are not there,
    /// with so many places each.
    absent: Option<(u16, usize)>,
}

impl Path {
    /// How many places each entry of a definition has in the array. The caller looks at the repetition.
    pub(super) fn places(&self, definition: u16) -> usize {
        match self.absent {
            _ if definition < self.place => 0,
            Some((present, size)) if definition < present => size,
            _ => 1,
        }
    }
}

struct Builder<'s, 'a> {
    /// Leaves that are not built yet.
    columns: Iter<'s, Column<'a>>,
    bytes_max: usize,
    memory: &'a Recycler,
}

impl Builder<'_, '_> {
    fn build(&mut self, field: &Field, mut path: Path) -> Option<ArrayRef> {
        path.definition += u16::from(field.is_nullable());
        match field.data_type() {
            DataType::Struct(children) => {
                let nulls = self.validity(field, path)?;
                let children: Vec<ArrayRef> =
                    children.iter().map(|child| self.build(child, path)).collect::<Option<_>>()?;
                let DataType::Struct(fields) = field.data_type() else { return None };
                Some(Arc::new(StructArray::try_new(fields.clone(), children, nulls).ok()?))
            }
            DataType::List(child) => self.list::<i32>(field, child, path),
            DataType::LargeList(child) => self.list::<i64>(field, child, path),
            DataType::FixedSizeList(child, size) => {
                // One inside another is left to the Parquet reader.
                path.absent.is_none().then_some(())?;
                let nulls = self.validity(field, path)?;
                let (definition, repetition) = (path.definition + 1, path.repetition + 1);
                let absent = Some((definition, usize::try_from(*size).ok()?));
                let values = self.build(child, Path { definition, repetition, absent, ..path })?;
                Some(Arc::new(FixedSizeListArray::try_new(child.clone(), *size, values, nulls).ok()?))
            }
            _ => {
                let column = self.columns.next()?;
                let expected = LevelsMax { definition: path.definition, repetition: path.repetition };
                (column.max == expected).then_some(())?;
                lift_values::lift(field, column, path, self.bytes_max, self.memory)
            }
        }
    }

    fn list<O: OffsetSizeTrait>(&mut self, field: &Field, child: &FieldRef, path: Path) -> Option<ArrayRef> {
        let nulls = self.validity(field, path)?;
        let column = self.columns.as_slice().first()?;
        let element = path.definition + 1;
        let (mut offsets, mut count): (Vec<O>, usize) = (Vec::new(), 0);
        for (repetition, run) in column.levels() {
            if repetition <= path.repetition {
                // Every entry begins a list: one without values, or with its first one.
                let step = usize::from(run.level >= element);
                let places = path.places(run.level).checked_mul(run.count)?;
                let bytes = offsets.len().checked_add(places)?.checked_mul(size_of::<O>())?;
                (bytes <= self.bytes_max).then_some(())?;
                O::from_usize(count.checked_add(places)?)?;
                offsets.extend((0..places).map(|place| O::usize_as(count + place * step)));
                count += places * step;
            } else if repetition == path.repetition + 1 && run.level >= element {
                count = count.checked_add(run.count)?;
            }
        }
        offsets.push(O::from_usize(count)?);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let below = Path { definition: element, repetition: path.repetition + 1, place: element, absent: None };
        let values = self.build(child, below)?;
        Some(Arc::new(GenericListArray::<O>::try_new(child.clone(), offsets, values, nulls).ok()?))
    }

    /// Which values of a field with fields below it are null; `Some(None)` when none is.
    fn validity(&self, field: &Field, path: Path) -> Option<Option<NullBuffer>> {
        if !field.is_nullable() {
            return Some(None);
        }
        let mut nulls = NullBufferBuilder::new(0);
        for (repetition, run) in self.columns.as_slice().first()?.levels() {
            if repetition <= path.repetition {
                let places = path.places(run.level).checked_mul(run.count)?;
                (nulls.len().checked_add(places)? / 8 <= self.bytes_max).then_some(())?;
                append(&mut nulls, places, run.level >= path.definition);
            }
        }
        Some(nulls.finish())
    }
}

pub(super) fn append(nulls: &mut NullBufferBuilder, count: usize, valid: bool) {
    match valid {
        true => nulls.append_n_non_nulls(count),
        false => nulls.append_n_nulls(count),
    }
}

/// Runs of both levels cut where either changes.
fn zipped<'a>(repetitions: &'a [Run], definitions: &'a [Run]) -> impl Iterator<Item = (u16, Run)> + 'a {
    let (mut repetitions, mut definitions) = (repetitions.iter().copied(), definitions.iter().copied());
    let (mut repetition, mut definition) = (Run { level: 0, count: 0 }, Run { level: 0, count: 0 });
    std::iter::from_fn(move || {
        if repetition.count == 0 {
            repetition = repetitions.next()?;
        }
        if definition.count == 0 {
            definition = definitions.next()?;
        }
        let count = repetition.count.min(definition.count);
        repetition.count -= count;
        definition.count -= count;
        Some((repetition.level, Run { level: definition.level, count }))
    })
}

#[cfg(test)]
mod tests;
