//! The Arrow Flight server.
