//! Segments and chunks of topics: final ones from the shared catalog, open ones of this node from its own store.

use std::sync::Arc;

use super::cluster::Certainty;
use super::documents;
use super::fault::damaged;
use super::node::Node;
use super::node::TopicPlace;
use super::published;
use super::published::SegmentPlace;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Cursor;
use crate::catalog::Entity;
use crate::catalog::PAGE_BYTES;
use crate::catalog::Page;
use crate::catalog::SegmentKey;
use crate::catalog::SegmentView;
use crate::catalog::ZoneMap;
use crate::catalog::decode_directory;
use crate::catalog::page_items;
use crate::model::ChunkRecord;
use crate::model::Predicate;
use crate::model::Statistics;
use crate::model::TimeRange;
use crate::model::TopicId;
use crate::model::may_match;

/// Rows that are asked for at a time: 16 MiB at most.
const ROWS: i32 = 64;

type Row = (i32, i64, i64, Vec<u8>);

pub async fn page(
    node: &Node,
    topic: TopicId,
    range: TimeRange,
    predicate: Option<Arc<Predicate>>,
    (cursor, limit): (Option<Cursor>, u32),
) -> Result<Page<SegmentView>, CatalogError> {
    let items_max = page_items(limit)? as usize;
    let from = cursor.as_ref().map_or(Ok(0), |cursor| cursor.segment_after(topic))?;
    let place = node.topic(topic).await?;
    if place.is_local(node) {
        return match predicate {
            Some(predicate) => node.local.segments_matching(topic, range, predicate, cursor, limit).await,
            None => node.local.segments(topic, range, cursor, limit).await,
        };
    }
    let segments = segment_place(node, &place, topic).await?;
    let count = u32::try_from(segments.count).unwrap_or(0);
    let (mut items, mut next) = (Vec::new(), from);
    while next < count {
        let rows = read(node, &place, topic, &segments, next).await?;
        for (number, row) in (next..).zip(rows) {
            let key = SegmentKey { topic, number };
            let (view, zone) = parse(key, row)?;
            let holds = range.overlaps(&view.bounds)
                && predicate.as_ref().is_none_or(|predicate| may_match(&zone.statistics, predicate));
            next = number + 1;
            if !holds {
                continue;
            }
            items.push(view);
            if items.len() == items_max {
                let more = (next < count).then_some(Cursor::Segment(key));
                return Ok(Page { items, next: more });
            }
        }
    }
    Ok(Page { items, next: None })
}

/// Segments with what is known of their values.
pub async fn zones(
    node: &Node,
    topic: TopicId,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<Page<(SegmentView, Statistics)>, CatalogError> {
    let items_max = page_items(limit)? as usize;
    let mut next = cursor.as_ref().map_or(Ok(0), |cursor| cursor.segment_after(topic))?;
    let place = node.topic(topic).await?;
    if place.is_local(node) {
        return node.local.zones(topic, cursor, limit).await;
    }
    let segments = segment_place(node, &place, topic).await?;
    let count = u32::try_from(segments.count).unwrap_or(0);
    let (mut items, mut bytes) = (Vec::new(), 0);
    while next < count {
        let rows = read(node, &place, topic, &segments, next).await?;
        for (number, row) in (next..).zip(rows) {
            let key = SegmentKey { topic, number };
            bytes += row.3.len();
            let (view, zone) = parse(key, row)?;
            items.push((view, zone.statistics));
            next = number + 1;
            if items.len() == items_max || bytes >= PAGE_BYTES {
                let more = (next < count).then_some(Cursor::Segment(key));
                return Ok(Page { items, next: more });
            }
        }
    }
    Ok(Page { items, next: None })
}

/// Some segments from a number on, without a gap, at least one.
async fn read(
    node: &Node,
    place: &TopicPlace,
    topic: TopicId,
    segments: &SegmentPlace,
    from: u32,
) -> Result<Vec<Row>, CatalogError> {
    let part = segments.segment_part(from);
    let number = i32::try_from(from).unwrap_or(i32::MAX);
    let limit = ROWS.min(segments.count.saturating_sub(number));
    let values = (place.head.id.0, part, topic.0, number, limit);
    let rows: Vec<Row> = node.cluster.rows(&node.cluster.statements.segment_read, values).await?;
    let whole = (number..).zip(&rows).all(|(wanted, row)| wanted == row.0);
    match whole && !rows.is_empty() {
        true => Ok(rows),
        // Fewer segments must never pass for fewer rows.
        false => Err(missing(node, place, topic, from).await),
    }
}

fn parse(key: SegmentKey, (_, first, last, zone): Row) -> Result<(SegmentView, ZoneMap), CatalogError> {
    let name = || format!("segment {} of topic {}", key.number, key.topic);
    let zone = ZoneMap::decode(&zone).map_err(|error| damaged(name(), error))?;
    if (first, last) != (zone.bounds.first, zone.bounds.last) {
        return Err(damaged(name(), "its columns and its zone map disagree about its times"));
    }
    let (bounds, chunks, rows, bytes) = (zone.bounds, zone.chunks.into(), zone.rows, zone.file_bytes);
    Ok((SegmentView { key, bounds, chunks, rows, bytes }, zone))
}

pub async fn directory(node: &Node, key: SegmentKey) -> Result<Vec<ChunkRecord>, CatalogError> {
    let place = node.topic(key.topic).await?;
    if place.is_local(node) {
        return node.local.directory(key).await;
    }
    let none = || {
        let name = format!("{} of topic {}", key.number, key.topic);
        CatalogError::not_found(Entity::Segment, name)
    };
    let segments = segment_place(node, &place, key.topic).await?;
    let number = i32::try_from(key.number).ok().filter(|number| *number < segments.count).ok_or_else(none)?;
    let cluster = &node.cluster;
    let values = (place.head.id.0, segments.segment_part(key.number), key.topic.0, number);
    let len: Option<(i32,)> = cluster.row(&cluster.statements.segment_one, values, Certainty::Answered).await?;
    let values = (place.head.id.0, segments.directory_part(key.number), key.topic.0, number);
    let packed = documents::gather(cluster, &cluster.statements.directory_read, values).await?;
    if len.and_then(|(len,)| usize::try_from(len).ok()) != Some(packed.len()) {
        return Err(missing(node, &place, key.topic, key.number).await);
    }
    decode_directory(key, &packed)
        .map_err(|error| damaged(format_args!("segment {} of topic {}", key.number, key.topic), error))
}

async fn segment_place(node: &Node, place: &TopicPlace, topic: TopicId) -> Result<SegmentPlace, CatalogError> {
    match published::one(node, &place.head, topic).await? {
        Some(found) => Ok(found.place(&place.session)),
        None => Err(missing(node, place, topic, 0).await),
    }
}

/// Why something that a final session has is not there: it was deleted meanwhile, or it is damaged.
async fn missing(node: &Node, place: &TopicPlace, topic: TopicId, number: u32) -> CatalogError {
    match super::heads::Head::live(&node.cluster, place.head.id).await {
        Ok(Some(head)) if head.live_session(place.session.id).is_some() => {
            damaged(format_args!("segment {number} of topic {topic}"), "it is not there, and its session is final")
        }
        Ok(_) => CatalogError::not_found(Entity::Topic, topic),
        Err(error) => error,
    }
}
