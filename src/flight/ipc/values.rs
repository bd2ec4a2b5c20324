//! Values that Arrow's own validation lets pass, and that would come back changed: a decimal of more digits than its type
//! has is stored in as many bytes as the type needs.

use arrow::array::Array;
use arrow::array::AsArray;
use arrow::datatypes::DataType;
use arrow::datatypes::Decimal32Type;
use arrow::datatypes::Decimal64Type;
use arrow::datatypes::Decimal128Type;
use arrow::datatypes::Decimal256Type;
use arrow::datatypes::Field;
use arrow::error::ArrowError;

use super::DecodeError;

/// Checks one column with all that is inside it. Touches values of decimal types only.
///
/// # Errors
/// [`DecodeError::Layout`] naming the field.
pub(super) fn check(field: &Field, array: &dyn Array) -> Result<(), DecodeError> {
    match array.data_type() {
        DataType::Decimal32(digits, _) => {
            named(field, array.as_primitive::<Decimal32Type>().validate_decimal_precision(*digits))
        }
        DataType::Decimal64(digits, _) => {
            named(field, array.as_primitive::<Decimal64Type>().validate_decimal_precision(*digits))
        }
        DataType::Decimal128(digits, _) => {
            named(field, array.as_primitive::<Decimal128Type>().validate_decimal_precision(*digits))
        }
        DataType::Decimal256(digits, _) => {
            named(field, array.as_primitive::<Decimal256Type>().validate_decimal_precision(*digits))
        }
        DataType::List(item) => check(item, array.as_list::<i32>().values()),
        DataType::LargeList(item) => check(item, array.as_list::<i64>().values()),
        DataType::FixedSizeList(item, _) => check(item, array.as_fixed_size_list().values()),
        DataType::Map(entries, _) => check(entries, array.as_map().entries()),
        DataType::Struct(fields) => {
            fields.iter().zip(array.as_struct().columns()).try_for_each(|(field, column)| check(field, column))
        }
        _ => Ok(()),
    }
}

fn named(field: &Field, result: Result<(), ArrowError>) -> Result<(), DecodeError> {
    result.map_err(|cause| DecodeError::Layout {
        column: field.name().chars().take(80).collect(),
        what: cause.to_string().chars().take(200).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use arrow::array::Decimal128Array;
    use arrow::array::StructArray;

    use super::*;

    #[test]
    fn decimals_of_too_many_digits_are_refused_at_any_depth() {
        let decimals = |values: Vec<Option<i128>>| {
            let array = Decimal128Array::from(values).with_precision_and_scale(9, 2).unwrap();
            let field = Arc::new(Field::new("amount", DataType::Decimal128(9, 2), true));
            StructArray::from(vec![(field, Arc::new(array) as ArrayRef)])
        };
        let check = |array: StructArray| check(&Field::new("outer", array.data_type().clone(), true), &array);
        assert_eq!(check(decimals(vec![Some(999_999_999), None, Some(-999_999_999)])), Ok(()));
        let refused = check(decimals(vec![Some(1), Some(1_000_000_000)])).unwrap_err();
        assert!(matches!(&refused, DecodeError::Layout { column, .. } if column == "amount"), "{refused}");
    }
}
