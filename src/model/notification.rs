//! Notifications: what went wrong with a sequence or a topic, told by a client or by us, kept until purged.

use super::SequenceName;
use super::TopicName;

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NotificationTarget {
    Sequence(SequenceName),
    Topic(TopicName),
}

/// One entry. The protocol knows one kind of it, `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub message: String,
    pub created_at_ns: i64, // Unix time
}

impl Notification {
    /// Longer messages are cut at this many bytes: a client in trouble must still be able to say so.
    /// All of one target go into one answer, which is small enough that nobody has to pay for it.
    pub const MESSAGE_LEN_MAX: usize = 8 << 10;
    /// Notifications kept per target; the one after that is refused.
    pub const COUNT_MAX: u32 = 1024;
    /// What a refusal is about, and the way out.
    pub const LIMITED: &str = "notifications of one target (`tessera notifications NAME --clear` removes them)";
}
