"""Servers whose catalog is in a keyspace of a CQL cluster (`--catalog scylla://…`)."""

import os
import shutil
import signal
import uuid

import pytest

from harness import cql, rows
from harness.cli import lines, tessera
from harness.codes import refused, tried
from harness.flight import Client
from harness.server import Server, below
from harness.waiting import until

if not cql.address():
    assert os.environ.get("CI") != "true", "in CI nothing is skipped: set TESSERA_TEST_CQL"
    pytest.skip("no CQL server: TESSERA_TEST_CQL is not set (tests/run sets it)", allow_module_level=True)


class Fleet:
    """Servers on one new keyspace."""

    def __init__(self):
        self.url = cql.keyspace()
        self.servers = []

    def server(self, name):
        running = Server(name, options=["--catalog", self.url])
        self.servers.append(running)
        return running.start()

    def end(self):
        for running in self.servers:
            running.stop()


@pytest.fixture
def fleet():
    made = Fleet()
    try:
        yield made
        made.end()
    finally:
        for running in made.servers:
            running.remove()
        cql.drop(made.url)


def query(client, text, within=None):
    arguments = ["query", text, "--server", client]
    return lines(tessera(*arguments, *(["--in", within] if within else [])))


@pytest.mark.parametrize("end", ["restart", "crash"])
def test_record_read_find_delete_over_a_restart(fleet, end):
    one = fleet.server("one")
    with Client(one.location) as client:
        client.record_sequence("drive", {"imu": [rows.imu(range(100))], "none": [rows.counters([])],
                                         "camera": [rows.blobs(range(20), 200_000)]}, {"driver": "Ada"})
        session = client.create_session("drive")
        client.record(session, "drive/open", [rows.counters(range(10))])
        gone = client.create_session("drive")
        client.record(gone, "drive/gone", [rows.counters(range(10))])
        client.finalize(gone)
        client.delete_session(gone)
        before = client.sequence("drive", 5, 50), client.read("drive/imu"), client.read("drive/camera")
        found = query(one.location, 'sequence.metadata.driver = "Ada" and Counter.acceleration.x >= 20')
        assert found
        getattr(one, end)()
        after = client.sequence("drive", 5, 50), client.read("drive/imu"), client.read("drive/camera")
        assert before == after
        assert query(one.location, 'sequence.metadata.driver = "Ada" and Counter.acceleration.x >= 20') == found
        with refused("NOT_FOUND"):
            client.read("drive/gone")
        client.record(session, "drive/gone", [rows.counters(range(3))])
        client.finalize(session)
        assert client.read("drive/open").num_rows == 10 and client.read("drive/gone").num_rows == 3
        client.delete_sequence("drive")
        with refused("NOT_FOUND"):
            client.sequence("drive")
        chunks = one.data / "chunks"
        until(lambda: not below(chunks, "*.parquet"), "the purge of all chunks", 60)
        client.record_sequence("drive", {"imu": [rows.imu(range(7))]})
        assert client.read("drive/imu").num_rows == 7
    one.stop()
    assert tessera("verify", "--data-dir", one.data).returncode == 0


def test_two_servers_share_names(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    with Client(one.location) as a, Client(two.location) as b:
        a.record_sequence("drive", {"imu": [rows.imu(range(100))]})
        with refused("ALREADY_EXISTS"):
            b.create_sequence("drive")
        session = b.create_session("drive")
        with refused("ALREADY_EXISTS"):
            b.create_topic(session, "drive/imu")
        b.record(session, "drive/labels", [rows.counters(range(5))])
        b.finalize(session)
        for server, client in (one, a), (two, b):
            assert sorted(client.sequence("drive")["topics"]) == ["drive/imu", "drive/labels"]
            assert client.read("drive/labels").num_rows == 5 and client.read("drive/imu").num_rows == 100
            assert query(server.location, "Counter.value >= 3") and not query(server.location, "Counter.value >= 30")
        b.delete_sequence("drive")
        with refused("NOT_FOUND"):
            a.sequence("drive")
        until(lambda: not below(two.data / "chunks", "*.parquet"), "the purge of its own chunks", 60)
        a.create_sequence("drive")


def test_a_cluster_that_is_away_costs_no_row_and_no_restart():
    wire, url = cql.Wire(), cql.keyspace()
    one = Server("away", options=["--catalog", url.replace(cql.address(), wire.address)])
    try:
        with Client(one.start().location) as client:
            client.record_sequence("before", {"imu": [rows.imu(range(9))]})
            client.create_sequence("drive")
            session = client.create_session("drive")
            token = client.create_topic(session, "drive/run")
            writer = client.begin_put("drive/run", token, rows.COUNTER)
            writer.write_batch(rows.counters(range(50)))
            wire.cut()
            # What runs goes on, and its rows are durable here: that is what the answer says.
            writer.write_batch(rows.counters(range(50, 100)))
            writer.done_writing()
            writer.close()
            for call in (lambda: client.create_sequence("never"), lambda: client.create_topic(session, "drive/late"),
                         lambda: client.finalize(session), lambda: client.read("before/imu"), client.sequences):
                with refused("UNAVAILABLE"):
                    call()
            wire.mend()
            until(lambda: tried(lambda: client.finalize(session)), "the cluster to be seen again")
            assert client.read("drive/run").num_rows == 100 and client.read("before/imu").num_rows == 9
            # The names of what was refused are free.
            session = client.create_session("drive")
            client.record(session, "drive/late", [rows.counters(range(3))])
            client.finalize(session)
            assert sorted(client.sequence("drive")["topics"]) == ["drive/late", "drive/run"]
        wire.cut()
        one.stop()
        ended = tessera("serve", "--listen", "127.0.0.1:0", "--data-dir", one.data, *one.options)
        assert ended.returncode == 1 and "shared catalog" in ended.stderr and wire.address in ended.stderr, ended.stderr
        wire.mend()
        with Client(one.start().location) as client:
            assert client.read("drive/run").num_rows == 100
        one.stop()
    finally:
        one.remove()
        wire.close()


def test_a_directory_belongs_to_one_catalog(fleet):
    one = fleet.server("one")
    with Client(one.location) as client:
        client.record_sequence("drive", {"imu": [rows.imu(range(5))]})
        open_session = client.create_session("drive")
        client.record(open_session, "drive/open", [rows.counters(range(7))])
    one.stop()
    other = cql.keyspace()
    for options, told in ([], "--catalog"), (["--catalog", other], "another shared catalog"):
        ended = tessera("serve", "--listen", "127.0.0.1:0", "--data-dir", one.data, *options)
        assert ended.returncode == 1 and told in ended.stderr, ended.stderr
    with Client(one.start().location) as client:
        assert client.read("drive/imu").num_rows == 5
        # What another catalog does not know was not taken for deleted.
        client.finalize(open_session)
        assert client.read("drive/open").num_rows == 7
    own = Server("own")
    try:
        with Client(own.start().location) as client:
            client.record_sequence("drive", {"imu": [rows.imu(range(5))]})
        own.stop()
        ended = tessera("serve", "--listen", "127.0.0.1:0", "--data-dir", own.data, "--catalog", other)
        assert ended.returncode == 1 and "its own catalog" in ended.stderr, ended.stderr
        with Client(own.start().location) as client:
            assert client.read("drive/imu").num_rows == 5
        own.stop()
    finally:
        own.remove()


def test_a_session_is_discarded_where_it_is_recorded(fleet):
    """Only that server knows whether its writer is there."""
    one, two = fleet.server("one"), fleet.server("two")

    def discard(*arguments):
        ended = tessera("discard", "drive", *arguments, "--server", one.location, "--data-dir", one.data)
        assert ended.returncode == 1 and "another server" in ended.stderr, ended.stderr

    with Client(two.location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        # Nothing here says so but the server.
        discard("--yes")
        writer = client.begin_put("drive/cam", client.create_topic(session, "drive/cam"), rows.COUNTER)
        writer.write_batch(rows.counters(range(100)))
        discard()
        discard("--yes")
        (listed,) = lines(tessera("ls", "--open", "--server", one.location))
        assert listed["state"] == "at another server", listed
        writer.write_batch(rows.counters(range(100, 200)))
        writer.done_writing()
        writer.close()
        client.finalize(session)
        assert client.read("drive/cam").num_rows == 200


def test_a_server_stays_itself_without_its_first_disk(fleet):
    one = Server("one", options=["--catalog", fleet.url])
    second = one.directory / "second"
    one.options += ["--data-dir", str(second)]
    fleet.servers.append(one)
    topics = {f"t{n}": [rows.counters(range(100))] for n in range(6)}
    with Client(one.start().location) as client:
        client.record_sequence("drive", topics)
    kept = {path.name for path in (second / "chunks").rglob("*.parquet")}
    assert 0 < len(kept) < 6
    one.stop()
    shutil.rmtree(one.data)
    rebuilt = tessera("catalog", "rebuild", "--data-dir", second, "--without-missing", "--catalog", fleet.url)
    assert rebuilt.returncode in (0, 3), rebuilt.stderr
    one.data, one.options = second, ["--catalog", fleet.url]
    with Client(one.start().location) as client:
        read = [tried(lambda: client.read(f"drive/{topic}")) for topic in topics]  # noqa: B023
        # All that is left is its own.
        assert sum(read) == len(kept), read


def test_a_copy_of_a_server_is_refused_beside_it(fleet):
    """Robots that were flashed from one image, of which a server had run."""
    one = fleet.server("one")
    one.stop()
    copy = one.directory / "copy"
    shutil.copytree(one.data, copy)
    beside = one.directory / "beside"
    with Client(one.start().location) as client:
        client.record_sequence("drive", {"imu": [rows.imu(range(9))]})
        # It knows of everything that the one that runs does.
        shutil.copytree(one.data, beside)
        for data in copy, beside:
            ended = tessera("serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--catalog", fleet.url)
            assert ended.returncode == 1 and f"runs at {one.location}" in ended.stderr, ended.stderr
        one.crash()
        # Also while it does not answer.
        one.process.send_signal(signal.SIGSTOP)
        ended = tessera("serve", "--listen", "127.0.0.1:0", "--data-dir", copy, "--catalog", fleet.url)
        one.process.send_signal(signal.SIGCONT)
        assert ended.returncode == 1 and "another server has" in ended.stderr and one.location in ended.stderr, ended.stderr
        assert client.read("drive/imu").num_rows == 9
    # The copy has its turn, and then the first one again: only when somebody says so.
    one.stop()
    stray = Server("stray", options=["--catalog", fleet.url])
    fleet.servers.append(stray)
    shutil.copytree(one.data, stray.data)
    stray.start()
    stray.stop()
    command = ["serve", "--listen", f"127.0.0.1:{one.port}", "--data-dir", one.data, "--catalog", fleet.url]
    ended = tessera(*command)
    assert ended.returncode == 1 and "fleet.take_over" in ended.stderr, ended.stderr
    one.environment["TESSERA_FLEET_TAKE_OVER"] = "true"
    with Client(one.start().location) as client:
        assert client.read("drive/imu").num_rows == 9
    one.environment.clear()
    one.restart()


def test_a_topic_that_goes_behind_a_finalize_that_was_cut_off(fleet):
    """The manifest of that finalize names it, and a start must not miss its chunks."""
    wire = cql.Wire(fatal="SET session_state = 2")
    one = Server("one", options=["--catalog", fleet.url.replace(cql.address(), wire.address)])
    fleet.servers.append(one)
    with Client(one.start().location) as client:
        client.create_sequence("drive")
        session = client.create_session("drive")
        for topic in "kept", "gone":
            client.record(session, f"drive/{topic}", [rows.counters(range(100))])
        wire.cut_at_it = True
        with refused("UNAVAILABLE"):
            client.finalize(session)
        wire.mend()
        gone = {"locator": "drive/gone"}
        until(lambda: tried(lambda: client.action("topic_delete", gone)), "the cluster to be seen again")
        until(lambda: len(one.files("*.parquet")) + len(one.files("*.part")) == 1, "the purge", 60)
    one.stop()
    with Client(one.start().location) as client:
        client.finalize(session)
        assert client.read("drive/kept").num_rows == 100


def test_the_command_line_makes_and_checks_it():
    url = cql.keyspace()
    for command in "init", "check":
        ended = tessera("catalog", command, "--catalog", url)
        assert ended.returncode == 0, ended.stderr
    absent = f"scylla://{cql.address()}/absent_{uuid.uuid4().hex}"
    ended = tessera("catalog", "check", "--catalog", absent)
    assert ended.returncode == 1 and "tessera catalog init" in ended.stderr, ended.stderr
    for wrong in "scylla://", "http://x/y":
        ended = tessera("catalog", "check", "--catalog", wrong)
        assert ended.returncode == 1 and "scylla://HOST" in ended.stderr, ended.stderr
    shown = tessera("config", "explain", "--catalog", "scylla://ann:secret@db1/fleet")
    assert "ann@db1:9042" in shown.stdout and "secret" not in shown.stdout, shown.stdout
