//! JSON Schema for rows that have no message of their own elsewhere.

use arrow::datatypes::DataType;
use arrow::datatypes::Fields;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::super::field;

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
            members.insert("description".to_owned(), json!(text));
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
        DataType::Map(_, _) => json!({"type": "object"}),
        other if other.is_integer() => json!({"type": "integer"}),
        other if other.is_floating() => json!({"type": "number"}),
        other => match field::item(other) {
            Some(item) => json!({"type": "array", "items": of(item.data_type())}),
            None => json!({"type": "string"}),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::datatypes::Field;

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
        assert_eq!(schema["properties"]["p"]["properties"]["x"], json!({"type": "number", "description": "in m"}));
        assert_eq!(schema["properties"]["l"], json!({"type": "array", "items": {"type": "number"}}));
        assert_eq!(schema["properties"]["b"]["contentEncoding"], "base16");
    }
}
