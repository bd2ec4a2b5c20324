use super::*;
use crate::catalog::Entity;
use crate::model::TopicName;

#[test]
fn a_message_cannot_move_a_terminal_or_forge_a_line() {
    let text = clean("a\n{\"level\":\"error\"}\u{1b}[31m\u{202e}end");
    assert!(text.chars().all(|c| !c.is_control()), "{text}");
    assert_eq!(text, "a\\u{a}{\"level\":\"error\"}\\u{1b}[31m\\u{202e}end");
}

#[test]
fn a_message_is_short_even_when_escaped() {
    for unit in ["x", "é", " ", "\0", "𝄞"] {
        let text = clean(&unit.repeat(5_000));
        let escaped: usize = text.bytes().map(|b| if b.is_ascii_alphanumeric() { 1 } else { 3 }).sum();
        assert!(escaped <= MESSAGE_BYTES_MAX && escaped > MESSAGE_BYTES_MAX - 40, "{unit:?}: {escaped}");
    }
}

#[test]
fn faults_of_ours_name_no_file() {
    let cause = "unable to open \"/var/lib/tessera/catalog.db\" (os error 2)".to_owned();
    let Status { code, message } = status(&CatalogError::Unavailable { cause });
    assert_eq!(code, Code::Unavailable as i32);
    assert!(message.contains("os error 2") && !message.contains("/var"), "{message}");
}

#[test]
fn a_name_in_a_clients_mistake_stays_as_it_is() {
    let error = SessionError::NotFound { what: Entity::Topic, name: "drive/camera/front".to_owned() };
    let expected = "topic drive/camera/front does not exist".to_owned();
    assert_eq!(status(&error), Status { code: Code::NotFound as i32, message: expected });
    let topic = TopicName::parse("drive/imu").unwrap();
    assert_eq!(status(&SessionError::Deleted { topic }).code, Code::NotFound as i32);
    let refused = SessionError::Refused { what: Entity::Topic, name: "a/b".to_owned(), refusal: Refusal::TopicWritten };
    assert_eq!(status(&refused).code, Code::FailedPrecondition as i32);
}
