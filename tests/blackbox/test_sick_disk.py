"""A disk that hangs, turns read-only, fails, or goes away. What was acknowledged is there when it is well again."""

import collections
import contextlib
import os
import pathlib
import sqlite3
import threading

import pyarrow as pa
import pytest

from harness import rows
from harness.cli import lines
from harness.cli import tessera
from harness.codes import ERRORS, code, refused
from harness.flight import Client
from harness.server import Server, below
from harness.volume import MIB, Volume, run
from harness.waiting import until
from harness.watch import peak, reset_peak

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


@pytest.fixture
def own_disks():
    """A server with two data directories, the second on a file system of its own."""
    disk = Volume(512)
    server = Server("sick", options=["--data-dir", str(disk.path / "data")])
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


def on_device(server, number):
    """The names of topics that were placed on this data directory."""
    with contextlib.closing(sqlite3.connect(f"file:{server.data}/catalog/catalog.db?mode=ro", uri=True)) as catalog:
        found = catalog.execute("SELECT path FROM topic WHERE device = ?", (number,)).fetchall()
    return {f"drive/{path}" for (path,) in found}


def test_a_second_disk_that_hangs_holds_up_its_own_streams_alone(own_disks):
    disk, server = own_disks
    with Client(server.location) as client, Client(server.location) as other:
        client.create_sequence("drive")
        session = client.create_session("drive")
        tokens = {f"drive/t{n}": client.create_topic(session, f"drive/t{n}") for n in range(24)}
        healthy, sick = (sorted(on_device(server, number)) for number in (0, 1))
        assert len(healthy) >= 10 and len(sick) >= 10, (healthy, sick)
        client.put(healthy[0], tokens[healthy[0]], rows.COUNTER, [rows.counters(range(5))])
        for n in range(3):
            client.record_sequence(f"gone{n}", {f"t{n}": [rows.counters(range(9))] for n in range(12)})
        sessions = [s["locator"].split(":")[1] for n in range(3) for s in client.sequence(f"gone{n}")["sessions"]]
        left = lambda place: sum(len(below(place / "chunks" / name)) for name in sessions)  # noqa: E731
        assert left(server.data) > 3 and left(disk.path / "data") > 3
        ends = []

        def put(name):
            with Client(server.location) as own:
                ends.append(own.put(name, tokens[name], rows.COUNTER, [rows.counters(range(5))]))

        threads = [threading.Thread(target=put, args=[name]) for name in sick[:10]]
        with disk.frozen():
            for thread in threads:
                thread.start()
            until(lambda: "does not say" in server.log() or stuck(server) >= 4, "its threads hang")
            # Everything below would wait for the thaw; a call that hangs fails by the time limit of the harness.
            other.create_sequence("meanwhile")
            other.record(other.create_session("meanwhile"), "meanwhile/a", [rows.counters(range(9))])
            for name in healthy[1:4]:
                other.put(name, tokens[name], rows.COUNTER, [rows.counters(range(7))])
            for n in range(3):
                other.delete_sequence(f"gone{n}")
            until(lambda: left(server.data) == 0, "the room of what was deleted, on the disk that answers", 60)
            assert not ends and left(disk.path / "data") > 3, "the other disk did not hang"
        for thread in threads:
            thread.join(60)
        assert len(ends) == 10
        until(lambda: left(disk.path / "data") == 0, "the room of what was deleted, on the other", 90)
    server.stop()


def test_a_disk_that_refuses_files_is_given_no_new_topics(own_disks):
    disk, server = own_disks
    with Client(server.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")

        def taken(name):
            token = client.create_topic(session, name)
            try:
                client.put(name, token, rows.COUNTER, [rows.counters(range(5))])
            except ERRORS:
                return False
            return True

        assert taken("drive/a") and taken("drive/b") and on_device(server, 1)
        places = [str(place) for place in [disk.path / "data", *(disk.path / "data").rglob("*")] if place.is_dir()]
        run("chattr", "+i", *places)
        try:
            outcomes = [taken(f"drive/t{n}") for n in range(12)]
            # The one that found out.
            assert sorted(outcomes) == [False] + [True] * 11, outcomes
            until(lambda: "files fail in a data directory" in server.log(), "a line in the log")
        finally:
            run("chattr", "-i", *places)
        until(lambda: "can be made in a data directory again" in server.log(), "a file there")
        before = on_device(server, 1)
        assert all(taken(f"drive/u{n}") for n in range(4)) and on_device(server, 1) > before
        client.finalize(session)
    server.stop()


def put_states(server):
    """How many topics of the sequence `drive` are in which state."""
    return dict(collections.Counter(row["state"] for row in lines(tessera("ls", "drive", "--server", server.location))))


def stuck(server):
    """How many of its threads wait for a disk, uninterruptibly."""
    stats = pathlib.Path(f"/proc/{server.pid}/task").glob("*/stat")
    return sum(stat.read_text().rsplit(")", 1)[1].split()[0] == "D" for stat in stats)


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


def test_a_catalog_that_is_removed_ends_the_server(own_server):
    place = own_server.data / "catalog"
    moved = own_server.data.with_name("moved")
    with Client(own_server.location) as client:
        client.record_sequence("old", {"a": [rows.blobs(range(20), MIB)]})
        place.rename(moved)
        assert own_server.process.wait(30) == EXIT_CATALOG, own_server.log()[-3000:]
        assert "catalog's file is gone" in own_server.log() and str(place) in own_server.log()
        moved.rename(place)
        own_server.start()
        assert has_old(client)


def test_a_mark_above_the_size_of_the_disk_is_told():
    disk = Volume(256)
    server = Server("marks", data=disk.path / "data", config="[storage]\nsoft_mark_bytes = 500000000\n")
    try:
        server.start()
        until(lambda: "not below the size" in server.log(), "the mark is told")
        assert "storage.soft_mark_bytes" in server.log() and server.log().count("not below the size") == 1
        server.stop()
    finally:
        server.remove()
        disk.remove()


def test_a_data_directory_that_is_left_out_is_told(own_server):
    second, plain = own_server.directory / "second", list(own_server.options)
    own_server.stop()
    own_server.options = [*plain, "--data-dir", str(second)]
    own_server.start()
    with Client(own_server.location) as client:
        own_server.restart()
        client.record_sequence("drive", {f"t{n}": [rows.counters(range(9))] for n in range(8)})
        assert "left out" not in own_server.log()
        device = (second / "DEVICE").read_text().strip()
        own_server.stop()
        own_server.options = plain
        own_server.start()
        told = [line for line in own_server.log().splitlines() if "left out" in line]
        assert len(told) == 1 and device in told[0] and "--data-dir" in told[0], own_server.log()[-2000:]
    own_server.stop()
    own_server.options = [*plain, "--data-dir", str(second)]
    own_server.start()


@contextlib.contextmanager
def streams(location, first, count, topics):
    """Puts on a connection of their own, one for each topic and token, of which `first` MiB are under way, and threads that send
    another `count` as long as they may. Yields a list that grows with every MiB they sent."""
    sent, threads, failed = [], [], []

    def send(writer):
        try:
            for n in range(first, first + count):
                writer.write_batch(rows.blobs([n], MIB))
                sent.append(n)
            writer.done_writing()
            writer.close()
        except ERRORS as error:
            failed.append(error)

    client = Client(location)
    for topic, token in topics:
        writer = client.begin_put(topic, token, rows.BLOB)
        writer.write_batch(rows.blobs(range(first), MIB))
        threads.append(threading.Thread(target=send, args=[writer]))
    yield sent, threads, failed
    for thread in threads:
        thread.join(60)
    client.close()


def stands_still(sent):
    """To be asked again and again: whether nothing was sent for a second."""
    looks = [(os.times().elapsed, -1)]

    def ask():
        if len(sent) != looks[0][1]:
            looks[0] = (os.times().elapsed, len(sent))
        return os.times().elapsed - looks[0][0] > 1

    return ask


@contextlib.contextmanager
def two_disks(name, config, count):
    """A server whose second directory is on a disk of its own: the disk, the server, a client, and of `count` topics the names and
    tokens on either."""
    disk = Volume(4096)  # room that is allocated ahead
    server = Server(name, options=["--data-dir", str(disk.path / "data")], config=config)
    try:
        server.start()
        with Client(server.location) as client, Client(server.location) as other:
            client.create_sequence("drive")
            session = client.create_session("drive")
            tokens = {f"drive/t{n}": client.create_topic(session, f"drive/t{n}") for n in range(count)}
            healthy, sick = ([(name, tokens[name]) for name in sorted(on_device(server, number))] for number in (0, 1))
            yield disk, server, other, healthy, sick
        server.stop()
    finally:
        server.remove()
        disk.remove()


@contextlib.contextmanager
def stuck_streams(disk, threads, sent):
    """The disk hangs, and the streams to it stand still until the end of the block."""
    with disk.frozen() as hangs:
        for thread in threads:
            thread.start()
        until(stands_still(sent), "the streams to the disk that hangs stand still")
        assert all(thread.is_alive() for thread in threads)
        yield
        # What waited for the thaw came too late.
        assert hangs() and all(thread.is_alive() for thread in threads), "the other disk did not hang"


@pytest.mark.parametrize("backend", ["auto", "threads"])
def test_a_disk_that_hangs_takes_no_blocks_of_another(backend):
    """More streams to the disk that hangs than all write blocks together; then one to the other disk, longer than these. Of
    io_uring a frozen ext4 would also take the kernel's own workers, four for each core."""
    config = f'[storage]\nbackend = "{backend}"\n[shards]\ncount = 1\n'
    with two_disks("blocks", config, 20) as (disk, server, client, healthy, sick):
        assert len(healthy) >= 2 and len(sick) >= 8, (healthy, sick)
        client.put(*healthy[0], rows.COUNTER, [rows.counters(range(5))])
        with streams(server.location, 6, 24, sick[:8]) as (sent, threads, failed):
            until(lambda: len(below(disk.path / "data", "*.part")) == 8, "all have their files")
            with stuck_streams(disk, threads, sent):
                client.put(*healthy[1], rows.BLOB, [rows.blobs([n], MIB) for n in range(64)])
        assert len(sent) == 8 * 24 and not failed, failed


PARTS = f"""
[connections]
message_bytes_max = {8 * MIB}

[memory]
receive_bytes = {64 * MIB}
dictionary_bytes = {16 * MIB}

[shards]
count = 1
"""


def test_a_disk_that_hangs_takes_no_memory_of_another():
    """More bytes for the disk that hangs than may be received in all, then many for the other disk."""
    with two_disks("parts", PARTS, 60) as (disk, server, client, healthy, sick):
        assert len(healthy) >= 2 and len(sick) >= 24, (healthy, sick)
        words = pa.table({"timestamp_ns": [1], "words": pa.array(["word"]).dictionary_encode()})
        with streams(server.location, 4, 24, sick[:24]) as (sent, threads, failed):
            until(lambda: put_states(server).get("receiving") == 24, "all puts have begun")
            with stuck_streams(disk, threads, sent):
                client.put(*healthy[0], rows.BLOB, [rows.blobs([n], 4 * MIB) for n in range(32)])
                client.put(*healthy[1], words.schema, words.to_batches())
        assert len(sent) == 24 * 24 and not failed, failed


WINDOWS = f"""
[connections]
idle_buffer_bytes_max = {64 * MIB}
held_bytes_max = {64 * MIB}

[memory]
receive_bytes = {128 * MIB}
read_bytes = {16 * MIB}
dictionary_bytes = {16 * MIB}
blocks_per_shard = 16

[shards]
count = 2
"""
BUDGET = (64 + 64 + 128 + 16 + 16 + 2 * (16 + 17) + 100) * MIB  # the formula of [memory] in configs/tessera.toml


def test_what_clients_send_ahead_of_a_disk_that_hangs_is_within_the_budget():
    """Goal: windows are memory, so they are bounded over all connections. Method: 12 connections of 16 puts each, which send as
    long as they may; the windows of each connection alone would be 64 MiB."""
    disk = Volume(4096)  # room that is allocated ahead
    server = Server("windows", data=disk.path / "data", config=WINDOWS)
    try:
        server.start()
        with Client(server.location) as client, contextlib.ExitStack() as stack:
            client.create_sequence("drive")
            session = client.create_session("drive")
            groups = []
            for group in range(12):
                names = [f"drive/g{group}_{n}" for n in range(16)]
                topics = [(name, client.create_topic(session, name)) for name in names]
                groups.append(stack.enter_context(streams(server.location, 1, 12, topics)))
            until(lambda: put_states(server) == {"receiving": 192}, "all puts have begun")
            with disk.frozen():
                for _, threads, _ in groups:
                    for thread in threads:
                        thread.start()
                for sent, _, _ in groups:
                    until(stands_still(sent), "its streams stand still")
                reset_peak(server)
                assert client.results("info", b"{}")
                found, sent = peak(server), sum(len(sent) for sent, _, _ in groups)
                print(f"{found >> 20} MiB of {BUDGET >> 20}, {sent} MiB sent")
                assert all(thread.is_alive() for _, threads, _ in groups for thread in threads), "the disk did not hang"
                server.process.kill()  # what was sent need not be written
            server.process.wait(30)
        assert found < BUDGET + 300_000_000, f"{found >> 20} MiB, the budget is {BUDGET >> 20}"
    finally:
        server.remove()
        disk.remove()
