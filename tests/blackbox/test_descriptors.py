"""File descriptors run out: the daemon waits, says so, spins not, loses nothing, and goes on when they come back."""

import contextlib
import resource
import socket
import time

import pyarrow.flight as fl
import pytest

from harness import rows
from harness.flight import Client
from harness.server import Server
from harness.waiting import until
from harness.watch import Idle
from harness.watch import unharmed


@contextlib.contextmanager
def only(server, spare):
    """The process may open `spare` descriptors more than it has."""
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in descriptors(server))
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (highest + 1 + spare, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)


def descriptors(server):
    import pathlib

    return list(pathlib.Path(f"/proc/{server.pid}/fd").iterdir())


def answers(server):
    try:
        with fl.connect(server.location) as fresh:
            return bool(list(fresh.do_action(fl.Action("info", b"{}"), fl.FlightCallOptions(timeout=2))))
    except fl.FlightError:
        return False


def test_clients_leave_descriptors_to_recording():
    """A daemon that may have few takes half of them for connections: none is missing where rows are stored."""
    server = Server("descriptors")
    server.under = ["prlimit", "--nofile=200:200"]
    try:
        server.start()
        with Client(server.location) as client, unharmed(server, cpu=5):
            client.create_sequence("drive")
            session = client.create_session("drive")
            tokens = [client.create_topic(session, f"drive/t{n}") for n in range(10)]
            held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(500)]
            until(lambda: "connection refused" in server.log(), "the log says what is wrong")
            for n, token in enumerate(tokens):
                client.put(f"drive/t{n}", token, rows.BLOB, [rows.blobs(range(8), 1 << 20)])
            for connection in held:
                connection.close()
            until(lambda: answers(server), "new clients are served", 5)
            client.finalize(session)
            assert all(client.read(f"drive/t{n}").num_rows == 8 for n in range(10))
        assert "too few file descriptors" in server.log()
        assert server.log().count("connection refused") < 40, "one line a second is enough"
        server.stop()
    finally:
        server.remove()


def test_no_descriptor_for_a_connection(own_server):
    server = own_server
    with Client(server.location) as client:
        client.action("info", {})  # connects
        begun = time.monotonic()
        with unharmed(server, cpu=15), only(server, 20):
            held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
            until(lambda: "cannot accept" in server.log(), "the log says what is wrong")
            until(Idle(server), "it waits without spinning", 5)
            assert client.action("info", {})["config"]
            for connection in held:
                connection.close()
            until(lambda: answers(server), "new clients are served, with the limit still low", 5)
        client.record_sequence("drive", {"a": [rows.counters(range(30))]})
        assert client.read("drive/a").num_rows == 30
        assert server.log().count("cannot accept") < 2 + time.monotonic() - begun, "one line a second is enough"


@pytest.mark.parametrize("spare", [0, 1, 2, 4, 7])
def test_recording_without_descriptors(own_server, spare):
    """No file can be opened: a put fails with a code or succeeds, and what was acknowledged is there. Then it all works again."""
    server = own_server
    with Client(server.location) as client:
        client.record_sequence("before", {"a": [rows.counters(range(10))]})
        with only(server, spare):
            acknowledged = attempt(client, "during")
            with contextlib.suppress(*ERRORS):
                assert client.read("before/a").num_rows == 10
        assert server.process.poll() is None, server.log()[-3000:]
        client.record_sequence("after", {"a": [rows.counters(range(10))]})
        for name in ["before", "after"] + ["during"] * acknowledged:
            assert client.read(f"{name}/a").num_rows == 10
    server.restart()
    with Client(server.location) as client:
        for name in ["before", "after"] + ["during"] * acknowledged:
            assert client.read(f"{name}/a").num_rows == 10


ERRORS = (fl.FlightError, OSError, KeyError, Exception)


def attempt(client, name):
    """Whether a whole recording was acknowledged."""
    from harness.codes import code

    try:
        client.record_sequence(name, {"a": [rows.counters(range(10))]})
        return True
    except Exception as error:  # noqa: BLE001: the code is checked
        assert code(error) in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL"), error
        return False
