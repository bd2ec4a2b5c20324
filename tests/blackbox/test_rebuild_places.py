"""A catalog made again where it is not easy: several data directories, some of them missing, and hardly any room."""

import os
import shutil

import pytest

from harness import rows
from harness.cli import tessera
from harness.codes import refused
from harness.flight import Client
from harness.server import Server
from harness.volume import MIB, Volume, run

TOPICS = 8


def rebuild(places, *more):
    return tessera("catalog", "rebuild", *(word for place in places for word in ("--data-dir", place)), *more)


@pytest.fixture
def three():
    """A server that recorded on two data directories and was given a third. It is stopped, and its catalog lost."""
    server = Server("places")
    places = [server.data, server.directory / "second", server.directory / "third"]
    try:
        server.options += ["--data-dir", places[1]]
        server.start()
        with Client(server.location) as client:
            client.record_sequence("drive", {f"t{n}": [rows.counters(range(100 + n))] for n in range(TOPICS)})
            client.create_sequence("open")
            session = client.create_session("open")
            for n in range(4):
                client.record(session, f"open/t{n}", [rows.counters(range(n + 1))])
        server.stop()
        assert all(list(place.rglob("*.parquet")) for place in places[:2])
        server.options += ["--data-dir", places[2]]
        server.start()
        server.stop()
        shutil.rmtree(server.data / "catalog")
        yield server, places
    finally:
        server.remove()


def read(server):
    with Client(server.location) as client:
        return [client.read(f"drive/t{n}").num_rows for n in range(TOPICS)]


def test_all_data_directories_are_read(three):
    server, places = three
    ended = rebuild([places[1], places[0]])
    assert ended.returncode == 1 and "name it first" in ended.stderr, ended.stderr
    ended = rebuild(places)
    assert ended.returncode == 0 and "12 topics" in ended.stderr, ended.stderr
    server.start()
    assert read(server) == [100 + n for n in range(TOPICS)]
    place = [word for place in places for word in ("--data-dir", place)]
    assert tessera("finalize", "open", *place, "--server", server.location).returncode == 0
    with Client(server.location) as client:
        assert [client.read(f"open/t{n}").num_rows for n in range(4)] == [1, 2, 3, 4]
    server.stop()
    assert tessera("verify", *place).returncode == 0


@pytest.mark.parametrize("given", [[0], [0, 2]], ids=["left out", "an empty one in its place"])
def test_a_missing_data_directory_is_refused_unless_that_is_wanted(three, given):
    server, places = three
    given = [places[n] for n in given]
    ended = rebuild(given)
    assert ended.returncode == 1 and "--without-missing" in ended.stderr, ended.stderr
    assert not (server.data / "catalog" / "catalog.db").exists()
    ended = rebuild(given, "--without-missing")
    assert ended.returncode == 3 and "its file is missing" in ended.stdout, ended
    # Nothing is lost by it: with all of them it is whole again.
    ended = rebuild(places)
    assert ended.returncode == 0 and "12 topics" in ended.stderr, ended.stderr
    server.start()
    assert read(server) == [100 + n for n in range(TOPICS)]
    server.stop()


def test_rows_on_what_is_missing_are_never_fewer_rows(three):
    server, places = three
    assert rebuild(places[:1], "--without-missing").returncode == 3
    server.options = []
    server.start()
    lost = 0
    with Client(server.location) as client:
        for n in range(TOPICS):
            try:
                assert client.read(f"drive/t{n}").num_rows == 100 + n
            except Exception:
                lost += 1
                with refused("DATA_LOSS", "UNAVAILABLE"):
                    client.read(f"drive/t{n}")
    assert 0 < lost < TOPICS
    server.stop()


def test_a_rebuild_without_room_replaces_nothing_and_says_so():
    disk = Volume(64)
    server = Server("room", data=disk.path / "data", config="[storage]\nsoft_mark_bytes = 1\nhard_mark_bytes = 1\nreserve_bytes = 0\n")
    try:
        server.start()
        with Client(server.location) as client:
            for n in range(40):
                client.record_sequence(f"q{n:02}", {"a": [rows.counters(range(10))]}, {"pad": "x" * 20_000})
        server.stop()
        catalog = server.data / "catalog"
        before = (catalog / "catalog.db").read_bytes()
        refusals = 0
        # Wherever the room ends: in the log, in its move into the file, or nowhere.
        for leave in range(256, 12_000, 512):
            filler = disk.fill(leave=leave << 10)
            ended = tessera("catalog", "rebuild", "--data-dir", server.data)
            names = sorted(path.name for path in catalog.iterdir() if path.name != "scrub.json")
            filler.unlink()
            if ended.returncode != 0:
                refusals += 1
                assert "full" in ended.stderr or "space" in ended.stderr, ended.stderr
                assert names == ["catalog.db"] and (catalog / "catalog.db").read_bytes() == before, names
                continue
            assert names == ["before-rebuild-1", "catalog.db"], names
            assert tessera("verify", "--data-dir", server.data).returncode == 0
            break
        else:
            raise AssertionError("there was room for it at last")
        assert refusals > 5
        server.start()
        with Client(server.location) as client:
            assert len(client.sequences()) == 40 and client.read("q39/a").num_rows == 10
        server.stop()
        assert disk.space() > MIB
    finally:
        server.remove()
        disk.remove()


@pytest.mark.parametrize("stray", ["catalog.db", "catalog.db-wal"])
def test_a_catalog_in_the_way_is_left_alone(three, stray):
    server, places = three
    (places[0] / stray).write_text("somebody's")
    ended = rebuild(places, "--to", places[0])
    assert ended.returncode == 1 and stray in ended.stderr and "another place" in ended.stderr, ended.stderr
    assert (places[0] / stray).read_text() == "somebody's"


def test_a_read_only_disk_is_verified_and_its_catalog_rebuilt_elsewhere(tmp_path):
    disk = Volume(64)
    server = Server("frozen", data=disk.path / "data", config="[storage]\nsoft_mark_bytes = 1\nhard_mark_bytes = 1\nreserve_bytes = 0\n")
    try:
        server.start()
        with Client(server.location) as client:
            client.record_sequence("drive", {"a": [rows.counters(range(10))]})
        server.stop()
        run("mount", "-o", "remount,ro", str(disk.path))
        ended = tessera("catalog", "rebuild", "--data-dir", server.data)
        assert ended.returncode == 1 and "give --to DIR" in ended.stderr, ended
        for command in (("verify",), ("catalog", "rebuild", "--to", tmp_path / "new")):
            ended = tessera(*command, "--data-dir", server.data, env={**os.environ, "TMPDIR": str(tmp_path)})
            assert ended.returncode == 0 and "read-only file system and not locked" in ended.stderr, ended
            assert "1 chunk" in ended.stderr, ended
        assert [path.name for path in tmp_path.iterdir()] == ["new"], "no copy stays behind"
        run("mount", "-o", "remount,rw", str(disk.path))
        shutil.copytree(tmp_path / "new", server.data / "catalog", dirs_exist_ok=True)
        server.start()
        with Client(server.location) as client:
            assert client.read("drive/a").num_rows == 10
        server.stop()
    finally:
        server.remove()
        disk.remove()
