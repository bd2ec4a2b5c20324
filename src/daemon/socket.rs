//! Binding, and the file of the Unix socket: it is ours to remove and to open to our group.

use std::io;

use crate::flight::BindError;
use crate::flight::ListenConfig;
use crate::flight::Listener;
use crate::io::Host;

/// Our user and our group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Binds all addresses. A socket that a dead server left behind is removed first; anything else in its place is not.
pub async fn bind(config: &ListenConfig) -> Result<Listener, BindError> {
    let host = Host::default();
    let listener = match Listener::bind(config).await {
        Err(BindError::UnixStale { path }) if host.is_socket(&path) => {
            tracing::info!(path = %path.display(), "removing the Unix socket of a server that is gone");
            host.remove_file(&path).map_err(|cause| BindError::Unix { path, cause })?;
            Listener::bind(config).await?
        }
        Err(BindError::UnixStale { path }) => return Err(BindError::UnixOther { path }),
        other => other?,
    };
    if let Some(path) = &config.unix_socket {
        let opened = host.set_mode(path, SOCKET_MODE);
        opened.map_err(|cause: io::Error| BindError::Unix { path: path.clone(), cause })?;
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn bound(config: &ListenConfig) -> Result<Listener, BindError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(bind(config))
    }

    #[test]
    fn a_stale_socket_is_bound_again_and_a_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let config = ListenConfig { listen, unix_socket: Some(path.clone()), ..ListenConfig::default() };
        // Dropped, a listener leaves its file.
        drop(UnixListener::bind(&path).unwrap());
        let first = bound(&config).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        assert!(matches!(bound(&config), Err(BindError::UnixInUse { .. })));
        drop(first);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody's").unwrap();
        assert!(matches!(bound(&config), Err(BindError::UnixOther { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
    }
}
