//! The Arrow Flight server: calls in, answers out.
//!
//! `transport` owns sockets, windows and frames; [`Desk`] holds the handlers and gives the transport its [`transport::Routes`].
//!
//! Invariants:
//! * a request is measured before it is read, and refused before any state moves;
//! * OK on a DoPut means durable, whatever else is said on the way;
//! * a DoGet that cannot send every row says so;
//! * gRPC codes are chosen in `status`, one variant at a time.

mod action;
mod desk;
mod get;
mod guard;
mod info;
pub mod ipc;
mod put;
mod relay;
mod service;
mod status;
pub mod transport;

pub use desk::Desk;
pub use desk::HandlerConfig;
pub use transport::BindError;
pub use transport::ConfigError;
pub use transport::ListenConfig;
pub use transport::Listener;
pub use transport::Stop;
pub use transport::TransportConfig;
