//! Requests, names and tickets.

use arrow_flight::FlightDescriptor;
use prost::Message;
use tessera::auth::TicketSealer;
use tessera::model::Locator;
use tessera::model::Notification;
use tessera::model::OntologyTag;
use tessera::model::TopicName;
use tessera::model::UserMetadata;
use tessera::wire::ActionRequest;
use tessera::wire::DescriptorKind;
use tessera::wire::InfoDescriptor;
use tessera::wire::PutDescriptor;
use tessera::wire::check_criteria;
use tessera::wire::parse_plain_ticket;

/// `kind '\n' body`. Holds: what is understood is safe to keep, to log and to answer with.
pub fn action(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (kind, body) = data.split_at(at);
    let Ok(kind) = std::str::from_utf8(kind) else { return };
    match ActionRequest::parse(kind, body.get(1..).unwrap_or_default()) {
        Ok(ActionRequest::SequenceCreate { name, metadata }) => {
            safe_name(name.as_str());
            safe_metadata(&metadata);
        }
        Ok(ActionRequest::TopicCreate { name, tag, metadata, .. }) => {
            safe_topic(&name);
            safe_tag(&tag);
            safe_metadata(&metadata);
        }
        Ok(ActionRequest::NotificationCreate { message, .. }) => {
            assert!(message.len() <= Notification::MESSAGE_LEN_MAX, "a message of {} bytes", message.len());
        }
        Ok(_) => {}
        Err(error) => safe_error(&error.to_string()),
    }
}

/// The protobuf of a descriptor, as DoPut, GetFlightInfo and GetSchema carry it.
pub fn descriptor(data: &[u8]) {
    if let Err(error) = check_criteria(data) {
        safe_error(&error.to_string());
    }
    let Ok(descriptor) = FlightDescriptor::decode(data) else { return };
    let kinds = [DescriptorKind::Command, DescriptorKind::Path, DescriptorKind::Unknown];
    let kind = kinds[usize::try_from(descriptor.r#type).unwrap_or(0) % 3];
    match PutDescriptor::parse(kind, &descriptor.cmd) {
        Ok(put) => safe_topic(&put.name),
        Err(error) => safe_error(&error.to_string()),
    }
    match InfoDescriptor::parse(kind, &descriptor.cmd, &descriptor.path) {
        Ok(info) => safe_locator(&info.locator),
        Err(error) => safe_error(&error.to_string()),
    }
}

/// Holds: whatever is a locator is printable ASCII, has no part that means something to a file system, and reads back.
pub fn locator(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Locator::parse(text) {
        Ok(locator) => safe_locator(&locator),
        Err(error) => safe_error(&error.to_string()),
    }
}

/// Holds: only what the key sealed opens, whatever changed on the way.
pub fn ticket(data: &[u8]) {
    let (own, other) = (TicketSealer::new([7; 32]), TicketSealer::new([8; 32]));
    if let Ok(ticket) = own.open(data) {
        assert_eq!(own.seal(&ticket), data, "one ticket, one form");
        assert!(other.open(data).is_err(), "opened with another key");
    }
    if let Ok(name) = parse_plain_ticket(data) {
        safe_topic(&name);
    }
}

fn safe_locator(locator: &Locator) {
    match locator {
        Locator::Sequence(name) => safe_name(name.as_str()),
        Locator::Topic(name) => safe_topic(name),
        Locator::Session { sequence, .. } => safe_name(sequence.as_str()),
    }
    let text = locator.to_string();
    assert!(text.len() <= Locator::LEN_MAX, "{} bytes", text.len());
    assert_eq!(Locator::parse(&text).as_ref(), Ok(locator), "reads back");
}

fn safe_topic(name: &TopicName) {
    safe_name(name.sequence.as_str());
    name.path.as_str().split('/').for_each(safe_name);
}

fn safe_name(text: &str) {
    assert!(!text.is_empty() && text != "." && text != "..", "{text:?}");
    assert!(text.bytes().all(|b| b.is_ascii_graphic() && !b"/\"'%:.*".contains(&b)), "{text:?}");
}

fn safe_tag(tag: &OntologyTag) {
    assert!(!tag.as_str().chars().any(char::is_control), "{tag:?}");
}

fn safe_metadata(metadata: &UserMetadata) {
    let value: serde_json::Value = serde_json::from_str(metadata.as_str()).expect("stored metadata is JSON");
    assert!(value.is_object(), "{value}");
}

/// A text for a status and the log: it fits both, whatever it quotes.
fn safe_error(text: &str) {
    assert!(text.len() <= 2048, "an error of {} bytes", text.len());
}
