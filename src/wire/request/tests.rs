use super::*;
use crate::model::Notification;

const UUID: &str = "f02d122a-549a-4b67-822b-c182496978d7";

fn token() -> Token {
    Token::parse(UUID).unwrap()
}

fn sequence(text: &str) -> SequenceName {
    SequenceName::parse(text).unwrap()
}

fn topic(text: &str) -> TopicName {
    TopicName::parse(text).unwrap()
}

fn parse(kind: &str, body: &str) -> Result<ActionRequest, WireError> {
    ActionRequest::parse(kind, body.replace("UUID", UUID).as_bytes())
}

/// Goal: what each generation sends is read. Method: bodies as logged from the SDKs, with what they mean.
#[test]
fn every_action_of_the_session_era_is_read() {
    use ActionRequest::*;
    let metadata = UserMetadata::parse(r#"{"driver": "Ada", "n": 3, "nested": {"a": [1, 2]}}"#).unwrap();
    let empty = UserMetadata::empty();
    let on_sequence = || NotificationTarget::Sequence(sequence("s"));
    let on_topic = || NotificationTarget::Topic(topic("s/cam/front"));
    let (name, form) = (topic("s/cam/front"), TopicForm::Uuid);
    let (tag, format) = (OntologyTag::parse("Image").unwrap(), SerializationFormat::Image);
    let id = SessionId(uuid::Uuid::parse_str(UUID).unwrap());
    let list = NotificationForm::Notifications;
    let create = r#"{"session_uuid": "UUID", "locator": "s/cam/front", "serialization_format": "image", "ontology_tag": "Image", "user_metadata": {}}"#;
    let with_metadata = r#"{"locator": "/s", "user_metadata": {"driver": "Ada", "n": 3, "nested": {"a": [1, 2]}}}"#;
    let note = r#"{"locator": "s", "notification_type": "error", "msg": "b\u00f6om"}"#;
    let topic_note = r#"{"locator": "s/cam/front", "notification_type": "error", "msg": "boom"}"#;
    let cases = [
        ("info", "{}", Info),
        ("version", "{}", Version),
        ("sequence_create", with_metadata, SequenceCreate { name: sequence("s"), metadata }),
        ("sequence_create", r#"{"locator": "s"}"#, SequenceCreate { name: sequence("s"), metadata: empty.clone() }),
        (
            "sequence_create",
            r#"{"locator": "s", "user_metadata": null}"#,
            SequenceCreate { name: sequence("s"), metadata: empty.clone() },
        ),
        ("session_create", r#"{"locator": "s", "more": {"x": []}}"#, SessionCreate { sequence: sequence("s") }),
        (
            "topic_create",
            create,
            TopicCreate { session: token(), name: name.clone(), tag, format, metadata: empty, form },
        ),
        ("topic_delete", r#"{"locator": "s/cam/front"}"#, TopicDelete { name }),
        ("session_finalize", r#"{"session_uuid": "UUID"}"#, SessionFinalize { session: token(), sequence: None }),
        (
            "session_delete",
            r#"{"locator": "s:UUID"}"#,
            SessionDelete(SessionAddress::Locator { sequence: sequence("s"), session: id }),
        ),
        ("session_delete", r#"{"session_uuid": "UUID"}"#, SessionDelete(SessionAddress::Uuid { token: token(), id })),
        ("sequence_delete", r#"{"locator": "s"}"#, SequenceDelete { name: sequence("s") }),
        (
            "sequence_notification_create",
            note,
            NotificationCreate { target: on_sequence(), message: "b\u{f6}om".to_owned() },
        ),
        (
            "topic_notification_create",
            topic_note,
            NotificationCreate { target: on_topic(), message: "boom".to_owned() },
        ),
        ("sequence_notification_list", r#"{"locator": "s"}"#, NotificationList { target: on_sequence(), form: list }),
        (
            "topic_notification_list",
            r#"{"locator": "s/cam/front"}"#,
            NotificationList { target: on_topic(), form: list },
        ),
        ("sequence_notification_purge", r#"{"locator": "s"}"#, NotificationPurge { target: on_sequence() }),
        ("topic_notification_purge", r#"{"locator": "s/cam/front"}"#, NotificationPurge { target: on_topic() }),
    ];
    for (kind, body, expected) in cases {
        assert_eq!(parse(kind, body), Ok(expected), "{kind} {body}");
    }
}

#[test]
fn every_action_of_the_key_era_is_read() {
    use ActionRequest::*;
    let on_sequence = || NotificationTarget::Sequence(sequence("s"));
    let on_topic = || NotificationTarget::Topic(topic("s/imu"));
    let metadata = UserMetadata::parse(r#"{"a":1}"#).unwrap();
    let create = r#"{"sequence_key": "UUID", "name": "s/imu", "serialization_format": "ragged", "ontology_tag": "imu", "user_metadata": {"a":1}}"#;
    let (tag, format) = (OntologyTag::parse("imu").unwrap(), SerializationFormat::Ragged);
    let (name, form) = (topic("s/imu"), TopicForm::Key);
    let list = NotificationForm::Notifies;
    let cases = [
        (
            "sequence_create",
            r#"{"name": "s", "user_metadata": {"a":1}}"#,
            SequenceCreateKeyed { name: sequence("s"), metadata: metadata.clone() },
        ),
        ("topic_create", create, TopicCreate { session: token(), name, tag, format, metadata, form }),
        (
            "sequence_finalize",
            r#"{"name": "s", "key": "UUID"}"#,
            SessionFinalize { session: token(), sequence: Some(sequence("s")) },
        ),
        ("sequence_abort", r#"{"name": "s", "key": "UUID"}"#, SequenceAbort { name: sequence("s"), session: token() }),
        ("sequence_delete", r#"{"name": "s"}"#, SequenceDelete { name: sequence("s") }),
        (
            "sequence_notify_create",
            r#"{"name": "s", "notify_type": "error", "msg": "m"}"#,
            NotificationCreate { target: on_sequence(), message: "m".to_owned() },
        ),
        (
            "topic_notify_create",
            r#"{"name": "s/imu", "notify_type": "error", "msg": "m"}"#,
            NotificationCreate { target: on_topic(), message: "m".to_owned() },
        ),
        ("sequence_notify_list", r#"{"name": "s"}"#, NotificationList { target: on_sequence(), form: list }),
        ("topic_notify_list", r#"{"name": "s/imu"}"#, NotificationList { target: on_topic(), form: list }),
        ("sequence_notify_purge", r#"{"name": "s"}"#, NotificationPurge { target: on_sequence() }),
        ("topic_notify_purge", r#"{"name": "s/imu"}"#, NotificationPurge { target: on_topic() }),
        ("sequence_system_info", r#"{"name": "s"}"#, SequenceSystemInfo { name: sequence("s") }),
        ("topic_system_info", r#"{"name": "s/imu"}"#, TopicSystemInfo { name: topic("s/imu") }),
    ];
    for (kind, body, expected) in cases {
        assert_eq!(parse(kind, body), Ok(expected), "{kind} {body}");
    }
}

#[test]
fn what_is_not_served_is_told_apart_from_what_is_unknown() {
    for kind in UNIMPLEMENTED {
        assert_eq!(parse(kind, "not even JSON"), Ok(ActionRequest::Unimplemented(kind)));
    }
    assert_eq!(parse("sequence_explode", "{}"), Err(WireError::UnknownAction("sequence_explode".to_owned())));
    assert!(matches!(parse(&"x".repeat(1 << 20), "{}"), Err(WireError::UnknownAction(name)) if name.len() == 80));
}

#[test]
fn a_wrong_request_is_refused_naming_the_key() {
    let cases = [
        ("sequence_create", "{}", r#"action body has no key "locator""#),
        ("sequence_create", r#"{"locator": 7}"#, r#"key "locator": expected text, found number"#),
        (
            "sequence_create",
            r#"{"locator": "s", "user_metadata": [1]}"#,
            r#"key "user_metadata": expected object, found array"#,
        ),
        ("session_finalize", r#"{"session_uuid": "s"}"#, r#"key "session_uuid": expected UUID, found another text"#),
        ("session_delete", "{}", r#"action body has no key "locator""#),
        (
            "sequence_notify_create",
            r#"{"name": "s", "notify_type": "info", "msg": "m"}"#,
            r#"key "notify_type": expected "error", the one kind there is, found "info""#,
        ),
    ];
    for (kind, body, message) in cases {
        assert_eq!(parse(kind, body).unwrap_err().to_string(), message, "{kind} {body}");
    }
    for (kind, body) in [
        ("sequence_create", r#"{"locator": "a/b"}"#),
        ("sequence_create", r#"{"locator": "a", "user_metadata": {"a.b": 1}}"#),
        ("session_delete", r#"{"locator": "s"}"#),
        ("session_delete", r#"{"locator": "s:x"}"#),
        ("topic_delete", r#"{"locator": "s"}"#),
        ("topic_notification_list", r#"{"locator": "s"}"#),
        ("sequence_notification_create", r#"{"locator": "s", "notification_type": null, "msg": "m"}"#),
        (
            "topic_create",
            r#"{"session_uuid": "UUID", "locator": "s/i", "serialization_format": "odd", "ontology_tag": "I"}"#,
        ),
    ] {
        assert!(parse(kind, body).is_err(), "{kind} {body}");
    }
}

#[test]
fn a_long_message_is_cut_between_characters_not_refused() {
    let long = format!(r#"{{"locator": "s", "notification_type": "error", "msg": "x{}"}}"#, "\u{e9}".repeat(40_000));
    let Ok(ActionRequest::NotificationCreate { message, .. }) = parse("sequence_notification_create", &long) else {
        panic!("refused")
    };
    assert_eq!(message.len(), Notification::MESSAGE_LEN_MAX - 1);
    assert!(message.ends_with('\u{e9}'));
}

#[test]
fn a_plain_ticket_is_the_name_of_its_topic() {
    let name = topic("drive/cam/front");
    let ticket = super::super::plain_ticket(&name);
    assert_eq!(ticket, b"drive/cam/front");
    assert_eq!(super::super::parse_plain_ticket(&ticket), Ok(name));
    for bad in [&b"drive"[..], b"", b"\xff/x", b"\x01/x"] {
        assert_eq!(super::super::parse_plain_ticket(bad), Err(WireError::Ticket));
    }
}

/// Goal: the limits of a body never undercut those of the metadata in it.
#[test]
fn metadata_at_its_own_limits_fits_into_a_request() {
    let deep =
        format!("{}1{}", r#"{"a":"#.repeat(UserMetadata::DEPTH_MAX - 1), "}".repeat(UserMetadata::DEPTH_MAX - 1));
    let wide = format!(r#"{{"a": [{}0]}}"#, "0,".repeat(UserMetadata::NODES_MAX - 3));
    let long = format!(r#"{{"a": "{}"}}"#, "x".repeat(UserMetadata::TEXT_LEN_MAX));
    for text in [deep, wide, long] {
        assert!(UserMetadata::parse(&text).is_ok());
        let body = format!(
            r#"{{"session_uuid": "UUID", "locator": "s/i", "serialization_format": "image", "ontology_tag": "I", "user_metadata": {text}}}"#
        );
        let Ok(ActionRequest::TopicCreate { metadata, .. }) = parse("topic_create", &body) else { panic!("refused") };
        assert_eq!(metadata.as_str(), text);
    }
    let deeper = format!("{}1{}", r#"{"a":"#.repeat(UserMetadata::DEPTH_MAX), "}".repeat(UserMetadata::DEPTH_MAX));
    assert!(matches!(
        parse("sequence_create", &format!(r#"{{"locator": "s", "user_metadata": {deeper}}}"#)),
        Err(WireError::Metadata(_))
    ));
}
