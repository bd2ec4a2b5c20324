"""A log that cannot be written: recording goes on without it."""

import os
import subprocess

from harness import rows
from harness.flight import Client
from harness.server import Server
from harness.server import binary
from harness.waiting import until


def launch(server, errors):
    command = [str(binary()), "serve", "--listen", f"127.0.0.1:{server.port}", "--data-dir", str(server.data)]
    server.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL)
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
