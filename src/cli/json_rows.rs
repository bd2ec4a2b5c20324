//! Rows as JSON, one object on a line, every value as it was recorded or as a text that says what it is.
//!
//! | value                                             | JSON                                               |
//! |---------------------------------------------------|----------------------------------------------------|
//! | NaN and the infinities                            | `"NaN"`, `"Infinity"`, `"-Infinity"`, not null     |
//! | a decimal                                         | a text with all of its digits                      |
//! | a timestamp with the name of a time zone          | its instant in UTC, with a `Z`                     |
//! | a date, time or duration that no calendar can say | a text with the number of its unit                 |
//! | bytes                                             | a text of two hexadecimal digits each              |
//! | a map of texts                                    | an object                                          |
//! | a map of other keys                               | a list of objects of `key` and `value`             |

use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::sync::LazyLock;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::ArrowPrimitiveType;
use arrow::array::AsArray;
use arrow::array::MapArray;
use arrow::array::PrimitiveArray;
use arrow::array::RecordBatch;
use arrow::array::make_array;
use arrow::datatypes::ArrowTimestampType;
use arrow::datatypes::DataType;
use arrow::datatypes::FieldRef;
use arrow::datatypes::Float16Type;
use arrow::datatypes::Float32Type;
use arrow::datatypes::Float64Type;
use arrow::datatypes::Int32Type;
use arrow::datatypes::Int64Type;
use arrow::datatypes::TimeUnit;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::datatypes::TimestampMillisecondType;
use arrow::datatypes::TimestampNanosecondType;
use arrow::datatypes::TimestampSecondType;
use arrow::error::ArrowError;
use arrow::json::Encoder;
use arrow::json::EncoderFactory;
use arrow::json::EncoderOptions;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::json::writer::NullableEncoder;
use arrow::json::writer::make_encoder;
use arrow::util::display::ArrayFormatter;
use arrow::util::display::FormatOptions;

/// What becomes of fields that are null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nulls {
    Written,
    LeftOut,
}

/// Writes the rows of a batch, a line each.
///
/// # Errors
/// What writing says, and types that JSON has no form for.
pub fn write_rows(batch: &RecordBatch, nulls: Nulls, out: &mut impl Write) -> Result<(), ArrowError> {
    let builder = WriterBuilder::new().with_explicit_nulls(nulls == Nulls::Written);
    let mut writer = builder.with_encoder_factory(Arc::new(Exact)).build::<_, LineDelimited>(out);
    writer.write(batch)?;
    writer.finish()
}

/// Whether maps with these keys are objects.
pub fn is_text(key: &DataType) -> bool {
    matches!(key, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Takes over from arrow's encoders where they lose something: a number, or that there is one.
#[derive(Debug)]
struct Exact;

static PLAIN: LazyLock<EncoderOptions> = LazyLock::new(EncoderOptions::default);

impl EncoderFactory for Exact {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Float16 => Box::new(Float::<Float16Type>::of(field, array, |value| value.to_f64())?),
            DataType::Float32 => Box::new(Float::<Float32Type>::of(field, array, f64::from)?),
            DataType::Float64 => Box::new(Float::<Float64Type>::of(field, array, |value| value)?),
            own if own.is_decimal() => Box::new(Shown::of(array)?),
            DataType::Timestamp(unit, Some(_)) => match (Shown::of(array), unit) {
                // A zone given as an offset.
                (Ok(shown), _) => Box::new(shown),
                (_, TimeUnit::Second) => Box::new(Instant(array.as_primitive::<TimestampSecondType>())),
                (_, TimeUnit::Millisecond) => Box::new(Instant(array.as_primitive::<TimestampMillisecondType>())),
                (_, TimeUnit::Microsecond) => Box::new(Instant(array.as_primitive::<TimestampMicrosecondType>())),
                (_, TimeUnit::Nanosecond) => Box::new(Instant(array.as_primitive::<TimestampNanosecondType>())),
            },
            own if own.is_temporal() => Box::new(Shown::of(array)?),
            DataType::Dictionary(..) => Box::new(Coded::of(field, array, options)?),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.first().is_some_and(|key| is_text(key.data_type())) => return Ok(None),
                _ => Box::new(Pairs::of(field, array.as_map(), options)?),
            },
            _ => return Ok(None),
        };
        // A dictionary's nulls are among its values, too.
        Ok(Some(NullableEncoder::new(encoder, array.logical_nulls())))
    }
}

/// Floating-point numbers, those that are none as texts.
struct Float<'a, T: ArrowPrimitiveType> {
    values: &'a PrimitiveArray<T>,
    number: fn(T::Native) -> f64,
    plain: NullableEncoder<'a>,
}

impl<'a, T: ArrowPrimitiveType> Float<'a, T> {
    fn of(field: &'a FieldRef, array: &'a dyn Array, number: fn(T::Native) -> f64) -> Result<Self, ArrowError> {
        Ok(Self { values: array.as_primitive(), number, plain: make_encoder(field, array, &PLAIN)? })
    }
}

impl<T: ArrowPrimitiveType> Encoder for Float<'_, T> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        match (self.number)(self.values.value(index)) {
            value if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
            f64::INFINITY => out.extend_from_slice(b"\"Infinity\""),
            f64::NEG_INFINITY => out.extend_from_slice(b"\"-Infinity\""),
            _ => self.plain.encode(index, out),
        }
    }
}

/// Values as the texts that arrow makes of them; where it cannot, as the text of their number.
struct Shown<'a> {
    formatter: ArrayFormatter<'a>,
    shown: String,
    numbers: Option<ArrayRef>,
}

impl<'a> Shown<'a> {
    fn of(array: &'a dyn Array) -> Result<Self, ArrowError> {
        // The text of an error would look like a value.
        const OPTIONS: &FormatOptions<'static> = &FormatOptions::new().with_display_error(false);
        let formatter = ArrayFormatter::try_new(array, OPTIONS)?;
        let as_numbers = |own| Ok::<_, ArrowError>(make_array(array.to_data().into_builder().data_type(own).build()?));
        let numbers = match array.data_type() {
            DataType::Date32 | DataType::Time32(_) => Some(as_numbers(DataType::Int32)?),
            DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) | DataType::Duration(_) => {
                Some(as_numbers(DataType::Int64)?)
            }
            _ => None,
        };
        Ok(Self { formatter, shown: String::new(), numbers })
    }

    fn number(&self, index: usize) -> Option<i64> {
        let numbers = self.numbers.as_ref()?;
        match numbers.as_primitive_opt::<Int64Type>() {
            Some(wide) => Some(wide.value(index)),
            None => Some(numbers.as_primitive_opt::<Int32Type>()?.value(index).into()),
        }
    }
}

impl Encoder for Shown<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        self.shown.clear();
        let written = self.formatter.value(index).write(&mut self.shown);
        // So arrow shows a duration that is too long.
        let is_shown = written.is_ok() && self.shown != "<invalid>";
        match (is_shown, self.number(index)) {
            (false, Some(number)) => text(number, out),
            (false, None) => out.extend_from_slice(b"null"),
            (true, _) => text(&self.shown, out),
        }
    }
}

/// Timestamps of a zone whose rules are not known here.
struct Instant<'a, T: ArrowTimestampType>(&'a PrimitiveArray<T>);

impl<T: ArrowTimestampType> Encoder for Instant<'_, T> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        match self.0.value_as_datetime(index) {
            Some(time) => text(format_args!("{time:?}Z"), out),
            None => text(self.0.value(index), out),
        }
    }
}

/// Values out of a dictionary, which may be null there.
struct Coded<'a> {
    places: Vec<usize>,
    values: NullableEncoder<'a>,
}

impl<'a> Coded<'a> {
    fn of(field: &'a FieldRef, array: &'a dyn Array, options: &'a EncoderOptions) -> Result<Self, ArrowError> {
        let coded = array.as_any_dictionary();
        // Without values every row is null.
        let places = if coded.values().is_empty() { Vec::new() } else { coded.normalized_keys() };
        Ok(Self { places, values: make_encoder(field, coded.values().as_ref(), options)? })
    }
}

impl Encoder for Coded<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        match self.places.get(index) {
            Some(place) => self.values.encode(*place, out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

/// Maps whose keys are no texts.
struct Pairs<'a> {
    map: &'a MapArray,
    keys: NullableEncoder<'a>,
    values: NullableEncoder<'a>,
}

impl<'a> Pairs<'a> {
    fn of(field: &'a FieldRef, map: &'a MapArray, options: &'a EncoderOptions) -> Result<Self, ArrowError> {
        let keys = make_encoder(field, map.keys().as_ref(), options)?;
        Ok(Self { map, keys, values: make_encoder(field, map.values().as_ref(), options)? })
    }
}

impl Encoder for Pairs<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        let offset = |at: usize| self.map.value_offsets().get(at).and_then(|own| usize::try_from(*own).ok());
        let (first, last) = (offset(index).unwrap_or(0), offset(index + 1).unwrap_or(0));
        out.push(b'[');
        for pair in first..last {
            let open: &[u8] = if pair == first { b"{\"key\":" } else { b",{\"key\":" };
            out.extend_from_slice(open);
            value(&mut self.keys, pair, out);
            out.extend_from_slice(b",\"value\":");
            value(&mut self.values, pair, out);
            out.push(b'}');
        }
        out.push(b']');
    }
}

fn value(encoder: &mut NullableEncoder, index: usize, out: &mut Vec<u8>) {
    match encoder.is_null(index) {
        true => out.extend_from_slice(b"null"),
        false => encoder.encode(index, out),
    }
}

/// A text without characters that JSON would escape. Memory takes all of it.
fn text(content: impl Display, out: &mut Vec<u8>) {
    let _ = write!(out, "\"{content}\"");
}

#[cfg(test)]
mod tests;
