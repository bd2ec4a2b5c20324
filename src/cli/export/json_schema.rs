//! JSON Schema for rows that have no message of their own elsewhere.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::super::field;
use super::super::json_rows::is_text;

/// What JSON has no number for, and how a message says it.
const NO_NUMBERS: &str = "what is no number is a text: \"NaN\", \"Infinity\", \"-Infinity\"";

/// A schema of objects with these fields. Fields that are null are left out of the objects, so none is required.
pub fn json_schema(title: &str, fields: &Fields) -> Value {
    let mut schema = object(fields);
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".to_owned(), json!(title));
    }
    schema
}

fn object(fields: &Fields) -> Value {
    let property = |field: &arrow::datatypes::FieldRef| {
        let mut own = of(field.data_type());
        if let (Some(text), Some(members)) = (field.metadata().get("description"), own.as_object_mut()) {
            let said = members.get("description").and_then(Value::as_str).map(|said| format!("{text} ({said})"));
            members.insert("description".to_owned(), json!(said.as_ref().unwrap_or(text)));
        }
        (field.name().clone(), own)
    };
    json!({"type": "object", "properties": fields.iter().map(property).collect::<Map<String, Value>>()})
}

fn of(own: &DataType) -> Value {
    match own {
        DataType::Struct(fields) => object(fields),
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            json!({"type": "string", "contentEncoding": "base16"})
        }
        DataType::Dictionary(_, values) => of(values),
        DataType::Map(entries, _) => map(entries),
        other if other.is_integer() => json!({"type": "integer"}),
        // Their texts are not in the type: tools that draw numbers take one type for a field, and no list of types.
        other if other.is_floating() => json!({"type": "number", "description": NO_NUMBERS}),
        other => match field::item(other) {
            Some(item) => json!({"type": "array", "items": of(item.data_type())}),
            None => json!({"type": "string"}),
        },
    }
}

/// Maps of texts are objects, others lists of pairs.
fn map(entries: &Field) -> Value {
    match entries.data_type() {
        DataType::Struct(pair) => match pair.as_ref() {
            [key, value] if is_text(key.data_type()) => {
                json!({"type": "object", "additionalProperties": of(value.data_type())})
            }
            [key, value] => {
                let pair = json!({"key": of(key.data_type()), "value": of(value.data_type())});
                json!({"type": "array", "items": {"type": "object", "properties": pair}})
            }
            _ => json!({"type": "object"}),
        },
        _ => json!({"type": "object"}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn fields_become_properties() {
        let item = Field::new("item", DataType::Float32, true);
        let inner = Field::new("x", DataType::Float64, true)
            .with_metadata(HashMap::from([("description".to_owned(), "in m".to_owned())]));
        let fields = vec![
            Field::new("timestamp_ns", DataType::Int64, false),
            Field::new("p", DataType::Struct(vec![inner].into()), true),
            Field::new("l", DataType::List(item.into()), true),
            Field::new("b", DataType::Binary, true),
            Field::new("t", DataType::Utf8, true),
        ];
        let schema = json_schema("A", &fields.into());
        assert_eq!(schema["title"], "A");
        assert_eq!(schema["properties"]["timestamp_ns"], json!({"type": "integer"}));
        let x = &schema["properties"]["p"]["properties"]["x"];
        assert_eq!((&x["type"], &x["description"]), (&json!("number"), &json!(format!("in m ({NO_NUMBERS})"))));
        let number = json!({"type": "number", "description": NO_NUMBERS});
        assert_eq!(schema["properties"]["l"], json!({"type": "array", "items": number}));
        assert_eq!(schema["properties"]["b"]["contentEncoding"], "base16");
    }
}
