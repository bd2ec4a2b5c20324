//! Executors of the shards, and the bounded bridge between them and tokio.

mod budget;

pub use budget::Budget;
pub use budget::BudgetError;
pub use budget::Permit;
