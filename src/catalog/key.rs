//! Keys and cursors: where something lies in the catalog, and where a page ended.

use uuid::Uuid;

use super::CatalogError;
use crate::model::SequenceName;
use crate::model::TopicId;

/// A segment: up to 256 chunks of a topic, numbered from 0 in the order they were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentKey {
    pub topic: TopicId,
    pub number: u32,
}

/// The last item of a page; the next page begins behind it. Stateless: it survives a restart, and items that come or go
/// between two pages make no other item appear twice or be skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    Sequence(SequenceName),
    Segment(SegmentKey),
    /// A topic, by its number.
    Topic(i64),
}

/// Items of one page, and where the next begins; `None` behind the last page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

/// Most items of one page: a larger `limit` gives pages of this size.
pub const PAGE_ITEMS_MAX: u32 = 1000;

/// Pages end behind the item with which their metadata passes this, however few these are.
pub const PAGE_BYTES: usize = 2 << 20;

impl Cursor {
    /// Text for a client to hand back, read by [`Self::parse`].
    pub fn to_text(&self) -> String {
        match self {
            Self::Sequence(name) => format!("1n{name}"),
            Self::Segment(key) => format!("1s{}{:08x}", key.topic, key.number),
            Self::Topic(number) => format!("1t{number}"),
        }
    }

    /// # Errors
    /// [`CatalogError::Invalid`] for a text that [`Self::to_text`] never made.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let invalid = || CatalogError::Invalid { field: "cursor", why: "this is no cursor of ours".to_owned() };
        let cursor = if let Some(name) = text.strip_prefix("1n") {
            Self::Sequence(SequenceName::parse(name).map_err(|_| invalid())?)
        } else if let Some(number) = text.strip_prefix("1t") {
            Self::Topic(number.parse().map_err(|_| invalid())?)
        } else {
            let key = text.strip_prefix("1s").ok_or_else(invalid)?;
            let (topic, number) = key.split_at_checked(32).ok_or_else(invalid)?;
            let topic = TopicId(Uuid::try_parse(topic).map_err(|_| invalid())?);
            Self::Segment(SegmentKey { topic, number: u32::from_str_radix(number, 16).map_err(|_| invalid())? })
        };
        if cursor.to_text() == text { Ok(cursor) } else { Err(invalid()) }
    }

    /// The number of the first segment behind this cursor.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] when the cursor is of another list or another topic.
    pub fn segment_after(&self, topic: TopicId) -> Result<u32, CatalogError> {
        match self {
            Self::Segment(key) if key.topic == topic => Ok(key.number.saturating_add(1)),
            Self::Segment(_) | Self::Sequence(_) | Self::Topic(_) => {
                Err(CatalogError::Invalid { field: "cursor", why: format!("it does not belong to topic {topic}") })
            }
        }
    }
}

/// The size of the page to make.
///
/// # Errors
/// [`CatalogError::Invalid`] for 0: such a page would never end.
pub fn page_items(limit: u32) -> Result<u32, CatalogError> {
    match limit {
        0 => Err(CatalogError::Invalid { field: "limit", why: "a page has at least one item".to_owned() }),
        limit => Ok(limit.min(PAGE_ITEMS_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_as_they_went_out() {
        let key = SegmentKey { topic: TopicId(Uuid::from_u128(7)), number: u32::MAX };
        let name = SequenceName::parse("drive").unwrap();
        for cursor in [Cursor::Sequence(name), Cursor::Segment(key), Cursor::Topic(0), Cursor::Topic(i64::MAX)] {
            assert_eq!(Cursor::parse(&cursor.to_text()), Ok(cursor));
        }
        for bad in [
            "",
            "1",
            "1n",
            "1n/drive",
            "1s",
            "1sé",
            "2ndrive",
            "1s0000000000000000000000000000000g00000000",
            "1t",
            "1t+1",
        ] {
            assert!(matches!(Cursor::parse(bad), Err(CatalogError::Invalid { .. })), "{bad}");
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let topic = TopicId(Uuid::from_u128(1));
        let key = SegmentKey { topic, number: 4 };
        assert_eq!(Cursor::Segment(key).segment_after(topic), Ok(5));
        assert!(Cursor::Segment(key).segment_after(TopicId(Uuid::from_u128(2))).is_err());
        assert!(Cursor::Sequence(SequenceName::parse("drive").unwrap()).segment_after(topic).is_err());
    }
}
