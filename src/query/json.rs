//! JSON with every number exact and the order of its members. Floats are the nearest to their digits, which the usual parser
//! does not promise; integers keep all of theirs.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::Error;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;

use crate::model::Number;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What becomes of a key that comes twice.
#[derive(Clone, Copy)]
pub(super) enum Twice {
    /// Of two conditions none may be lost.
    Refused,
    LastCounts,
}

impl Json {
    /// # Errors
    /// When the text is no JSON, nests deeper than 128, has a number that is not finite, or a key twice.
    pub fn parse(text: &[u8], twice: Twice) -> serde_json::Result<Self> {
        // The whole is checked here once, and how deep it nests.
        let raw: &RawValue = serde_json::from_slice(text)?;
        Self::from_raw(raw, twice)
    }

    fn from_raw(raw: &RawValue, twice: Twice) -> serde_json::Result<Self> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let members = serde_json::Deserializer::from_str(text).deserialize_map(Members)?;
                let mut seen = HashSet::new();
                if let Some((key, _)) = members.iter().find(|(key, _)| !seen.insert(key.as_str()))
                    && matches!(twice, Twice::Refused)
                {
                    let key: String = key.chars().take(80).collect();
                    return Err(serde_json::Error::custom(format!("the key {key:?} comes twice")));
                }
                let member = |(key, raw): (String, &RawValue)| Ok((key, Self::from_raw(raw, twice)?));
                Self::Object(members.into_iter().map(member).collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Self::List(items.into_iter().map(|raw| Self::from_raw(raw, twice)).collect::<serde_json::Result<_>>()?)
            }
            Some(b'"') => Self::Text(serde_json::from_str(text)?),
            Some(b't') => Self::Boolean(true),
            Some(b'f') => Self::Boolean(false),
            Some(b'n') => Self::Null,
            _ => Self::Number(number(text)?),
        })
    }

    /// Said in errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

fn number(text: &str) -> serde_json::Result<Number> {
    if let Ok(integer) = text.parse() {
        return Ok(Number::Integer(integer));
    }
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(Number::Float(float)),
        _ => Err(serde_json::Error::custom("a number out of range")),
    }
}

/// The members of an object as they stand there.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            members.push(entry);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        let parsed = |text: &str| Json::parse(text.as_bytes(), Twice::Refused).unwrap();
        for (text, float) in [("5e-324", 5e-324), ("0.1", 0.1), ("1.7976931348623157e308", f64::MAX), ("-0.0", -0.0)] {
            assert!(
                matches!(parsed(text), Json::Number(Number::Float(found)) if found.to_bits() == float.to_bits()),
                "{text}"
            );
        }
        let large = i128::from(u64::MAX);
        assert_eq!(parsed(&large.to_string()), Json::Number(Number::Integer(large)));
        for text in ["1e400", "NaN", "Infinity", "01", "+1", "", "[1", "{\"a\": 1, \"a\": 2}"] {
            assert!(Json::parse(text.as_bytes(), Twice::Refused).is_err(), "{text}");
        }
        let twice = Json::parse(b"{\"a\": 1, \"a\": 2}", Twice::LastCounts).unwrap();
        assert!(matches!(twice, Json::Object(members) if members.len() == 2));
        assert!(Json::parse(&b"[".repeat(1 << 20), Twice::Refused).is_err());
    }
}
