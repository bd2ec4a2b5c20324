//! What whoever runs the server may ask of it about a session that is not theirs.

use super::SessionId;

/// Numbers are part of the seal and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderVerb {
    /// Finalize an open session whose writer is gone. Refused while a topic was created and never written.
    Finalize = 1,
    /// The same, and topics that were never written are deleted first.
    FinalizeWritten = 2,
    /// Delete an open session with everything in it.
    Discard = 3,
}

/// One order. It says who gave it by its seal (`auth`), and is worth nothing once it has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub verb: OrderVerb,
    pub session: SessionId,
    pub expires_at_ns: i64, // Unix time
}
