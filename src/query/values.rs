//! One array of plain values and one test: a bit per value.

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::ArrowNativeTypeOp;
use arrow::array::AsArray;
use arrow::array::PrimitiveArray;
use arrow::array::types::ArrowPrimitiveType;
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::datatypes::Float16Type;
use arrow::datatypes::Float32Type;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Int8Type;
use arrow::datatypes::Int16Type;
use arrow::datatypes::Int32Type;
use arrow::datatypes::Int64Type;
use arrow::datatypes::UInt8Type;
use arrow::datatypes::UInt16Type;
use arrow::datatypes::UInt32Type;
use arrow::datatypes::UInt64Type;

use crate::model::NumberRange;
use crate::model::Test;
use crate::model::floats;
use crate::model::integers;

/// One bit per value: whether it satisfies the test. Null satisfies [`Test::Missing`] and nothing else.
pub(super) fn hits(array: &ArrayRef, test: &Test) -> BooleanBuffer {
    let len = array.len();
    // A column of nothing but nulls has no bits that say so.
    let valid = match (array.data_type(), array.nulls()) {
        (DataType::Null, _) => BooleanBuffer::new_unset(len),
        (_, Some(nulls)) => nulls.inner().clone(),
        (_, None) => BooleanBuffer::new_set(len),
    };
    match test {
        Test::Missing => !&valid,
        Test::Exists => valid,
        Test::Numbers { ranges, nan } => &valid & &numbers(array, ranges, *nan),
        Test::Texts(_) | Test::Match(_) => &valid & &texts(array, test),
        Test::Booleans { .. } => &valid & &booleans(array, test),
        // Lists are compared where they are.
        Test::List { .. } => BooleanBuffer::new_unset(len),
    }
}

fn booleans(array: &ArrayRef, test: &Test) -> BooleanBuffer {
    let Some(values) = array.as_boolean_opt() else { return BooleanBuffer::new_unset(array.len()) };
    match (test.boolean(true), test.boolean(false)) {
        (true, true) => BooleanBuffer::new_set(array.len()),
        (true, false) => values.values().clone(),
        (false, true) => !values.values(),
        (false, false) => BooleanBuffer::new_unset(array.len()),
    }
}

fn texts(array: &ArrayRef, test: &Test) -> BooleanBuffer {
    let len = array.len();
    match array.data_type() {
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            BooleanBuffer::collect_bool(len, |at| test.text(values.value(at)))
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            BooleanBuffer::collect_bool(len, |at| test.text(values.value(at)))
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            BooleanBuffer::collect_bool(len, |at| test.text(values.value(at)))
        }
        _ => BooleanBuffer::new_unset(len),
    }
}

/// Times and durations count as the integers they are stored as.
fn numbers(array: &ArrayRef, ranges: &[NumberRange], nan: bool) -> BooleanBuffer {
    use DataType as T;
    match array.data_type() {
        T::Int8 => whole::<Int8Type>(array, ranges),
        T::Int16 => whole::<Int16Type>(array, ranges),
        T::Int32 => whole::<Int32Type>(array, ranges),
        T::Int64 => whole::<Int64Type>(array, ranges),
        T::UInt8 => whole::<UInt8Type>(array, ranges),
        T::UInt16 => whole::<UInt16Type>(array, ranges),
        T::UInt32 => whole::<UInt32Type>(array, ranges),
        T::UInt64 => whole::<UInt64Type>(array, ranges),
        T::Float16 => real(array.as_primitive::<Float16Type>(), f64::from, ranges, nan),
        T::Float32 => real(array.as_primitive::<Float32Type>(), f64::from, ranges, nan),
        T::Float64 => real(array.as_primitive::<Float64Type>(), |x| x, ranges, nan),
        T::Timestamp(..) | T::Date64 | T::Time64(_) | T::Duration(_) => counted(array, &T::Int64, ranges),
        T::Date32 | T::Time32(_) => counted(array, &T::Int32, ranges),
        // As the nearest float, which is what a literal with a point is, too.
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => {
            counted(array, &T::Float64, ranges)
        }
        _ => BooleanBuffer::new_unset(array.len()),
    }
}

fn counted(array: &ArrayRef, stored: &DataType, ranges: &[NumberRange]) -> BooleanBuffer {
    match cast(array, stored) {
        Ok(counts) => numbers(&counts, ranges, false),
        Err(_) => BooleanBuffer::new_unset(array.len()),
    }
}

fn whole<T>(array: &ArrayRef, ranges: &[NumberRange]) -> BooleanBuffer
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128> + TryFrom<i128> + Ord,
{
    let (least, most) = (T::Native::MIN_TOTAL_ORDER, T::Native::MAX_TOTAL_ORDER);
    let narrow = |(first, last): (i128, i128)| {
        let (first, last) = (first.max(least.into()), last.min(most.into()));
        (first <= last).then_some(())?;
        Some((T::Native::try_from(first).ok()?, T::Native::try_from(last).ok()?))
    };
    let closed = merged(ranges.iter().filter_map(integers).filter_map(narrow).collect());
    let values = array.as_primitive::<T>().values();
    inside(values, &closed, |value| value)
}

fn real<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    wide: impl Fn(T::Native) -> f64 + Copy,
    ranges: &[NumberRange],
    nan: bool,
) -> BooleanBuffer {
    let closed = merged(ranges.iter().filter_map(floats).collect());
    let found = inside(array.values(), &closed, wide);
    match nan {
        true => {
            let values = array.values();
            let nans =
                BooleanBuffer::collect_bool(values.len(), |at| values.get(at).is_some_and(|v| wide(*v).is_nan()));
            &found | &nans
        }
        false => found,
    }
}

/// Ranges ascending, overlapping ones made one.
fn merged<T: PartialOrd + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal));
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(open) if first <= open.1 => {
                if last > open.1 {
                    open.1 = last;
                }
            }
            _ => out.push((first, last)),
        }
    }
    out
}

/// Whether each value lies in one of the closed ranges, which ascend and do not overlap.
fn inside<N: Copy, T: PartialOrd + Copy>(values: &[N], ranges: &[(T, T)], own: impl Fn(N) -> T) -> BooleanBuffer {
    let bits = |test: &dyn Fn(T) -> bool| {
        BooleanBuffer::collect_bool(values.len(), |at| values.get(at).is_some_and(|value| test(own(*value))))
    };
    match ranges {
        [] => BooleanBuffer::new_unset(values.len()),
        // The common case, without a call per value.
        [(first, last)] => BooleanBuffer::collect_bool(values.len(), |at| {
            values.get(at).is_some_and(|value| {
                let value = own(*value);
                *first <= value && value <= *last
            })
        }),
        [_, _] => bits(&|value| ranges.iter().any(|(first, last)| *first <= value && value <= *last)),
        many => bits(&|value| {
            let at = many.partition_point(|(first, _)| *first <= value).checked_sub(1);
            at.and_then(|at| many.get(at)).is_some_and(|(_, last)| value <= *last)
        }),
    }
}
