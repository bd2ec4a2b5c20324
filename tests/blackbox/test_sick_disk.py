"""A disk that hangs, turns read-only, fails, or goes away. What was acknowledged is there when it is well again."""

import os

import pytest

from harness import rows
from harness.codes import ERRORS, code, refused
from harness.flight import Client
from harness.server import Server
from harness.volume import MIB, Volume
from harness.waiting import until

EXIT_CATALOG = 74


@pytest.fixture
def sick():
    """A server on a file system of its own."""
    disk = Volume(512)
    server = Server("sick", data=disk.path / "data")
    try:
        yield disk, server.start()
    finally:
        server.remove()
        disk.remove()


def has_old(client):
    table = client.read("old/a")
    return table.num_rows == 20 and table.column("data")[-1].as_py() == rows.blob(19, MIB)


def test_a_disk_that_hangs_makes_senders_wait_and_fails_nobody(sick):
    disk, server = sick
    with Client(server.location) as client, Client(server.location) as other:
        client.record_sequence("old", {"a": [rows.blobs(range(20), MIB)]})
        client.create_sequence("drive")
        session = client.create_session("drive")
        token = client.create_topic(session, "drive/a")
        writer = client.begin_put("drive/a", token, rows.BLOB)
        writer.write_batch(rows.blobs(range(4), MIB))
        with disk.frozen():
            for n in range(4, 24):
                writer.write_batch(rows.blobs([n], MIB))
            # What needs no disk is answered meanwhile.
            assert other.results("info", b"{}")
            hung = os.times().elapsed
            until(lambda: os.times().elapsed - hung > 3, "the disk hangs for three seconds")
        writer.done_writing()
        writer.close()
        client.finalize(session)
        assert client.read("drive/a").column("timestamp_ns").to_pylist() == list(range(24))
        assert has_old(other)
        assert "ERROR" not in server.log(), server.log()[-2000:]
    server.stop()


def begin(client):
    client.record_sequence("old", {"a": [rows.blobs(range(20), MIB)]})
    client.create_sequence("drive")
    session = client.create_session("drive")
    client.record(session, "drive/whole", [rows.counters(range(100))])
    token = client.create_topic(session, "drive/broken")
    writer = client.begin_put("drive/broken", token, rows.COUNTER)
    writer.write_batch(rows.counters(range(10)))
    until(lambda: put_runs(client, session), "the put has begun")
    return session, writer


def put_runs(client, session):
    with refused("FAILED_PRECONDITION") as error:
        client.finalize(session)
    return "still running" in error.text


def fails(writer):
    """The put ends with an error of the server's, or with its connection."""
    with pytest.raises(ERRORS) as error:
        writer.done_writing()
        writer.close()
    assert code(error.value) in ("UNAVAILABLE", "UNKNOWN", "INTERNAL", "DATA_LOSS"), error.value


def test_a_file_system_that_turned_read_only(sick):
    disk, server = sick
    with Client(server.location) as client:
        session, writer = begin(client)
        disk.turn_read_only()
        fails(writer)
        # The end of the put cannot be recorded, so nobody may be told anything any more: the process ends.
        assert server.process.wait(30) == EXIT_CATALOG, server.log()[-3000:]
        server.launch()
        assert server.process.wait(30) == 1
        assert "read-only" in server.log()[-1500:], server.log()[-1500:]
        disk.repair()
        server.start()
        assert has_old(client)
        client.finalize(session)
        assert client.read("drive/whole").num_rows == 100
        assert client.read("drive/broken").num_rows in (0, 10)
    server.stop()


def test_a_disk_that_fails(sick):
    disk, server = sick
    with Client(server.location) as client:
        session, writer = begin(client)
        disk.shut_down()
        fails(writer)
        assert server.process.wait(30) == EXIT_CATALOG, server.log()[-3000:]
        disk.repair()
        server.start()
        assert has_old(client)
        client.finalize(session)
        assert client.read("drive/whole").num_rows == 100
        assert client.read("drive/broken").num_rows in (0, 10)
    server.stop()


def test_a_data_directory_that_is_removed_ends_the_server(own_server):
    moved = own_server.data.with_name("moved")
    with Client(own_server.location) as client:
        client.record_sequence("old", {"a": [rows.blobs(range(20), MIB)]})
        own_server.data.rename(moved)
        assert own_server.process.wait(30) == EXIT_CATALOG, own_server.log()[-3000:]
        assert str(own_server.data) in own_server.log() and "is gone" in own_server.log()
        moved.rename(own_server.data)
        own_server.start()
        assert has_old(client)
