//! The run's own directory.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use super::error::BenchError;
use super::process;

/// Before the number of the process, in the names of directories.
const RUN: &str = "run-";
const KEPT: &str = "kept-";

/// Tries to remove a directory that somebody else still fills.
const REMOVALS: usize = 200;

/// Held by the thread that removes a run's files.
static REMOVING: Mutex<()> = Mutex::new(());

/// A fresh directory inside the one the user named. Removed when dropped, unless it is to be kept, and when the run is
/// interrupted.
pub struct Scratch {
    place: Place,
}

#[derive(Clone)]
struct Place {
    path: PathBuf,
    keep: bool,
    /// The user's directory, when it did not exist before.
    made: Option<PathBuf>,
}

impl Scratch {
    /// # Errors
    /// [`BenchError::Io`].
    pub fn make(parent: &Path, keep: bool) -> Result<Self, BenchError> {
        let existed = parent.exists();
        fs::create_dir_all(parent).map_err(BenchError::io(format!("make {}", parent.display())))?;
        let parent = parent.canonicalize().map_err(BenchError::io(format!("find {}", parent.display())))?;
        remove_abandoned(&parent);
        let kind = if keep { KEPT } else { RUN };
        let path = parent.join(format!("{kind}{}", std::process::id()));
        fs::create_dir(&path).map_err(BenchError::io(format!("make {}", path.display())))?;
        Ok(Self { place: Place { path, keep, made: (!existed).then_some(parent) } })
    }

    /// From here on SIGINT and SIGTERM end the servers of the run, remove what it made, and end the process.
    ///
    /// # Errors
    /// [`BenchError::Io`] when the system refuses the handlers or the thread.
    pub fn remove_on_signals(&self) -> Result<(), BenchError> {
        let place = self.place.clone();
        on_signals(move |number| {
            process::end_all();
            place.remove();
            std::process::exit(128 + number);
        })
        .map_err(BenchError::io("listen for signals"))
    }

    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Removes a part of the run that is over, to make room for the next.
    pub fn discard(&self, name: &str) {
        if !self.place.keep {
            // What is left is removed with everything else, or reported then.
            let _ = fs::remove_dir_all(self.place.path.join(name));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.place.remove();
    }
}

/// Calls `then` with the number of the first signal that asks for an end, on a thread of its own.
fn on_signals(then: impl FnOnce(i32) + Send + 'static) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    drop(entered);
    let wait = move || {
        then(runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = interrupt.recv() => SignalKind::interrupt(),
            }
            .as_raw_value()
        }));
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

impl Place {
    fn remove(&self) {
        if self.keep {
            return;
        }
        // The end of the run and a signal may meet here. Were both to remove, the one that comes to its end first could
        // end the process in the middle of the other's work.
        let _alone = REMOVING.lock().unwrap_or_else(PoisonError::into_inner);
        // A call of ours may be making a file there at this moment.
        for left in (0..REMOVALS).rev() {
            match fs::remove_dir_all(&self.path) {
                Err(cause) if self.path.exists() && left == 0 => {
                    tracing::warn!(path = %self.path.display(), %cause, "not removed: remove it by hand");
                }
                Err(_) if self.path.exists() => std::thread::sleep(LOOK),
                _ => break,
            }
        }
        if let Some(parent) = &self.made {
            let _ = fs::remove_dir(parent); // only when it is empty
        }
    }
}

/// Removes what runs left behind that were killed.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(RUN)).and_then(|pid| pid.parse::<u32>().ok());
        if process.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Between two looks at the files.
const LOOK: Duration = Duration::from_millis(5);

/// Longer than any deletion should take; what comes after is then measured beside it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a deleted recording's files below `place` are gone, so that their removal is not measured as something else.
pub async fn until_empty(place: &Path) {
    let data = place.join("data");
    until(PATIENCE, || chunk_bytes(&data) == 0).await;
}

/// Looks every few milliseconds whether it is `met`, for so long at most.
pub async fn until(patience: Duration, met: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(LOOK);
    let began = Instant::now();
    while !met() && began.elapsed() < patience {
        looks.tick().await;
    }
}

/// Bytes of all chunk files below a directory.
pub fn chunk_bytes(directory: &Path) -> u64 {
    chunks(directory).1
}

/// How many chunk files there are below a directory.
pub fn chunk_files(directory: &Path) -> usize {
    chunks(directory).0
}

fn chunks(directory: &Path) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(directory) else { return (0, 0) };
    let one = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => chunks(&entry.path()),
        _ if entry.path().extension().is_some_and(|suffix| suffix == "parquet" || suffix == "part") => {
            (1, entry.metadata().map_or(0, |metadata| metadata.len()))
        }
        _ => (0, 0),
    };
    entries.flatten().map(one).fold((0, 0), |(files, bytes), (f, b)| (files + f, bytes + b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_leaves_nothing_and_removes_what_a_killed_one_left() {
        let parent = tempfile::tempdir().unwrap();
        let inside = |name: &str| parent.path().join(name);
        // No process has this number: the kernel's largest is 2^22.
        for name in ["run-99999999", "kept-99999999", "run-mine", "drives"] {
            fs::create_dir(inside(name)).unwrap();
        }
        let scratch = Scratch::make(parent.path(), false).unwrap();
        fs::create_dir_all(scratch.path().join("data/chunks")).unwrap();
        fs::write(scratch.path().join("data/chunks/a.part"), [7; 10]).unwrap();
        fs::write(scratch.path().join("data/other"), [7; 10]).unwrap();
        assert_eq!((chunk_files(scratch.path()), chunk_bytes(scratch.path())), (1, 10));
        drop(scratch);
        let mut left: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["drives", "kept-99999999", "run-mine"]);
    }
}
