//! A request's JSON object: measured first, then split into its members, each parsed when it is asked for.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::WireError;
use crate::model::Locator;
use crate::model::NameError;
use crate::model::SequenceName;
use crate::model::Token;
use crate::model::TopicName;
use crate::model::UserMetadata;

/// What a document may measure. Checked in one pass over the bytes, without allocating.
pub(super) struct Limits {
    /// Said in errors.
    pub what: &'static str,
    pub len_max: usize,
    pub text_len_max: usize, // decoded bytes of one key or text
}

impl Limits {
    pub const ACTION: Self = Self { what: "action body", len_max: 1 << 20, text_len_max: 64 << 10 };
    /// A message that is too long is cut, not refused: a client in trouble must still be able to say so.
    pub const NOTIFICATION: Self = Self { text_len_max: 1 << 20, ..Self::ACTION };
    pub const DESCRIPTOR: Self = Self { what: "descriptor", len_max: 64 << 10, text_len_max: 64 << 10 };

    /// Deep enough for user metadata at its own limit, one level down.
    const DEPTH_MAX: usize = UserMetadata::DEPTH_MAX + 1;
    /// Room for the request's own members beside user metadata at its own limit.
    const NODES_MAX: usize = UserMetadata::NODES_MAX + 64;
}

/// The members of one JSON object, unparsed.
pub(super) struct Body<'a> {
    what: &'static str,
    members: BTreeMap<String, &'a RawValue>,
}

impl<'a> Body<'a> {
    /// An empty body counts as `{}`. Of a key that comes twice the last one counts, as in every JSON library in use.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, WireError> {
        let what = limits.what;
        if bytes.is_empty() {
            return Ok(Self { what, members: BTreeMap::new() });
        }
        measure(bytes, limits)?;
        Self::split(what, bytes)
    }

    fn split(what: &'static str, bytes: &'a [u8]) -> Result<Self, WireError> {
        let members = serde_json::from_slice(bytes).map_err(|e| WireError::Json { what, cause: cause(&e, bytes) })?;
        Ok(Self { what, members })
    }

    /// Whether the key is there and not null.
    pub fn has(&self, key: &str) -> bool {
        self.members.get(key).is_some_and(|raw| raw.get() != "null")
    }

    /// The JSON text of a key's value; `None` when it is absent or null.
    pub fn raw(&self, key: &str) -> Option<&'a str> {
        self.members.get(key).map(|raw| raw.get()).filter(|raw| *raw != "null")
    }

    /// Refuses keys that begin as ours do and are none of `known`: they would be left out of account in silence. Others are for
    /// others to know.
    ///
    /// # Errors
    /// [`WireError::UnknownKey`]
    pub fn check_own(&self, prefix: &str, known: &'static str) -> Result<(), WireError> {
        let is_unknown = |key: &&String| key.starts_with(prefix) && !known.split(", ").any(|known| known == *key);
        match self.members.keys().find(is_unknown) {
            Some(key) => Err(WireError::UnknownKey { key: key.chars().take(80).collect(), known }),
            None => Ok(()),
        }
    }

    /// The first of `keys` that is there; the first of all when none is, so that errors name today's key.
    pub fn first_of<const N: usize>(&self, keys: [&'static str; N]) -> &'static str {
        const { assert!(N > 0) };
        keys.into_iter().find(|key| self.has(key)).or(keys.into_iter().next()).unwrap_or_default()
    }

    fn member(&self, key: &'static str) -> Result<&'a str, WireError> {
        self.members.get(key).map(|raw| raw.get()).ok_or(WireError::Missing { what: self.what, key })
    }

    pub fn text(&self, key: &'static str) -> Result<String, WireError> {
        let raw = self.member(key)?;
        if !raw.starts_with('"') {
            return Err(WireError::Type { key, expected: "text", found: kind(raw) });
        }
        serde_json::from_str(raw).map_err(|e| WireError::Json { what: self.what, cause: cause(&e, raw.as_bytes()) })
    }

    /// `None` when the key is absent or null.
    pub fn integer(&self, key: &'static str) -> Result<Option<i64>, WireError> {
        if !self.has(key) {
            return Ok(None);
        }
        let (raw, expected) = (self.member(key)?, "integer of 64 bits");
        if kind(raw) != "number" {
            return Err(WireError::Type { key, expected, found: kind(raw) });
        }
        let found = || raw.chars().take(80).collect();
        serde_json::from_str(raw).map(Some).map_err(|_| WireError::Value { key, expected, found: found() })
    }

    /// Whether the key is there and `true`.
    pub fn flag(&self, key: &str) -> bool {
        self.members.get(key).is_some_and(|raw| raw.get() == "true")
    }

    pub fn object(&self, key: &'static str) -> Result<Self, WireError> {
        let raw = self.member(key)?;
        match kind(raw) {
            "object" => Self::split(self.what, raw.as_bytes()),
            found => Err(WireError::Type { key, expected: "object", found }),
        }
    }

    pub fn token(&self, key: &'static str) -> Result<Token, WireError> {
        let text = self.text(key)?;
        // The text is not repeated: a token with a slip of the pen is still nearly a token.
        Token::parse(&text).ok_or(WireError::Type { key, expected: "UUID", found: "another text" })
    }

    pub fn locator(&self, key: &'static str) -> Result<Locator, WireError> {
        self.name(key, Locator::parse)
    }

    pub fn sequence(&self, key: &'static str) -> Result<SequenceName, WireError> {
        self.name(key, SequenceName::parse)
    }

    pub fn topic(&self, key: &'static str) -> Result<TopicName, WireError> {
        self.name(key, TopicName::parse)
    }

    pub fn name<T>(&self, key: &'static str, parse: fn(&str) -> Result<T, NameError>) -> Result<T, WireError> {
        parse(&self.text(key)?).map_err(|cause| WireError::Name { key, cause })
    }

    /// `user_metadata` as it came; absent and null are the empty object.
    pub fn metadata(&self) -> Result<UserMetadata, WireError> {
        let key = "user_metadata";
        if !self.has(key) {
            return Ok(UserMetadata::empty());
        }
        let raw = self.member(key)?;
        match kind(raw) {
            "object" => Ok(UserMetadata::parse(raw)?),
            found => Err(WireError::Type { key, expected: "object", found }),
        }
    }
}

/// The kind of a JSON value, by its first byte.
fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "text",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// The parser's message. It names kinds and places, and the value only where a number or a text stands in place of an
/// object, which is where no token can be.
fn cause(error: &serde_json::Error, text: &[u8]) -> String {
    // Python's `json` writes these, and one line.
    let at = error.column().saturating_sub(1);
    let found = text.get(at..).filter(|_| error.line() == 1).unwrap_or_default();
    match ["NaN", "Infinity"].into_iter().find(|word| found.starts_with(word.as_bytes())) {
        Some(word) => format!("{word} at column {}: JSON has no such number, send null or a text", error.column()),
        None => error.to_string().chars().take(200).collect(),
    }
}

/// Length, depth, number of values and length of texts. Lenient about everything else: what is no JSON, the parser says.
fn measure(bytes: &[u8], limits: &Limits) -> Result<(), WireError> {
    let &Limits { what, len_max, text_len_max } = limits;
    let len = bytes.len();
    if len > len_max {
        return Err(WireError::Length { what, len, max: len_max });
    }
    let (mut depth, mut nodes) = (0_usize, 0_usize);
    let mut rest = bytes;
    // A value begins at a bracket, a text, or a byte of a number or word that follows none; keys count as values too.
    let mut in_word = false;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let starts = match byte {
            b'"' => {
                let (text_len, after) = skip_text(rest);
                if text_len > text_len_max {
                    return Err(WireError::Text { what, len: text_len, max: text_len_max });
                }
                rest = after;
                in_word = false;
                // A text that a colon follows is a key: only its value counts.
                after.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b':')
            }
            b'{' | b'[' => {
                depth += 1;
                in_word = false;
                true
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                in_word = false;
                false
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                in_word = false;
                false
            }
            _ => !std::mem::replace(&mut in_word, true),
        };
        if depth > Limits::DEPTH_MAX {
            return Err(WireError::Depth { what, max: Limits::DEPTH_MAX });
        }
        nodes += usize::from(starts);
        if nodes > Limits::NODES_MAX {
            return Err(WireError::Nodes { what, max: Limits::NODES_MAX });
        }
    }
    Ok(())
}

/// Bytes the text has once decoded, and what follows its closing quote. `bytes` starts behind the opening one.
fn skip_text(mut bytes: &[u8]) -> (usize, &[u8]) {
    let mut len = 0;
    loop {
        match bytes {
            [] => return (len, bytes),
            [b'"', tail @ ..] => return (len, tail),
            [b'\\', b'u', a, b, c, d, tail @ ..] => {
                len += match (a, b, c, d) {
                    (b'0', b'0', b'0'..=b'7', _) => 1,
                    (b'0', b'0'..=b'7', _, _) => 2,
                    // Two halves of a pair make one character of four bytes.
                    (b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', _, _) => 2,
                    _ => 3,
                };
                bytes = tail;
            }
            [b'\\', _, tail @ ..] | [_, tail @ ..] => {
                len += 1;
                bytes = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests;
