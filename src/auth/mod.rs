//! Tokens and tickets. A token proves who created a session or a topic; only its digest is kept. A ticket says what a
//! DoGet reads; it is sealed so that nobody can make one up, but it grants nothing that asking for it would not. An order
//! comes from whoever can read the data directory, and is carried out for sessions of others. A pass shows one server of a fleet
//! that another one calls.
//!
//! The only room that knows hash and MAC functions for secrets. Keys and tokens never reach a log or an error.

mod fleet;
mod order;
mod ticket;
mod token;

pub use fleet::Errand;
pub use fleet::FleetSealer;
pub use fleet::Greeting;
pub use fleet::Nonce;
pub use fleet::PASS_LIFE;
pub use fleet::Pass;
pub use fleet::PassError;
pub use order::OrderError;
pub use order::OrderSealer;
pub use ticket::TICKET_LEN;
pub use ticket::Ticket;
pub use ticket::TicketError;
pub use ticket::TicketSealer;
pub use token::token_digest;
