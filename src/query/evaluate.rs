//! Rows: which of a batch satisfy a predicate. This is the truth that every index has to agree with.
//!
//! Column by column over the Arrow arrays: each condition becomes one bit per row, and bits are joined. Nothing is
//! allocated per row. A path that a batch does not have is satisfied by no row.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::array::UInt64Array;
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::DataType;

use super::values;
use crate::model::ColumnTest;
use crate::model::Expression;
use crate::model::Item;
use crate::model::Literal;
use crate::model::Predicate;
use crate::model::Step;
use crate::model::Test;

/// One bit per row: whether it satisfies the predicate.
///
/// Cost: one pass over each column that is named, for each condition on it.
pub fn hits(predicate: &Predicate, batch: &RecordBatch) -> BooleanBuffer {
    hits_unless(predicate, batch, &AtomicBool::new(false))
}

/// The same; once `given_up` is set it ends soon, with bits that mean nothing.
pub fn hits_unless(predicate: &Predicate, batch: &RecordBatch, given_up: &AtomicBool) -> BooleanBuffer {
    let rows = batch.num_rows();
    let hits = |part| hits_unless(part, batch, given_up);
    match predicate {
        Expression::All(parts) => parts.iter().fold(BooleanBuffer::new_set(rows), |all, part| &all & &hits(part)),
        Expression::Any(parts) => parts.iter().fold(BooleanBuffer::new_unset(rows), |any, part| &any | &hits(part)),
        Expression::Not(part) => !&hits(part),
        Expression::Leaf(_) if given_up.load(Relaxed) => BooleanBuffer::new_unset(rows),
        Expression::Leaf(ColumnTest { path, test }) => column_hits(path, test, batch),
    }
}

fn column_hits(path: &[Step], test: &Test, batch: &RecordBatch) -> BooleanBuffer {
    let found = path.split_first().and_then(|(step, rest)| Some((batch.column_by_name(&step.name)?, step, rest)));
    found
        .and_then(|(column, step, rest)| field_hits(column, step.item, rest, test))
        .unwrap_or_else(|| BooleanBuffer::new_unset(batch.num_rows()))
}

/// * `item`: which elements are meant, of a list.
/// * `rest`: the way on from here.
/// * returns: one bit per value of the array; `None` when the array has no such path.
fn field_hits(array: &ArrayRef, item: Option<Item>, rest: &[Step], test: &Test) -> Option<BooleanBuffer> {
    match (item, rest.split_first()) {
        (Some(item), _) => list_hits(array, item, rest, test),
        (None, None) => match test {
            Test::List { items, equal } => list_equals(array, items, *equal),
            test => Some(values::hits(array, test)),
        },
        (None, Some((step, rest))) => {
            let child = array.as_struct_opt()?.column_by_name(&step.name)?;
            let inside = field_hits(child, step.item, rest, test)?;
            Some(with_nulls(array, inside, test))
        }
    }
}

/// What is null satisfies nothing but that it is missing.
fn with_nulls(array: &ArrayRef, inside: BooleanBuffer, test: &Test) -> BooleanBuffer {
    match array.nulls() {
        Some(nulls) if matches!(test, Test::Missing) => &inside | &!nulls.inner(),
        Some(nulls) => &inside & nulls.inner(),
        None => inside,
    }
}

fn list_hits(array: &ArrayRef, item: Item, rest: &[Step], test: &Test) -> Option<BooleanBuffer> {
    let lists = Lists::of(array)?;
    let span = lists.span();
    let elements = lists.values.slice(span.start, span.len());
    let inside = field_hits(&elements, None, rest, test)?;
    let bit = |at: usize| inside.value(at - span.start);
    let missing = matches!(test, Test::Missing);
    let reduced = BooleanBuffer::collect_bool(array.len(), |row| {
        let elements = lists.elements(row);
        match item {
            Item::Index(index) => match usize::try_from(index).ok().filter(|index| *index < elements.len()) {
                Some(index) => bit(elements.start + index),
                None => missing,
            },
            Item::Any => elements.into_iter().any(bit),
            Item::All => elements.into_iter().all(bit),
        }
    });
    Some(with_nulls(array, reduced, test))
}

/// Lists that have exactly these elements, or others.
fn list_equals(array: &ArrayRef, items: &[Literal], equal: bool) -> Option<BooleanBuffer> {
    let lists = Lists::of(array)?;
    // Only rows of the right length are looked into, element by element of all of them at once.
    let candidates: Vec<usize> = (0..array.len()).filter(|row| lists.elements(*row).len() == items.len()).collect();
    let mut same = vec![true; candidates.len()];
    for (index, item) in items.iter().enumerate() {
        let at = |row: &usize| (lists.elements(*row).start + index) as u64;
        let places = UInt64Array::from_iter_values(candidates.iter().map(at));
        let elements = take(&lists.values, &places, None).ok()?;
        let hits = values::hits(&elements, &equal_to(item));
        same.iter_mut().zip(hits.iter()).for_each(|(same, hit)| *same &= hit);
    }
    let mut rows = vec![!equal; array.len()];
    for (row, _) in candidates.iter().zip(&same).filter(|(_, same)| **same) {
        if let Some(bit) = rows.get_mut(*row) {
            *bit = equal;
        }
    }
    Some(with_nulls(array, BooleanBuffer::from(rows), &Test::Exists))
}

fn equal_to(item: &Literal) -> Test {
    use std::ops::Bound::Included;
    match item {
        Literal::Number(n) => Test::Numbers { ranges: vec![(Included(*n), Included(*n))], nan: false },
        Literal::Text(text) => Test::one_of(vec![text.clone()]),
        Literal::Boolean(value) => Test::Booleans { yes: *value, no: !*value },
    }
}

/// The lists of any kind of list array: where the elements of each row are.
struct Lists<'a> {
    values: ArrayRef,
    places: Places<'a>,
    len: usize,
}

enum Places<'a> {
    Offsets(&'a [i32]),
    LargeOffsets(&'a [i64]),
    Fixed(usize),
    Views(&'a [i32], &'a [i32]),
    LargeViews(&'a [i64], &'a [i64]),
}

impl<'a> Lists<'a> {
    /// `None` when the array has no lists.
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let (values, places) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (list.values().clone(), Places::Offsets(list.value_offsets()))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (list.values().clone(), Places::LargeOffsets(list.value_offsets()))
            }
            DataType::FixedSizeList(_, size) => {
                (array.as_fixed_size_list().values().clone(), Places::Fixed(usize::try_from(*size).ok()?))
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                (list.values().clone(), Places::Views(list.value_offsets(), list.value_sizes()))
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                (list.values().clone(), Places::LargeViews(list.value_offsets(), list.value_sizes()))
            }
            _ => return None,
        };
        Some(Self { values, places, len: array.len() })
    }

    fn elements(&self, row: usize) -> Range<usize> {
        let found = match &self.places {
            Places::Offsets(offsets) => {
                offsets.get(row).zip(offsets.get(row + 1)).map(|(a, b)| *a as usize..*b as usize)
            }
            Places::LargeOffsets(offsets) => {
                offsets.get(row).zip(offsets.get(row + 1)).map(|(a, b)| *a as usize..*b as usize)
            }
            Places::Fixed(size) => Some(row * size..(row + 1) * size),
            Places::Views(offsets, sizes) => {
                offsets.get(row).zip(sizes.get(row)).map(|(at, len)| *at as usize..(*at + *len) as usize)
            }
            Places::LargeViews(offsets, sizes) => {
                offsets.get(row).zip(sizes.get(row)).map(|(at, len)| *at as usize..(*at + *len) as usize)
            }
        };
        found.unwrap_or(0..0)
    }

    /// All elements of all rows lie in it.
    fn span(&self) -> Range<usize> {
        let all = match &self.places {
            // They ascend: the first and the last say it all.
            Places::Offsets(offsets) => offsets.first().zip(offsets.last()).map(|(a, b)| *a as usize..*b as usize),
            Places::LargeOffsets(offsets) => offsets.first().zip(offsets.last()).map(|(a, b)| *a as usize..*b as usize),
            Places::Fixed(size) => Some(0..self.len * size),
            Places::Views(..) | Places::LargeViews(..) => Some(0..self.values.len()),
        };
        all.unwrap_or(0..0)
    }
}

#[cfg(test)]
mod tests;
