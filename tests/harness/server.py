"""The real daemon, as a child process on a real disk."""

import fnmatch
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import uuid

import pyarrow.flight as fl

from harness.waiting import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 60


def binary():
    """Path of the binary under test: TESSERA_BIN, or the one cargo built."""
    named = os.environ.get("TESSERA_BIN")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(named) if named else target / "debug" / "tessera"
    assert path.exists(), f"no binary at {path}: run `cargo build` first, or set TESSERA_BIN"
    return path


def scratch(name):
    """A fresh directory on a real disk: tmpfs accepts what direct I/O refuses, and would hide mistakes."""
    base = pathlib.Path(os.environ.get("TESSERA_TEST_DIR", ROOT / "target" / "test-data"))
    path = base / f"{name}-{uuid.uuid4().hex[:8]}"
    path.mkdir(parents=True)
    kind = file_system(path)
    assert kind not in ("tmpfs", "ramfs"), f"{path} is on {kind}: set TESSERA_TEST_DIR to a directory on a disk"
    return path


def file_system(path):
    """Type of the file system that holds `path`, as the kernel names it."""
    found = ("", "")
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if str(path).startswith(mount.rstrip("/") + "/") and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1]


def below(place, pattern="*"):
    """The paths below a directory whose names match. A server may remove directories while we look: `os.walk` passes over them,
    `Path.glob` and `Path.rglob` raise."""
    found = []
    for directory, directories, names in os.walk(place):
        found += [pathlib.Path(directory, name) for name in fnmatch.filter(directories + names, pattern)]
    return sorted(found)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def toml(config):
    """The lines of a configuration, by section and key. Python 3.10 has no reader of its own."""
    found, section = {}, ""
    for line in map(str.strip, (config or "").splitlines()):
        if line.startswith("["):
            section = line
        elif "=" in line:
            key, value = line.split("=", 1)
            found[section, key.strip()] = value.strip()
    return found


class Server:
    """One daemon over one data directory. It keeps its port over restarts, as a real one does."""

    shared = None  # one for the tests of all files, while `attacks/run.py` runs

    def __init__(self, name="server", options=(), config=None, environment=None, data=None):
        self.directory = scratch(name)
        self.data = data or self.directory / "data"
        self.log_path = self.directory / "log"
        self.port = free_port()
        self.options = list(options)
        self.environment = environment or {}
        self.config = config
        self.under = []  # a command to start it under
        if config is not None:
            path = self.directory / "config.toml"
            path.write_text(config.replace("{directory}", str(self.directory)))
            self.options += ["--config", str(path)]
        self.process = None

    def has(self, config):
        """Whether its configuration says the same of all that this one names."""
        own = toml(self.config)
        return all(own.get(key) == value for key, value in toml(config).items())

    @property
    def location(self):
        return f"grpc://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def launch(self):
        """Starts the process without waiting for it to answer."""
        command = [*self.under, str(binary()), "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command + self.options,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                env={**os.environ, **self.environment},
            )
        return self

    def start(self):
        self.launch()
        try:
            until(self.answers, "an answer to the action info", START_SECONDS)
        except AssertionError:
            print(self.threads())
            raise
        return self

    def threads(self):
        """What each thread waits for, as far as the kernel tells."""
        lines = []
        for task in sorted(pathlib.Path(f"/proc/{self.pid}/task").glob("*")):
            told = [task.name]
            for name in ("comm", "wchan", "syscall", "stack"):
                try:
                    told.append((task / name).read_text().strip().replace("\n", " < "))
                except OSError:
                    pass
            lines.append(" | ".join(told))
        return "\n".join(lines)

    def answers(self):
        code = self.process.poll()
        assert code is None, f"the daemon ended with {code} while starting:\n{self.log()[-4000:]}"
        try:
            # A refused gRPC connection is retried only after a second: ask TCP first.
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            with fl.connect(self.location) as client:
                return bool(list(client.do_action(fl.Action("info", b"{}"), fl.FlightCallOptions(timeout=5))))
        except (OSError, fl.FlightUnavailableError, fl.FlightTimedOutError):
            return False

    def kill(self):
        """As a power cut: nothing of the process runs after this."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def stop(self):
        """Asks it to end, and checks that it ended well."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        assert code == 0, f"the daemon ended with {code} after SIGTERM:\n{self.log()[-4000:]}"
        assert "panicked" not in self.log(), self.log()[-8000:]

    def restart(self):
        self.stop()
        return self.start()

    def crash(self):
        self.kill()
        return self.start()

    def remove(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # What /proc says about it

    def memory(self):
        """Bytes of anonymous resident memory."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon in /proc status")

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.pid}/fd").iterdir()))

    def moment(self):
        """The last moment of a start that the data directory names."""
        return int((self.data / "START").read_text().split()[-1])

    def files(self, pattern="*.parquet"):
        """The paths below the data directory whose names match."""
        return below(self.data, pattern)
