//! Names of sequences, topics and ontology tags. Checked here, trusted everywhere else.

use std::fmt;

/// Characters the protocol forbids in every name, beside everything that is not printable ASCII.
const FORBIDDEN: &[char] = &['!', '"', '\'', '*', '$', '%', '&', '.', ' '];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("{what} of {len} bytes: it must have 1 to {max} bytes")]
    Length { what: &'static str, len: usize, max: usize },
    #[error("{what} has the character {found:?} at byte {at}: use letters, digits, '_' and '-'{also}", also = also(*slash))]
    Character { what: &'static str, found: char, at: usize, slash: bool },
    #[error("topic path has an empty part at byte {at}: one '/' between parts, none at the ends")]
    EmptyPart { at: usize },
    #[error("{0:?} is no locator: write sequence, sequence/topic/path or sequence:session")]
    Locator(String),
}

fn also(slash: bool) -> &'static str {
    if slash { ", and '/' between parts" } else { "" }
}

/// Which separators a name may contain.
#[derive(Clone, Copy, PartialEq)]
enum Slash {
    Allowed,
    Refused,
}

fn check(what: &'static str, text: &str, max: usize, slash: Slash) -> Result<(), NameError> {
    let len = text.len();
    if !(1..=max).contains(&len) {
        return Err(NameError::Length { what, len, max });
    }
    let allowed =
        |c: char| c.is_ascii_graphic() && c != ':' && !FORBIDDEN.contains(&c) && (c != '/' || slash == Slash::Allowed);
    match text.char_indices().find(|&(_, c)| !allowed(c)) {
        Some((at, found)) => Err(NameError::Character { what, found, at, slash: slash == Slash::Allowed }),
        None => Ok(()),
    }
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Name of a sequence, e.g. `drive_2026-11-21`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceName(String);

impl SequenceName {
    pub const LEN_MAX: usize = 255; // bytes

    /// Takes the name without the slashes that clients put before or behind it.
    ///
    /// # Errors
    /// [`NameError::Length`] outside `1..=LEN_MAX` bytes, [`NameError::Character`] for anything but printable ASCII
    /// without `/`, `:` and the characters the protocol forbids.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim_matches('/');
        check("sequence name", text, Self::LEN_MAX, Slash::Refused)?;
        Ok(Self(text.to_owned()))
    }
}

text!(SequenceName);

/// Path of a topic inside its sequence, without a leading slash, e.g. `camera/front`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPath(String);

impl TopicPath {
    pub const LEN_MAX: usize = 1024; // bytes

    /// # Errors
    /// [`NameError::Length`] outside `1..=LEN_MAX` bytes, [`NameError::Character`] as for sequences but with `/` allowed,
    /// [`NameError::EmptyPart`] for a slash at an end or two in a row.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check("topic path", text, Self::LEN_MAX, Slash::Allowed)?;
        let mut at = 0;
        for part in text.split('/') {
            if part.is_empty() {
                return Err(NameError::EmptyPart { at });
            }
            at += part.len() + 1;
        }
        Ok(Self(text.to_owned()))
    }
}

text!(TopicPath);

/// Name of the model a topic carries, e.g. `IMU`. Users bring their own, so any printable text is a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OntologyTag(String);

impl OntologyTag {
    pub const LEN_MAX: usize = 255; // bytes

    /// # Errors
    /// [`NameError::Length`] outside `1..=LEN_MAX` bytes, [`NameError::Character`] for control characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (what, len, max) = ("ontology tag", text.len(), Self::LEN_MAX);
        if !(1..=max).contains(&len) {
            return Err(NameError::Length { what, len, max });
        }
        match text.char_indices().find(|&(_, c)| c.is_control()) {
            Some((at, found)) => Err(NameError::Character { what, found, at, slash: false }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

text!(OntologyTag);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_a_sequence_name_are_dropped() {
        assert_eq!(SequenceName::parse("/drive_1/").unwrap().as_str(), "drive_1");
    }

    #[test]
    fn forbidden_characters_are_named_with_their_place() {
        for bad in ["a b", "a.b", "a:b", "a/b", "a*b", "a\u{e9}", "a\nb", "..", "a'b"] {
            let error = SequenceName::parse(bad).unwrap_err();
            assert!(matches!(error, NameError::Character { .. }), "{bad:?}: {error}");
        }
        assert!(matches!(SequenceName::parse(""), Err(NameError::Length { len: 0, .. })));
        assert!(SequenceName::parse(&"x".repeat(255)).is_ok());
        assert!(SequenceName::parse(&"x".repeat(256)).is_err());
    }

    #[test]
    fn topic_paths_have_no_empty_part() {
        assert!(TopicPath::parse("camera/front").is_ok());
        for bad in ["/a", "a/", "a//b"] {
            assert!(matches!(TopicPath::parse(bad), Err(NameError::EmptyPart { .. })), "{bad}");
        }
        assert!(TopicPath::parse(&"x".repeat(1025)).is_err());
    }
}
