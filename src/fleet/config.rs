//! `[fleet]`: how servers that share a catalog reach each other.

use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::client::Address;

/// Bytes that one stream from another server may hold here: on their way from its owner, or waiting for its client.
pub const STREAM_BYTES: u32 = 256 << 10;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// Where the other servers reach this one: `grpc://HOST:PORT`. Without it they are told `server.listen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Bytes on their way from other servers to clients of this one, 256 KiB a stream. A stream beyond waits a minute for its
    /// turn, then it is RESOURCE_EXHAUSTED.
    pub relay_bytes_max: u64,
    /// Starts under an id that another server has had since: when that was a copy of these directories, and is gone for good.
    pub take_over: bool,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self { address: None, relay_bytes_max: 256 << 20, take_over: false }
    }
}

impl FleetConfig {
    /// The address as others are told it, with its port; `None` without one, or with one of another form.
    pub fn reached_at(&self) -> Option<String> {
        match Address::parse(self.address.as_deref()?) {
            Ok(Address::Tcp(host)) if host.ends_with(":0") || is_anywhere(&host) => None,
            Ok(address @ Address::Tcp(_)) => Some(address.to_string()),
            Ok(Address::Unix(_)) | Err(_) => None,
        }
    }

    /// Streams from other servers at a time.
    pub fn streams(&self) -> u32 {
        u32::try_from(self.relay_bytes_max / u64::from(STREAM_BYTES)).unwrap_or(u32::MAX).clamp(1, 4096)
    }
}

/// Whether an address says every one of a machine, which leads nobody there.
fn is_anywhere(host_and_port: &str) -> bool {
    host_and_port.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_unspecified())
}
