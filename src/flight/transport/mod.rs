//! Our HTTP/2 server for Arrow Flight: sockets, connections, windows, and the bulk calls straight on their streams.
//!
//! DoPut and DoGet carry the bulk: their messages are taken apart and put together here, without a copy beyond the one into
//! an aligned, recycled buffer. Every other call goes through tonic's generated service.
//!
//! Invariants:
//! * streams that wait (for memory, for a slow shard) never fill the connection window: calls beside them go on;
//! * sizes are checked before anything is allocated, and a permit of the memory budget is taken before a body's buffer;
//! * every call ends with a status, whatever its handler does; a panic ends its own call only;
//! * every wait for the client has a deadline, except that of an open put for its next message and that of a get for its reader,
//!   who may take as long as it likes: what waits for it is counted.

mod answer;
mod body;
mod config;
mod connection;
mod deframer;
mod fields;
mod get;
mod held;
mod inflate;
mod listener;
mod places;
mod pool;
mod put;
mod rope;
mod routes;
mod silent;
mod socket;
mod status;
mod windows;

pub use config::ConfigError;
pub use config::ListenConfig;
pub use config::TransportConfig;
pub use deframer::Deframer;
pub use deframer::Encoding;
pub use deframer::Step;
pub use fields::PutMessage;
pub use get::GetReply;
pub use get::GetRequest;
pub use listener::BindError;
pub use listener::Listener;
pub use listener::Stop;
pub use pool::Pool;
pub use pool::PoolBuffer;
pub use put::PutReply;
pub use put::PutStream;
pub use rope::Rope;
pub use routes::GetHandler;
pub use routes::PutHandler;
pub use routes::Routes;
pub use socket::Peer;
pub use status::Gone;
pub use status::ReceiveError;
pub use status::Refusal;
pub use status::Status;
