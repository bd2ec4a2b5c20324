//! Start, health and stop of the server.
//!
//! Order is safety here: the address is bound first, the data directories are locked before they are looked at, the
//! catalog is open before shards run, recovery has ended before the first call is answered. In reverse at the end.
//!
//! Recovery looks only where a crash can have left something, so that a start takes as long however much was recorded. What
//! only audits follows in the background.

mod audit;
mod devices;
mod fleet;
mod frozen;
mod log;
mod memory;
mod moments;
mod mount;
mod operator;
mod rebuild;
mod scrub;
mod serve;
mod shared;
mod socket;
mod start;
mod starts;
mod stop;
mod watch;

pub use audit::Pace;
pub use audit::audit;
pub use log::LogError;
pub use log::start as start_log;
pub use memory::MemoryError;
pub use mount::MountError;
pub use operator::DirectoryStatus;
pub use operator::OperatorError;
pub use operator::look;
pub use operator::order_sealer;
pub use rebuild::RebuildError;
pub use rebuild::RebuildPlan;
pub use rebuild::Rebuilt;
pub use rebuild::rebuild;
pub use scrub::Finding;
pub use scrub::Scrub;
pub use scrub::ScrubState;
pub use scrub::Scrubbed;
pub use serve::ServeError;
pub use serve::serve;
pub use shared::SharedError;
pub use start::AtRest;
pub use start::StartError;
pub use start::Storage;
pub use start::check;
pub use start::open_at_rest;
pub use start::open_storage;
pub use watch::gone;
