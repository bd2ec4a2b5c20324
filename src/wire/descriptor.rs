//! Flight descriptors: what a DoPut writes, what GetFlightInfo and GetSchema ask about, and what ListFlights lists.

use super::WireError;
use super::body::Body;
use super::body::Limits;
use crate::model::Locator;
use crate::model::NameError;
use crate::model::TimeRange;
use crate::model::Token;
use crate::model::TopicName;

/// The `type` of a FlightDescriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorKind {
    Unknown,
    Path,
    Command,
}

impl DescriptorKind {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Path => "PATH",
            Self::Command => "CMD",
        }
    }
}

/// How the client asked, and so which ticket it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorForm {
    /// Takes sealed, opaque tickets.
    Command,
    /// Parses its tickets: give it a plain one ([`super::plain_ticket`]).
    Path,
}

/// The first message of a DoPut says which topic it writes, and proves it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutDescriptor {
    pub name: TopicName,
    pub topic: Token,
}

impl PutDescriptor {
    /// Takes `{"resource_locator","topic_uuid"}`, and the older `{"resource_locator","key"}` and `{"topic":{"name","key"}}`.
    ///
    /// # Errors
    /// [`WireError`] for another type of descriptor or a wrong command.
    pub fn parse(kind: DescriptorKind, command: &[u8]) -> Result<Self, WireError> {
        if kind != DescriptorKind::Command {
            return Err(WireError::DescriptorKind { found: kind.name(), expected: "CMD" });
        }
        let body = Body::parse(command, &Limits::DESCRIPTOR)?;
        if body.has("topic") && !body.has("resource_locator") {
            let topic = body.object("topic")?;
            return Ok(Self { name: topic.topic("name")?, topic: topic.token("key")? });
        }
        let token_key = body.first_of(["topic_uuid", "key"]);
        Ok(Self { name: body.topic("resource_locator")?, topic: body.token(token_key)? })
    }
}

/// What GetFlightInfo and GetSchema ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoDescriptor {
    pub locator: Locator,
    pub range: TimeRange,
    pub form: DescriptorForm,
    pub extras: InfoExtras,
}

/// The keys of [`InfoExtras`]. What else begins like them is a mistake; any other key is for another server.
const OWN_KEYS: &str = "tessera_columns, tessera_where, tessera_storage, tessera_open";

/// What only our own client asks for, by keys of our own. Without them answers are to the byte what every client gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InfoExtras {
    /// `tessera_storage`: how the chunks of each topic are stored.
    pub storage: bool,
    /// `tessera_open`: the topics of open sessions and what of them is durable.
    pub open: bool,
    /// `tessera_columns` and `tessera_where`: which columns and rows the tickets read, as the JSON object `columns`, `where`.
    pub selection: Option<String>,
}

impl InfoDescriptor {
    /// Takes a command `{"resource_locator"[,"timestamp_ns_start"][,"timestamp_ns_end"]}`, or a path of one element.
    ///
    /// # Errors
    /// [`WireError`] for another type of descriptor, a wrong command or path, or an empty range.
    pub fn parse(kind: DescriptorKind, command: &[u8], path: &[String]) -> Result<Self, WireError> {
        match (kind, path) {
            (DescriptorKind::Command, _) => {
                let body = Body::parse(command, &Limits::DESCRIPTOR)?;
                body.check_own("tessera_", OWN_KEYS)?;
                let (start, end) = (body.integer("timestamp_ns_start")?, body.integer("timestamp_ns_end")?);
                let (locator, range) = (body.locator("resource_locator")?, TimeRange::new(start, end)?);
                let (columns, rows) = (body.raw("tessera_columns"), body.raw("tessera_where"));
                let selection = (columns.is_some() || rows.is_some()).then(|| {
                    format!(r#"{{"columns":{},"where":{}}}"#, columns.unwrap_or("null"), rows.unwrap_or("null"))
                });
                let (storage, open) = (body.flag("tessera_storage"), body.flag("tessera_open"));
                let extras = InfoExtras { storage, open, selection };
                Ok(Self { locator, range, form: DescriptorForm::Command, extras })
            }
            (DescriptorKind::Path, [name]) => {
                let wrong = |cause: NameError| WireError::Name { key: "path", cause };
                let locator = Locator::parse(name).map_err(wrong)?;
                Ok(Self { locator, range: TimeRange::ALL, form: DescriptorForm::Path, extras: InfoExtras::default() })
            }
            (DescriptorKind::Path, _) => Err(WireError::DescriptorPath { found: path.len() }),
            (DescriptorKind::Unknown, _) => {
                Err(WireError::DescriptorKind { found: kind.name(), expected: "CMD, or PATH with one element" })
            }
        }
    }
}

/// The expression of a ListFlights: all sequences, nothing else.
///
/// # Errors
/// [`WireError::Criteria`] for anything but the empty expression and `/`.
pub fn check_criteria(expression: &[u8]) -> Result<(), WireError> {
    match expression {
        b"" | b"/" => Ok(()),
        other => Err(WireError::Criteria(String::from_utf8_lossy(other).chars().take(80).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "14d21f2d-cb4e-47d2-98b7-646f4415f1d2";

    #[test]
    fn a_put_of_every_generation_names_topic_and_token() {
        let forms = [
            format!(r#"{{"resource_locator": "trace_seq/cam/front", "topic_uuid": "{UUID}"}}"#),
            format!(r#"{{"resource_locator": "trace_seq/cam/front", "key": "{UUID}", "unknown": [1]}}"#),
            format!(r#"{{"topic": {{"name": "trace_seq/cam/front", "key": "{UUID}"}}}}"#),
        ];
        for form in forms {
            let put = PutDescriptor::parse(DescriptorKind::Command, form.as_bytes()).unwrap();
            assert_eq!(put.name.to_string(), "trace_seq/cam/front");
            assert_eq!(put.topic.reveal(), UUID);
        }
    }

    #[test]
    fn a_put_without_authority_or_of_a_sequence_is_refused() {
        let parse = |text: &str| PutDescriptor::parse(DescriptorKind::Command, text.as_bytes()).unwrap_err();
        assert_eq!(
            parse(r#"{"resource_locator": "a/b"}"#),
            WireError::Missing { what: "descriptor", key: "topic_uuid" }
        );
        assert!(matches!(
            parse(&format!(r#"{{"resource_locator": "a", "topic_uuid": "{UUID}"}}"#)),
            WireError::Name { .. }
        ));
        assert!(matches!(parse(r#"{"topic": "a/b"}"#), WireError::Type { key: "topic", .. }));
        assert!(matches!(parse(&format!("{{}}{}", " ".repeat(65_536))), WireError::Length { .. }));
        let path = PutDescriptor::parse(DescriptorKind::Path, b"").unwrap_err();
        assert_eq!(path.to_string(), "the descriptor is of type PATH: expected CMD");
    }

    fn info(text: &str) -> Result<InfoDescriptor, WireError> {
        InfoDescriptor::parse(DescriptorKind::Command, text.as_bytes(), &[])
    }

    #[test]
    fn bounds_are_optional_and_independent() {
        let all = info(r#"{"resource_locator": "/trace_seq/"}"#).unwrap();
        assert_eq!((all.locator.to_string().as_str(), all.range), ("trace_seq", TimeRange::ALL));
        let start = info(r#"{"resource_locator": "a/b", "timestamp_ns_start": -5, "timestamp_ns_end": null}"#).unwrap();
        assert_eq!(start.range, TimeRange::new(Some(-5), None).unwrap());
        let end = info(r#"{"resource_locator": "a/b", "timestamp_ns_end": 9223372036854775807}"#).unwrap();
        assert_eq!(end.range, TimeRange::new(None, Some(i64::MAX)).unwrap());
    }

    #[test]
    fn an_empty_or_fractional_range_is_refused() {
        for (start, end) in [("5", "5"), ("6", "5")] {
            let text =
                format!(r#"{{"resource_locator": "a", "timestamp_ns_start": {start}, "timestamp_ns_end": {end}}}"#);
            assert!(matches!(info(&text), Err(WireError::TimeRange(_))));
        }
        assert!(info(r#"{"resource_locator": "a", "timestamp_ns_start": 1.5}"#).is_err());
        assert!(info(r#"{"resource_locator": "a", "timestamp_ns_start": "1"}"#).is_err());
    }

    #[test]
    fn extras_are_given_to_who_asks_for_them() {
        assert_eq!(info(r#"{"resource_locator": "a"}"#).unwrap().extras, InfoExtras::default());
        let asked = info(r#"{"resource_locator": "a", "tessera_storage": true, "tessera_open": 1}"#).unwrap();
        assert_eq!(asked.extras, InfoExtras { storage: true, open: false, selection: None });
        let asked = info(r#"{"resource_locator": "a", "tessera_open": true}"#).unwrap();
        assert_eq!(asked.extras, InfoExtras { storage: false, open: true, selection: None });
    }

    #[test]
    fn misspelt_extras_are_named_and_keys_of_others_are_not() {
        for key in ["tessera_colums", "tessera_limit", "tessera_"] {
            let error = info(&format!(r#"{{"resource_locator": "a", "{key}": null}}"#)).unwrap_err();
            assert!(matches!(&error, WireError::UnknownKey { key: own, .. } if own == key), "{error}");
            assert!(error.to_string().contains("tessera_columns"), "{error}");
        }
        for key in ["columns", "timestamp_range", "tessera", "Tessera_x"] {
            assert!(info(&format!(r#"{{"resource_locator": "a", "{key}": 1}}"#)).is_ok(), "{key}");
        }
    }

    #[test]
    fn the_oldest_clients_ask_by_path() {
        let parse = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|element| (*element).to_owned()).collect();
            InfoDescriptor::parse(DescriptorKind::Path, b"", &path)
        };
        let one = parse(&["drive/imu"]).unwrap();
        assert_eq!((one.locator.to_string().as_str(), one.form), ("drive/imu", DescriptorForm::Path));
        assert_eq!(parse(&["drive", "imu"]), Err(WireError::DescriptorPath { found: 2 }));
        assert_eq!(parse(&[]), Err(WireError::DescriptorPath { found: 0 }));
        assert!(InfoDescriptor::parse(DescriptorKind::Unknown, b"", &[]).is_err());
    }

    #[test]
    fn only_everything_can_be_listed() {
        assert_eq!(check_criteria(b""), Ok(()));
        assert_eq!(check_criteria(b"/"), Ok(()));
        assert!(check_criteria(b"drive").is_err());
        assert!(check_criteria(&[0xff; 1000]).is_err());
    }
}
