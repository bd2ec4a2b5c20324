//! Executors of the shards, and the bounded bridge between them and tokio.
//!
//! Invariants:
//! * every queue has a bound in messages *and* bytes ([`mailbox`]), every byte of received data a permit ([`Budget`]);
//! * both are first come, first served: a big request is never starved by small ones;
//! * both may be used from any thread and any executor, in either direction, and whoever gives up waiting passes its turn on.

mod budget;
mod gate;
mod mailbox;
mod tasks;

pub use budget::Budget;
pub use budget::BudgetError;
pub use budget::Permit;
pub use mailbox::Closed;
pub use mailbox::Receiver;
pub use mailbox::Sender;
pub use mailbox::TrySendError;
pub use mailbox::mailbox;
pub use tasks::TaskSet;
