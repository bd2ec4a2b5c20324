//! Accepts connections on TCP and a Unix socket until told to stop. No error of accepting ends it.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::config::ListenConfig;
use super::config::TransportConfig;
use super::connection;
use super::held::Total;
use super::places::Places;
use super::pool::Pool;
use super::routes::Routes;
use super::routes::Shared;
use super::silent::Silent;
use super::socket::Peer;
use super::socket::Socket;
use super::windows::silent_max;
use crate::io::now;
use crate::runtime::Budget;

/// After a failed accept (no file descriptor left, say), doubled up to the maximum while it goes on failing.
const BACK_OFF: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Bytes that the requests of all calls but puts may hold while they come in. More large ones at once are RESOURCE_EXHAUSTED.
const REQUESTS_BYTES_MAX: usize = 64 << 20;

/// Bytes of the answers of those calls that clients have not taken yet. More large ones at once are RESOURCE_EXHAUSTED.
const ANSWERS_BYTES_MAX: usize = 128 << 20;

/// Connections that may be on their way out while others take their places.
const LEAVING_MAX: usize = 16;

/// Bound sockets, not yet served.
pub struct Listener {
    tcp: TcpListener,
    unix: Option<UnixListener>,
}

/// What the server is told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Run,
    /// Take no new calls; those running may end until then.
    Drain {
        until: Instant,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "{listen} can be reached from other machines and nothing protects it: set server.insecure, or listen on loopback"
    )]
    Exposed { listen: SocketAddr },
    #[error("cannot listen on {listen}{}", tcp_remedy(cause))]
    Tcp {
        listen: SocketAddr,
        #[source]
        cause: io::Error,
    },
    #[error("cannot listen on Unix socket {path}")]
    Unix {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("Unix socket {path} belongs to a server that is running")]
    UnixInUse { path: PathBuf },
    #[error("Unix socket {path} was left behind by a server that is gone: remove the file")]
    UnixStale { path: PathBuf },
    #[error("{path} is there already and is no socket: name another path for the Unix socket")]
    UnixOther { path: PathBuf },
}

/// What to do about a TCP address that cannot be bound.
fn tcp_remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            ": another program listens there, perhaps a tessera that runs already; stop it, or name another address with \
             --listen"
        }
        io::ErrorKind::AddrNotAvailable => {
            ": this machine has no such address; name one it has with --listen, or 0.0.0.0 for all"
        }
        io::ErrorKind::PermissionDenied => ": ports below 1024 are for root; name a higher one with --listen",
        _ => "",
    }
}

impl Listener {
    /// Binds the addresses of `config`. A Unix socket left behind is reported, not removed: files belong to the caller.
    pub async fn bind(config: &ListenConfig) -> Result<Self, BindError> {
        let listen = config.listen;
        if !listen.ip().is_loopback() && !config.insecure {
            return Err(BindError::Exposed { listen });
        }
        let tcp = TcpListener::bind(listen).await.map_err(|cause| BindError::Tcp { listen, cause })?;
        let unix = match &config.unix_socket {
            Some(path) => Some(bind_unix(path.clone()).await?),
            None => None,
        };
        Ok(Self { tcp, unix })
    }

    /// The bound TCP address, with the port the system chose when 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` says drain; returns when all connections and the tasks of their calls have ended, which is soon after
    /// the time given there.
    ///
    /// * `budget`: bytes of all received message bodies together. While it is short, puts wait.
    pub async fn serve(self, config: TransportConfig, routes: Routes, budget: Budget, mut stop: watch::Receiver<Stop>) {
        let pool = Pool::new(config.idle_buffer_bytes_max);
        let connections_max = config.connections_max;
        let requests = Budget::new(REQUESTS_BYTES_MAX.max(config.request_bytes_max));
        let answers = Budget::new(ANSWERS_BYTES_MAX);
        let held = Total::new(config.held_bytes_max);
        let silent = Silent::new(silent_max(config.held_bytes_max));
        let shared = Shared { config: Arc::new(config), routes, budget, held, silent, requests, answers, pool };
        let mut connections = JoinSet::new();
        let mut back_off = BACK_OFF;
        let (mut complaint, places) = (Complaint::default(), Places::default());
        let connection_stop = stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = connection::stopping(&mut stop) => break,
            };
            match accepted {
                // One that makes room leaves within a second: so long there may be a few more.
                Ok((_, peer))
                    if connections.len() >= connections_max
                        && !(connections.len() < connections_max + LEAVING_MAX && places.free(now())) =>
                {
                    if let Some(before) = complaint.due(now()) {
                        tracing::warn!(
                            %peer,
                            connections_max,
                            refused_before = before,
                            "connection refused: connections.connections_max are open, and in use"
                        );
                    }
                }
                Ok((socket, peer)) => {
                    back_off = BACK_OFF;
                    let place = places.take(now());
                    connections.spawn(connection::serve(socket, peer, place, shared.clone(), connection_stop.clone()));
                }
                Err(error) => {
                    if let Some(before) = complaint.due(now()) {
                        tracing::warn!(%error, ?back_off, failed_before = before, "cannot accept a connection: waiting");
                    }
                    tokio::time::sleep(back_off).await;
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                }
            }
        }
        drop(self); // new connections are refused by the system
        while connections.join_next().await.is_some() {}
    }

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        let unix = async {
            match &self.unix {
                Some(unix) => unix.accept().await.map(|(stream, _)| (Socket::unix(stream), Peer::Unix)),
                None => pending().await,
            }
        };
        tokio::select! {
            tcp = self.tcp.accept() => tcp.map(|(stream, address)| (Socket::tcp(stream), Peer::Tcp(address))),
            unix = unix => unix,
        }
    }
}

/// Says that something goes wrong as often as anyone reads it, not as often as it happens: clients decide about that.
#[derive(Default)]
struct Complaint {
    said_at: Option<Instant>,
    silent: u64,
}

impl Complaint {
    const EVERY: Duration = Duration::from_secs(1);

    /// How many went unsaid when it is time to say it again.
    fn due(&mut self, now: Instant) -> Option<u64> {
        if self.said_at.is_some_and(|said_at| now.duration_since(said_at) < Self::EVERY) {
            self.silent += 1;
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

async fn bind_unix(path: PathBuf) -> Result<UnixListener, BindError> {
    match UnixListener::bind(&path) {
        Ok(listener) => Ok(listener),
        Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(&path).await {
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => Err(BindError::UnixStale { path }),
            _ => Err(BindError::UnixInUse { path }),
        },
        Err(cause) => Err(BindError::Unix { path, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_made_once_a_second_and_counts_the_others() {
        let (mut complaint, begun) = (Complaint::default(), Instant::now());
        assert_eq!(complaint.due(begun), Some(0));
        assert_eq!([complaint.due(begun), complaint.due(begun + Duration::from_millis(999))], [None, None]);
        assert_eq!(complaint.due(begun + Complaint::EVERY), Some(2));
        assert_eq!(complaint.due(begun + Complaint::EVERY * 2), Some(0));
    }
}
