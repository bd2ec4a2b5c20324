//! The Arrow Flight server.

mod ipc;
