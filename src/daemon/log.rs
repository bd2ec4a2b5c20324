//! The log: one line per event on standard error, plain for people or JSON for machines.

use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;
use crate::config::LogFormat;

#[derive(Debug, thiserror::Error)]
#[error("log.level {level:?} is no level and no filter: {cause}")]
pub struct LogError {
    level: String,
    cause: String,
}

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// [`LogError`] when the level is not understood.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|cause| LogError { level: config.level.clone(), cause: cause.to_string() })?;
    // glommio reports its probe for polled I/O as an error once per file opened for writing; it is what we want.
    let filter = match "glommio=off".parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody else's subscriber (a test's) may be there already: then that one stays.
    let _ = match config.format {
        LogFormat::Plain => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}
