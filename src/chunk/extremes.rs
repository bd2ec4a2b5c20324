//! Least and most of many values. Passes over plain slices without branches: they cost about what reading the values costs.

use arrow::buffer::NullBuffer;

/// Values looked at side by side.
const LANES: usize = 8;

/// Ranges of floats that are not NaN, and how many are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reals {
    /// Where they are split, those below zero; else none.
    pub(super) negative: Option<(f64, f64)>,
    pub(super) other: Option<(f64, f64)>,
    pub(super) nans: u64,
}

/// The stretches of values that are not null.
pub(super) fn present<'a, T>(values: &'a [T], nulls: Option<&'a NullBuffer>, each: &mut impl FnMut(&'a [T])) {
    match nulls {
        Some(nulls) if nulls.null_count() == nulls.len() => {}
        Some(nulls) if nulls.null_count() > 0 => {
            nulls.valid_slices().for_each(|(start, end)| each(values.get(start..end).unwrap_or_default()));
        }
        _ => each(values),
    }
}

/// Least and most; `None` without values.
pub(super) fn whole<T: Copy + Ord>(values: &[T]) -> Option<(T, T)> {
    let first = *values.first()?;
    let (mut least, mut most) = ([first; LANES], [first; LANES]);
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut take = |block: &[T]| {
        for ((value, least), most) in block.iter().zip(&mut least).zip(&mut most) {
            *least = if *value < *least { *value } else { *least };
            *most = if *value > *most { *value } else { *most };
        }
    };
    blocks.iter().for_each(|block| take(block));
    take(rest);
    least.into_iter().min().zip(most.into_iter().max())
}

/// The same of floats.
///
/// * `split`: negative and other values apart.
pub(super) fn reals<T: Real>(values: &[T], split: bool) -> Reals {
    let nothing = Reals { negative: None, other: None, nans: 0 };
    if values.is_empty() {
        return nothing;
    }
    match fast(values) {
        Some((least, most)) if !split || T::ZERO <= least => {
            Reals { other: Some((least.into(), most.into())), ..nothing }
        }
        Some((least, most)) if most < T::ZERO => Reals { negative: Some((least.into(), most.into())), ..nothing },
        // Both signs, or a NaN, or infinities of both signs.
        _ => careful(values, split),
    }
}

/// `f32` and `f64`.
pub(super) trait Real: Copy + PartialOrd + Into<f64> + std::ops::Add<Output = Self> {
    const ZERO: Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
}

impl Real for f64 {
    const ZERO: Self = 0.0;
}

/// `None` when there is a NaN, or may be one. One addition tells: a sum with a NaN is NaN, as that of both infinities is.
fn fast<T: Real>(values: &[T]) -> Option<(T, T)> {
    let first = *values.first()?;
    let (mut least, mut most, mut sum) = ([first; LANES], [first; LANES], [T::ZERO; LANES]);
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut take = |block: &[T]| {
        for (((value, least), most), sum) in block.iter().zip(&mut least).zip(&mut most).zip(&mut sum) {
            // In this order each is one instruction. A NaN would be taken and lost again: the sum remembers.
            *least = if *least < *value { *least } else { *value };
            *most = if *most > *value { *most } else { *value };
            *sum = *sum + *value;
        }
    };
    blocks.iter().for_each(|block| take(block));
    take(rest);
    if sum.into_iter().any(|sum| Into::<f64>::into(sum).is_nan()) {
        return None;
    }
    let least = least.into_iter().reduce(|a, b| if a < b { a } else { b });
    let most = most.into_iter().reduce(|a, b| if a > b { a } else { b });
    least.zip(most)
}

fn careful<T: Real>(values: &[T], split: bool) -> Reals {
    let mut out = Reals { negative: None, other: None, nans: 0 };
    for value in values {
        let value: f64 = (*value).into();
        match &mut out {
            out if value.is_nan() => out.nans += 1,
            Reals { negative: range, .. } if split && value < 0.0 => *range = united(*range, Some((value, value))),
            Reals { other: range, .. } => *range = united(*range, Some((value, value))),
        }
    }
    out
}

/// The range of two together.
pub(super) fn united<T: Copy + PartialOrd>(one: Option<(T, T)>, two: Option<(T, T)>) -> Option<(T, T)> {
    match (one, two) {
        (Some((a, b)), Some((c, d))) => Some((if c < a { c } else { a }, if d > b { d } else { b })),
        (one, two) => one.or(two),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = f64> {
        let edges = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, f64::MIN, 5e-324];
        prop_oneof![3 => -9.0f64..9.0, 1 => prop::sample::select(edges)]
    }

    proptest! {
        #[test]
        fn nothing_lies_outside(values in prop::collection::vec(value(), 0..70), split in any::<bool>()) {
            let found = reals(&values, split);
            prop_assert_eq!(found.nans as usize, values.iter().filter(|value| value.is_nan()).count());
            let of = |wanted: bool| {
                let own = values.iter().copied().filter(|x| !x.is_nan() && (split && *x < 0.0) == wanted);
                own.fold(None, |range, value| united(range, Some((value, value))))
            };
            prop_assert_eq!((found.negative, found.other), (of(true), of(false)));
        }

        #[test]
        fn stretches_are_what_is_there(values in prop::collection::vec(prop::option::of(any::<i16>()), 0..70)) {
            let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
            let plain: Vec<i16> = values.iter().map(|value| value.unwrap_or(i16::MAX)).collect();
            let mut found = None;
            present(&plain, Some(&nulls), &mut |part| found = united(found, whole(part)));
            let own = || values.iter().flatten().copied();
            prop_assert_eq!(found, own().min().zip(own().max()));
        }
    }
}
