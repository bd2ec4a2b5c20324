//! What must hold between keys, beyond the bounds of each.

use crate::flight::ConfigError;

use super::compose::Config;

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("connections.{0}")]
    Connections(#[from] ConfigError),
    #[error("{key} is {value}: {rule}")]
    Rule { key: &'static str, value: u64, rule: String },
    #[error("storage.data_dirs is empty: name at least one directory")]
    NoDirectory,
}

/// # Errors
/// [`CheckError`] naming the key, its value and the rule.
pub fn check(config: &Config) -> Result<(), CheckError> {
    config.connections.check()?;
    if config.storage.data_dirs.is_empty() {
        return Err(CheckError::NoDirectory);
    }
    let at_least = |key, value: u64, min: u64, why: &str| match value < min {
        true => Err(CheckError::Rule { key, value, rule: format!("at least {min}, {why}") }),
        false => Ok(()),
    };
    let message = config.connections.message_bytes_max as u64;
    let memory = &config.memory;
    at_least("memory.receive_bytes", memory.receive_bytes, message * 2, "twice connections.message_bytes_max")?;
    at_least("memory.read_bytes", memory.read_bytes, 16 << 20, "for one reader's batches")?;
    at_least("memory.blocks_per_shard", memory.blocks_per_shard, 16, "for two topics with all writes in flight")?;
    let (target, rows) = (config.reading.target_message_bytes as u64, config.reading.batch_rows_max as u64);
    at_least("reading.target_message_bytes", target, 64 << 10, "smaller batches cost more than they carry")?;
    at_least("reading.batch_rows_max", rows, 1, "a batch has a row")
}
