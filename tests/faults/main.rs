//! What goes wrong beneath the server and inside it.

mod contract;
mod exhaustive;
#[path = "../house/mod.rs"]
mod house;
mod panics;
mod prefix;
mod scenario;
mod server;
mod sites;
