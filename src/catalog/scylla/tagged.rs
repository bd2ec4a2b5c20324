//! Topics by their tag, and what is known of the values in many of them. The shared catalog has no table for either: they are
//! what a walk through all sequences finds, and what is asked of one topic after the other.

use super::node::Node;
use super::segments;
use super::views;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::HeadText;
use crate::catalog::PAGE_BYTES;
use crate::catalog::PAGE_ITEMS_MAX;
use crate::catalog::Page;
use crate::catalog::SequenceContents;
use crate::catalog::Sieve;
use crate::catalog::TaggedTopic;
use crate::catalog::TopicZones;
use crate::catalog::Visibility;
use crate::model::OntologyTag;
use crate::model::SequenceName;
use crate::model::TopicId;

pub async fn page(
    node: &Node,
    tag: &OntologyTag,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<Page<TaggedTopic>, CatalogError> {
    let after = match cursor {
        None => None,
        Some(Cursor::Sequence(name)) => Some(name),
        Some(Cursor::Segment(_) | Cursor::Topic(_)) => {
            let why = "it is of another list than topics by their tag".to_owned();
            return Err(CatalogError::Invalid { field: "cursor", why });
        }
    };
    let Page { items, next } = views::contents(node, after.as_ref(), limit).await?;
    let topics = items.into_iter().flat_map(|own| own.topics).map(|topic| topic.head);
    let of_tag = topics.filter(|head| head.tag == *tag);
    let items = of_tag.map(|head| TaggedTopic { id: head.id, sequence: head.name.sequence, number: None }).collect();
    Ok(Page { items, next })
}

/// Whole sequences come from the cluster; they are looked through here.
pub async fn sifted(
    node: &Node,
    after: Option<&SequenceName>,
    limit: u32,
    sieve: &Sieve,
) -> Result<Page<SequenceContents>, CatalogError> {
    let mut page = views::contents(node, after, limit).await?;
    page.items.retain(|own| passes(own, sieve));
    Ok(page)
}

fn passes(own: &SequenceContents, sieve: &Sieve) -> bool {
    let head = HeadText {
        name: own.head.name.as_str(),
        tag: "",
        format: "",
        created_at_ns: own.head.created_at_ns,
        metadata: own.head.metadata.as_str(),
    };
    sieve.lets_sequence(&head)
        && own.topics.iter().any(|topic| {
            sieve.lets_topic(&HeadText {
                name: topic.head.name.path.as_str(),
                tag: topic.head.tag.as_str(),
                format: topic.head.format.as_str(),
                created_at_ns: topic.head.created_at_ns,
                metadata: topic.head.metadata.as_str(),
            })
        })
}

pub async fn zones_of(node: &Node, topics: &[TopicId]) -> Result<(Vec<TopicZones>, usize), CatalogError> {
    let (mut found, mut bytes) = (Vec::with_capacity(topics.len()), 0);
    for (at, topic) in topics.iter().enumerate() {
        if bytes >= PAGE_BYTES {
            return Ok((found, at));
        }
        match zones(node, *topic).await {
            Ok(Some(zones)) => {
                bytes += zones.segments.iter().map(|(_, known)| known.bytes.len()).sum::<usize>();
                bytes += zones.schema.as_ref().map_or(0, Vec::len);
                found.push(zones);
            }
            Ok(None) | Err(CatalogError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((found, topics.len()))
}

/// `None` for a topic of too many segments.
async fn zones(node: &Node, id: TopicId) -> Result<Option<TopicZones>, CatalogError> {
    let view = views::topic_by_id(node, id, Visibility::Final).await?;
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = segments::zones(node, id, cursor, PAGE_ITEMS_MAX).await?;
        all.extend(page.items);
        cursor = page.next;
        if all.len() > PAGE_ITEMS_MAX as usize {
            return Ok(None);
        }
        if cursor.is_none() {
            return Ok(Some(TopicZones { id, totals: view.totals, schema: view.schema, segments: all }));
        }
    }
}
