//! The Arrow Flight server.

mod ipc;
pub mod transport;
