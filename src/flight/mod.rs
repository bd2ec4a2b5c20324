//! The Arrow Flight server.

pub mod transport;
