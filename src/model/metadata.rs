//! User metadata: a JSON object that belongs to the client. Its text is kept as it came, so numbers keep all their digits.

use serde_json::Value;

/// A checked JSON object, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMetadata(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    #[error("user metadata is no JSON object: {0}")]
    NotAnObject(String),
    #[error("user metadata of {len} bytes: at most {max}")]
    Length { len: usize, max: usize },
    #[error("user metadata is nested {depth} deep: at most {max}")]
    Depth { depth: usize, max: usize },
    #[error("user metadata has more than {max} values")]
    Nodes { max: usize },
    #[error("user metadata has a text of {len} bytes: at most {max}")]
    Text { len: usize, max: usize },
    #[error(
        "user metadata key {key:?}: keys have letters, digits, '_', '-' (not two in a row) and spaces, and at least one"
    )]
    Key { key: String },
}

impl UserMetadata {
    pub const LEN_MAX: usize = 1 << 20; // bytes of JSON text
    pub const DEPTH_MAX: usize = 32;
    pub const NODES_MAX: usize = 10_000;
    pub const TEXT_LEN_MAX: usize = 64 << 10; // bytes of one key or text

    /// The empty object `{}`.
    pub fn empty() -> Self {
        Self("{}".to_owned())
    }

    /// `null` counts as the empty object: clients fail on a null they get back.
    ///
    /// # Errors
    /// [`MetadataError`] naming the limit or the key that is wrong.
    pub fn parse(text: &str) -> Result<Self, MetadataError> {
        let len = text.len();
        if len > Self::LEN_MAX {
            return Err(MetadataError::Length { len, max: Self::LEN_MAX });
        }
        // serde_json itself stops at 128 levels, so this cannot exhaust the stack.
        let value: Value = serde_json::from_str(text).map_err(|e| MetadataError::NotAnObject(e.to_string()))?;
        match &value {
            Value::Null => return Ok(Self::empty()),
            Value::Object(_) => {}
            _ => return Err(MetadataError::NotAnObject("another kind of value".to_owned())),
        }
        let mut nodes = 0;
        check(&value, 1, &mut nodes)?;
        Ok(Self(text.to_owned()))
    }

    /// The JSON text of the object.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(value: &Value, depth: usize, nodes: &mut usize) -> Result<(), MetadataError> {
    *nodes += 1;
    if *nodes > UserMetadata::NODES_MAX {
        return Err(MetadataError::Nodes { max: UserMetadata::NODES_MAX });
    }
    if depth > UserMetadata::DEPTH_MAX {
        return Err(MetadataError::Depth { depth, max: UserMetadata::DEPTH_MAX });
    }
    let text = |text: &str| match text.len() {
        len if len > UserMetadata::TEXT_LEN_MAX => Err(MetadataError::Text { len, max: UserMetadata::TEXT_LEN_MAX }),
        _ => Ok(()),
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(s) => text(s),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1, nodes)),
        Value::Object(members) => members.iter().try_for_each(|(key, item)| {
            text(key)?;
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
            if key.is_empty() || key.contains("--") || !key.chars().all(allowed) {
                return Err(MetadataError::Key { key: key.chars().take(80).collect() });
            }
            check(item, depth + 1, nodes)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_as_it_came() {
        let text = r#"{"n": 12345678901234567890123, "f":1.10, "_ros_": {"a b": [1, null]}}"#;
        assert_eq!(UserMetadata::parse(text).unwrap().as_str(), text);
        assert_eq!(UserMetadata::parse("null").unwrap().as_str(), "{}");
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        assert!(matches!(UserMetadata::parse("[]"), Err(MetadataError::NotAnObject(_))));
        assert!(matches!(UserMetadata::parse(r#"{"a.b": 1}"#), Err(MetadataError::Key { key }) if key == "a.b"));
        assert!(matches!(UserMetadata::parse(r#"{"a": {"--": 1}}"#), Err(MetadataError::Key { .. })));
        let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
        assert!(matches!(UserMetadata::parse(&deep), Err(MetadataError::Depth { .. })));
        let wide = format!(r#"{{"a": [{}0]}}"#, "0,".repeat(10_000));
        assert!(matches!(UserMetadata::parse(&wide), Err(MetadataError::Nodes { .. })));
        let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(65_537));
        assert!(matches!(UserMetadata::parse(&long), Err(MetadataError::Text { .. })));
    }
}
