"""A log that cannot be written: recording goes on without it."""

import contextlib
import os
import pty
import subprocess

from harness import rows
from harness.cli import tessera
from harness.codes import refused
from harness.flight import Client
from harness.server import Server
from harness.server import binary
from harness.waiting import until


def launch(server, errors, level="info"):
    command = [str(binary()), "serve", "--listen", f"127.0.0.1:{server.port}", "--data-dir", str(server.data)]
    server.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL,
                                      env={**os.environ, "TESSERA_LOG_LEVEL": level})
    until(server.answers, "an answer to the action info", 60)


def record_and_stop(server, name):
    with Client(server.location) as client:
        client.record_sequence(name, {"a": [rows.counters(range(10))]})
        assert client.read(f"{name}/a").num_rows == 10
    server.stop()


def test_a_log_on_a_full_disk_stops_nothing():
    server = Server("log")
    try:
        with open("/dev/full", "wb") as full:
            launch(server, full)
        record_and_stop(server, "drive")
    finally:
        server.remove()


def test_a_log_that_nobody_reads_any_more_stops_nothing():
    server = Server("log")
    try:
        reader, writer = os.pipe()
        launch(server, writer)
        os.close(writer)
        os.close(reader)
        # The drain logs too.
        record_and_stop(server, "drive")
    finally:
        server.remove()


def fill(pipe):
    """All that a pipe takes without a reader, of a descriptor of our own: the server's keeps blocking."""
    own = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(own, b"x" * size)
    os.close(own)


def test_a_log_whose_reader_stalls_stops_nothing():
    server = Server("log")
    reader, writer = os.pipe()
    try:
        launch(server, writer)
        fill(writer)
        with Client(server.location) as client:
            client.create_sequence("open")
            client.record(client.create_session("open"), "open/a", [rows.counters(range(10))])
        # The order is logged before it is carried out.
        place = ["--data-dir", server.data, "--server", server.location]
        assert tessera("finalize", "open", *place).returncode == 0
        record_and_stop(server, "drive")
    finally:
        os.close(reader)
        os.close(writer)
        server.remove()


def test_a_terminal_that_nobody_reads_stops_nothing():
    """A connection that is stuck: a terminal says that it takes more as long as it takes a byte."""
    server = Server("log")
    screen, terminal = pty.openpty()
    try:
        launch(server, terminal, "debug")
        # Far more events than a terminal takes, which is some 20 KB.
        for n in range(300):
            with Client(server.location) as client, refused("NOT_FOUND"):
                client.action("session_finalize", {"session_uuid": f"{n:032x}"})
        record_and_stop(server, "drive")
        # Nothing is left behind what was told, and it is full.
        os.set_blocking(screen, False)
        told = b""
        with contextlib.suppress(OSError):
            while some := os.read(screen, 1 << 16):
                told += some
        assert len(told) > 4000, told
    finally:
        os.close(screen)
        os.close(terminal)
        server.remove()
