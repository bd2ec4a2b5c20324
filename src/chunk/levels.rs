//! Repetition and definition levels of nested columns, as runs: never a level per value where the data has none.
//!
//! A column's path is walked from the root: at each depth the entries of the final column are known up to there. A *live* span
//! of entries goes on into an array, a *dead* one has ended at a null or an empty list. Validity splits live spans; lists
//! replace each live entry by one entry per child.
//!
//! Source: S. Melnik et al., "Dremel: Interactive Analysis of Web-Scale Datasets", VLDB 2010 (levels); the runs are ours.

use std::ops::Range;

use arrow::buffer::NullBuffer;

/// Equal levels in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) level: u16,
    pub(super) count: usize,
}

/// Appends to runs, lengthening the last one where it can.
pub(super) fn push(runs: &mut Vec<Run>, level: u16, count: usize) {
    match runs.last_mut() {
        _ if count == 0 => {}
        Some(last) if last.level == level => last.count += count,
        _ => runs.push(Run { level, count }),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Span {
    /// Entries that are these values of the array at hand.
    Live(Range<usize>),
    /// Entries that ended at this definition level.
    Dead(Run),
}

/// The entries of some rows at one depth of a column's path.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    spans: Vec<Span>,
    /// Repetition levels of all entries.
    repetitions: Vec<Run>,
    /// Highest levels so far.
    definition: u16,
    repetition: u16,
}

/// The levels of some rows of a column, and which values of its array they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Levels {
    pub(super) definitions: Vec<Run>,
    pub(super) repetitions: Vec<Run>,
    /// Ascending, not touching, not empty.
    pub(super) values: Vec<Range<usize>>,
}

impl Entries {
    /// Rows of a batch.
    pub(super) fn rows(rows: Range<usize>) -> Self {
        let repetitions = vec![Run { level: 0, count: rows.len() }];
        Self { spans: vec![Span::Live(rows)], repetitions, definition: 0, repetition: 0 }
    }

    /// Into a nullable field: null entries end here.
    pub(super) fn nullable(mut self, nulls: Option<&NullBuffer>) -> Self {
        if let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) {
            let mut spans = Vec::with_capacity(self.spans.len());
            for span in self.spans {
                match span {
                    Span::Live(range) => split(&mut spans, range, nulls, self.definition),
                    dead => spans.push(dead),
                }
            }
            self.spans = spans;
        }
        self.definition += 1;
        self
    }

    /// Whether a field that must not be null has nulls where the levels would look.
    pub(super) fn has_null(&self, nulls: Option<&NullBuffer>) -> bool {
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
            return false;
        };
        self.spans.iter().any(|span| match span {
            Span::Live(range) => nulls.slice(range.start, range.len()).null_count() > 0,
            Span::Dead(_) => false,
        })
    }

    /// Into the values of lists: `children` gives the values of each list of a range, in order.
    pub(super) fn lists<C: Iterator<Item = Range<usize>>>(self, children: impl Fn(Range<usize>) -> C) -> Self {
        let empty = self.definition;
        let repetition = self.repetition + 1;
        let mut from = Cursor { runs: self.repetitions.iter().copied(), left: Run { level: 0, count: 0 } };
        let (mut spans, mut repetitions) =
            (Vec::with_capacity(self.spans.len()), Vec::with_capacity(self.repetitions.len()));
        for span in self.spans {
            match span {
                Span::Dead(run) => {
                    from.take(run.count, |level, count| push(&mut repetitions, level, count));
                    end(&mut spans, run.level, run.count);
                }
                Span::Live(range) => {
                    for child in children(range) {
                        from.take(1, |level, count| push(&mut repetitions, level, count));
                        if child.is_empty() {
                            end(&mut spans, empty, 1);
                        } else {
                            push(&mut repetitions, repetition, child.len() - 1);
                            go_on(&mut spans, child);
                        }
                    }
                }
            }
        }
        Self { spans, repetitions, definition: empty + 1, repetition }
    }

    /// The levels at the end of the path.
    pub(super) fn levels(self) -> Levels {
        let (mut definitions, mut values) = (Vec::with_capacity(self.spans.len()), Vec::new());
        for span in self.spans {
            match span {
                Span::Dead(run) => push(&mut definitions, run.level, run.count),
                Span::Live(range) => {
                    push(&mut definitions, self.definition, range.len());
                    if !range.is_empty() {
                        values.push(range);
                    }
                }
            }
        }
        Levels { definitions, repetitions: self.repetitions, values }
    }
}

/// Splits a live span into valid and null entries.
fn split(spans: &mut Vec<Span>, range: Range<usize>, nulls: &NullBuffer, definition: u16) {
    let mut at = 0;
    for (start, valid_end) in nulls.slice(range.start, range.len()).valid_slices() {
        end(spans, definition, start - at);
        go_on(spans, range.start + start..range.start + valid_end);
        at = valid_end;
    }
    end(spans, definition, range.len() - at);
}

fn end(spans: &mut Vec<Span>, level: u16, count: usize) {
    match spans.last_mut() {
        _ if count == 0 => {}
        Some(Span::Dead(last)) if last.level == level => last.count += count,
        _ => spans.push(Span::Dead(Run { level, count })),
    }
}

fn go_on(spans: &mut Vec<Span>, range: Range<usize>) {
    match spans.last_mut() {
        Some(Span::Live(last)) if last.end == range.start => last.end = range.end,
        _ => spans.push(Span::Live(range)),
    }
}

/// Walks runs entry by entry.
struct Cursor<I> {
    runs: I,
    left: Run,
}

impl<I: Iterator<Item = Run>> Cursor<I> {
    fn take(&mut self, mut count: usize, mut each: impl FnMut(u16, usize)) {
        while count > 0 {
            if self.left.count == 0 {
                match self.runs.next() {
                    Some(run) => self.left = run,
                    None => return,
                }
            }
            let step = count.min(self.left.count);
            each(self.left.level, step);
            self.left.count -= step;
            count -= step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(runs: &[(u16, usize)]) -> Vec<Run> {
        runs.iter().map(|&(level, count)| Run { level, count }).collect()
    }

    /// The example of nullable lists of nullable lists: [[[a, null], []], null, [], [null, [b]]].
    #[test]
    fn nested_lists_have_the_levels_of_the_paper() {
        let outer_nulls = NullBuffer::from(vec![true, false, true, true]);
        let inner_nulls = NullBuffer::from(vec![true, true, false, true]);
        let leaf_nulls = NullBuffer::from(vec![true, false, true]);
        let outer = [0, 2, 2, 2, 4];
        let inner = [0, 2, 2, 2, 3];
        let lists = |offsets: [usize; 5]| move |range: Range<usize>| range.map(move |i| offsets[i]..offsets[i + 1]);
        let levels = Entries::rows(0..4)
            .nullable(Some(&outer_nulls))
            .lists(lists(outer))
            .nullable(Some(&inner_nulls))
            .lists(lists(inner))
            .nullable(Some(&leaf_nulls))
            .levels();
        assert_eq!(levels.repetitions, runs(&[(0, 1), (2, 1), (1, 1), (0, 3), (1, 1)]));
        assert_eq!(levels.definitions, runs(&[(5, 1), (4, 1), (3, 1), (0, 1), (1, 1), (2, 1), (5, 1)]));
        assert_eq!(levels.values, [0..1, 2..3]);
    }

    #[test]
    fn a_million_values_are_three_runs() {
        let levels =
            Entries::rows(0..1).nullable(None).lists(|_| std::iter::once(0..1_000_000)).nullable(None).levels();
        assert_eq!(levels.repetitions, runs(&[(0, 1), (1, 999_999)]));
        assert_eq!(levels.definitions, runs(&[(3, 1_000_000)]));
        assert_eq!(levels.values.as_slice(), std::slice::from_ref(&(0..1_000_000)));
    }

    #[test]
    fn nulls_below_a_null_are_no_nulls() {
        let entries = Entries::rows(0..2).nullable(Some(&NullBuffer::from(vec![true, false])));
        assert!(!entries.has_null(Some(&NullBuffer::from(vec![true, false]))));
        assert!(entries.has_null(Some(&NullBuffer::from(vec![false, true]))));
    }
}
