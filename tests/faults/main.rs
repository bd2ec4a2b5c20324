//! What goes wrong beneath the server and inside it.

mod contract;
mod exhaustive;
#[path = "../house/mod.rs"]
mod house;
mod panics;
mod prefix;
mod room;
mod scenario;
mod server;
mod sites;

/// What a sender's patience is measured by: enter it around calls that are not made on one.
fn clocked() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}
