//! Notifications of sequences and topics, numbered as they come. They hang on ids: what is made again under an old name begins
//! without any.

use uuid::Uuid;

use super::heads::Head;
use super::node::Node;
use super::topics;
use crate::catalog::CatalogError;
use crate::catalog::Entity;
use crate::model::Notification;
use crate::model::NotificationTarget;
use crate::model::SequenceName;
use crate::model::TopicId;

pub fn sequence_of(target: &NotificationTarget) -> &SequenceName {
    match target {
        NotificationTarget::Sequence(name) => name,
        NotificationTarget::Topic(name) => &name.sequence,
    }
}

pub async fn add(node: &Node, target: &NotificationTarget, notification: Notification) -> Result<(), CatalogError> {
    let target = resolve(node, target).await?;
    let numbers = numbers(node, target).await?;
    let limit = u64::from(Notification::COUNT_MAX);
    if numbers.len() as u64 >= limit {
        let found = numbers.len() as u64 + 1;
        return Err(CatalogError::TooLarge { what: Notification::LIMITED, limit, found });
    }
    insert(node, target, (next(&numbers), node.ids.uuid()), notification).await
}

/// What finalizing tells of an interrupted topic. Above the limit per target too, and once, however often it is repeated.
pub async fn add_once(node: &Node, topic: TopicId, notification: Notification) -> Result<(), CatalogError> {
    let numbers = numbers(node, topic.0).await?;
    match numbers.iter().any(|(_, id)| *id == topic.0) {
        true => Ok(()),
        false => insert(node, topic.0, (next(&numbers), topic.0), notification).await,
    }
}

/// Oldest first.
pub async fn of(node: &Node, target: &NotificationTarget) -> Result<Vec<Notification>, CatalogError> {
    let target = resolve(node, target).await?;
    let rows: Vec<(i64, String)> = node.cluster.rows(&node.cluster.statements.notifications, (target,)).await?;
    Ok(rows.into_iter().map(|(created_at_ns, message)| Notification { message, created_at_ns }).collect())
}

/// Takes away those that are there, each by itself: one that comes at the same moment stays.
pub async fn purge(node: &Node, target: &NotificationTarget) -> Result<(), CatalogError> {
    let target = resolve(node, target).await?;
    let statement = &node.cluster.statements.notification_drop;
    for (number, id) in numbers(node, target).await? {
        node.cluster.write(statement, (target, number, id)).await?;
    }
    Ok(())
}

/// Of something that is gone for ever.
pub async fn forget(node: &Node, target: Uuid) -> Result<(), CatalogError> {
    node.cluster.write(&node.cluster.statements.notification_drop_all, (target,)).await
}

async fn numbers(node: &Node, target: Uuid) -> Result<Vec<(i64, Uuid)>, CatalogError> {
    node.cluster.rows(&node.cluster.statements.notified, (target,)).await
}

fn next(numbers: &[(i64, Uuid)]) -> i64 {
    numbers.last().map_or(0, |(last, _)| last.saturating_add(1))
}

async fn insert(
    node: &Node,
    target: Uuid,
    (number, id): (i64, Uuid),
    notification: Notification,
) -> Result<(), CatalogError> {
    let Notification { mut message, created_at_ns } = notification;
    message.truncate(message.floor_char_boundary(Notification::MESSAGE_LEN_MAX));
    let values = (target, number, id, created_at_ns, message);
    node.cluster.write(&node.cluster.statements.notify, values).await
}

async fn resolve(node: &Node, target: &NotificationTarget) -> Result<Uuid, CatalogError> {
    match target {
        NotificationTarget::Sequence(name) => Ok(Head::by_name(&node.cluster, name).await?.id.0),
        NotificationTarget::Topic(name) => {
            let head = Head::by_name(&node.cluster, &name.sequence).await?;
            let (row, session) = topics::by_name(node, &head, name).await?;
            let head = Head::live(&node.cluster, head.id).await?;
            match head.is_some_and(|head| head.live_session(session).is_some()) {
                true => Ok(row.topic_id),
                false => Err(CatalogError::not_found(Entity::Topic, name)),
            }
        }
    }
}
