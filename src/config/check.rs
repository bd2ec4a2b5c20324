//! What must hold between keys, beyond the bounds of each.

use std::net::SocketAddr;

use crate::catalog::CatalogError;
use crate::fleet::STREAM_BYTES;
use crate::flight::ConfigError;

use super::compose::Config;

/// Of one topic with all its writes in flight.
const BLOCKS_PER_DEVICE: u64 = 8;

/// Where the configuration leaves their number open.
const BLOCKS: u64 = 32;

impl Config {
    /// Write blocks of 1 MiB per shard.
    pub fn write_blocks(&self) -> u64 {
        match self.memory.blocks_per_shard {
            0 => BLOCKS.max(BLOCKS_PER_DEVICE * self.storage.data_dirs.len() as u64),
            blocks => blocks,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("connections.{0}")]
    Connections(#[from] ConfigError),
    #[error("{key} is {value}: {rule}")]
    Rule { key: &'static str, value: u64, rule: String },
    #[error(
        "server.listen is {listen}, which other machines can reach, and nothing protects it: set server.insecure, or listen on loopback"
    )]
    Exposed { listen: SocketAddr },
    #[error(
        "log.level is {level:?}: use error, warn, info, debug or trace, alone or per target as in info,tessera::shard=debug"
    )]
    LogLevel { level: String },
    #[error("catalog.url: {0}")]
    Catalog(CatalogError),
    #[error("fleet.address is {address:?}: write grpc://HOST:PORT, as the other servers reach this one")]
    FleetAddress { address: String },
    #[error(
        "server.listen is {listen}, which tells the other servers of the shared catalog nothing: set fleet.address (--fleet-address) to \
         grpc://HOST:PORT, as they reach this one"
    )]
    NoFleetAddress { listen: SocketAddr },
    #[error("storage.data_dirs is empty: name at least one directory")]
    NoDirectory,
    #[error("{key} has an empty path: name one, or leave it out")]
    EmptyPath { key: &'static str },
}

/// # Errors
/// [`CheckError`] naming the key, its value and the rule.
pub fn check(config: &Config) -> Result<(), CheckError> {
    config.connections.check()?;
    config.catalog.cluster().map_err(CheckError::Catalog)?;
    match &config.fleet.address {
        Some(address) if config.fleet.reached_at().is_none() => {
            return Err(CheckError::FleetAddress { address: address.clone() });
        }
        None if config.catalog.url.is_some() && config.server.listen.ip().is_unspecified() => {
            return Err(CheckError::NoFleetAddress { listen: config.server.listen });
        }
        _ => {}
    }
    if config.storage.data_dirs.is_empty() {
        return Err(CheckError::NoDirectory);
    }
    if config.storage.data_dirs.iter().any(|path| path.as_os_str().is_empty()) {
        return Err(CheckError::EmptyPath { key: "storage.data_dirs" });
    }
    if config.server.unix_socket.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(CheckError::EmptyPath { key: "server.unix_socket" });
    }
    if !config.server.listen.ip().is_loopback() && !config.server.insecure {
        return Err(CheckError::Exposed { listen: config.server.listen });
    }
    if !is_log_level(&config.log.level) {
        return Err(CheckError::LogLevel { level: config.log.level.clone() });
    }
    let at_most = |key, value: u64, max: u64, why: &str| match value > max {
        true => Err(CheckError::Rule { key, value, rule: format!("at most {max}, {why}") }),
        false => Ok(()),
    };
    at_most("memory.receive_bytes", config.memory.receive_bytes, 1 << 40, "1 TiB")?;
    at_most("memory.read_bytes", config.memory.read_bytes, 1 << 40, "1 TiB")?;
    at_most("memory.dictionary_bytes", config.memory.dictionary_bytes, 1 << 40, "1 TiB")?;
    at_most("fleet.relay_bytes_max", config.fleet.relay_bytes_max, 1 << 30, "1 GiB")?;
    at_most("memory.blocks_per_shard", config.memory.blocks_per_shard, 4096, "4 GiB of registered memory per shard")?;
    at_most("shards.count", u64::from(config.shards.count), 256, "more than any machine gains from")?;
    let storage = &config.storage;
    if storage.soft_mark_bytes != 0 {
        let rule = "storage.soft_mark_bytes: streams must not end before new ones are refused";
        at_most("storage.hard_mark_bytes", storage.hard_mark_bytes, storage.soft_mark_bytes, rule)?;
    }
    at_most("storage.reserve_bytes", storage.reserve_bytes, 16 << 30, "16 GiB")?;
    let at_least = |key, value: u64, min: u64, why: &str| match value < min {
        true => Err(CheckError::Rule { key, value, rule: format!("at least {min}, {why}") }),
        false => Ok(()),
    };
    at_least("sessions.sessions_max", u64::from(config.sessions.sessions_max), 1, "or nothing can be recorded")?;
    at_least("sessions.topics_max", u64::from(config.sessions.topics_max), 1, "or nothing can be recorded")?;
    at_least("sessions.puts_max", u64::from(config.sessions.puts_max), 1, "or nothing can be recorded")?;
    at_least("connections.stall_ms", config.connections.stall_ms, 1000, "or a slow link ends every call")?;
    if config.chunk.bytes_max != 0 {
        at_least(
            "chunk.bytes_max",
            config.chunk.bytes_max,
            64 << 10,
            "or 0 for no limit: every chunk is a file of its own",
        )?;
    }
    let message = config.connections.message_bytes_max as u64;
    let memory = &config.memory;
    at_least("memory.receive_bytes", memory.receive_bytes, message * 2, "twice connections.message_bytes_max")?;
    at_least("memory.read_bytes", memory.read_bytes, 16 << 20, "for one reader's batches")?;
    at_least("memory.dictionary_bytes", memory.dictionary_bytes, 16 << 20, "for a few dictionaries and their values")?;
    let stream = u64::from(STREAM_BYTES);
    at_least("fleet.relay_bytes_max", config.fleet.relay_bytes_max, stream, "for one stream from another server")?;
    let (blocks, least) = (config.write_blocks(), BLOCKS_PER_DEVICE * storage.data_dirs.len() as u64);
    at_least("memory.blocks_per_shard", blocks, 16, "for two topics with all writes in flight, or 0")?;
    let why = "for a topic with all writes in flight on each data directory, or 0";
    at_least("memory.blocks_per_shard", blocks, least, why)?;
    let (target, rows) = (config.reading.target_message_bytes as u64, config.reading.batch_rows_max as u64);
    at_least("reading.target_message_bytes", target, 64 << 10, "smaller batches cost more than they carry")?;
    at_least("reading.batch_rows_max", rows, 1, "a batch has a row")?;
    at_least("reading.query_seconds_max", config.reading.query_seconds_max.into(), 1, "or every query fails")?;
    at_least("reading.query_topics_max", config.reading.query_topics_max as u64, 1, "or every query fails")
}

/// A list of `level` and `target=level`. A bare word that is no level would be taken for a target, and nothing be logged.
fn is_log_level(text: &str) -> bool {
    let is_level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
    text.split(',').map(str::trim).all(|part| is_level(part.rsplit('=').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serve_would_refuse_is_refused_here() {
        assert!(check(&Config::default()).is_ok());
        let mut many = Config::default();
        many.storage.data_dirs = (0..5).map(|n| n.to_string().into()).collect();
        assert!(check(&many).is_ok());
        assert_eq!((Config::default().write_blocks(), many.write_blocks()), (32, 40));
        let mut unlimited = Config::default();
        unlimited.chunk.bytes_max = 0;
        assert!(check(&unlimited).is_ok());
        let broken: [fn(&mut Config); 23] = [
            |c| {
                c.catalog.url = Some("scylla://db1/fleet".to_owned());
                (c.server.listen, c.server.insecure) = (([0, 0, 0, 0], 7100).into(), true);
            },
            |c| c.fleet.address = Some("recorder:7100".to_owned()),
            |c| c.fleet.address = Some("unix:/run/tessera.sock".to_owned()),
            |c| c.fleet.address = Some("grpc://recorder:0".to_owned()),
            |c| c.fleet.address = Some("grpc://0.0.0.0:7100".to_owned()),
            |c| c.fleet.relay_bytes_max = 1,
            |c| c.storage.data_dirs.push("".into()),
            |c| c.server.unix_socket = Some("".into()),
            |c| c.reading.query_seconds_max = 0,
            |c| c.reading.query_topics_max = 0,
            |c| {
                c.storage.data_dirs = (0..5).map(|n| n.to_string().into()).collect();
                c.memory.blocks_per_shard = 39;
            },
            |c| (c.storage.soft_mark_bytes, c.storage.hard_mark_bytes) = (1 << 20, 2 << 20),
            |c| c.chunk.bytes_max = 1,
            |c| c.catalog.url = Some("db1/fleet".to_owned()),
            |c| c.sessions.puts_max = 0,
            |c| c.connections.stall_ms = 0,
            |c| c.log.level = "loud".to_owned(),
            |c| c.log.level = "info,tessera::shard=dbg".to_owned(),
            |c| c.server.listen = ([0, 0, 0, 0], 7100).into(),
            |c| c.memory.blocks_per_shard = 20_000,
            |c| c.memory.receive_bytes = c.connections.message_bytes_max as u64,
            |c| c.shards.count = 1000,
            |c| c.storage.data_dirs.clear(),
        ];
        for (index, change) in broken.into_iter().enumerate() {
            let mut config = Config::default();
            change(&mut config);
            assert!(check(&config).is_err(), "change {index}");
        }
    }
}
