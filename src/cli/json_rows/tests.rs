use std::collections::HashMap;

use arrow::array::Date32Array;
use arrow::array::Date64Array;
use arrow::array::Decimal128Array;
use arrow::array::DictionaryArray;
use arrow::array::DurationSecondArray;
use arrow::array::Float32Array;
use arrow::array::Float64Array;
use arrow::array::Int8Array;
use arrow::array::Int32Array;
use arrow::array::Int32Builder;
use arrow::array::Int64Array;
use arrow::array::Int64Builder;
use arrow::array::ListArray;
use arrow::array::MapBuilder;
use arrow::array::StringArray;
use arrow::array::StringBuilder;
use arrow::array::StructArray;
use arrow::array::Time64NanosecondArray;
use arrow::array::TimestampNanosecondArray;
use arrow::array::TimestampSecondArray;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::Field;
use arrow::datatypes::Int8Type;
use serde_json::Value;
use serde_json::json;

use super::*;

fn told(column: ArrayRef) -> Value {
    let batch = RecordBatch::try_from_iter_with_nullable([("v", column, true)]).unwrap();
    let mut lines = Vec::new();
    write_rows(&batch, Nulls::Written, &mut lines).unwrap();
    let rows = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    rows.map(|line| serde_json::from_slice::<HashMap<String, Value>>(line).unwrap()["v"].clone()).collect()
}

#[test]
fn what_is_no_number_is_another_thing_than_what_is_missing() {
    let wide = Float64Array::from(vec![Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(0.5), None]);
    let expected = json!(["NaN", "Infinity", "-Infinity", 0.5, null]);
    assert_eq!(told(cast(&wide, &DataType::Float16).unwrap()), expected);
    assert_eq!(told(cast(&wide, &DataType::Float32).unwrap()), expected);
    let item = Arc::new(Field::new("item", DataType::Float64, true));
    let wide: ArrayRef = Arc::new(wide);
    assert_eq!(told(Arc::clone(&wide)), expected);
    let lists = ListArray::new(item, OffsetBuffer::from_lengths([2, 3]), wide, None);
    assert_eq!(told(Arc::new(lists)), json!([["NaN", "Infinity"], ["-Infinity", 0.5, null]]));
    // Of few digits when few tell it.
    assert_eq!(told(Arc::new(Float32Array::from(vec![0.1]))).to_string(), "[0.1]");
}

#[test]
fn times_of_any_zone_are_told() {
    let times = |zone: &str| TimestampSecondArray::from(vec![Some(1_772_366_400), None]).with_timezone(zone);
    for zone in ["UTC", "Europe/Rome", "+00:00", "Not/There"] {
        assert_eq!(told(Arc::new(times(zone))), json!(["2026-03-01T12:00:00Z", null]), "{zone}");
    }
    assert_eq!(told(Arc::new(times("+02:00"))), json!(["2026-03-01T14:00:00+02:00", null]));
    let fine = TimestampNanosecondArray::from(vec![-1]).with_timezone("UTC");
    let inside = StructArray::from(vec![(
        Arc::new(Field::new("t", fine.data_type().clone(), true)),
        Arc::new(fine) as ArrayRef,
    )]);
    assert_eq!(told(Arc::new(inside)), json!([{"t": "1969-12-31T23:59:59.999999999Z"}]));
}

/// Goal: no message has the text of an error where a value should be.
#[test]
fn what_no_calendar_has_is_its_number() {
    let end = i64::MAX;
    assert_eq!(told(Arc::new(Date32Array::from(vec![0, i32::MAX]))), json!(["1970-01-01", "2147483647"]));
    assert_eq!(told(Arc::new(Date64Array::from(vec![end]))), json!([end.to_string()]));
    let times = Time64NanosecondArray::from(vec![5, -1, 86_400_000_000_000]);
    assert_eq!(told(Arc::new(times)), json!(["00:00:00.000000005", "-1", "86400000000000"]));
    assert_eq!(told(Arc::new(DurationSecondArray::from(vec![1, end]))), json!(["PT1S", end.to_string()]));
    let far = TimestampSecondArray::from(vec![end, -1]);
    for zone in [None, Some("UTC"), Some("+02:00")] {
        let told = told(Arc::new(far.clone().with_timezone_opt(zone)));
        assert_eq!(told[0], json!(end.to_string()), "{zone:?}");
        assert!(told[1].as_str().is_some_and(|time| time.starts_with("19")), "{told}");
    }
}

#[test]
fn decimals_keep_their_digits() {
    let decimals = Decimal128Array::from(vec![Some(123_456_789_012_345_678_123), None, Some(-1)]);
    let decimals = decimals.with_precision_and_scale(21, 3).unwrap();
    assert_eq!(told(Arc::new(decimals)), json!(["123456789012345678.123", null, "-0.001"]));
}

#[test]
fn maps_of_any_keys_are_told() {
    let mut numbers = MapBuilder::new(None, Int32Builder::new(), Int64Builder::new());
    numbers.keys().append_slice(&[1, 2, 3]);
    numbers.values().append_slice(&[10, 20]);
    numbers.values().append_null();
    numbers.append(true).unwrap();
    numbers.append(false).unwrap();
    let pair = |key: i32, value: Option<i64>| json!({"key": key, "value": value});
    let pairs = json!([pair(1, Some(10)), pair(2, Some(20)), pair(3, None)]);
    let numbers: ArrayRef = Arc::new(numbers.finish());
    assert_eq!(told(Arc::clone(&numbers)), json!([pairs, null]));
    assert_eq!(told(numbers.slice(1, 1)), json!([null]));
    let mut texts = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    texts.keys().append_value("a");
    texts.values().append_value(1);
    texts.append(true).unwrap();
    assert_eq!(told(Arc::new(texts.finish())), json!([{"a": 1}]));
}

#[test]
fn nulls_of_a_dictionary_are_null() {
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let coded = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![Some(0), Some(1), None]), words);
    assert_eq!(told(Arc::new(coded)), json!(["a", null, null]));
    let none: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    let coded = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![None::<i8>]), none);
    assert_eq!(told(Arc::new(coded)), json!([null]));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
    let coded = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![0, 0]), numbers);
    assert_eq!(told(Arc::new(coded)), json!(["NaN", "NaN"]));
}

#[test]
fn nulls_are_written_or_left_out() {
    let times: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let none: ArrayRef = Arc::new(Int32Array::from(vec![None]));
    let batch = RecordBatch::try_from_iter_with_nullable([("t", times, false), ("n", none, true)]).unwrap();
    for (nulls, expected) in [(Nulls::Written, "{\"t\":1,\"n\":null}\n"), (Nulls::LeftOut, "{\"t\":1}\n")] {
        let mut line = Vec::new();
        write_rows(&batch, nulls, &mut line).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
