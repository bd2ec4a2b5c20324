//! Finalizing: everything that a session holds goes to the shared catalog with plain writes, and when all of them are
//! acknowledged one conditional statement on the partition of the sequence makes it visible, at once.
//!
//! | a crash                         | leaves                                    | and then                                  |
//! |---------------------------------|-------------------------------------------|-------------------------------------------|
//! | before the conditional one      | rows that nobody looks at                 | finalizing again writes the same ones     |
//! | behind it                       | a final session that is open in the store | the next start makes it final there too   |

use std::sync::Arc;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::future::try_join_all;
use futures::stream;

use super::cluster::Conditional;
use super::cluster::Rounds;
use super::documents;
use super::documents::Kind;
use super::fault::damaged;
use super::heads::Head;
use super::heads::Life;
use super::heads::SequenceState;
use super::heads::SessionRow;
use super::node::Node;
use super::notifications;
use super::published;
use super::published::Published;
use super::published::SegmentPlace;
use super::published::ZONE_LEN_MAX;
use super::sessions;
use super::topics;
use crate::catalog::Catalog;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::catalog::SegmentKey;
use crate::catalog::SegmentView;
use crate::catalog::ZoneMap;
use crate::catalog::encode_directory;
use crate::catalog::judge::judge;
use crate::model::Refusal;
use crate::model::SequenceId;
use crate::model::SessionHead;
use crate::model::SessionId;
use crate::model::SessionState;
use crate::model::SessionView;
use crate::model::Statistics;
use crate::model::TimeRange;
use crate::model::TopicView;

/// Topics that are published beside each other. Each holds the directory of one segment, at most 4 MiB.
const TOPICS_AT_ONCE: usize = 16;

/// Segments that are asked for at a time.
const PAGE: u32 = 256;

/// A topic with where its segments go.
struct Plan {
    view: TopicView,
    ordinal: i32,
    place: SegmentPlace,
}

pub async fn finalize(node: &Arc<Node>, id: SessionId, completed_at_ns: i64) -> Result<SessionHead, CatalogError> {
    let name = match node.local.session_head(id).await {
        Err(CatalogError::NotFound { .. }) => return Err(not_here(node, id).await?),
        own => own?.sequence_name,
    };
    let mut turn = node.lanes.enter(&name);
    turn.begin().await;
    let SessionView { head: session, mut topics } = node.local.session(id).await?;
    for topic in topics.extract_if(.., |topic| node.unsure.has(topic.head.id)) {
        topics::give_up(node, session.sequence, &topic.head).await?;
    }
    let cluster = &node.cluster;
    let none = || CatalogError::not_found(Entity::Session, id);
    let head = Head::live(cluster, session.sequence).await?.ok_or_else(none)?;
    let row = head.live_session(id).ok_or_else(none)?;
    let completed = match row.life {
        // An earlier call got this far.
        Life::Final => {
            if session.state == SessionState::Open {
                let plans = plan(node, topics, row.number).await?;
                same(id, row, &published::digest(&plans.iter().map(Plan::to_published).collect::<Vec<_>>()))?;
            }
            row.completed_at_ns.unwrap_or(completed_at_ns)
        }
        Life::Open | Life::Deleted => {
            // The own store may have it final already, when it was made again from the files.
            let completed_at_ns = session.completed_at_ns.unwrap_or(completed_at_ns);
            if session.state == SessionState::Open {
                judge(&session, topics.iter().map(|topic| (&topic.head.name.path, topic.head.state)))?;
            }
            let plans = plan(node, topics, row.number).await?;
            let published: Vec<Published> = plans.iter().map(Plan::to_published).collect();
            let uploads = plans.into_iter().map(|plan| publish(Arc::clone(node), head.id, plan));
            stream::iter(uploads).buffer_unordered(TOPICS_AT_ONCE).try_collect::<()>().await?;
            for (topic, notification) in node.local.interruptions(id, completed_at_ns).await? {
                notifications::add_once(node, topic, notification).await?;
            }
            node.finalizing.add(id);
            flip(node, &head, id, &published, completed_at_ns).await?
        }
    };
    if session.state == SessionState::Open {
        sessions::follow_final(node, id, completed).await;
    }
    Ok(SessionHead { state: SessionState::Final, completed_at_ns: Some(completed), ..session })
}

/// Why a session that the own store does not know is not finalized here.
async fn not_here(node: &Node, id: SessionId) -> Result<CatalogError, CatalogError> {
    let (_, row) = node.session(id).await?;
    match row.node == node.id {
        false => Ok(CatalogError::refused(Entity::Session, id, Refusal::OtherServer)),
        true => {
            Ok(damaged(format_args!("session {id}"), "it should be recorded here, and the own store does not know it"))
        }
    }
}

/// The one statement. Returns when the session became final, which may have been an earlier call's doing.
async fn flip(
    node: &Node,
    head: &Head,
    id: SessionId,
    topics: &[Published],
    completed_at_ns: i64,
) -> Result<i64, CatalogError> {
    let cluster = &node.cluster;
    let none = || CatalogError::not_found(Entity::Session, id);
    let digest = published::digest(topics);
    let count = i32::try_from(topics.len()).unwrap_or(i32::MAX);
    let bytes: i64 = topics.iter().map(|topic| i64::from(topic.metadata.1)).sum();
    let mut rounds = Rounds::of("finalizing a session");
    loop {
        let now = Head::read(cluster, head.id, rounds.certainty()).await?;
        let now = now.filter(|now| now.state == SequenceState::Live).ok_or_else(none)?;
        let row = now.live_session(id).ok_or_else(none)?;
        match row.life {
            Life::Final => return same(id, row, &digest).map(|()| row.completed_at_ns.unwrap_or(completed_at_ns)),
            Life::Deleted => return Err(none()),
            Life::Open => {}
        }
        let key = sessions::key(id);
        let values = (completed_at_ns, count, bytes, &digest[..], head.id.0, key.as_str(), node.id);
        match cluster.try_to(&cluster.statements.session_finalize, values).await? {
            Conditional::Applied => return Ok(completed_at_ns),
            other => rounds.again(&other).await?,
        }
    }
}

/// # Errors
/// `Corrupt` when the session that is final for all has other topics than these.
fn same(id: SessionId, row: &SessionRow, digest: &[u8; 16]) -> Result<(), CatalogError> {
    match row.digest == digest {
        true => Ok(()),
        false => Err(damaged(format_args!("session {id}"), "it was finalized with other topics than it has")),
    }
}

/// Numbers the segments of a session through, topic after topic.
async fn plan(node: &Node, topics: Vec<TopicView>, session: i32) -> Result<Vec<Plan>, CatalogError> {
    let (mut plans, mut first) = (Vec::with_capacity(topics.len()), 0);
    for (ordinal, view) in (0..).zip(topics) {
        let count = if view.totals.chunks == 0 { 0 } else { segments(node, &view).await?.len() };
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        plans.push(Plan { view, ordinal, place: SegmentPlace { session, first, count } });
        first += i64::from(count);
    }
    Ok(plans)
}

async fn segments(node: &Node, view: &TopicView) -> Result<Vec<SegmentView>, CatalogError> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let page = node.local.segments(view.head.id, TimeRange::ALL, cursor, PAGE).await?;
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

/// Writes everything of one topic. Repeating it writes the same.
async fn publish(node: Arc<Node>, sequence: SequenceId, plan: Plan) -> Result<(), CatalogError> {
    let (cluster, topic) = (&node.cluster, plan.view.head.id);
    for number in 0..u32::try_from(plan.place.count).unwrap_or(0) {
        segment(&node, sequence, &plan, number).await?;
    }
    let head = &plan.view.head;
    let metadata = head.metadata.as_str().as_bytes();
    documents::put_topic(cluster, topic, Kind::Metadata, metadata).await?;
    if let Some(schema) = &plan.view.schema {
        documents::put_topic(cluster, topic, Kind::Schema, schema).await?;
    }
    let place = (topic.0, sequence.0, head.session.0, head.name.path.as_str());
    cluster.write(&cluster.statements.topic_place, place).await?;
    let row = plan.to_row(sequence);
    cluster.write(&cluster.statements.topic, row).await
}

/// Writes the directory of a segment, and its zone map behind it.
async fn segment(node: &Node, sequence: SequenceId, plan: &Plan, number: u32) -> Result<(), CatalogError> {
    let cluster = &node.cluster;
    let topic = plan.view.head.id;
    let key = SegmentKey { topic, number };
    let records = node.local.directory(key).await?;
    let wrong = |why: String| CatalogError::corrupt(format_args!("segment {number} of topic {topic}"), why);
    let packed = encode_directory(key, &records).map_err(|error| wrong(error.to_string()))?;
    let zone = ZoneMap::of(&records).ok_or_else(|| wrong("it has no chunks".to_owned()))?;
    drop(records);
    let stored_number = i32::try_from(number).map_err(|error| wrong(error.to_string()))?;
    let part = plan.place.directory_part(number);
    let pieces = documents::pieces(&packed).map(|(piece, bytes)| {
        cluster.write(&cluster.statements.directory, (sequence.0, part, topic.0, stored_number, piece, bytes))
    });
    try_join_all(pieces).await?;
    let encoded = match zone.encode() {
        long if long.len() > ZONE_LEN_MAX => ZoneMap { statistics: Statistics::default(), ..zone.clone() }.encode(),
        short => short,
    };
    let len = i32::try_from(packed.len()).map_err(|error| wrong(error.to_string()))?;
    let part = plan.place.segment_part(number);
    let (first, last) = (zone.bounds.first, zone.bounds.last);
    let values = (sequence.0, part, topic.0, stored_number, first, last, encoded, len);
    cluster.write(&cluster.statements.segment, values).await
}

impl Plan {
    fn to_published(&self) -> Published {
        Published {
            head: self.view.head.clone(),
            ordinal: self.ordinal,
            totals: self.view.totals,
            segments: self.place.count,
            first_segment: self.place.first,
            metadata: inline(Some(self.view.head.metadata.as_str().as_bytes())),
            schema: inline(self.view.schema.as_deref()),
        }
    }

    fn to_row(&self, sequence: SequenceId) -> impl scylla::serialize::row::SerializeRow {
        let Published { head, ordinal, totals, segments, first_segment, metadata, schema } = self.to_published();
        let sum = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Row {
            sequence_id: sequence.0,
            topic_id: head.id.0,
            session_id: head.session.0,
            ordinal,
            path: head.name.path.as_str().to_owned(),
            tag: head.tag.as_str().to_owned(),
            format: head.format.as_str().to_owned(),
            state: head.state as i8,
            shard: head.shard.0.into(),
            device: head.device.0.into(),
            created: head.created_at_ns,
            completed: head.completed_at_ns,
            row_count: sum(totals.rows),
            file_bytes: sum(totals.file_bytes),
            chunks: sum(totals.chunks),
            first: totals.bounds.map(|bounds| bounds.first),
            last: totals.bounds.map(|bounds| bounds.last),
            segments,
            first_segment,
            metadata: metadata.0,
            metadata_len: metadata.1,
            schema_bytes: schema.0,
            schema_len: schema.1,
        }
    }
}

#[derive(scylla::SerializeRow)]
struct Row {
    sequence_id: uuid::Uuid,
    topic_id: uuid::Uuid,
    session_id: uuid::Uuid,
    ordinal: i32,
    path: String,
    tag: String,
    format: String,
    state: i8,
    shard: i32,
    device: i32,
    created: i64,
    completed: Option<i64>,
    row_count: i64,
    file_bytes: i64,
    chunks: i64,
    first: Option<i64>,
    last: Option<i64>,
    segments: i32,
    first_segment: i64,
    metadata: Option<Vec<u8>>,
    metadata_len: i32,
    schema_bytes: Option<Vec<u8>>,
    schema_len: i32,
}

/// What of a document lies in the row, and its length; below zero for none.
fn inline(document: Option<&[u8]>) -> (Option<Vec<u8>>, i32) {
    let Some(bytes) = document else { return (None, -1) };
    let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    ((bytes.len() <= documents::INLINE_LEN_MAX).then(|| bytes.to_vec()), len)
}
