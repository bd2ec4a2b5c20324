"""A disk that is full: by us, by somebody else, of files. What was durable stays, reads and deletes go on, and no restart is
needed when there is room again. On small real file systems.

`tests/run diskfull N` fills and frees each of them N times."""

import contextlib
import os
import random

import pytest

from harness import rows
from harness.codes import ERRORS, code, refused
from harness.flight import Client
from harness.server import Server
from harness.volume import MIB, Volume
from harness.waiting import until

CONFIG = """
[storage]
soft_mark_bytes = 100663296
hard_mark_bytes = 50331648
reserve_bytes = 8388608
[shards]
count = 2
"""
SOFT, HARD = 96 * MIB, 48 * MIB
CYCLES = int(os.environ.get("TESSERA_FILLS", "4"))


BOTH = pytest.mark.parametrize("volume", ["ext4", "xfs"], indirect=True)


@pytest.fixture
def volume(request):
    volumes, kind = [], getattr(request, "param", "ext4")

    def make(*arguments, **options):
        volumes.append(Volume(*arguments, **{"kind": kind, **options}))
        return volumes[-1]

    yield make
    for made in volumes:
        made.remove()


@pytest.fixture
def on(volume):
    """A server on a file system of its own."""
    running = []

    def start(disk, config=CONFIG):
        server = Server("full", config=config, data=disk.path / "data")
        running.append(server)
        return server.start()

    yield start
    for server in running:
        server.remove()


@contextlib.contextmanager
def full(*words):
    """The block is RESOURCE_EXHAUSTED, and its message has these words."""
    with refused("RESOURCE_EXHAUSTED") as error:
        yield
    for word in words:
        assert word in error.text, error.text


def stream(client, locator, token, count, size=1 * MIB):
    """Sends batches of one row until the server says no, and its error; or None after all of them."""
    writer = client.begin_put(locator, token, rows.BLOB)
    try:
        for n in range(count):
            writer.write_batch(rows.blobs([n], size))
        writer.done_writing()
        writer.close()
        return None
    except Exception as error:
        return error


def test_below_the_soft_mark_nothing_new_begins_and_what_runs_goes_on(volume, on):
    disk = volume(256)
    server = on(disk)
    with Client(server.location) as client:
        client.record_sequence("before", {"a": [rows.counters(range(100))]})
        client.create_sequence("running")
        session = client.create_session("running")
        token = client.create_topic(session, "running/a")
        writer = client.begin_put("running/a", token, rows.COUNTER)
        filler = disk.fill(leave=80 * MIB)
        with full("96.0 MiB", "soft_mark_bytes", "delete recordings"):
            client.create_sequence("late")
        with full("soft_mark_bytes"):
            client.create_session("running")
        # What was begun goes on: rows, more topics, finalize, reading.
        writer.write_batch(rows.counters(range(10)))
        writer.done_writing()
        writer.close()
        client.record(session, "running/b", [rows.counters(range(7))])
        client.finalize(session)
        assert [client.read(f"{name}").num_rows for name in ("before/a", "running/a", "running/b")] == [100, 10, 7]
        filler.unlink()
        until(lambda: disk.space() > SOFT, "the room is back")
        client.record_sequence("late", {"a": [rows.counters(range(3))]})
        assert client.read("late/a").num_rows == 3
    server.stop()


@BOTH
def test_streams_end_at_the_hard_mark_and_keep_what_came(volume, on):
    disk = volume(256)
    server = on(disk)
    with Client(server.location) as client:
        client.record_sequence("old", {"a": [rows.blobs(range(20), MIB)]})
        client.create_sequence("drive")
        session = client.create_session("drive")
        token = client.create_topic(session, "drive/a")
        error = stream(client, "drive/a", token, 400)
        # XFS refuses room that is there, for it is in pieces.
        own = "hard_mark_bytes" in str(error) and "MiB are free" in str(error)
        assert own or (disk.kind == "xfs" and "what it has is sealed" in str(error)), error
        assert disk.space() > 8 * MIB, "it ends while there is room for everything else"
        # The chunk was sealed: far more than half of what fits is kept, in order, and byte for byte.
        client.finalize(session)
        kept = client.read("drive/a")
        times = kept.column("timestamp_ns").to_pylist()
        assert times == list(range(len(times))) and len(times) > 100, len(times)
        assert kept.column("data")[-1].as_py() == rows.blob(times[-1], MIB)
        told = str(client.notifications("drive/a"))
        assert "nearly full" in told or "what it has is sealed" in told, told
        # Reading and deleting go on; room comes back without a restart.
        assert client.read("old/a").num_rows == 20
        client.delete_sequence("drive")
        until(lambda: disk.space() > SOFT, "the files of the deleted sequence are gone")
        client.record_sequence("new", {"a": [rows.blobs(range(5), MIB)]})
        assert client.read("new/a").num_rows == 5
    server.stop()


def test_a_stream_that_only_waits_ends_when_somebody_else_fills_the_disk(volume, on):
    disk = volume(256)
    server = on(disk)
    with Client(server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        token = client.create_topic(session, "drive/a")
        writer = client.begin_put("drive/a", token, rows.BLOB)
        writer.write_batch(rows.blobs(range(6), MIB))  # more than a row group: its file shows that they have come
        until(lambda: server.files("*.part"), "the rows have come")
        filler = disk.fill(leave=30 * MIB)
        until(lambda: "hard mark" in server.log(), "the server has measured the room")
        with pytest.raises(Exception, match="hard_mark_bytes|nearly full"):
            writer.done_writing()
            writer.close()
        client.finalize(session)
        assert client.read("drive/a").num_rows == 6
        filler.unlink()
        until(lambda: disk.space() > SOFT, "the room is back")
        client.record_sequence("new", {"a": [rows.counters(range(3))]})
    server.stop()


@pytest.mark.parametrize("volume, restarted", [("ext4", False), ("ext4", True), ("xfs", False)], indirect=["volume"])
def test_deleting_works_without_a_free_byte(volume, on, restarted):
    disk = volume(256)
    server = on(disk)
    with Client(server.location) as client:
        client.record_sequence("old", {"a": [rows.blobs(range(20), MIB)]})
        client.create_sequence("open")
        session = client.create_session("open")
        client.record(session, "open/a", [rows.counters(range(50))])
        until(lambda: server.files("*.reserve"), "the reserve is there")
        filler = disk.fill()
        assert disk.space() < 2 * MIB
        if restarted:
            server.kill()
            server.start()
        assert client.read("old/a").num_rows == 20
        with full():
            client.create_sequence("late")
        client.finalize(session)
        assert client.read("open/a").num_rows == 50
        client.delete_sequence("old")
        until(lambda: disk.space() > 15 * MIB, "its files are gone")
        assert client.sequences() == ["open"]
        filler.unlink()
        until(lambda: disk.space() > SOFT, "the room is back")
        client.record_sequence("new", {"a": [rows.counters(range(3))]})
        until(lambda: server.files("*.reserve"), "the reserve is made again")
        server.restart()
        assert client.read("new/a").num_rows == 3 and client.read("open/a").num_rows == 50
    server.stop()


def test_nothing_new_spends_what_deleting_needs(volume, on):
    disk = volume(256)
    server = on(disk)
    with Client(server.location) as client:
        client.record_sequence("keep", {"a": [rows.counters(range(20))]})
        client.record_sequence("old", {"a": [rows.blobs(range(20), MIB)]})
        until(lambda: server.files("*.reserve"), "the reserve is there")
        note = {"locator": "keep", "notification_type": "error", "name": "keep", "msg": "m"}
        for _ in range(4):
            # Somebody takes whatever is free, again and again.
            disk.fill()
            with contextlib.suppress(*ERRORS):
                client.action("sequence_notification_create", note)
        disk.fill()
        client.delete_sequence("old")
        until(lambda: disk.space() > 15 * MIB, "its files are gone")
        assert client.read("keep/a").num_rows == 20
    server.stop()


def test_a_disk_without_inodes(volume, on):
    disk = volume(256, files=2048)  # XFS makes inodes as they are wanted
    server = on(disk)
    with Client(server.location) as client:
        client.record_sequence("old", {"a": [rows.counters(range(20))]})
        client.create_sequence("open")
        session = client.create_session("open")
        token = client.create_topic(session, "open/a")
        client.put("open/a", token, rows.COUNTER, [rows.counters(range(5))])
        later = client.create_topic(session, "open/b")
        many = disk.fill_files(leave=20)
        with full("inodes"):
            client.create_sequence("late")
        with full("inodes"):
            client.put("open/b", later, rows.COUNTER, [rows.counters(range(5))])
        assert client.read("old/a").num_rows == 20
        client.delete_sequence("old")
        for file in many.iterdir():
            file.unlink()
        client.put("open/b", later, rows.COUNTER, [rows.counters(range(6))])
        client.finalize(session)
        assert (client.read("open/a").num_rows, client.read("open/b").num_rows) == (5, 6)
        # After a crash, too: what is deleted is what makes room again.
        server.kill()
        many = disk.fill_files(leave=0, name="more")
        server.start()
        with full("inodes"):
            client.create_sequence("late")
        assert client.read("open/a").num_rows == 5
        client.delete_sequence("open")
        until(lambda: disk.files() >= 2, "its files are gone")
        for file in many.iterdir():
            file.unlink()
    server.stop()


@BOTH
def test_filled_and_freed_again_and_again(volume, on):
    disk = volume(256)
    server = on(disk)
    with Client(server.location) as client:
        for turn in range(CYCLES):
            client.create_sequence("drive")
            session = client.create_session("drive")
            filler = disk.fill(leave=SOFT + random.Random(turn).randrange(30 * MIB))
            written = []
            for n in range(5):
                try:
                    token = client.create_topic(session, f"drive/{n}")
                except ERRORS as error:
                    assert code(error) == "RESOURCE_EXHAUSTED", error
                    break
                written.append(f"drive/{n}")
                if stream(client, f"drive/{n}", token, 40):
                    break
            else:
                raise AssertionError("it should have been full")
            client.finalize(session)
            for locator in written:
                times = client.read(locator).column("timestamp_ns").to_pylist()
                assert times == list(range(len(times))), locator
            client.delete_sequence("drive")
            filler.unlink()
            until(lambda: disk.space() > 200 * MIB, "the room is back")
    server.stop()
