//! Where the server listens, and the limits of its connections.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

pub(super) const MIB: usize = 1 << 20;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Address and port for TCP. An address other than loopback also needs `insecure`.
    pub listen: SocketAddr,
    /// Path of a Unix socket for clients on the same machine, cheaper than TCP; none when absent. gRPC clients must set
    /// the channel option `grpc.default_authority` (to `localhost`, say), or every call ends in a protocol error.
    pub unix_socket: Option<PathBuf>,
    /// Serve beyond loopback although nothing encrypts or authenticates. A start without it is refused there.
    pub insecure: bool,
}

/// Limits of connections and streams, all daemon-wide values unless said otherwise.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportConfig {
    /// Connections open at once. For one more, the one that has had no call running for the longest time is closed, if it
    /// has had none for two seconds; otherwise the new one is.
    pub connections_max: usize,
    /// Streams (running calls) open at once per connection. More wait in the client.
    pub streams_max: u32,
    /// Bytes of one DoPut message, compressed or not (4 MiB ..= 512 MiB). A larger one ends its put: RESOURCE_EXHAUSTED.
    pub message_bytes_max: usize,
    /// Bytes of the request of any call but DoPut. A larger one ends its call: RESOURCE_EXHAUSTED.
    pub request_bytes_max: usize,
    /// Bytes that clients may send ahead of what their puts take, over all connections. The more puts, the less each: 4 MiB down
    /// to 32 KiB. A put for which nothing is left gets RESOURCE_EXHAUSTED.
    pub held_bytes_max: usize,
    /// Bytes of receive buffers kept for the next messages. Buffers beyond are freed.
    pub idle_buffer_bytes_max: usize,
    /// Bytes of a request's headers. More get "431 Request Header Fields Too Large".
    pub header_list_bytes_max: u32,
    /// Milliseconds from accept to the first call. Then the connection is closed.
    pub first_request_ms: u64,
    /// Milliseconds from the start of a put to its first whole message. Then the put ends: DEADLINE_EXCEEDED.
    pub first_message_ms: u64,
    /// Milliseconds in which a begun message must bring 64 KiB more, or its end. Then its call ends: DEADLINE_EXCEEDED.
    pub stall_ms: u64,
    /// Milliseconds a client has to acknowledge SETTINGS. Then the connection is closed.
    pub settings_ack_ms: u64,
    /// Milliseconds without a byte from the client until it is pinged.
    pub keep_alive_ms: u64,
    /// Milliseconds it then has to send anything. Then the connection is closed; so it is when bytes have waited for the client
    /// for both times together and its socket took none.
    pub keep_alive_timeout_ms: u64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("{key} is {value}, it must lie in {min}..={max}")]
    Range { key: &'static str, value: usize, min: usize, max: usize },
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 6726).into(), unix_socket: None, insecure: false }
    }
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            streams_max: 4096,
            message_bytes_max: 64 * MIB,
            request_bytes_max: 2 * MIB,
            held_bytes_max: 256 * MIB,
            idle_buffer_bytes_max: 256 * MIB,
            header_list_bytes_max: 16 << 10,
            first_request_ms: 10_000,
            first_message_ms: 10_000,
            stall_ms: 60_000,
            settings_ack_ms: 10_000,
            keep_alive_ms: 20_000,
            keep_alive_timeout_ms: 10_000,
        }
    }
}

impl TransportConfig {
    /// # Errors
    /// [`ConfigError::Range`] names the first key outside its bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let within = |key, value, min, max| match (min..=max).contains(&value) {
            true => Ok(()),
            false => Err(ConfigError::Range { key, value, min, max }),
        };
        within("connections_max", self.connections_max, 1, 65_536)?;
        within("streams_max", self.streams_max as usize, 1, 65_536)?;
        within("message_bytes_max", self.message_bytes_max, 4 * MIB, 512 * MIB)?;
        within("request_bytes_max", self.request_bytes_max, 64 << 10, 64 * MIB)?;
        within("held_bytes_max", self.held_bytes_max, 16 * MIB, 768 * MIB)?;
        within("header_list_bytes_max", self.header_list_bytes_max as usize, 4 << 10, MIB)
    }
}

/// The unit of every `_ms` key.
pub(super) fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}
