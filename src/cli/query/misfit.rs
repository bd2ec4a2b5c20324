//! Why a query found nothing, where that is because a condition can hold for no value that its field may have.

use arrow::datatypes::DataType;
use serde_json::Value;

use super::super::field;
use super::super::output::printable;

/// What a value is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Boolean,
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(_) => Some(Self::Number),
            Value::String(_) => Some(Self::Text),
            Value::Bool(_) => Some(Self::Boolean),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Boolean => "true or false",
        }
    }
}

/// Why no value of this type satisfies a condition; `None` when some may.
///
/// * `path`: with its tag in front.
pub fn misfit(path: &str, condition: &Value, own: &DataType) -> Option<String> {
    let (op, operand) = condition.as_object()?.iter().next()?;
    let asked = match (op.as_str(), operand) {
        // All of them hold together.
        ("$and", Value::Array(parts)) => return parts.iter().find_map(|part| misfit(path, part, own)),
        ("$eq" | "$neq" | "$lt" | "$leq" | "$gt" | "$geq" | "$match", value) => Kind::of(value)?,
        ("$in" | "$outside", Value::Array(all)) => Kind::of(all.first()?)?,
        ("$between", Value::Array(bounds)) => match bounds.as_slice() {
            [low, high] if is_below(high, low) => {
                let path = printable(path);
                return Some(format!("{path} between {low} and {high} holds for nothing: write the lower one first"));
            }
            _ => Kind::of(bounds.first()?)?,
        },
        _ => return None,
    };
    unfit(&printable(path), asked, own)
}

/// The same for what sequences and topics are asked as such: times are numbers.
pub fn created_misfit(scope: &str, condition: &Value) -> Option<String> {
    let why = misfit(&format!("{scope}.created"), condition, &DataType::Int64)?;
    Some(why.replace("is a number:", "is a number, of nanoseconds since 1970:"))
}

fn is_below(a: &Value, b: &Value) -> bool {
    match (a.as_f64().zip(b.as_f64()), a.as_str().zip(b.as_str())) {
        (Some((a, b)), _) => a < b,
        (_, Some((a, b))) => a < b,
        _ => false,
    }
}

fn unfit(path: &str, asked: Kind, own: &DataType) -> Option<String> {
    let fit = match own {
        DataType::Dictionary(_, values) => return unfit(path, asked, values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Boolean => Kind::Boolean,
        DataType::Struct(fields) => {
            let inner = fields.first().map(|field| format!(", such as {path}.{}", printable(field.name())));
            return Some(format!("{path} is a group of fields: name one of them{}", inner.unwrap_or_default()));
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            return Some(format!("{path} is bytes: they are there or missing, and are compared with nothing"));
        }
        DataType::Map(..) => {
            return Some(format!("{path} is a map: it is there or missing, and is compared with nothing"));
        }
        own if field::item(own).is_some() => {
            return Some(format!("{path} is a list: name an element, such as {path}[0], or {path}[?] for any"));
        }
        own if own.is_numeric() || own.is_temporal() => Kind::Number,
        _ => return None,
    };
    let (is, other) = (fit.name(), asked.name());
    (fit != asked).then(|| format!("{path} is {is}: no value of it can be compared with {other}"))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_that_no_value_can_satisfy_are_told() {
        let item = Field::new("item", DataType::Float32, true);
        let inside = DataType::Struct(vec![Field::new("x", DataType::Float64, true)].into());
        let coded = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        for (condition, own, said) in [
            (json!({"$eq": "a"}), DataType::Float64, "A.b is a number: no value of it can be compared with a text"),
            (json!({"$and": [{"$gt": 1}, {"$lt": 2}]}), DataType::Utf8, "A.b is a text"),
            (json!({"$in": [1]}), coded.clone(), "A.b is a text"),
            (json!({"$eq": 1}), DataType::Boolean, "A.b is true or false"),
            (json!({"$eq": "abc"}), DataType::Binary, "A.b is bytes"),
            (json!({"$gt": 1}), inside, "name one of them, such as A.b.x"),
            (json!({"$gt": 1}), DataType::List(item.into()), "such as A.b[0], or A.b[?] for any"),
            (json!({"$between": [10, 9]}), DataType::Int8, "A.b between 10 and 9 holds for nothing"),
            (json!({"$between": ["b", "a"]}), DataType::Utf8, "lower one first"),
        ] {
            let found = misfit("A.b", &condition, &own).unwrap_or_default();
            assert!(found.contains(said), "{condition} {own}: {found}");
        }
        for (condition, own) in [
            (json!({"$eq": 1}), DataType::Date32),
            (json!({"$eq": 1.5}), DataType::Decimal128(3, 1)),
            (json!({"$match": "a*"}), coded),
            (json!({"$ex": null}), DataType::Binary),
            (json!({"$not": {"$eq": "a"}}), DataType::Int8),
            (json!({"$outside": [10, 9]}), DataType::Int8),
            (json!({"$between": [9, 9]}), DataType::UInt64),
        ] {
            assert_eq!(misfit("A.b", &condition, &own), None, "{condition} {own}");
        }
        let created = created_misfit("sequence", &json!({"$gt": "2026-01-01"})).unwrap_or_default();
        assert!(created.contains("sequence.created is a number, of nanoseconds since 1970"), "{created}");
    }
}
