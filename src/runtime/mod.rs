//! Executors of the shards, and the bounded bridge between them and tokio.
//!
//! Invariants:
//! * every queue has a bound in messages *and* bytes ([`mailbox`]), every byte of received data a permit ([`Budget`]);
//! * both are first come, first served: a big request is never starved by small ones;
//! * both may be used from any thread and any executor, in either direction, and whoever gives up waiting passes its turn on.

mod budget;
mod cores;
mod descriptors;
mod executor;
mod gate;
mod local;
mod mailbox;
mod memory_lock;
mod nudge;
mod pulse;
mod shares;
mod tasks;

pub use budget::Budget;
pub use budget::BudgetError;
pub use budget::Permit;
pub use cores::cores;
pub use descriptors::raise_descriptor_limit;
pub use executor::Executor;
pub use executor::ExecutorConfig;
pub use executor::ExecutorError;
pub use executor::Main;
pub use local::Local;
pub use mailbox::Closed;
pub use mailbox::Receiver;
pub use mailbox::Sender;
pub use mailbox::TrySendError;
pub use mailbox::mailbox;
pub use memory_lock::MemoryLockShortfall;
pub use memory_lock::memory_lock_shortfall;
pub use shares::Shares;
pub use tasks::TaskSet;
