//! Notifications of sequences and topics.

use tessera::catalog::CatalogError;
use tessera::model::Notification;
use tessera::model::NotificationTarget;

use crate::stage::Make;
use crate::stage::Stage;
use crate::stage::assert_not_found;
use crate::stage::sequence_name;
use crate::stage::wait;

fn notification(n: i64) -> Notification {
    Notification { message: format!("error {n}"), created_at_ns: 1000 - n }
}

pub fn targets_are_kept_apart_and_bounded(make: Make) {
    let mut stage = Stage::new(make);
    stage.sequence("drive");
    let session = stage.session("drive");
    let topics = ["imu", "gps"].map(|path| NotificationTarget::Topic(stage.topic(&session, path).name));
    let sequence = NotificationTarget::Sequence(sequence_name("drive"));
    let count = i64::from(Notification::COUNT_MAX);
    let calls: Vec<_> = (0..count).map(|n| stage.catalog().notify(&topics[0], notification(n))).collect();
    calls.into_iter().for_each(|call| wait(call).unwrap());
    let next = wait(stage.catalog().notify(&topics[0], notification(count)));
    assert!(matches!(next, Err(CatalogError::TooLarge { limit, .. }) if limit == count as u64), "{next:?}");
    wait(stage.catalog().notify(&topics[1], notification(7))).unwrap();
    wait(stage.catalog().notify(&sequence, notification(8))).unwrap();
    stage.reopen();
    let all: Vec<_> = (0..count).map(notification).collect();
    assert_eq!(wait(stage.catalog().notifications(&topics[0])), Ok(all), "in the order they came");
    wait(stage.catalog().purge_notifications(&topics[0])).unwrap();
    assert_eq!(wait(stage.catalog().notifications(&topics[0])), Ok(Vec::new()));
    assert_eq!(wait(stage.catalog().notifications(&topics[1])), Ok(vec![notification(7)]));
    assert_eq!(wait(stage.catalog().notifications(&sequence)), Ok(vec![notification(8)]));
    wait(stage.catalog().notify(&topics[0], notification(9))).unwrap();
    let unknown = NotificationTarget::Sequence(sequence_name("unknown"));
    assert_not_found(wait(stage.catalog().notify(&unknown, notification(1))));
    assert_not_found(wait(stage.catalog().notifications(&unknown)));
    assert_not_found(wait(stage.catalog().purge_notifications(&unknown)));
}

pub fn long_messages_are_cut(make: Make) {
    let stage = Stage::new(make);
    stage.sequence("drive");
    let target = NotificationTarget::Sequence(sequence_name("drive"));
    let message = format!("x{}", "é".repeat(Notification::MESSAGE_LEN_MAX));
    wait(stage.catalog().notify(&target, Notification { message: message.clone(), created_at_ns: 1 })).unwrap();
    let kept = wait(stage.catalog().notifications(&target)).unwrap().remove(0).message;
    assert_eq!(kept.len(), Notification::MESSAGE_LEN_MAX - 1, "whole characters");
    assert!(message.starts_with(&kept));
}
