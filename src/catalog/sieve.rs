//! Which sequences a walk through all of them leaves out, told from their columns as they are stored.

/// What a walk lets through. It only ever leaves out: whoever walks confirms what comes through.
#[derive(Default)]
pub struct Sieve {
    /// Asked of each sequence; `None`: all pass.
    pub sequence: Option<Judge>,
    /// Asked of the topics of those: one of them has to pass. `None`: all do.
    pub topic: Option<Judge>,
}

pub type Judge = Box<dyn Fn(&HeadText<'_>) -> bool + Send + Sync>;

/// A sequence or a topic, not yet taken apart.
#[derive(Clone, Copy, Debug)]
pub struct HeadText<'a> {
    /// Of a topic: its path, without a slash in front.
    pub name: &'a str,
    /// Empty for a sequence, as is its format.
    pub tag: &'a str,
    pub format: &'a str,
    pub created_at_ns: i64,
    /// JSON.
    pub metadata: &'a str,
}

impl Sieve {
    pub fn lets_sequence(&self, head: &HeadText<'_>) -> bool {
        self.sequence.as_ref().is_none_or(|judge| judge(head))
    }

    pub fn lets_topic(&self, head: &HeadText<'_>) -> bool {
        self.topic.as_ref().is_none_or(|judge| judge(head))
    }
}

impl std::fmt::Debug for Sieve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sieve {{ sequence: {}, topic: {} }}", self.sequence.is_some(), self.topic.is_some())
    }
}
