//! Serialization formats: what a client says about the shape of a topic's rows.

use std::fmt;

/// Told by the client at topic_create and given back as it came. How rows are written is decided by the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerializationFormat {
    /// Flat columns.
    Default,
    /// Lists of varying length, such as point clouds.
    Ragged,
    /// Large binary payloads.
    Image,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("serialization format {0:?} is unknown: use default, ragged or image")]
pub struct FormatError(String);

impl SerializationFormat {
    /// # Errors
    /// [`FormatError`] for anything but the three names.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        match text {
            "default" => Ok(Self::Default),
            "ragged" => Ok(Self::Ragged),
            "image" => Ok(Self::Image),
            other => Err(FormatError(other.chars().take(80).collect())),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Ragged => "ragged",
            Self::Image => "image",
        }
    }
}

impl fmt::Display for SerializationFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
