//! Pure codecs of the Mosaico protocol: requests, answers and descriptors. Names only `model`; no I/O, no gRPC types.
//!
//! Clients of several years speak to us, and nothing in a request names its generation. What differs ends in this room:
//! `session_era` reads the forms since sessions exist (SDK 0.3 … 0.7), `key_era` those before (December 2025: one key
//! per sequence, no sessions). Both give the same [`ActionRequest`]; where the answers differ too, the request carries
//! the form its answer has to have. Answers are supersets: every generation ignores keys it does not know, except in
//! the answers that [`Answer`] marks as exact.
//!
//! Invariants: a body is measured before it is parsed; an error names the key, what was expected and what kind of
//! value was found, and never repeats a token; `user_metadata` leaves as the text that came, and is never `null`.

mod answer;
mod body;
mod datetime;
mod descriptor;
mod error;
mod key_era;
mod metadata;
mod order;
mod request;
mod session_era;

pub use answer::Answer;
pub use answer::NotificationForm;
pub use answer::ServerLimits;
pub use answer::SessionAnswer;
pub use answer::TopicForm;
pub use datetime::utc_datetime;
pub use descriptor::DescriptorForm;
pub use descriptor::DescriptorKind;
pub use descriptor::InfoDescriptor;
pub use descriptor::InfoExtras;
pub use descriptor::PutDescriptor;
pub use descriptor::check_criteria;
pub use error::WireError;
pub use key_era::parse_plain_ticket;
pub use key_era::plain_ticket;
pub use metadata::TopicExtras;
pub use metadata::WindowInfo;
pub use metadata::sequence_app_metadata;
pub use metadata::sequence_schema_metadata;
pub use metadata::topic_app_metadata;
pub use metadata::topic_location;
pub use metadata::topic_schema_metadata;
pub use order::order_action;
pub use request::ActionRequest;
pub use request::SessionAddress;
