//! Locators: our addresses. `sequence`, `sequence/topic/path` or `sequence:session`.

use std::fmt;

use uuid::Uuid;

use super::NameError;
use super::SequenceName;
use super::SessionId;
use super::TopicPath;

/// A topic by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName {
    pub sequence: SequenceName,
    pub path: TopicPath,
}

impl TopicName {
    /// # Errors
    /// [`NameError`] when the text has no topic path or one of its parts is no name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match Locator::parse(text)? {
            Locator::Topic(name) => Ok(name),
            Locator::Sequence(_) | Locator::Session { .. } => Err(NameError::Locator(quote(text))),
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sequence, self.path)
    }
}

/// Any address a client can send.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Locator {
    Sequence(SequenceName),
    Topic(TopicName),
    Session { sequence: SequenceName, session: SessionId },
}

impl Locator {
    /// Longest text that can be a locator, in bytes; longer ones are refused before they are looped over.
    pub const LEN_MAX: usize = SequenceName::LEN_MAX + 1 + TopicPath::LEN_MAX + 2;

    /// Slashes before and behind are ignored, as clients add them.
    ///
    /// # Errors
    /// [`NameError`] saying which part is wrong and where.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::LEN_MAX {
            return Err(NameError::Length { what: "locator", len: text.len(), max: Self::LEN_MAX });
        }
        let inner = text.trim_matches('/');
        if let Some((sequence, path)) = inner.split_once('/') {
            let (sequence, path) = (SequenceName::parse(sequence)?, TopicPath::parse(path)?);
            return Ok(Self::Topic(TopicName { sequence, path }));
        }
        if let Some((sequence, session)) = inner.split_once(':') {
            let session = Uuid::try_parse(session).map_err(|_| NameError::Locator(quote(text)))?;
            return Ok(Self::Session { sequence: SequenceName::parse(sequence)?, session: SessionId(session) });
        }
        Ok(Self::Sequence(SequenceName::parse(inner)?))
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence(name) => name.fmt(f),
            Self::Topic(name) => name.fmt(f),
            Self::Session { sequence, session } => write!(f, "{sequence}:{session}"),
        }
    }
}

/// The part of a wrong text that an error message may repeat.
fn quote(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_back_as_it_went_in() {
        for text in ["drive", "drive/imu", "drive/camera/front", "drive:00000000000040008000000000000000"] {
            assert_eq!(Locator::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Locator::parse("/drive/imu/").unwrap().to_string(), "drive/imu");
    }

    #[test]
    fn what_is_no_locator_is_refused() {
        for text in ["", "/", "a//b", "a/../b", "a:b", "a b/c", "%2e/x", "a/b\0", "a\\..\u{202e}"] {
            assert!(Locator::parse(text).is_err(), "{text:?}");
        }
        assert!(TopicName::parse("drive").is_err());
        assert!(matches!(Locator::parse(&"x".repeat(5000)), Err(NameError::Length { what: "locator", .. })));
    }
}
