//! The servers of a run: the daemon and the null sink, each the own binary in a process of its own.

use std::fs;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use std::time::Instant;

use super::connection::Endpoint;
use super::error::BenchError;
use super::usage::Memory;
use super::usage::Usage;

/// The servers of this process, for who has to end them all; nothing once that was done, and none is started then.
static RUNNING: Mutex<Option<Vec<Weak<Mutex<Child>>>>> = Mutex::new(Some(Vec::new()));

/// Over what the client talks to the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Unix,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Unix => "unix",
        }
    }
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Arc<Mutex<Child>>,
    pid: String,
    endpoint: Endpoint,
    started_in: Duration,
}

impl Server {
    /// Starts the daemon on `<directory>/data`, which may exist.
    ///
    /// # Errors
    /// [`BenchError::Start`] with what it last said.
    pub fn daemon(directory: &Path, transport: Transport) -> Result<Self, BenchError> {
        Self::daemon_with(directory, transport, &[])
    }

    /// The same with keys of the configuration, as environment variables.
    ///
    /// # Errors
    /// As [`Self::daemon`].
    pub fn daemon_with(directory: &Path, transport: Transport, settings: &[(&str, &str)]) -> Result<Self, BenchError> {
        let mut command = own_binary()?;
        command.envs(settings.iter().copied());
        command.args(["bench", "serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(directory.join("data"));
        if transport == Transport::Unix {
            command.env("TESSERA_SERVER_UNIX_SOCKET", directory.join("daemon.sock"));
        }
        Self::start("daemon", command, directory, transport)
    }

    /// Starts the null sink.
    ///
    /// # Errors
    /// As [`Self::daemon`].
    pub fn sink(directory: &Path, transport: Transport) -> Result<Self, BenchError> {
        let mut command = own_binary()?;
        command.args(["bench", "sink"]);
        if transport == Transport::Unix {
            command.arg("--unix-socket").arg(directory.join("sink.sock"));
        }
        Self::start("sink", command, directory, transport)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
        transport: Transport,
    ) -> Result<Self, BenchError> {
        let log_path = directory.join(format!("{name}.log"));
        let began = Instant::now();
        let (child, out) = register(|| {
            fs::create_dir_all(directory).map_err(BenchError::io(format!("make {}", directory.display())))?;
            let log = File::create(&log_path).map_err(BenchError::io(format!("make {}", log_path.display())))?;
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn();
            child.map_err(BenchError::io(format!("start the {name}")))
        })?;
        let pid = lock(&child).id().to_string();
        let failed = |why: String| {
            end(&child);
            let said = fs::read_to_string(&log_path).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            BenchError::Start { server: name, why: format!("{why}; it said: {}", last.join(" | ")) }
        };
        let mut line = String::new();
        let read = out.map(|out| BufReader::new(out).read_line(&mut line));
        if !matches!(read, Some(Ok(1..))) {
            return Err(failed("it ended".to_owned()));
        }
        let Some(address) = line.trim().rsplit_once("grpc://").and_then(|(_, address)| address.parse().ok()) else {
            return Err(failed(format!("its first line was {line:?}")));
        };
        let endpoint = match transport {
            Transport::Tcp => Endpoint::Tcp(address),
            Transport::Unix => Endpoint::Unix(directory.join(format!("{name}.sock"))),
        };
        Ok(Self { pid, child, endpoint, started_in: began.elapsed() })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// As the blocking client takes it.
    pub fn address(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp(address) => format!("grpc://{address}"),
            Endpoint::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// From the start of the process to its readiness.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// # Errors
    /// [`BenchError::Io`] when it is gone.
    pub fn usage(&self) -> Result<Usage, BenchError> {
        Usage::of(&self.pid)
    }

    /// # Errors
    /// [`BenchError::Io`] when it is gone.
    pub fn memory(&self) -> Result<Memory, BenchError> {
        Memory::of(&self.pid)
    }
}

impl Drop for Server {
    /// As kill -9 does.
    fn drop(&mut self) {
        end(&self.child);
    }
}

/// Starts a server that [`end_all`] then knows, from its first moment.
fn register(
    start: impl FnOnce() -> Result<Child, BenchError>,
) -> Result<(Arc<Mutex<Child>>, Option<ChildStdout>), BenchError> {
    let mut guard = lock(&RUNNING);
    let Some(running) = guard.as_mut() else {
        return Err(BenchError::Interrupted);
    };
    let mut child = start()?;
    let out = child.stdout.take();
    let child = Arc::new(Mutex::new(child));
    running.retain(|one| one.strong_count() > 0);
    running.push(Arc::downgrade(&child));
    Ok((child, out))
}

/// Ends all servers of this process, as kill -9 does, and returns once they are gone. None starts after it.
pub fn end_all() {
    let running: Vec<_> = lock(&RUNNING).take().unwrap_or_default().iter().filter_map(Weak::upgrade).collect();
    running.iter().for_each(|child| end(child));
}

fn end(child: &Mutex<Child>) {
    let mut child = lock(child);
    let _ = child.kill();
    let _ = child.wait();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets this process, a server of a run, end as kill -9 does once whoever started it is gone: it holds our standard input.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// This very binary, without what the user's environment says to a server.
fn own_binary() -> Result<Command, BenchError> {
    let path: PathBuf = std::env::current_exe().map_err(BenchError::io("find the own binary"))?;
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let ours = |prefix: &str| name.to_string_lossy().starts_with(prefix);
        if ours("TESSERA_") || ours("MOSAICOD_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}
